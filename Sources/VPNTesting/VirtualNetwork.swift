// SPDX-License-Identifier: Apache-2.0
// A whole internet in one value: hosts, paths with latency, jitter, loss, duplication, reordering and MTU, NAT, and an
// eavesdropper who sees everything. Virtual time, one seed; the same seed replays the same run.
public import VPNCore
public import VPNCrypto

/// One UDP payload on its way.
public struct VirtualDatagram: Sendable {
    public var bytes: [UInt8]
    public var source: Endpoint
    public var destination: Endpoint

    public init(bytes: [UInt8], source: Endpoint, destination: Endpoint) {
        self.bytes = bytes
        self.source = source
        self.destination = destination
    }
}

public final class VirtualNetwork {
    /// What a test does with a datagram in flight.
    public enum Intervention {
        case pass
        case drop
        case replace([UInt8])
    }

    public let seed: UInt64
    public private(set) var now = Instant.origin + .seconds(1)
    public private(set) var hosts: [VirtualHost] = []
    public var conditions = LinkConditions()
    /// All datagrams that were sent, lost ones too, as the wire shows them.
    public private(set) var capture: [(at: Instant, datagram: VirtualDatagram)] = []
    public var isCapturing = true
    /// Whether `digest` and `datagrams` go on with each datagram that is sent, and eight bytes that none of them may hold.
    public var isWatching = false
    public var watchword: UInt64?
    public private(set) var digest = TraceDigest()
    public private(set) var datagrams = 0
    public private(set) var disclosures: [VirtualDatagram] = []
    /// Called for each datagram before the path's own mischief.
    public var intervene: ((VirtualDatagram) -> Intervention)?

    /// What a datagram's path does, where paths differ.
    public var path: ((VirtualDatagram) -> LinkConditions)?

    private struct Way: Hashable {
        var source: Endpoint
        var destination: Endpoint
    }

    /// Of ways of a certain rate: until when they are busy.
    private var busyUntil: [Way: Instant] = [:]
    private var random: SeededRandom
    private var inFlight: [(due: Instant, order: Int, datagram: VirtualDatagram)] = []
    private var order = 0

    public init(seed: UInt64) {
        self.seed = seed
        random = SeededRandom(seed: seed)
    }

    /// Connects a host, behind a NAT where one is given. Its first actions happen at once.
    public func attach(_ host: VirtualHost, nat: VirtualNAT? = nil, starting: Bool = true) {
        host.nat = nat
        hosts.append(host)
        if starting { host.start(now: now) { self.send($0) } }
    }

    /// Unplugs a host without a word, as a crash does.
    public func detach(_ host: VirtualHost) { hosts.removeAll { $0 === host } }

    /// Lets a host say goodbye, then unplugs it.
    public func shutDown(_ host: VirtualHost) {
        host.close(now: now) { self.send($0) }
        detach(host)
    }

    /// What a host's operator does to its known_peers.
    public func updatePins(_ pins: [PinnedPeer], of host: VirtualHost) {
        host.updatePins(pins, now: now) { self.send($0) }
    }

    /// What a host's operator does to the peers of its configuration. `moved`: those whose endpoint was written anew.
    public func updatePeers(_ peers: [PeerConfiguration], moved: Set<String> = [], of host: VirtualHost) {
        host.updatePeers(peers, moved: moved, now: now) { self.send($0) }
    }

    /// What a host's operator does to `handshake_per_minute_per_ip`.
    public func limitHandshakes(perMinute limit: Int, of host: VirtualHost) { host.limitHandshakes(perMinute: limit) }

    /// What a host's operator does to its revocation list.
    public func updateRevoked(_ ids: Set<PeerID>, of host: VirtualHost) {
        host.updateRevoked(ids, now: now) { self.send($0) }
    }

    /// What an operator asks of a host: a sign of life from a peer.
    public func ask(_ slot: PeerSlot, of host: VirtualHost) -> Bool { host.ask(slot, now: now) { self.send($0) } }

    /// The end of its sessions with a peer.
    public func drop(_ slot: PeerSlot, of host: VirtualHost) -> Bool { host.drop(slot, now: now) { self.send($0) } }

    /// What a host's operator does to `relay`.
    public func enableRelay(_ policy: RelayPolicy?, of host: VirtualHost) {
        host.enableRelay(policy, now: now) { self.send($0) }
    }

    /// Makes a host an exit; gives it another policy.
    public func openExit(_ terms: ExitTerms, at host: VirtualHost) { host.openExit(terms, now: now) { self.send($0) } }
    public func changeExit(_ fence: ExitFence, at host: VirtualHost) {
        host.changeExit(fence, now: now) { self.send($0) }
    }

    /// Circuits of a host: build, replace, close.
    public func build(_ request: CircuitRequest, at host: VirtualHost) throws(CircuitRefusal) -> OwnCircuit.Number {
        try host.build(request, now: now) { self.send($0) }
    }
    @discardableResult
    public func replaceCircuit(_ number: OwnCircuit.Number, at host: VirtualHost) -> Bool {
        host.replaceCircuit(number, now: now) { self.send($0) }
    }
    @discardableResult
    public func closeCircuit(_ number: OwnCircuit.Number, at host: VirtualHost) -> Bool {
        host.closeCircuit(number, now: now) { self.send($0) }
    }

    /// Inner addresses for a guest of a host.
    public func assign(_ prefixes: [IPPrefix], to slot: PeerSlot, at host: VirtualHost) -> Bool {
        host.assign(prefixes, to: slot, now: now) { self.send($0) }
    }

    /// What a hostile host says in its own sessions.
    public func say(_ type: FrameType, _ payload: [UInt8], to slot: PeerSlot, from host: VirtualHost) {
        host.say(type, payload, to: slot, now: now) { self.send($0) }
    }

    public func sendInner(_ packet: [UInt8], from host: VirtualHost) {
        host.sendInner(packet, now: now) { self.send($0) }
    }

    /// Gives a host another address, without a word to anybody.
    public func move(_ host: VirtualHost, to endpoint: Endpoint) { host.endpoint = endpoint }

    /// Restarts the NAT before a host.
    public func rebindNAT(of host: VirtualHost) { host.nat?.rebind() }

    /// Stops a host's time.
    public func suspend(_ host: VirtualHost) { host.isSuspended = true }

    /// Lets a host go on, with what its socket kept for it.
    public func resume(_ host: VirtualHost) {
        host.isSuspended = false
        let waiting = host.waiting
        host.waiting = []
        for datagram in waiting { host.receive(datagram, now: now) { self.send($0) } }
    }

    /// Tells a host what a peer's name resolves to now.
    public func resolve(_ name: String, to endpoints: [Endpoint], at host: VirtualHost) {
        host.resolved(endpoints, ofPeer: name, now: now) { self.send($0) }
    }

    /// Makes a host renew its session with a peer now.
    public func renew(_ slot: PeerSlot, at host: VirtualHost) { host.renew(slot, now: now) { self.send($0) } }

    /// Puts a datagram on the wire as if `source` had sent it.
    public func inject(_ datagram: VirtualDatagram) { send(datagram) }

    /// Runs until `condition` holds or `limit` of virtual time has passed; whether it held.
    @discardableResult
    public func run(for limit: TimeSpan, until condition: () -> Bool = { false }) -> Bool {
        let end = now + limit
        while !condition() {
            let arrival = inFlight.first?.due
            let deadline = hosts.lazy.filter { !$0.isSuspended }.map(\.nextDeadline).min()
            guard let next = [arrival, deadline].compactMap({ $0 }).min(), next <= end else {
                now = end
                return condition()
            }
            now = max(now, next)
            if let arrival, arrival <= now {
                deliver(popNext())
            } else {
                for host in hosts where host.nextDeadline <= now && !host.isSuspended {
                    host.advance(now: now) { self.send($0) }
                }
            }
        }
        return true
    }

    // MARK: The wire

    private func send(_ datagram: VirtualDatagram) {
        var datagram = datagram
        (datagram.destination.scope, datagram.destination.source) = (0, 0)
        if let sender = hosts.first(where: { $0.endpoint == datagram.source }), sender.nat != nil {
            datagram.source = sender.nat!.outbound(to: datagram.destination, now: now)
        }
        if isCapturing { capture.append((now, datagram)) }
        if isWatching {
            datagrams += 1
            if digest.take(datagram, at: now, lookingFor: watchword) { disclosures.append(datagram) }
        }
        switch intervene?(datagram) ?? .pass {
        case .pass: break
        case .drop: return
        case .replace(let bytes): datagram.bytes = bytes
        }
        let conditions = path?(datagram) ?? conditions
        guard datagram.bytes.count <= conditions.largestDatagram, !random.chance(conditions.loss) else { return }
        guard let start = transmission(datagram, conditions) else { return }
        enqueue(datagram, conditions, from: start)
        if random.chance(conditions.duplication) { enqueue(datagram, conditions, from: start) }
    }

    /// When the last byte leaves a way of a certain rate; nil where its queue is full.
    private func transmission(_ datagram: VirtualDatagram, _ conditions: LinkConditions) -> Instant? {
        guard conditions.bytesPerSecond > 0 else { return now }
        let way = Way(source: datagram.source, destination: datagram.destination)
        let start = max(busyUntil[way] ?? .origin, now)
        guard start.since(now) <= conditions.queue else { return nil }
        let end =
            start + TimeSpan(nanoseconds: UInt64(datagram.bytes.count) * 1_000_000_000 / conditions.bytesPerSecond)
        busyUntil[way] = end
        return end
    }

    private func enqueue(_ datagram: VirtualDatagram, _ conditions: LinkConditions, from start: Instant) {
        var due = start + conditions.latency
        due += TimeSpan(nanoseconds: random.fraction(of: conditions.jitter.nanoseconds))
        if random.chance(conditions.reordering) { due += conditions.reorderingDelay }
        order += 1
        // Sorted by arrival; equal times keep their order.
        var low = 0
        var high = inFlight.count
        while low < high {
            let middle = (low + high) / 2
            if inFlight[middle].due <= due { low = middle + 1 } else { high = middle }
        }
        inFlight.insert((due, order, datagram), at: low)
    }

    private func popNext() -> VirtualDatagram { inFlight.removeFirst().datagram }

    private func deliver(_ datagram: VirtualDatagram) {
        for host in hosts {
            if host.nat != nil {
                guard host.nat!.publicEndpoint.low == datagram.destination.low,
                    host.nat!.publicEndpoint.high == datagram.destination.high,
                    host.nat!.admits(from: datagram.source, port: datagram.destination.port, now: now)
                else { continue }
            } else if !host.owns(datagram.destination) {
                continue
            }
            if host.isSuspended {
                // A receive buffer of some hundred datagrams; what comes later is lost.
                if host.waiting.count < 200 { host.waiting.append(datagram) }
                return
            }
            return host.receive(datagram, now: now) { self.send($0) }
        }
    }
}
