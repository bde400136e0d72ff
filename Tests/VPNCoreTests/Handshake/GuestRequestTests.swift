// SPDX-License-Identifier: Apache-2.0
// How a guest asks for its inner addresses (§6): once a second while it has none, and never again.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct GuestRequestTests {
    /// Alice comes to Bob by an invitation of his, which is good for her alone.
    private func invited(_ seed: UInt64) throws -> Scenario {
        let token = Secret(copying: [UInt8](repeating: 7, count: Invitation.tokenSize))
        let key = PresharedKey(invitation: Invitation.key(of: token), name: Invitation.name(of: token))
        var (guest, inviter) = (NodeOptions(), Scenario.answering)
        guest.presharedKey = key
        (inviter.knowsPeer, inviter.namesPeer) = (false, false)
        let scenario = Scenario(seed: seed, alice: guest, bob: inviter, starting: false)
        let (network, bob, keys) = (scenario.network, scenario.bob, scenario.alice.identity.publicKeys)
        let address = try #require(IPAddress("10.77.0.1"))
        bob.updateInvitations([
            Invitation(name: key.name, key: key, expires: network.now + .seconds(3600), usesLeft: 1)
        ])
        bob.redeem = { _ in
            .accepted(
                PeerConfiguration(
                    name: "guest", peerID: keys.peerID, endpoint: nil,
                    allowedIPs: [IPPrefix(containing: address, length: 32)]),
                PinnedPeer(keys: keys, name: "guest", origin: .operatorAdded),
                lease: [InterfaceAddress(address, length: 24)])
        }
        network.attach(bob)
        network.attach(scenario.alice)
        return scenario
    }

    private func leases(_ scenario: Scenario) -> Int {
        scenario.alice.events.count { if case .leased = $0.event { true } else { false } }
    }

    /// The answer to its first word may be lost.
    @Test func whoHasNoAddressAsksEachSecond() throws {
        let scenario = try invited(825)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        alice.deafTo = [.config]
        #expect(network.run(for: .seconds(5)) { bob.claims.count == 1 }, "\(scenario.describe())")
        network.run(for: .seconds(4))
        #expect(leases(scenario) == 0)
        alice.deafTo = []
        #expect(network.run(for: .milliseconds(1100)) { leases(scenario) == 1 }, "\(scenario.describe())")
        #expect(bob.claims.count == 1)
    }

    @Test func whoHasItsAddressAsksNoMore() throws {
        let scenario = try invited(826)
        #expect(scenario.network.run(for: .seconds(5)) { leases(scenario) == 1 }, "\(scenario.describe())")
        scenario.network.run(for: .seconds(20))
        let count = scenario.network.capture.count
        scenario.network.run(for: .seconds(30))
        #expect(scenario.network.capture.count == count && leases(scenario) == 1)
    }
}
