// SPDX-License-Identifier: Apache-2.0
// Bootstrap entries: called whoever they are, believed as far as tofu and pins go, and no second self of a known peer.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct BootstrapTests {
    private static let names = ["bootstrap bob", "bootstrap bob again", "bob"]

    /// Alice with these entries; Bob, who knows her, answers at his endpoint.
    private func run(
        _ policy: TrustPolicy, pins: [PinnedPeer] = [], peers: [PeerConfiguration], bob: any IdentitySigner,
        _ primitives: Primitives = .rehearsal, for time: TimeSpan = .seconds(30)
    ) -> (alice: VirtualHost, bob: VirtualHost, network: VirtualNetwork) {
        let network = VirtualNetwork(seed: 64)
        let identity = Scenario.identities(64, primitives)[0]
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: true), mtu: 1436, trust: policy, descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 200, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600), unixSeconds: 1)
        let alice = VirtualHost(
            name: "alice", endpoint: Scenario.aliceEndpoint, identity: identity,
            cryptography: Scenario.cryptography(1, primitives), parameters: parameters, pins: pins, peers: peers,
            now: network.now)
        let host = Scenario.host(
            "bob", Scenario.bobEndpoint, bob, peer: identity, peerEndpoint: Scenario.aliceEndpoint, Scenario.answering,
            seed: 2, primitives, now: network.now)
        network.attach(host)
        network.attach(alice)
        network.run(for: time)
        return (alice, host, network)
    }

    private func entry(_ number: Int, bootstrap: Bool = true, id: PeerID? = nil, at endpoint: Endpoint? = nil)
        -> PeerConfiguration
    {
        PeerConfiguration(
            name: Self.names[number], peerID: id, endpoint: bootstrap ? Scenario.bobEndpoint : endpoint,
            allowedIPs: bootstrap ? [] : [IPPrefix(containing: IPAddress(v4: 0x0A4D_0002), length: 32)],
            isBootstrap: bootstrap)
    }

    private func refusals(_ host: VirtualHost) -> [TrustRefusal] {
        host.events.compactMap { entry in
            if case .identityRefused(_, _, let refusal, _, _, _) = entry.event { refusal } else { nil }
        }
    }

    private let never = TrustPolicy(trustsOnFirstUse: false, isStrict: false)
    private let firstUse = TrustPolicy(trustsOnFirstUse: true, isStrict: false)
    private let strict = TrustPolicy(trustsOnFirstUse: true, isStrict: true)

    @Test(arguments: Primitives.allCases)
    func theTable(_ primitives: Primitives) {
        let bob = Scenario.identities(64, primitives)[1]
        for policy in [never, firstUse, strict] {
            for isKnown in [true, false] {
                // Known under a name of its own that no entry of the configuration bears.
                let pins = isKnown ? [PinnedPeer(keys: bob.publicKeys, name: "roberto", origin: .operatorAdded)] : []
                let (alice, _, _) = run(policy, pins: pins, peers: [entry(0)], bob: bob, primitives)
                let works = isKnown || policy.trustsOnFirstUse
                #expect(alice.confirmedSessions.isEmpty == !works)
                #expect(alice.remembered.map(\.keys) == (works && !isKnown ? [bob.publicKeys] : []))
                #expect(Set(refusals(alice)) == (works ? [] : [.unknownPeer]))
            }
        }
    }

    @Test func aPinnedBootstrapEntryThatChangedIsRefusedLoudly() {
        let old = RehearsalIdentity(seed: 71)
        let bob = Scenario.identities(64, .rehearsal)[1]
        for policy in [never, firstUse, strict] {
            let pin = PinnedPeer(keys: old.publicKeys, name: Self.names[0], origin: .firstUse)
            let (alice, _, _) = run(policy, pins: [pin], peers: [entry(0)], bob: bob, for: .seconds(60))
            #expect(alice.establishedSessions.isEmpty && alice.remembered.isEmpty)
            #expect(Set(refusals(alice)) == [.identityChanged])
        }
    }

    @Test func twoEntriesForOneNodeMakeOneSession() {
        let bob = Scenario.identities(64, .rehearsal)[1]
        let (alice, host, _) = run(firstUse, peers: [entry(0), entry(1)], bob: bob, for: .seconds(300))
        #expect(refusals(alice).isEmpty && alice.remembered.count == 1)
        #expect(alice.footprint.sessions == 1 && host.footprint.sessions == 1, "\(alice.footprint) \(host.footprint)")
    }

    /// The peer's own entry names no endpoint, or not this one: bootstrap finds it, and the entry's rights count.
    @Test func aKnownPeerBehindABootstrapEntryKeepsItsRights() {
        let bob = Scenario.identities(64, .rehearsal)[1]
        let pins = [PinnedPeer(keys: bob.publicKeys, name: "bob", origin: .operatorAdded)]
        for peers in [
            [entry(2, bootstrap: false, id: bob.publicKeys.peerID), entry(0)],
            [entry(0), entry(2, bootstrap: false, id: bob.publicKeys.peerID)],
        ] {
            for policy in [never, firstUse] {
                let (alice, host, network) = run(policy, pins: pins, peers: peers, bob: bob)
                #expect(refusals(alice).isEmpty && alice.remembered.isEmpty)
                #expect(alice.establishedSessions.map(\.peerName) == ["bob"], "\(alice.footprint)")
                let packet = Scenario.packet(from: 1, to: 2, tag: 5)
                network.sendInner(packet, from: alice)
                #expect(network.run(for: .seconds(2)) { host.delivered.contains(packet) })
                // And it is called again at that place when it comes back.
                network.shutDown(host)
                let reborn = Scenario.host(
                    "bob", Scenario.bobEndpoint, bob, peer: alice.identity, peerEndpoint: Scenario.aliceEndpoint,
                    Scenario.answering, seed: 3, .rehearsal, now: network.now)
                network.run(for: .seconds(20))
                network.attach(reborn)
                #expect(network.run(for: .seconds(120)) { !reborn.confirmedSessions.isEmpty })
            }
        }
    }

    /// Two call from one place while both answers are being made: who is pinned is who has the session that waits.
    @Test func anIdentityThatIsRefusedASessionIsNotPinned() throws {
        var expecting = NodeOptions()
        (expecting.trust, expecting.knowsPeer, expecting.namesPeer) = (firstUse, false, false)
        // Bob knows where somebody is, and is kept from calling there himself.
        let scenario = Scenario(
            seed: 77, bob: expecting, starting: false,
            intervene: { $0.source == Scenario.bobEndpoint && $0.type == .infoRequest ? .drop : .pass })
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        bob.jobDurations[.composeS2] = .seconds(3)
        network.attach(bob)
        network.attach(alice)
        network.run(for: .seconds(1))
        network.move(alice, to: Endpoint(v4: 0x0A00_0009, port: 9000))
        let mallory = Scenario.host(
            "mallory", Scenario.aliceEndpoint, RehearsalIdentity(seed: 770), peer: bob.identity,
            peerEndpoint: Scenario.bobEndpoint, NodeOptions(), seed: 771, .rehearsal, now: network.now)
        network.attach(mallory)
        network.run(for: .seconds(4))
        #expect(bob.controlDrops[.nextSessionYoung] > 0, "\(scenario.describe())")
        network.suspend(mallory)
        network.move(alice, to: Scenario.aliceEndpoint)
        network.run(for: .seconds(10))
        #expect(bob.remembered.map(\.keys) == [alice.identity.publicKeys])
        #expect(scenario.carriesTraffic(), "\(scenario.describe())")
    }
}
