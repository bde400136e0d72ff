// SPDX-License-Identifier: Apache-2.0
// What trust does not follow from (§2): a name that somebody had, a pin that is gone, news of others. And what of it is
// counted.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct TrustRefusalTests {
    private let firstUse = TrustPolicy(trustsOnFirstUse: true, isStrict: false)

    private func pin(_ identity: any IdentitySigner, _ name: String) -> PinnedPeer {
        PinnedPeer(keys: identity.publicKeys, name: name, origin: .operatorAdded)
    }

    // MARK: - News that concern nobody here

    /// One that is kept out by a list is not called because another list has changed.
    @Test func whoIsNotListedIsNotCalledForARevocation() {
        var caller = NodeOptions()
        caller.trust.allowlist = [RehearsalIdentity(seed: 8110).publicKeys.peerID]
        let scenario = Scenario(seed: 811, alice: caller)
        let (network, alice) = (scenario.network, scenario.alice)
        network.updateRevoked([RehearsalIdentity(seed: 8111).publicKeys.peerID], of: alice)
        network.run(for: .seconds(10))
        #expect(alice.controlDrops[.untrusted] == 1 && alice.handshakesBegun.isEmpty, "\(scenario.describe())")
        #expect(alice.snapshot(now: network.now)[0].state == .idle)
    }

    /// Whoever came by himself is in no configuration, and no part of a change of it.
    @Test func whoCameByHimselfStaysWhereTheConfigurationChanges() {
        var answering = Scenario.answering
        answering.trust = firstUse
        (answering.knowsPeer, answering.namesPeer) = (false, false)
        let scenario = Scenario(seed: 812, bob: answering)
        let (network, bob) = (scenario.network, scenario.bob)
        #expect(scenario.connect(within: .seconds(5)))
        let carol = PeerConfiguration(
            name: "carol", peerID: RehearsalIdentity(seed: 8120).publicKeys.peerID, endpoint: nil, allowedIPs: [])
        network.updatePeers([carol], of: bob)
        network.run(for: .seconds(1))
        #expect(bob.sessionEnds.isEmpty && scenario.alice.sessionEnds.isEmpty, "\(scenario.describe())")
        #expect(bob.footprint.sessions == 1 && bob.footprint.peers == 2)
    }

    /// One that the operator gave no address, and took the one that it had, is pinned at last: it is to call by itself.
    @Test func whoIsCalledNowhereIsNotCalledForItsPin() {
        var caller = NodeOptions()
        (caller.trust, caller.knowsPeer) = (firstUse, false)
        // She has a session, and never hears anything in it.
        let scenario = Scenario(seed: 813, alice: caller) {
            $0.source == Scenario.bobEndpoint && $0.type?.isData == true ? .drop : .pass
        }
        let (network, alice) = (scenario.network, scenario.alice)
        #expect(network.run(for: .seconds(5)) { alice.establishedSessions.count == 1 }, "\(scenario.describe())")
        let bob = PeerConfiguration(
            name: "bob", peerID: scenario.bob.identity.publicKeys.peerID, endpoint: nil, allowedIPs: [])
        network.updatePeers([bob], moved: ["bob"], of: alice)
        network.intervene = { _ in .drop }
        #expect(network.run(for: .seconds(200)) { alice.footprint.sessions == 0 }, "\(scenario.describe())")
        let begun = alice.handshakesBegun.count
        network.updatePins([pin(scenario.bob.identity, "bob")], of: alice)
        network.run(for: .seconds(10))
        #expect(alice.handshakesBegun.count == begun && alice.footprint.initiations == 0)
        #expect(alice.machine.peers[0]?.identity == bob.peerID)
    }

    // MARK: - Pins that are gone

    /// An entry without a peer_id is anybody's again when its pin is gone. One that the operator named stays his who
    /// was named.
    @Test(arguments: [false, true]) func onlyAnEntryOfNobodyIsAnybodysWithoutItsPin(isNamed: Bool) {
        var caller = NodeOptions()
        (caller.trust, caller.namesPeer) = (firstUse, isNamed)
        let scenario = Scenario(seed: 814, alice: caller)
        let (network, alice) = (scenario.network, scenario.alice)
        #expect(scenario.connect(within: .seconds(5)))
        network.detach(scenario.bob)
        let other = RehearsalIdentity(seed: 8140)
        let heir = Scenario.host(
            "bob", Scenario.bobEndpoint, other, peer: alice.identity, peerEndpoint: Scenario.aliceEndpoint,
            Scenario.answering, seed: 8141, .rehearsal, now: network.now)
        network.attach(heir)
        network.updatePins([], of: alice)
        network.run(for: .seconds(60))
        let isFreed = alice.events.contains {
            if case .identityReplaced(_, "bob", _, .none) = $0.event { true } else { false }
        }
        #expect(isFreed == !isNamed && heir.confirmedSessions.isEmpty == isNamed, "\(scenario.describe())")
        #expect(Set(alice.trustRefusals) == (isNamed ? [.identityChanged] : []))
        #expect(alice.remembered.map(\.keys) == (isNamed ? [] : [other.publicKeys]))
    }

    /// Rights hang on the peer_id: whoever had a name before has nothing of what goes with it now.
    @Test func whoHadANameBeforeHasItsRightsNoMore() {
        var answering = NodeOptions()
        answering.namesPeer = false
        let scenario = Scenario(seed: 815, bob: answering)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        #expect(scenario.connect(within: .seconds(5)) && scenario.carriesTraffic(1))
        network.run(for: .seconds(10))
        let new = RehearsalIdentity(seed: 8150)
        network.updatePins([pin(new, "alice"), pin(alice.identity, "former")], of: bob)
        #expect(bob.machine.slotsByIdentity == [new.publicKeys.peerID: 0])
        network.renew(0, at: alice)
        let isMet = network.run(for: .seconds(5)) { bob.confirmedSessions.contains { $0.slot != 0 } }
        #expect(isMet, "\(scenario.describe())")
        let packet = Scenario.packet(from: 1, to: 2, tag: 2)
        network.sendInner(packet, from: alice)
        network.run(for: .seconds(1))
        #expect(!bob.delivered.contains(packet) && bob.dataPlaneDrops[.innerSource] > 0, "\(scenario.describe())")
    }

    // MARK: - The store

    @Test func theOwnIdentityIsThatWhoeverWasExpected() {
        let (own, other) = (RehearsalIdentity(seed: 1).publicKeys, RehearsalIdentity(seed: 2).publicKeys)
        let store = TrustStore(policy: firstUse, own: own.peerID, pins: [])
        #expect(store.judge(responder: own, expected: other.peerID) == .ownIdentity)
        #expect(store.judge(responder: other, expected: other.peerID) == nil)
    }

    /// Whom the operator vouched for, guests among them, takes no place of those who are met by first use.
    @Test func pinsOfTheOperatorAreNotCountedAsFirstUse() {
        var store = TrustStore(policy: firstUse, own: .zero, pins: [])
        func add(_ seed: UInt64, _ origin: PinnedPeer.Origin) {
            _ = store.pin(PinnedPeer(keys: RehearsalIdentity(seed: seed).publicKeys, name: "", origin: origin))
        }
        for seed in 1..<UInt64(Limits.firstUsePins) { add(seed, .firstUse) }
        for seed in 10_000..<10_003 as Range<UInt64> { add(seed, .operatorAdded) }
        let next = RehearsalIdentity(seed: 999_999).publicKeys
        #expect(store.judge(initiator: next.peerID, expectedHere: nil) == .firstUse)
        add(20_000, .firstUse)
        #expect(store.judge(initiator: next.peerID, expectedHere: nil) == .refused(.pinLimit))
    }
}
