// SPDX-License-Identifier: Apache-2.0
// A node's part of `pqvpn netcheck`: asks every peer with a session where it sees this host, listens to what the others say, and
// reports what there is when all have answered or the time is over. It changes no session.
internal import VPNCore
internal import VPNEngine

/// What comes in while somebody waits for it.
struct NetcheckFindings {
    /// How many wait; the last one ends it.
    var lookers = 0
    /// Where handshake datagrams came from, of those who are called. Not authentic: somebody is there.
    private(set) var heard: [Endpoint: Set<DatagramType>] = [:]
    private(set) var seen: [PeerSlot: Endpoint] = [:]
    /// Seconds by which the peers' clocks are ahead.
    private(set) var clocks: [PeerSlot: Int] = [:]
    /// Peers in whose places others are.
    private(set) var refused: Set<String> = []
    let called: Set<Endpoint>

    init(called: Set<Endpoint>) { self.called = called }

    mutating func hear(_ datagram: [UInt8], on carrier: Carrier) {
        guard case .udp(let endpoint) = carrier.fromAnyAddress, called.contains(endpoint),
            let type = OuterHeader(datagram)?.type, !type.isData
        else { return }
        heard[endpoint, default: []].insert(type)
    }

    mutating func record(_ event: Event, unixSeconds: UInt64) {
        switch event {
        case .viewed(let slot, _, let endpoint, let theirs):
            seen[slot] = endpoint
            clocks[slot] = Int(clamping: Int64(clamping: theirs) - Int64(clamping: unixSeconds))
        case .identityRefused(_, _, _, _, _, let name) where !name.isEmpty: refused.insert(name)
        default: break
        }
    }
}

extension Node {
    /// A question is asked again after this, as its datagram or the answer may be lost.
    private static let netcheckPause = Duration.milliseconds(500)
    /// Between two looks at what has come.
    private static let netcheckBeat = Duration.milliseconds(50)

    public func netcheck(within limit: Duration) async throws -> NetcheckReport {
        NetcheckReport(by: "node", peers: await netcheckPeers(within: limit), clock: .current())
    }

    /// What kinds of handshake datagrams come from a place that is called, until one of a kind is among them.
    func listen(to endpoint: Endpoint, until wanted: DatagramType, within limit: Duration) async -> Set<DatagramType> {
        expectNetcheck()
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end, netcheck?.heard[endpoint]?.contains(wanted) != true {
            do { try await Task.sleep(for: Self.netcheckBeat, clock: .continuous) } catch { break }
        }
        return netcheck?.heard[endpoint] ?? []
    }

    /// Listens from now on; for a node that does not run yet, whose first answer may come at once.
    func expectNetcheck() {
        guard netcheck == nil else { return }
        let called = Set(machine.snapshot(now: MonotonicClock.now).compactMap(\.endpoint))
        netcheck = NetcheckFindings(called: called)
    }

    func netcheckPeers(within limit: Duration) async -> [NetcheckPeer] {
        expectNetcheck()
        netcheck?.lookers += 1
        defer {
            netcheck?.lookers -= 1
            if netcheck?.lookers == 0 { netcheck = nil }
        }
        let clock = ContinuousClock()
        let end = clock.now + limit
        var next = clock.now
        var found = netcheckFound()
        while clock.now < end {
            if clock.now >= next {
                next = clock.now + Self.netcheckPause
                for peer in machine.snapshot(now: MonotonicClock.now) where !isKnown(peer) {
                    let now = MonotonicClock.now
                    _ = machine.askView(peer.slot, now: now)
                    if peer.roundTrip == nil { _ = machine.ask(peer.slot, now: now) }
                }
                settle()
            }
            do { try await Task.sleep(for: Self.netcheckBeat, clock: .continuous) } catch { break }
            found = netcheckFound()
            let peers = machine.snapshot(now: MonotonicClock.now)
            if peers.allSatisfy({ isKnown($0) || ($0.endpoint == nil && $0.session == nil) }) { break }
        }
        return found
    }

    /// Whether there is nothing more to learn of a peer.
    private func isKnown(_ peer: PeerSnapshot) -> Bool {
        guard peer.session != nil else { return netcheck?.refused.contains(peer.name) == true }
        return netcheck?.seen[peer.slot] != nil && peer.provenMTU != nil && peer.roundTrip != nil
    }

    private func netcheckFound() -> [NetcheckPeer] {
        let port = engine.socket.local.port
        return machine.snapshot(now: MonotonicClock.now).map { peer in
            // Where it is now, or where it is called.
            var endpoint = peer.endpoint
            if peer.session != nil, case .udp(let place)? = peer.carrier { endpoint = place }
            var local = endpoint.flatMap { Route.source(to: $0, mark: configuration.network.mark) }
            local?.port = port
            let isConnected = peer.session?.isConfirmed == true && peer.state != .silent
            return NetcheckPeer(
                name: peer.name, endpoint: endpoint, local: local, seen: netcheck?.seen[peer.slot],
                clockAhead: netcheck?.clocks[peer.slot], hasSession: isConnected,
                roundTrip: peer.roundTrip?.seconds, innerMTU: peer.pathMTU, provenMTU: peer.provenMTU,
                ceiling: peer.session.map { min(mtu, Int($0.summary.peerMTU)) },
                isRefused: netcheck?.refused.contains(peer.name) == true,
                isHeard: peer.endpoint.map { netcheck?.heard[$0] != nil } ?? false)
        }
    }
}

extension NetcheckReport.Clock {
    /// As the kernel has it now.
    static func current() -> Self {
        let error = WallClock.largestError
        switch error {
        case .synchronised(let microseconds):
            return Self(synchronised: .yes, largestErrorSeconds: Double(microseconds) / 1e6)
        case .free: return Self(synchronised: .no)
        case .unknown: return Self(synchronised: .unknown)
        }
    }
}
