// SPDX-License-Identifier: Apache-2.0
// Peers that the operator adds, takes away, moves and gives other networks while the node runs.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct ReconfigurationTests {
    private func bob(_ run: Scenario, networks: [UInt32] = [0x0A4D_0002]) -> PeerConfiguration {
        PeerConfiguration(
            name: "bob", peerID: run.bob.identity.publicKeys.peerID, endpoint: Scenario.bobEndpoint,
            allowedIPs: networks.map { IPPrefix(containing: IPAddress(v4: $0), length: 32) })
    }

    private func ended(_ host: VirtualHost) -> [SessionEnd] {
        host.events.compactMap { if case .sessionEnded(_, let end) = $0.event { end } else { nil } }
    }

    @Test func aRemovedPeerIsToldAndForgotten() {
        let run = Scenario(seed: 90)
        #expect(run.connect())
        run.network.updatePeers([], of: run.alice)
        #expect(run.alice.footprint.sessions == 0 && run.alice.footprint.peers == 0, "\(run.describe())")
        #expect(ended(run.alice) == [.peerRemoved])
        run.network.run(for: .milliseconds(200))
        #expect(ended(run.bob) == [.closedByPeer])
        run.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 3), from: run.alice)
        run.network.run(for: .seconds(200))
        #expect(run.alice.footprint.sessions == 0 && run.alice.footprint.initiations == 0)
        #expect(run.alice.footprint.receiverIndices == 0 && run.alice.footprint.jobs == 0)
    }

    @Test func anAddedPeerIsCalledAtOnce() {
        let run = Scenario(seed: 91)
        run.network.updatePeers([], of: run.alice)
        run.network.run(for: .seconds(5))
        let before = run.alice.confirmedSessions.count
        run.network.updatePeers([bob(run)], of: run.alice)
        #expect(run.network.run(for: .seconds(5)) { run.alice.confirmedSessions.count == before + 1 })
        let packet = Scenario.packet(from: 1, to: 2, tag: 4)
        run.network.sendInner(packet, from: run.alice)
        #expect(run.network.run(for: .seconds(2)) { run.bob.delivered.contains(packet) })
    }

    @Test func otherNetworksKeepTheSession() {
        let run = Scenario(seed: 92)
        #expect(run.connect() && run.carriesTraffic())
        let session = run.alice.sendingSession(of: 0)
        run.network.updatePeers([bob(run, networks: [0x0A4D_0009])], of: run.alice)
        #expect(run.alice.sendingSession(of: 0) === session && ended(run.alice).isEmpty)
        // What was bob's is no longer: neither towards him nor from him.
        let (there, back) = (Scenario.packet(from: 1, to: 2, tag: 7), Scenario.packet(from: 2, to: 1, tag: 7))
        run.network.sendInner(there, from: run.alice)
        run.network.sendInner(back, from: run.bob)
        run.network.run(for: .seconds(2))
        #expect(!run.bob.delivered.contains(there) && !run.alice.delivered.contains(back))
        run.network.updatePeers([bob(run)], of: run.alice)
        #expect(run.carriesTraffic(8))
        #expect(run.alice.confirmedSessions.count == 1)
    }

    @Test func whatIsUnchangedIsUndisturbed() {
        let run = Scenario(seed: 93)
        #expect(run.connect())
        let (before, events) = (run.alice.footprint, run.alice.events.count)
        for _ in 0..<3 { run.network.updatePeers([bob(run)], of: run.alice) }
        #expect(run.alice.footprint == before && run.alice.events.count == events)
        #expect(run.alice.carrier(of: 0) == .udp(Scenario.bobEndpoint))
    }

    /// A stale endpoint keeps the session; the operator's new one is called, and the session of that call carries on.
    @Test func aMovedPeerIsCalledWhereTheOperatorSays() {
        let run = Scenario(seed: 94)
        #expect(run.connect())
        let place = Endpoint(v4: 0x0A00_0063, port: 4500)
        run.network.move(run.bob, to: place)
        var moved = bob(run)
        moved.endpoint = place
        run.network.updatePeers([moved], moved: ["bob"], of: run.alice)
        #expect(run.alice.carrier(of: 0) == .udp(place))
        #expect(run.network.run(for: .seconds(5)) { run.alice.confirmedSessions.count == 2 }, "\(run.describe())")
        let packet = Scenario.packet(from: 1, to: 2, tag: 9)
        run.network.sendInner(packet, from: run.alice)
        #expect(run.network.run(for: .seconds(2)) { run.bob.delivered.contains(packet) })
    }

    /// An endpoint that is not `moved` is what the file said long ago, and not where the peer is by now.
    @Test func anOldEndpointDoesNotBringAPeerBack() {
        let run = Scenario(seed: 95)
        #expect(run.connect())
        let place = Endpoint(v4: 0x0A00_0064, port: 4501)
        run.network.move(run.bob, to: place)
        run.network.sendInner(Scenario.packet(from: 2, to: 1, tag: 1), from: run.bob)
        #expect(run.network.run(for: .seconds(5)) { run.alice.carrier(of: 0) == .udp(place) })
        run.network.updatePeers([bob(run, networks: [0x0A4D_0002, 0x0A4D_0003])], of: run.alice)
        #expect(run.alice.carrier(of: 0) == .udp(place))
    }

    @Test func anotherPresharedKeyIsAnotherPeer() {
        let run = Scenario(seed: 96)
        #expect(run.connect())
        var changed = bob(run)
        changed.presharedKey = PresharedKey(configured: Secret(copying: [UInt8](repeating: 7, count: 32)))
        run.network.updatePeers([changed], of: run.alice)
        #expect(ended(run.alice) == [.peerRemoved])
        // Bob has no such key: no session without it.
        run.network.run(for: .seconds(30))
        #expect(run.alice.confirmedSessions.count == 1)
        // The same bytes in another object are the same key.
        let sessions = run.alice.events.count
        var same = changed
        same.presharedKey = PresharedKey(configured: Secret(copying: [UInt8](repeating: 7, count: 32)))
        run.network.updatePeers([same], of: run.alice)
        #expect(run.alice.events.count == sessions)
    }

    /// Bob is pinned and comes by himself; then he gets an entry of his own, and with it his networks.
    @Test func aCallerWithoutAnEntryGivesWayToIt() {
        var answering = Scenario.answering
        answering.namesPeer = false
        let run = Scenario(seed: 97, alice: answering, bob: NodeOptions())
        #expect(run.connect())
        #expect(run.alice.footprint.peers == 1)
        run.network.updatePeers([bob(run)], of: run.alice)
        #expect(run.network.run(for: .seconds(5)) { run.alice.confirmedSessions.count == 2 }, "\(run.describe())")
        #expect(run.alice.footprint.peers == 1)
        #expect(run.carriesTraffic())
    }

    /// At any moment of a handshake, on both sides: nothing is left of who went, and whoever comes back is met.
    @Test func changesReachHandshakesOnTheirWay() {
        for milliseconds in stride(from: 0, through: 120, by: 4) {
            for side in [0, 1] {
                let run = Scenario(seed: 98)
                run.network.run(for: .milliseconds(milliseconds))
                let judge = side == 0 ? run.alice : run.bob
                let other = side == 0 ? run.bob : run.alice
                run.network.updatePeers([], of: judge)
                // The other may call and is pinned: it gets a session, but no networks.
                let packet = Scenario.packet(from: side == 0 ? 1 : 2, to: side == 0 ? 2 : 1, tag: 5)
                run.network.run(for: .seconds(5))
                run.network.sendInner(packet, from: judge)
                run.network.run(for: .seconds(2))
                #expect(!other.delivered.contains(packet), "\(milliseconds) ms: \(run.describe())")
                var entry = PeerConfiguration(
                    name: "again", peerID: other.identity.publicKeys.peerID, endpoint: other.endpoint,
                    allowedIPs: [IPPrefix(containing: IPAddress(v4: side == 0 ? 0x0A4D_0002 : 0x0A4D_0001), length: 32)]
                )
                run.network.updatePeers([entry], of: judge)
                run.network.run(for: .seconds(10))
                run.network.sendInner(packet, from: judge)
                #expect(
                    run.network.run(for: .seconds(100)) { other.delivered.contains(packet) },
                    "\(milliseconds) ms, side \(side): \(run.describe())")
                #expect(judge.footprint.peers == 1)
                entry.name = "renamed"
                run.network.updatePeers([entry], of: judge)
                #expect(judge.footprint.peers == 1)
            }
        }
    }

    @Test func theLimitOfHandshakesIsAnother() {
        var options = Scenario.answering
        options.handshakesPerMinute = 1
        let run = Scenario(seed: 99, bob: options)
        #expect(run.connect())
        #expect(run.bob.controlDrops[.handshakeRate] == 0)
        run.network.renew(0, at: run.alice)
        run.network.run(for: .seconds(3))
        #expect(run.bob.controlDrops[.handshakeRate] > 0 && run.alice.confirmedSessions.count == 1)
        run.network.limitHandshakes(perMinute: 100, of: run.bob)
        #expect(run.network.run(for: .seconds(10)) { run.alice.confirmedSessions.count == 2 }, "\(run.describe())")
    }
}
