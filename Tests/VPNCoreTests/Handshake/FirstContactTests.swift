// SPDX-License-Identifier: Apache-2.0
// A node that calls by itself before it is met where the operator wrote it down: it is the same one, and its entry is
// not lost by that.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct FirstContactTests {
    /// On first use, and behind a NAT that gives it another port than it is called at: Bob is no changed identity where
    /// Alice's own call finds him, and has his entry's rights.
    @Test func whoCalledFromElsewhereIsMetInItsEntry() {
        var caller = NodeOptions()
        caller.trust = TrustPolicy(trustsOnFirstUse: true, isStrict: false)
        (caller.knowsPeer, caller.namesPeer) = (false, false)
        let scenario = Scenario(seed: 841, alice: caller, bob: NodeOptions(), starting: false)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        // He is reached at both addresses, and calls from this one.
        bob.interfaces = [Endpoint(v4: 0x0A00_0051, port: 9000)]
        // Hers takes longer.
        alice.jobDurations[.readDescriptor] = .seconds(2)
        network.attach(bob)
        network.attach(alice)
        network.run(for: .seconds(30))
        #expect(alice.trustRefusals.isEmpty, "\(scenario.describe())")
        #expect(alice.confirmedSessions.contains { $0.peerName == "bob" }, "\(scenario.describe())")
        #expect(scenario.carriesTraffic(), "\(scenario.describe())")
    }

    /// A peer without an endpoint was here when a bootstrap entry led to it: once it is gone it is called where it was
    /// found.
    @Test func whoWasFoundByBootstrapIsCalledThereLater() {
        let (network, identities) = (VirtualNetwork(seed: 842), Scenario.identities(842, .rehearsal))
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: true), mtu: 1436,
            trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 10, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600), unixSeconds: 1)
        let pin = PinnedPeer(keys: identities[1].publicKeys, name: "bob", origin: .operatorAdded)
        let peers = [
            PeerConfiguration(name: "bob", peerID: pin.peerID, endpoint: nil, allowedIPs: []),
            PeerConfiguration(
                name: "anybody", peerID: nil, endpoint: Scenario.bobEndpoint, allowedIPs: [], isBootstrap: true),
        ]
        let alice = VirtualHost(
            name: "alice", endpoint: Scenario.aliceEndpoint, identity: identities[0],
            cryptography: RehearsalCryptography(seed: 842), parameters: parameters, pins: [pin], peers: peers,
            now: network.now)
        alice.jobDurations[.readDescriptor] = .seconds(2)
        func makeBob(_ options: NodeOptions, seed: UInt64) -> VirtualHost {
            Scenario.host(
                "bob", Scenario.bobEndpoint, identities[1], peer: identities[0],
                peerEndpoint: Scenario.aliceEndpoint, options, seed: seed, .rehearsal, now: network.now)
        }
        let bob = makeBob(NodeOptions(), seed: 1)
        network.attach(alice)
        network.attach(bob)
        network.run(for: .seconds(10))
        #expect(alice.confirmedSessions.map(\.peerName) == ["bob"], "\(alice.controlDrops.nonZero)")
        network.shutDown(bob)
        // The next time he waits to be called.
        let reborn = makeBob(Scenario.answering, seed: 2)
        network.attach(reborn)
        #expect(network.run(for: .seconds(130)) { !reborn.confirmedSessions.isEmpty }, "\(alice.footprint)")
    }
}
