// SPDX-License-Identifier: Apache-2.0
// Key phases of whole nodes (§7): when they begin by themselves, what the wire shows of them, and that no packet minds.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct KeyPhaseLifeTests {
    private func phases(_ scenario: Scenario) -> [UInt64] {
        [scenario.alice, scenario.bob].compactMap { $0.sendingSession(of: 0)?.phase.sending }
    }

    /// Inner packets each way for so long, one every 100 ms; how many did not arrive.
    private func flow(_ scenario: Scenario, for span: Int) -> Int {
        var sent = 0
        let before = scenario.alice.delivered.count + scenario.bob.delivered.count
        for _ in 0..<span * 10 {
            scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 3), from: scenario.alice)
            scenario.network.sendInner(Scenario.packet(from: 2, to: 1, tag: 4), from: scenario.bob)
            sent += 2
            scenario.network.run(for: .milliseconds(100))
        }
        scenario.network.run(for: .seconds(1))
        return sent - (scenario.alice.delivered.count + scenario.bob.delivered.count - before)
    }

    /// A phase every 120 s, both ends in step, nothing lost through jitter and reordering, all in one session.
    @Test func aBusySessionRatchetsEveryTwoMinutes() {
        var conditions = LinkConditions(loss: 0, latency: .milliseconds(40))
        conditions.jitter = .milliseconds(30)
        conditions.reordering = 0.2
        let scenario = Scenario(seed: 31, conditions: conditions)
        #expect(scenario.connect(within: .seconds(5)))
        #expect(flow(scenario, for: 620) == 0, "\(scenario.describe())")
        #expect(phases(scenario) == [5, 5])
        #expect(scenario.alice.establishedSessions.count == 1)
        #expect(scenario.alice.dataPlaneDrops.nonZero.isEmpty && scenario.bob.dataPlaneDrops.nonZero.isEmpty)
        let parities = Set(scenario.network.capture.map(\.datagram.type).filter { $0?.isData == true })
        #expect(parities == [.data0, .data1])
    }

    /// §7: every datagram of a phase counts on from the first one, each way, and types alternate.
    @Test func theWireShowsParitiesInTurn() {
        let scenario = Scenario(seed: 32)
        #expect(scenario.connect(within: .seconds(5)))
        _ = flow(scenario, for: 300)
        for source in [Scenario.aliceEndpoint, Scenario.bobEndpoint] {
            let sent = scenario.network.capture.map(\.datagram).filter {
                $0.source == source && $0.type?.isData == true
            }
            let byCounter = sent.sorted { $0.bytes.u64(at: 8) < $1.bytes.u64(at: 8) }.map(\.type)
            let changes = zip(byCounter, byCounter.dropFirst()).count { $0 != $1 }
            #expect(changes == 2, "phases 0, 1 and 2 in 300 s")
        }
    }

    @Test func anIdleSessionStaysAsItIs() {
        let scenario = Scenario(seed: 33)
        #expect(scenario.connect(within: .seconds(5)))
        #expect(scenario.carriesTraffic())
        scenario.network.run(for: .seconds(300))
        // The phase in which something went is over, and the one after it has nothing to end for.
        #expect(phases(scenario) == [1, 1])
        let count = scenario.network.capture.count
        scenario.network.run(for: .seconds(1000))
        #expect(scenario.network.capture.count == count, "an idle session is silent")
        #expect(phases(scenario) == [1, 1])
        #expect(scenario.carriesTraffic(2))
    }

    @Test func trafficOneWayRatchetsToo() {
        for sender in 0..<2 {
            let scenario = Scenario(seed: 34)
            #expect(scenario.connect(within: .seconds(5)))
            for _ in 0..<500 {
                let packet = Scenario.packet(from: UInt8(1 + sender), to: UInt8(2 - sender), tag: 3)
                scenario.network.sendInner(packet, from: sender == 0 ? scenario.alice : scenario.bob)
                scenario.network.run(for: .seconds(1))
            }
            #expect(phases(scenario) == [4, 4])
            #expect(scenario.alice.delivered.count + scenario.bob.delivered.count == 500)
        }
    }

    /// Through heavy loss phases come late, and whatever arrives opens.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func lossDelaysAndNeverBreaks(_ seed: UInt64) {
        var conditions = LinkConditions(loss: 0, latency: .milliseconds(20))
        let scenario = Scenario(seed: seed, conditions: conditions)
        #expect(scenario.connect(within: .seconds(5)))
        conditions.loss = 0.4
        conditions.duplication = 0.1
        conditions.reordering = 0.2
        scenario.network.conditions = conditions
        _ = flow(scenario, for: 400)
        scenario.network.conditions = LinkConditions()
        #expect(scenario.carriesTraffic(7), "\(scenario.describe())")
        #expect(phases(scenario).allSatisfy { $0 >= 3 }, "\(phases(scenario))")
        #expect(
            scenario.alice.dataPlaneDrops[.authentication] == 0 && scenario.bob.dataPlaneDrops[.authentication] == 0)
        #expect(scenario.alice.establishedSessions.count == 1, "\(scenario.describe())")
    }

    /// Old keys are gone five seconds after a switch, at both ends and in both directions.
    @Test func oldKeysGoByThemselves() throws {
        let scenario = Scenario(seed: 36)
        #expect(scenario.connect(within: .seconds(5)))
        _ = flow(scenario, for: 100)
        let sessions = try [scenario.alice, scenario.bob].map { try #require($0.sendingSession(of: 0)) }
        let old = sessions.map { WeakKey($0.sendingKey(of: 0)) }
        #expect(old.allSatisfy { $0.key != nil })
        // A datagram of phase 0 that comes when its key is wiped.
        let late = try #require(sessions[0].sealFrame(type: .pad, payload: [], now: scenario.network.now))
        _ = flow(scenario, for: 28)
        #expect(phases(scenario) == [1, 1])
        #expect(old.allSatisfy { $0.key == nil })
        scenario.network.inject(
            VirtualDatagram(bytes: late, source: Scenario.aliceEndpoint, destination: Scenario.bobEndpoint))
        scenario.network.run(for: .seconds(1))
        #expect(scenario.bob.dataPlaneDrops[.keyPhase] == 1)
    }

    private final class WeakKey {
        weak var key: SendingKey?
        init(_ key: SendingKey?) { self.key = key }
    }
}
