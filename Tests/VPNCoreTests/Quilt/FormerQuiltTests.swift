// SPDX-License-Identifier: Apache-2.0
// Patches of a session that gave way to another one (§9): what is there goes on for a while, and then it ends.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct FormerQuiltTests {
    /// The answer that proves a way comes when the next session is there already. Nobody asks by that way any more:
    /// questions and their answers would keep the former session, and its keys, for as long as the next one lives.
    @Test func aWayThatIsProvenTooLateKeepsNoSession() throws {
        let quilt = QuiltScenario(seed: 51, ways: [way(5), way(125)])
        let (network, alice, bob) = (quilt.network, quilt.alice, quilt.bob)
        func phase(_ index: UInt32) -> PatchJoin.Phase? {
            alice.machine.peers[0]?.quilts[index]?.joins.first?.phase
        }
        try #require(network.run(for: .seconds(5)) { alice.sendingSession(of: 0) != nil })
        let former = try #require(alice.sendingSession(of: 0))
        let isAsked = network.run(for: .seconds(1)) { phase(former.localIndex) == .joining }
        network.renew(0, at: alice)
        let isRenewed = network.run(for: .milliseconds(200)) { alice.establishedSessions.count == 2 }
        try #require(isAsked && isRenewed, "\(quilt.scenario.describe())")
        #expect(alice.sendingSession(of: 0) !== former && phase(former.localIndex) == .joining)
        network.run(for: .seconds(1))
        #expect(phase(former.localIndex) == .joined, "\(quilt.scenario.describe())")
        // Five seconds of silence end it, as any that gave way.
        network.run(for: .seconds(20))
        #expect(phase(former.localIndex) == nil, "\(quilt.scenario.describe())")
        #expect(alice.footprint.sessions == 1 && bob.footprint.sessions == 1, "\(quilt.scenario.describe())")
        #expect(quilt.stitch(within: .seconds(5)) && quilt.scenario.carriesTraffic())
    }
}
