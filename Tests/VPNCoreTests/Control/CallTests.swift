// SPDX-License-Identifier: Apache-2.0
// When whom is called, and where: pauses that nothing shortens, places that are tried again, answers and work that
// belong to another call.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct CallTests {
    private static let elsewhere = Endpoint(v4: 0x0A00_0051, port: 9000)

    private func retry(_ host: VirtualHost, _ scenario: Scenario) -> TimeSpan? {
        host.snapshot(now: scenario.network.now)[0].retryIn
    }

    /// Where its handshakes went, from whichever of its own addresses.
    private func called(_ host: VirtualHost) -> [Endpoint] {
        host.handshakesBegun.map { Endpoint(high: $0.high, low: $0.low, port: $0.port) }
    }

    // MARK: - Pauses

    /// Alice, whose call to Bob came to nothing, and who waits.
    private func waiting(_ seed: UInt64) -> Scenario {
        let scenario = Scenario(seed: seed, starting: false)
        scenario.network.attach(scenario.alice)
        let isOver = scenario.network.run(for: .seconds(120)) { scenario.alice.footprint.initiations == 0 }
        #expect(isOver && scenario.alice.handshakesBegun.count == 1)
        return scenario
    }

    @Test func packetsDoNotShortenAPause() throws {
        let scenario = waiting(801)
        let pause = try #require(retry(scenario.alice, scenario))
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 1), from: scenario.alice)
        scenario.network.run(for: pause.less(.milliseconds(1)))
        #expect(scenario.alice.handshakesBegun.count == 1, "\(scenario.describe())")
        scenario.network.run(for: .milliseconds(1))
        #expect(scenario.alice.handshakesBegun.count == 2, "\(scenario.describe())")
    }

    /// What was pinned before, and what is somebody else's, is no news of a peer.
    @Test func aPinThatStandsDoesNotShortenAPause() {
        let scenario = waiting(802)
        let carol = PinnedPeer(keys: RehearsalIdentity(seed: 8020).publicKeys, name: "carol", origin: .operatorAdded)
        let bob = PinnedPeer(keys: scenario.bob.identity.publicKeys, name: "bob", origin: .operatorAdded)
        scenario.network.updatePins([carol, bob], of: scenario.alice)
        #expect(scenario.alice.handshakesBegun.count == 1 && retry(scenario.alice, scenario) != nil)
    }

    /// With cover traffic something is due for a peer all the time.
    @Test func whatElseIsDueDoesNotShortenAPause() throws {
        var options = NodeOptions()
        options.rekeyThreshold = .seconds(30)
        options.padding = .datagrams([64, 128, 256, 512, 1024])
        options.coverBytesPerSecond = 2000
        let scenario = Scenario(seed: 803, alice: options)
        let (network, alice) = (scenario.network, scenario.alice)
        #expect(scenario.connect(within: .seconds(5)))
        network.intervene = { [.s0, .s1].contains($0.type) ? .drop : .pass }
        let isGivenUp = network.run(for: .seconds(200)) {
            alice.events.contains { if case .handshakeTimedOut = $0.event { true } else { false } }
        }
        let pause = try #require(retry(alice, scenario))
        let begun = alice.handshakesBegun.count
        #expect(isGivenUp && begun == 2 && alice.footprint.sessions == 1, "\(scenario.describe())")
        network.run(for: pause.less(.milliseconds(1)))
        #expect(alice.handshakesBegun.count == begun, "\(scenario.describe())")
        network.run(for: .milliseconds(1))
        #expect(alice.handshakesBegun.count == begun + 1, "\(scenario.describe())")
    }

    /// One that has no address by the operator's word is not called again by time: each packet for it is a reason.
    @Test func aPeerThatOnlyEverCalledIsCalledForPackets() {
        let scenario = Scenario(seed: 804)
        let (network, bob) = (scenario.network, scenario.bob)
        #expect(scenario.connect(within: .seconds(5)))
        network.run(for: .seconds(5))
        network.detach(scenario.alice)
        let packet = Scenario.packet(from: 2, to: 1, tag: 1)
        network.sendInner(packet, from: bob)
        let isGivenUp = network.run(for: .seconds(200)) {
            bob.events.contains { if case .handshakeTimedOut = $0.event { true } else { false } }
        }
        #expect(isGivenUp && bob.handshakesBegun.count == 1 && retry(bob, scenario) == nil, "\(scenario.describe())")
        network.sendInner(packet, from: bob)
        #expect(bob.handshakesBegun.count == 2, "\(scenario.describe())")
    }

    /// All sessions are looked at once a second, however often something else is due.
    @Test func sessionsAreLookedAtOnceASecond() {
        let scenario = Scenario(seed: 805)
        #expect(scenario.connect(within: .seconds(5)))
        let (alice, due) = (scenario.alice, scenario.alice.machine.nextTick)
        #expect(due > scenario.network.now)
        alice.machine.timeout(now: scenario.network.now)
        #expect(alice.machine.nextTick == due)
        alice.machine.timeout(now: due)
        #expect(alice.machine.nextTick == due + Limits.maintenanceTick)
    }

    // MARK: - Places

    /// Alice's session with Bob, who has moved.
    private func roamed(_ seed: UInt64, _ change: (inout NodeOptions) -> Void = { _ in }) -> Scenario {
        var options = NodeOptions()
        change(&options)
        let scenario = Scenario(seed: seed, alice: options)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        #expect(scenario.connect(within: .seconds(5)))
        network.move(bob, to: Self.elsewhere)
        network.sendInner(Scenario.packet(from: 2, to: 1, tag: 1), from: bob)
        let isFollowed = network.run(for: .seconds(2)) { alice.carrier(of: 0) == .udp(Self.elsewhere) }
        #expect(isFollowed, "\(scenario.describe())")
        network.run(for: .seconds(4))
        return scenario
    }

    /// A renewal that came to nothing says nothing about where a peer is that speaks.
    @Test func aPeerThatIsThereIsCalledWhereItIs() {
        let scenario = roamed(806) { $0.rekeyThreshold = .seconds(60) }
        let (network, alice) = (scenario.network, scenario.alice)
        network.intervene = { [.s0, .s1].contains($0.type) ? .drop : .pass }
        for tag in 0..<100 where alice.handshakesBegun.count < 3 {
            #expect(scenario.carriesTraffic(UInt8(tag)), "\(scenario.describe())")
            network.run(for: .seconds(3))
        }
        #expect(called(alice) == [Scenario.bobEndpoint, Self.elsewhere, Self.elsewhere], "\(scenario.describe())")
        #expect(scenario.carriesTraffic(200), "\(scenario.describe())")
    }

    /// Where a peer was last is no better a place to call than where the operator says that it is: whether it fell
    /// silent there or said goodbye.
    @Test(arguments: [false, true]) func aPeerThatIsGoneIsCalledWhereItIsConfigured(saysGoodbye: Bool) {
        let scenario = roamed(807)
        let (network, alice) = (scenario.network, scenario.alice)
        if saysGoodbye { network.shutDown(scenario.bob) } else { network.detach(scenario.bob) }
        network.run(for: .seconds(1))
        network.sendInner(Scenario.packet(from: 1, to: 2, tag: 2), from: alice)
        #expect(network.run(for: .seconds(250)) { alice.handshakesBegun.count == 3 }, "\(scenario.describe())")
        #expect(called(alice) == [Scenario.bobEndpoint, Self.elsewhere, Scenario.bobEndpoint])
    }

    /// A handshake is spoken where it was begun.
    @Test func anAnswerFromElsewhereIsNone() throws {
        let scenario = Scenario(seed: 808, starting: false)
        let (network, alice) = (scenario.network, scenario.alice)
        network.intervene = { $0.type == .retry ? .drop : .pass }
        network.attach(scenario.bob)
        network.attach(alice)
        network.run(for: .milliseconds(30))
        let retry = try #require(network.capture.last { $0.datagram.type == .retry }).datagram.bytes
        network.intervene = nil
        func isFollowed(from source: Endpoint) -> Bool {
            network.inject(
                VirtualDatagram(bytes: retry, source: source, destination: Scenario.aliceEndpoint))
            return network.run(for: .milliseconds(50)) { network.capture.contains { $0.datagram.type == .s1 } }
        }
        #expect(!isFollowed(from: Self.elsewhere) && alice.controlDrops[.handshakeCarrier] == 1)
        #expect(isFollowed(from: Scenario.bobEndpoint), "\(scenario.describe())")
    }

    // MARK: - Bootstrap

    /// Alice, who believes whom she has pinned and calls whoever is at Bob's endpoint.
    private func alice(
        _ pins: [PinnedPeer], _ peers: [PeerConfiguration], _ network: VirtualNetwork
    ) -> VirtualHost {
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: true), mtu: 1436,
            trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 10, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600), unixSeconds: 1)
        return VirtualHost(
            name: "alice", endpoint: Scenario.aliceEndpoint, identity: RehearsalIdentity(seed: 8090),
            cryptography: RehearsalCryptography(seed: 8091), parameters: parameters, pins: pins, peers: peers,
            now: network.now)
    }

    private func answering(_ seed: UInt64, at endpoint: Endpoint, _ alice: VirtualHost, _ network: VirtualNetwork)
        -> VirtualHost
    {
        Scenario.host(
            "bob", endpoint, RehearsalIdentity(seed: seed), peer: alice.identity,
            peerEndpoint: Scenario.aliceEndpoint, Scenario.answering, seed: seed, .rehearsal, now: network.now)
    }

    private func pin(_ seed: UInt64, _ name: String) -> PinnedPeer {
        PinnedPeer(keys: RehearsalIdentity(seed: seed).publicKeys, name: name, origin: .operatorAdded)
    }

    private let anybody = PeerConfiguration(
        name: "anybody", peerID: nil, endpoint: Scenario.bobEndpoint, allowedIPs: [], isBootstrap: true)

    /// Whoever is refused as this entry is not called as another one that it might be.
    @Test(arguments: [false, true]) func aBootstrapEntryThatChangedYieldsToNobody(isChanged: Bool) {
        let network = VirtualNetwork(seed: 809)
        let bob = PeerConfiguration(name: "bob", peerID: pin(8092, "bob").peerID, endpoint: nil, allowedIPs: [])
        let earlier = isChanged ? [pin(8093, "anybody")] : []
        let alice = alice([pin(8092, "bob")] + earlier, [bob, anybody], network)
        network.attach(answering(8092, at: Scenario.bobEndpoint, alice, network))
        network.attach(alice)
        network.run(for: .seconds(60))
        #expect(Set(alice.trustRefusals) == (isChanged ? [.identityChanged] : []))
        #expect(alice.establishedSessions.map(\.peerName) == (isChanged ? [] : ["bob"]))
    }

    /// A descriptor that comes out of work for a call that is over is not that of whoever is called by now.
    @Test func aDescriptorIsOfTheCallThatAskedForIt() {
        let network = VirtualNetwork(seed: 810)
        let alice = alice([pin(8102, "bob")], [anybody], network)
        alice.jobDurations[.readDescriptor] = .seconds(3)
        let stranger = answering(8101, at: Scenario.bobEndpoint, alice, network)
        let bob = answering(8102, at: Self.elsewhere, alice, network)
        for host in [stranger, bob, alice] { network.attach(host) }
        network.run(for: .seconds(1))
        network.resolve("anybody", to: [Self.elsewhere], at: alice)
        network.run(for: .seconds(5))
        #expect(alice.trustRefusals.isEmpty, "\(alice.controlDrops.nonZero)")
        #expect(alice.establishedSessions.map(\.peer) == [bob.identity.publicKeys.peerID])
    }
}
