// SPDX-License-Identifier: Apache-2.0
// Peers that are elsewhere from now on, by the operator's word or by their own: nothing goes any more where they were.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct MovedPeerTests {
    private static let elsewhere = Endpoint(v4: 0x0A00_0071, port: 9000)

    private func connected(_ seed: UInt64) -> Scenario {
        let scenario = Scenario(seed: seed)
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.run(for: .seconds(5))
        return scenario
    }

    private func entry(_ scenario: Scenario, at endpoint: Endpoint?) -> PeerConfiguration {
        PeerConfiguration(
            name: "bob", peerID: scenario.bob.identity.publicKeys.peerID, endpoint: endpoint,
            allowedIPs: [IPPrefix(containing: IPAddress(v4: 0x0A4D_0002), length: 32)])
    }

    /// Packets from Alice for so many seconds; how many datagrams of hers went where Bob was at first.
    private func strayed(_ scenario: Scenario, seconds: Int) -> Int {
        let from = scenario.network.capture.count
        for second in 0..<seconds {
            scenario.network.sendInner(
                Scenario.packet(from: 1, to: 2, tag: UInt8(second)), from: scenario.alice)
            scenario.network.run(for: .seconds(1))
        }
        return scenario.network.capture[from...].count { $0.datagram.destination == Scenario.bobEndpoint }
    }

    /// One that is to call from now on is not called first, and keeps its session meanwhile.
    @Test func aPeerThatLosesItsEndpointIsNotCalled() {
        let scenario = connected(830)
        let (network, alice) = (scenario.network, scenario.alice)
        let id = alice.sendingSession(of: 0)?.id
        network.updatePeers([entry(scenario, at: nil)], moved: ["bob"], of: alice)
        network.run(for: .seconds(5))
        #expect(alice.handshakesBegun.count == 1, "\(scenario.describe())")
        #expect(alice.sendingSession(of: 0)?.id == id && scenario.carriesTraffic())
    }

    /// What the way to where it was carries says nothing of the way to where it is.
    @Test func aPeerThatIsMovedIsNotProbedWhereItWas() {
        let scenario = connected(831)
        let (network, alice) = (scenario.network, scenario.alice)
        network.detach(scenario.bob)
        network.updatePeers([entry(scenario, at: Self.elsewhere)], moved: ["bob"], of: alice)
        #expect(alice.handshakesBegun == [Scenario.bobEndpoint, Self.elsewhere])
        #expect(strayed(scenario, seconds: 20) == 0, "\(scenario.describe())")
        #expect(alice.carrier(of: 0) == .udp(Self.elsewhere))
    }

    /// A peer that says it takes nothing of use is not probed at all, nor where it was when it still did.
    @Test func aPeerOfNoUseIsNotProbedWhereItWas() {
        let scenario = connected(832)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        bob.composing { $0.mtu = UInt16(Limits.smallestInnerMTU - 1) }
        network.renew(0, at: alice)
        #expect(network.run(for: .seconds(3)) { alice.confirmedSessions.count == 2 })
        network.move(bob, to: Self.elsewhere)
        network.sendInner(Scenario.packet(from: 2, to: 1, tag: 1), from: bob)
        #expect(network.run(for: .seconds(2)) { alice.carrier(of: 0) == .udp(Self.elsewhere) })
        // The old place is asked for as long as it may answer.
        network.run(for: .seconds(4))
        #expect(strayed(scenario, seconds: 40) == 0, "\(scenario.describe())")
        #expect(alice.snapshot(now: network.now)[0].pathMTU == nil)
    }
}
