// SPDX-License-Identifier: Apache-2.0
// What becomes of patches and of wishes for them (§9) while sessions come and go: who is told what, who waits for whom,
// and what is forgotten when.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct QuiltLifeTests {
    private func stitched(_ seed: UInt64) -> QuiltScenario {
        let quilt = QuiltScenario(seed: seed, ways: [way(10), way(15)])
        #expect(quilt.stitch())
        return quilt
    }

    private func patches(_ host: VirtualHost, _ quilt: QuiltScenario) -> [Int] {
        host.quilt(of: 0, now: quilt.network.now)?.patches.map(\.number) ?? []
    }

    // MARK: - A patch that goes

    private static let second = Carrier.udp(QuiltScenario.endpoint(2, 2))

    /// Its own way is no way to say that it is no more: the other end hears so by another one.
    @Test func aWayThatIsDownIsLeftByAnother() {
        let quilt = stitched(41)
        quilt.cut = [2]
        #expect(quilt.network.run(for: .seconds(10)) { quilt.patchesUp(quilt.alice) == 1 })
        quilt.alice.machine.leavePatch(Self.second, of: 0, now: quilt.network.now)
        quilt.network.drain(quilt.alice)
        quilt.network.run(for: .milliseconds(200))
        #expect(patches(quilt.alice, quilt) == [0] && patches(quilt.bob, quilt) == [0])
    }

    /// One that carries says so itself, behind all that went there before.
    @Test func aWayThatCarriesSaysItselfThatItIsLeft() {
        let quilt = stitched(42)
        quilt.cut = [1]
        quilt.alice.machine.leavePatch(Self.second, of: 0, now: quilt.network.now)
        quilt.network.drain(quilt.alice)
        quilt.network.run(for: .milliseconds(200))
        #expect(patches(quilt.alice, quilt) == [0] && patches(quilt.bob, quilt) == [0])
    }

    /// What did not change is not told again and again.
    @Test func aChangeIsToldOnce() {
        let quilt = stitched(43)
        func told() -> Int {
            quilt.alice.events.count { if case .patchChanged = $0.event { true } else { false } }
        }
        quilt.network.run(for: .seconds(2))
        let before = told()
        quilt.network.run(for: .seconds(20))
        #expect(before >= 2 && told() == before)
        quilt.cut = [2]
        quilt.network.run(for: .seconds(5))
        let after = told()
        #expect(after > before)
        quilt.network.run(for: .milliseconds(100))
        #expect(told() == after)
    }

    /// §9: a guest's patch that is down is kept for a minute, so that it may come back, and no longer.
    @Test func aPatchThatIsDownIsForgottenAfterAMinute() {
        let quilt = stitched(44)
        quilt.cut = [2]
        quilt.network.run(for: .seconds(40))
        #expect(patches(quilt.bob, quilt) == [0, 1] && quilt.patchesUp(quilt.bob) == 1)
        quilt.network.run(for: .seconds(25))
        #expect(patches(quilt.bob, quilt) == [0], "\(quilt.scenario.describe())")
    }

    /// Bob's machine slept for two minutes: that nothing was heard meanwhile is no reason to forget what was not asked.
    @Test func aPatchThatIsUpIsNotForgotten() {
        let quilt = stitched(45)
        let later = quilt.network.now + .seconds(120)
        quilt.bob.machine.timeout(now: later)
        #expect(quilt.bob.quilt(of: 0, now: later)?.patches.map(\.number) == [0, 1])
    }

    /// Its answer was lost, and it is announced again: that takes no second index. With another index it is another
    /// patch, which has the place of the first.
    @Test func anAnnouncementThatIsRepeatedTakesNothing() throws {
        let quilt = stitched(46)
        func announce(_ index: UInt32, nonce: UInt64) -> UInt32? {
            let message = PatchMessage(nonce: nonce, patch: 3, .add(index: index))
            quilt.network.say(.pathChallenge, message.encoded, to: 0, from: quilt.alice)
            quilt.network.run(for: .milliseconds(100))
            return quilt.bob.machine.peers[0]?.quilts.values.first?.guests[3]?.localIndex
        }
        let first = announce(77, nonce: 1)
        let own = try #require(first)
        let indices = quilt.bob.footprint.receiverIndices
        let second = announce(77, nonce: 2)
        #expect(second == own && quilt.bob.footprint.receiverIndices == indices)
        let third = announce(78, nonce: 3)
        #expect(third != own && third != nil && quilt.bob.footprint.receiverIndices == indices)
    }

    // MARK: - The wish of the end that was called

    /// Bob wants a second way, and Alice, who calls, wants none.
    private func wishing(_ seed: UInt64) -> QuiltScenario {
        let quilt = QuiltScenario(seed: seed, ways: [way(10), way(20)]) { alice, bob in
            alice.quilt = nil
            bob.quilt = QuiltConfiguration(ways: [QuiltScenario.endpoint(2, 1)])
        }
        #expect(quilt.scenario.connect())
        return quilt
    }

    /// He waits two seconds for ways of hers, and then makes a session of his own.
    @Test func anEndWaitsForTheOthersWays() {
        let quilt = wishing(47)
        quilt.network.run(for: .milliseconds(1900))
        #expect(quilt.bob.handshakesBegun.isEmpty)
        quilt.network.run(for: .milliseconds(200))
        #expect(quilt.bob.handshakesBegun.count == 1)
        #expect(quilt.stitch(within: .seconds(5)), "\(quilt.scenario.describe())")
        #expect(quilt.bob.establishedSessions.count == 2)
    }

    /// He does not want it any more before that: nobody makes a session for it.
    @Test(arguments: [nil, QuiltConfiguration()] as [QuiltConfiguration?])
    func aWishThatIsTakenBackMakesNoHandshake(_ wish: QuiltConfiguration?) {
        let quilt = wishing(48)
        quilt.network.run(for: .seconds(1))
        quilt.bob.machine.setQuilt(wish, ofPeer: "alice", now: quilt.network.now)
        quilt.network.drain(quilt.bob)
        quilt.network.run(for: .seconds(15))
        #expect(quilt.bob.handshakesBegun.isEmpty && quilt.bob.establishedSessions.count == 1)
        #expect(quilt.scenario.carriesTraffic())
    }

    /// He wants another quilt than before: he waits no longer for that, and it is this one that he makes.
    @Test func aWishThatChangesStands() {
        let quilt = wishing(49)
        quilt.network.run(for: .seconds(1))
        let wish = QuiltConfiguration(scheduler: .weighted, ways: [QuiltScenario.endpoint(2, 1)])
        quilt.bob.machine.setQuilt(wish, ofPeer: "alice", now: quilt.network.now)
        quilt.network.drain(quilt.bob)
        #expect(quilt.bob.handshakesBegun.isEmpty)
        quilt.network.run(for: .milliseconds(1100))
        #expect(quilt.bob.handshakesBegun.count == 1)
        #expect(quilt.stitch(within: .seconds(5)), "\(quilt.scenario.describe())")
        #expect(quilt.bob.quilt(of: 0, now: quilt.network.now)?.scheduler == .weighted)
    }

    // MARK: - Sessions that cross

    /// Both ends called. Alice hears in Bob's session before she hears in hers, with which both go on once she does:
    /// what its patches were about to say is said then, and not with the next look, which comes once a second.
    @Test func aSessionThatIsCurrentAgainJoinsInItsTime() throws {
        let seed = (50..<90 as Range<UInt64>).first { seed in
            let ids = Scenario.identities(seed, .rehearsal).map(\.publicKeys.peerID)
            return ids[0] < ids[1]
        }
        let quilt = QuiltScenario(seed: try #require(seed), ways: [way(10), way(15)]) { _, bob in bob.callsPeer = true }
        let (network, alice, bob) = (quilt.network, quilt.alice, quilt.bob)
        var (isHerCallHeard, isHisDataHeard) = (false, false)
        var first: VirtualDatagram?
        network.intervene = { datagram in
            if datagram.destination.low & 0xFF == 2 {
                return !isHerCallHeard && (datagram.type == .s0 || datagram.type == .s1) ? .drop : .pass
            }
            guard datagram.type?.isData == true, !isHisDataHeard else { return .pass }
            if first == nil { first = datagram }
            return .drop
        }
        func role() -> SessionRole? { alice.machine.peers[0]?.ring.current?.summary.role }
        try #require(network.run(for: .seconds(20)) { first != nil }, "\(quilt.scenario.describe())")
        isHerCallHeard = true
        try #require(network.run(for: .seconds(20)) { role() == .initiator }, "\(quilt.scenario.describe())")
        let own = try #require(alice.sendingSession(of: 0))
        // The first word of his session comes: hers, in which she has heard nothing yet, gives way.
        isHisDataHeard = true
        network.inject(try #require(first))
        isHisDataHeard = false
        try #require(network.run(for: .milliseconds(50)) { role() == .responder }, "\(quilt.scenario.describe())")
        network.run(for: .milliseconds(350))
        let quilts = alice.machine.peers[0]?.quilts ?? [:]
        let making = try #require(quilts[own.localIndex])
        let join = try #require(making.joins.first)
        #expect(join.phase == .adding && join.deadline <= network.now)
        #expect(making.nextLook >= network.now + .milliseconds(400), "\(quilt.scenario.describe())")
        isHisDataHeard = true
        network.sendInner(Scenario.packet(from: 2, to: 1, tag: 9), from: bob)
        #expect(network.run(for: .milliseconds(250)) { quilt.patchesUp(alice) == 2 }, "\(quilt.scenario.describe())")
        #expect(alice.sendingSession(of: 0) === own && alice.machine.peers[0]?.quilts.count == 1)
        #expect(quilt.stitch(within: .seconds(2)) && quilt.scenario.carriesTraffic())
    }
}
