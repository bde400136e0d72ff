// SPDX-License-Identifier: Apache-2.0
// Two nodes that call each other (§6), of which one had called for a while before the other was there: one session comes of it.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct CrossedCallTests {
    private func scene(_ seed: UInt64, smallIsFirst: Bool) -> (Scenario, first: VirtualHost, second: VirtualHost) {
        let scenario = Scenario(seed: seed, starting: false)
        let isAlice =
            (scenario.alice.identity.publicKeys.peerID < scenario.bob.identity.publicKeys.peerID) == smallIsFirst
        let hosts = isAlice ? [scenario.alice, scenario.bob] : [scenario.bob, scenario.alice]
        return (scenario, hosts[0], hosts[1])
    }

    /// Were the earlier call to go on, it would make a second session, which both ends have to agree about.
    @Test(arguments: [false, true]) func aCallThatFoundNobodyEndsWithTheOthers(smallIsFirst: Bool) {
        let (scenario, first, second) = scene(871, smallIsFirst: smallIsFirst)
        let network = scenario.network
        network.attach(first)
        network.run(for: .milliseconds(4200))
        network.attach(second)
        network.run(for: .seconds(30))
        #expect(first.establishedSessions.count == 1, "\(scenario.describe())")
        #expect(second.establishedSessions.count == 1, "\(scenario.describe())")
        #expect(scenario.carriesTraffic())
    }

    /// Whenever the second comes, also where both calls are under way at once.
    @Test(arguments: [false, true]) func bothSendOnOneSessionWheneverTheSecondComes(smallIsFirst: Bool) {
        for milliseconds in stride(from: 0, through: 9000, by: 130) {
            let (scenario, first, second) = scene(872, smallIsFirst: smallIsFirst)
            let network = scenario.network
            network.attach(first)
            network.run(for: .milliseconds(milliseconds))
            network.attach(second)
            network.run(for: .seconds(12))
            let ids = [first, second].map { $0.sendingSession(of: 0)?.id }
            #expect(ids[0] != nil && ids[0] == ids[1], "after \(milliseconds) ms: \(scenario.describe())")
            #expect(scenario.carriesTraffic(), "after \(milliseconds) ms: \(scenario.describe())")
            #expect(first.machine.peers[0]?.initiation == nil && second.machine.peers[0]?.initiation == nil)
        }
    }
}
