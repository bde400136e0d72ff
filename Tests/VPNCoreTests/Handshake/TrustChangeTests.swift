// SPDX-License-Identifier: Apache-2.0
// Pins that the operator changes while the node runs.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct TrustChangeTests {
    private let firstUse = TrustPolicy(trustsOnFirstUse: true, isStrict: false)

    private func pin(_ identity: any IdentitySigner, _ name: String) -> PinnedPeer {
        PinnedPeer(keys: identity.publicKeys, name: name, origin: .operatorAdded)
    }

    private func host(
        _ identity: any IdentitySigner, knows other: any IdentitySigner, _ network: VirtualNetwork, seed: UInt64 = 9
    ) -> VirtualHost {
        Scenario.host(
            "bob", Scenario.bobEndpoint, identity, peer: other, peerEndpoint: Scenario.aliceEndpoint,
            Scenario.answering, seed: seed, .rehearsal, now: network.now)
    }

    /// Bob came back with other keys: refused, until the operator's `peers trust` reaches the running node.
    @Test(arguments: [true, false])
    func aTrustedNewIdentityIsCalledAtOnce(_ isUp: Bool) {
        var caller = NodeOptions()
        caller.trust = firstUse
        caller.namesPeer = false
        let run = Scenario(seed: 65, alice: caller)
        #expect(run.connect())
        let new = RehearsalIdentity(seed: 4711)
        let reborn = host(new, knows: run.alice.identity, run.network)
        if isUp {
            run.network.detach(run.bob)
        } else {
            run.network.shutDown(run.bob)
        }
        run.network.attach(reborn)
        run.network.run(for: .seconds(60))
        #expect(reborn.confirmedSessions.isEmpty)
        run.network.updatePins([pin(new, "bob")], of: run.alice)
        #expect(
            run.network.run(for: .seconds(5)) {
                !reborn.confirmedSessions.isEmpty && run.alice.confirmedSessions.last?.peer == new.publicKeys.peerID
            }, "\(run.describe())")
        #expect(
            run.alice.events.contains {
                if case .identityReplaced(_, "bob", _, new.publicKeys.peerID) = $0.event { true } else { false }
            })
        let packet = Scenario.packet(from: 1, to: 2, tag: 5)
        run.network.sendInner(packet, from: run.alice)
        #expect(run.network.run(for: .seconds(2)) { reborn.delivered.contains(packet) })
        #expect(run.alice.footprint.sessions == 1)
    }

    /// The new identity calls by itself, before and after its name is given to it.
    @Test func aPassingIdentityGetsItsName() {
        var answering = Scenario.answering
        answering.trust = firstUse
        answering.namesPeer = false
        answering.callsPeer = true
        answering.knowsPeer = true
        let network = VirtualNetwork(seed: 66)
        let old = RehearsalIdentity(seed: 1)
        let new = RehearsalIdentity(seed: 2)
        let alice = RehearsalIdentity(seed: 3)
        // Alice has "bob" pinned to old keys; Bob with new keys calls from elsewhere and is a stranger by first use.
        let judge = Scenario.host(
            "alice", Scenario.aliceEndpoint, alice, peer: old, peerEndpoint: Endpoint(v4: 0x0A00_0050, port: 1),
            answering, seed: 4, .rehearsal, now: network.now)
        let caller = Scenario.host(
            "bob", Scenario.bobEndpoint, new, peer: alice, peerEndpoint: Scenario.aliceEndpoint, NodeOptions(), seed: 5,
            .rehearsal, now: network.now)
        network.attach(judge)
        network.attach(caller)
        #expect(network.run(for: .seconds(5)) { !judge.remembered.isEmpty })
        network.updatePins([pin(new, "bob")], of: judge)
        #expect(judge.footprint.sessions == 0 && judge.footprint.peers == 1, "\(judge.footprint)")
        // It calls again once it notices the silence, and is the configured peer then.
        let count = judge.confirmedSessions.count
        // Twice: what is under way when the first goes out looks like an answer to it.
        for _ in 0..<2 {
            network.sendInner(Scenario.packet(from: 2, to: 1, tag: 9), from: caller)
            network.run(for: .seconds(1))
        }
        #expect(network.run(for: .seconds(60)) { judge.confirmedSessions.count > count })
        #expect(judge.confirmedSessions.last?.peerName == "bob")
    }

    @Test func aRemovedPinEndsTheSession() {
        for policy in [TrustPolicy(trustsOnFirstUse: false, isStrict: false), firstUse] {
            for named in [true, false] {
                var caller = NodeOptions()
                caller.trust = policy
                caller.namesPeer = named
                let run = Scenario(seed: 67, alice: caller)
                #expect(run.connect())
                run.network.updatePins([], of: run.alice)
                #expect(run.alice.footprint.sessions == 0)
                let isMetAnew = run.network.run(for: .seconds(30)) { run.alice.confirmedSessions.count == 2 }
                #expect(isMetAnew == policy.trustsOnFirstUse, "\(policy) \(named) \(run.describe())")
                #expect(run.alice.remembered.count == (policy.trustsOnFirstUse ? 1 : 0))
            }
        }
    }

    @Test func aPinThatComesLaterIsUsed() {
        var caller = NodeOptions()
        caller.knowsPeer = false
        let run = Scenario(seed: 68, alice: caller)
        run.network.run(for: .seconds(10))
        #expect(run.alice.confirmedSessions.isEmpty)
        run.network.updatePins([pin(run.bob.identity, "bob")], of: run.alice)
        #expect(run.connect(within: .seconds(2)))
    }

    @Test func whatIsUnchangedIsUndisturbed() {
        let run = Scenario(seed: 69)
        #expect(run.connect())
        let stranger = pin(RehearsalIdentity(seed: 5), "carol")
        let (before, events) = (run.alice.footprint, run.alice.events.count)
        run.network.updatePins([pin(run.bob.identity, "bob"), stranger], of: run.alice)
        run.network.updatePins([pin(run.bob.identity, "bob")], of: run.alice)
        run.network.updatePins([pin(run.bob.identity, "robert")], of: run.alice)
        #expect(run.alice.footprint == before && run.alice.events.count == events)
        #expect(run.carriesTraffic())
    }

    /// At any moment of a handshake, whatever the operator does.
    @Test func changesReachHandshakesOnTheirWay() {
        let new = RehearsalIdentity(seed: 4712)
        for milliseconds in stride(from: 0, through: 120, by: 5) {
            for side in [0, 1] {
                var options = NodeOptions()
                options.namesPeer = false
                options.callsPeer = side == 0
                let run = Scenario(
                    seed: 70, alice: side == 0 ? options : NodeOptions(), bob: side == 1 ? options : Scenario.answering)
                run.network.run(for: .milliseconds(milliseconds))
                let judge = side == 0 ? run.alice : run.bob
                run.network.updatePins([pin(new, side == 0 ? "bob" : "alice")], of: judge)
                run.network.run(for: .seconds(20))
                #expect(judge.footprint.sessions == 0, "\(milliseconds) ms: \(run.describe())")
            }
        }
    }
}
