// SPDX-License-Identifier: Apache-2.0
// What becomes of an identity's standing (§2) between the moment when it is judged and that when its session is made: a
// handshake takes its time, and whoever answers it may take more.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct StandingTests {
    private let firstUse = TrustPolicy(trustsOnFirstUse: true, isStrict: false)

    private func pin(_ keys: IdentityPublicKeys, _ name: String) -> PinnedPeer {
        PinnedPeer(keys: keys, name: name, origin: .operatorAdded)
    }

    /// Whoever is revoked while it answers gets no session, whether it was called by its peer_id or has just shown it.
    @Test(arguments: [false, true]) func revocationReachesWhoHasJustShownItself(isNamed: Bool) {
        for milliseconds in stride(from: 0, through: 120, by: 5) {
            var caller = NodeOptions()
            (caller.trust, caller.knowsPeer, caller.namesPeer) = (firstUse, false, isNamed)
            let scenario = Scenario(seed: 831, alice: caller)
            let (network, alice) = (scenario.network, scenario.alice)
            network.run(for: .milliseconds(milliseconds))
            let before = alice.establishedSessions.count
            network.updateRevoked([scenario.bob.identity.publicKeys.peerID], of: alice)
            network.run(for: .seconds(30))
            #expect(alice.footprint.sessions == 0, "after \(milliseconds) ms: \(scenario.describe())")
            #expect(alice.establishedSessions.count == before, "after \(milliseconds) ms")
        }
    }

    /// `tofu: false`: a bootstrap entry leads to pinned nodes alone, and a pin may go while one of them answers.
    @Test func aPinThatGoesReachesWhoHasJustShownItself() {
        for milliseconds in stride(from: 0, through: 120, by: 5) {
            let (network, identities) = (VirtualNetwork(seed: 832), Scenario.identities(832, .rehearsal))
            let parameters = NodeParameters(
                offers: Offers(hasAESHardware: true), mtu: 1436,
                trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
                maximumJobs: 10, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600), unixSeconds: 1)
            let entry = PeerConfiguration(
                name: "anybody", peerID: nil, endpoint: Scenario.bobEndpoint, allowedIPs: [], isBootstrap: true)
            let alice = VirtualHost(
                name: "alice", endpoint: Scenario.aliceEndpoint, identity: identities[0],
                cryptography: RehearsalCryptography(seed: 832), parameters: parameters,
                pins: [pin(identities[1].publicKeys, "bob")], peers: [entry], now: network.now)
            let bob = Scenario.host(
                "bob", Scenario.bobEndpoint, identities[1], peer: identities[0],
                peerEndpoint: Scenario.aliceEndpoint, Scenario.answering, seed: 1, .rehearsal, now: network.now)
            network.attach(bob)
            network.attach(alice)
            network.run(for: .milliseconds(milliseconds))
            network.updatePins([], of: alice)
            network.run(for: .seconds(30))
            #expect(alice.footprint.sessions == 0, "after \(milliseconds) ms: \(alice.controlDrops.nonZero)")
        }
    }

    /// While a first contact is being answered the operator says whose the entry is from whose endpoint it calls: it
    /// gets neither that entry's rights nor its name.
    @Test(arguments: [false, true]) func anEntryThatIsSomebodysByNowIsNoStrangers(isGiven: Bool) {
        var answering = Scenario.answering
        answering.trust = firstUse
        (answering.knowsPeer, answering.namesPeer, answering.callsPeer) = (false, false, true)
        let scenario = Scenario(seed: 833, bob: answering, starting: false)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        bob.jobDurations[.composeS2] = .seconds(1)
        network.attach(bob, starting: false)
        network.attach(alice)
        let isAnswering = network.run(for: .seconds(5)) {
            bob.machine.jobs.values.contains { if case .answer = $0 { true } else { false } }
        }
        #expect(isAnswering, "\(scenario.describe())")
        let other = RehearsalIdentity(seed: 8330).publicKeys
        if isGiven { network.updatePins([pin(other, "alice")], of: bob) }
        network.run(for: .seconds(10))
        let own = alice.identity.publicKeys
        #expect(bob.establishedSessions.map(\.peer) == (isGiven ? [] : [own.peerID]), "\(scenario.describe())")
        #expect(bob.machine.slotsByIdentity == [(isGiven ? other : own).peerID: 0])
        #expect(bob.remembered.map(\.keys) == (isGiven ? [] : [own]))
    }
}
