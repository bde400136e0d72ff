// SPDX-License-Identifier: Apache-2.0
// The renewal of a session that gave way and took its place back (§6, §7): it is planned as that of any other is.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct RenewalPlanTests {
    /// The smaller end's own session comes late, behind the larger one's, and is sent on once it is heard.
    @Test func aSessionThatTakesItsPlaceBackIsInTheCalendar() {
        let scenario = Scenario(seed: 840, alice: NodeOptions(), bob: NodeOptions())
        let network = scenario.network
        #expect(scenario.connect(within: .seconds(10)))
        network.run(for: .seconds(15))
        let isAlice = scenario.alice.identity.publicKeys.peerID < scenario.bob.identity.publicKeys.peerID
        let small = isAlice ? scenario.alice : scenario.bob
        let large = isAlice ? scenario.bob : scenario.alice
        #expect(small.machine.renewals.count == 1 && large.machine.renewals.count == 0)
        let (count, from) = (large.establishedSessions.count, large.endpoint)
        network.intervene = { $0.type == .s2 && $0.source == from ? .drop : .pass }
        network.renew(0, at: small)
        #expect(network.run(for: .seconds(3)) { large.establishedSessions.count > count })
        network.renew(0, at: large)
        func isSendingOn(_ role: SessionRole) -> Bool { small.sendingSession(of: 0)?.role == role }
        #expect(network.run(for: .seconds(8)) { isSendingOn(.responder) }, "\(scenario.describe())")
        network.intervene = nil
        #expect(network.run(for: .seconds(5)) { isSendingOn(.initiator) }, "\(scenario.describe())")
        network.run(for: .seconds(1))
        #expect(small.sendingSession(of: 0)?.id == large.sendingSession(of: 0)?.id)
        #expect(small.machine.renewals.count == 1, "\(scenario.describe())")
    }
}
