// SPDX-License-Identifier: Apache-2.0
// Key phases of whole nodes at their bounds (§7): who begins none, and that old keys go from whoever holds one.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct PhaseLimitTests {
    /// Two ends that have nothing to say to each other for now.
    private func connected(_ seed: UInt64) -> Scenario {
        let scenario = Scenario(seed: seed)
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.run(for: .seconds(5))
        return scenario
    }

    /// Were both ends to begin phases, one could be two ahead of the other.
    @Test func theResponderBeginsNoPhase() throws {
        let scenario = connected(800)
        let sessions = try [scenario.alice, scenario.bob].map { try #require($0.sendingSession(of: 0)) }
        sessions[1].skipCounters(Limits.framesBeforePhase)
        scenario.network.run(for: .seconds(3))
        #expect(sessions[1].phase.frames >= Limits.framesBeforePhase && sessions[1].phase.mayEnd)
        #expect(sessions.map(\.phase.sending) == [0, 0])
        // As soon as the initiator sees how many they are, it does.
        #expect(scenario.carriesTraffic())
        scenario.network.run(for: .seconds(3))
        #expect(sessions.map(\.phase.sending) == [1, 1], "\(scenario.describe())")
    }

    /// A packet worker that has nothing to send any more lets go of its key of the phase before, as the session does.
    @Test func anIdleWorkerLetsGoOfOldKeys() throws {
        let scenario = connected(801)
        let (network, alice) = (scenario.network, scenario.alice)
        let session = try #require(alice.sendingSession(of: 0))
        network.sendInner(Scenario.packet(from: 1, to: 2, tag: 1), from: alice)
        weak let old = session.sendingKey(of: 0)
        session.skipCounters(Limits.framesBeforePhase)
        network.run(for: .seconds(3))
        #expect(session.phase.sending == 1 && old != nil)
        network.run(for: .seconds(6))
        #expect(old == nil, "\(scenario.describe())")
        #expect(scenario.carriesTraffic(2))
    }

    /// Workers give back counters when they are told so: it is said once a phase, and not with each look.
    @Test func withoutOldKeysNobodyIsToldToDropThem() throws {
        let scenario = connected(802)
        let (network, alice) = (scenario.network, scenario.alice)
        let current = alice.machine.peers[0]?.ring.current
        let held = try #require(current)
        /// How often workers are told in the next looks, one a second.
        func told(_ looks: Int) -> Int {
            var count = 0
            for look in 1...looks {
                alice.machine.maintainPhase(held, slot: 0, now: network.now + .seconds(look))
                while let action = alice.machine.nextAction() {
                    if case .dataPlane(.dropOldKeys(held.session.localIndex)) = action { count += 1 }
                }
            }
            return count
        }
        #expect(told(3) == 0)
        held.session.skipCounters(Limits.framesBeforePhase)
        network.run(for: .seconds(2))
        #expect(held.session.phase.sending == 1)
        #expect(told(10) == 1)
    }
}
