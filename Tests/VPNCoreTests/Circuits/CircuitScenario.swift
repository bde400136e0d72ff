// SPDX-License-Identifier: Apache-2.0
// A client, and as many relays as a test wants, in a row: what tests of circuits start with. The first relay knows the client, the
// others know only each other.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

/// The client is 10.0.0.1 with 10.77.0.1 inside; relay i is 10.0.1.i, and what lies behind the last is 10.99.0.9.
final class CircuitScenario {
    let network: VirtualNetwork
    let client: VirtualHost
    /// More clients of relay 1, from 10.0.0.2 on.
    private(set) var others: [VirtualHost] = []
    private(set) var relays: [VirtualHost] = []
    /// Relay i as it is when it starts.
    private let makeRelay: (_ place: Int, _ run: UInt64, _ now: Instant) -> VirtualHost
    private let policy: RelayPolicy
    /// Where the relays are.
    var directory: [PeerID: Endpoint] { policy.directory }
    let seed: UInt64
    let primitives: Primitives

    static let inner = IPPrefix(containing: IPAddress(v4: 0x0A4D_0001), length: 32)
    static let behind = IPPrefix(containing: IPAddress(v4: 0x0A63_0009), length: 32)

    static func endpoint(_ relay: Int) -> Endpoint { Endpoint(v4: 0x0A00_0100 + UInt32(relay), port: 9000) }
    static let clientEndpoint = Endpoint(v4: 0x0A00_0001, port: 9000)

    /// - Parameters:
    ///   - relays: how many there are.
    ///   - coverBytesPerSecond: of every node, to each peer.
    ///   - policy: of every relay.
    ///   - others: clients beside the first.
    init(
        seed: UInt64, relays count: Int, primitives: Primitives = .rehearsal,
        conditions: LinkConditions = LinkConditions(), padding: PaddingPolicy = .none, coverBytesPerSecond: Int = 0,
        policy: RelayPolicy = RelayPolicy(), others: Int = 0
    ) {
        self.seed = seed
        self.primitives = primitives
        network = VirtualNetwork(seed: seed)
        network.conditions = conditions
        let identities: [any IdentitySigner] =
            primitives == .real
            ? Array(RealIdentities.all[0...count])
            : (0...count).map { RehearsalIdentity(seed: seed &* 31 &+ UInt64($0)) }
        let pins = identities.enumerated().map { place, identity in
            PinnedPeer(keys: identity.publicKeys, name: place == 0 ? "client" : "r\(place)", origin: .operatorAdded)
        }
        func parameters() -> NodeParameters {
            var parameters = NodeParameters(
                offers: Offers(hasAESHardware: true), mtu: 1436,
                trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
                maximumJobs: 200, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600),
                unixSeconds: 1_800_000_000)
            parameters.padding = padding
            parameters.coverBytesPerSecond = coverBytesPerSecond
            return parameters
        }
        func makeClient(_ identity: any IdentitySigner, number: Int, now: Instant) -> VirtualHost {
            VirtualHost(
                name: number == 0 ? "client" : "client\(number)",
                endpoint: Endpoint(v4: 0x0A00_0001 + UInt32(number), port: 9000), identity: identity,
                cryptography: Scenario.cryptography(seed &* 97 &+ UInt64(number * 1000), primitives),
                parameters: parameters(), pins: Array(pins.dropFirst()),
                peers: [
                    PeerConfiguration(
                        name: "r1", peerID: pins[1].peerID, endpoint: Self.endpoint(1), allowedIPs: [])
                ], now: now)
        }
        let start = network.now
        client = makeClient(identities[0], number: 0, now: start)
        let more = (0..<others).map { RehearsalIdentity(seed: seed &* 31 &+ UInt64(1000 + $0)) }
        self.others = more.enumerated().map { makeClient($1, number: $0 + 1, now: start) }
        let callers =
            [pins[0]]
            + more.enumerated().map { place, identity in
                PinnedPeer(keys: identity.publicKeys, name: "client\(place + 1)", origin: .operatorAdded)
            }
        var policy = policy
        for place in 1...count { policy.directory[pins[place].peerID] = Self.endpoint(place) }
        self.policy = policy
        makeRelay = { place, run, now in
            VirtualHost(
                name: "r\(place)", endpoint: Self.endpoint(place), identity: identities[place],
                cryptography: Scenario.cryptography(seed &* 97 &+ UInt64(place) &+ run << 32, primitives),
                parameters: parameters(),
                pins: (place == 1 ? callers : []) + pins.dropFirst().filter { $0.peerID != pins[place].peerID },
                peers: (place == 1 ? callers : []).map {
                    PeerConfiguration(name: $0.name, peerID: $0.peerID, endpoint: nil, allowedIPs: [])
                }, now: now)
        }
        for place in 1...count { relays.append(makeRelay(place, 0, network.now)) }
        for relay in relays {
            network.attach(relay)
            network.enableRelay(policy, of: relay)
        }
        for host in [self.client] + self.others { network.attach(host) }
    }

    /// A relay's process is killed and begins anew: what it knew is lost.
    func restart(_ relay: Int) {
        network.detach(relays[relay - 1])
        relays[relay - 1] = makeRelay(relay, network.now.nanoseconds, network.now)
        network.attach(relays[relay - 1])
        network.enableRelay(policy, of: relays[relay - 1])
    }

    func id(_ relay: Int) -> PeerID { relays[relay - 1].identity.publicKeys.peerID }

    /// Asks for a circuit through these relays, each by its number.
    func build(_ hops: [Int], name: String = "home", behind: IPPrefix = CircuitScenario.behind) throws -> Int {
        try network.build(
            CircuitRequest(name: name, hops: hops.map(id), allowedIPs: hops.count == 1 ? [] : [behind]), at: client)
    }

    /// Runs until the circuit is ready and its guest at the last relay has the client's inner address.
    func connect(_ hops: [Int], within limit: TimeSpan = .seconds(60)) throws -> Int {
        let exit = relays[hops.last! - 1]
        let before = exit.guests.count
        let number = try build(hops)
        guard network.run(for: limit, until: { isReady(number) }) else { return number }
        // The first DATA of the innermost session is a keepalive; lost, it is said again a second later.
        network.run(for: .seconds(20)) { exit.guests.count > before }
        // Where a path comes by the exit more than once, the last guest is it.
        network.run(for: .milliseconds(500))
        if let guest = exit.guests.last { #expect(network.assign([CircuitScenario.inner], to: guest, at: exit)) }
        return number
    }

    func isReady(_ number: Int) -> Bool {
        client.circuits(now: network.now).contains { $0.number == number && $0.state != .building }
    }

    /// Whether an inner packet crosses each way within three seconds; where some are lost, one of twenty.
    func carriesTraffic(to last: Int, tag: UInt8 = 1, attempts: Int = 1, count: Int = 64) -> Bool {
        let exit = relays[last - 1]
        let there = CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: tag, count: count)
        let back = CircuitScenario.packet(from: 0x0A63_0009, to: 0x0A4D_0001, tag: tag, count: count)
        for _ in 0..<attempts {
            network.sendInner(there, from: client)
            network.sendInner(back, from: exit)
            let isThere = network.run(for: .seconds(3)) {
                exit.delivered.contains(there) && client.delivered.contains(back)
            }
            if isThere { return true }
        }
        return false
    }

    static func packet(from: UInt32, to: UInt32, tag: UInt8, count: Int = 64) -> [UInt8] {
        var bytes: [UInt8] = [0x45, 0, UInt8(count >> 8), UInt8(count & 0xFF), 0, 0, 0, 0, 64, 17, 0, 0]
        for address in [from, to] {
            for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: address >> shift)) }
        }
        return bytes + [UInt8](repeating: tag, count: count - 20)
    }

    /// Datagrams that were sent between two nodes, either way.
    func link(_ a: VirtualHost, _ b: VirtualHost) -> [VirtualDatagram] {
        network.capture.map(\.datagram).filter {
            ($0.source == a.endpoint && $0.destination == b.endpoint)
                || ($0.source == b.endpoint && $0.destination == a.endpoint)
        }
    }

    func describe() -> String {
        var text = "seed \(seed): client \(client.footprint) \(client.controlDrops.nonZero)"
        text += " \(client.dataPlaneDrops.nonZero)"
        for relay in relays {
            text += "; \(relay.name) \(relay.footprint) \(relay.controlDrops.nonZero) \(relay.dataPlaneDrops.nonZero)"
        }
        return text + "; \(client.circuitEvents)"
    }
}

extension VirtualHost {
    var circuitEvents: [CircuitEvent] {
        events.compactMap { if case .circuit(let event) = $0.event { event } else { nil } }
    }

    /// Slots of those who came by circuits, in the order of their coming.
    var guests: [PeerSlot] {
        events.compactMap { if case .guestArrived(let slot, _) = $0.event { slot } else { nil } }
    }

    var circuitFailures: [(hop: Int, failure: CircuitFailure)] {
        circuitEvents.compactMap { if case .failed(_, _, let hop, let failure) = $0 { (hop, failure) } else { nil } }
    }
}
