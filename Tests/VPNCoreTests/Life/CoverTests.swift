// SPDX-License-Identifier: Apache-2.0
// Cover traffic (§7): its budget, its sizes, its times, and what it must not disturb.
import Testing
import VPNTesting

@testable import VPNCore

@Suite struct CoverTests {
    private static let buckets = [64, 128, 256, 512, 1024]

    private func scenario(_ seed: UInt64, rate: Int, both: Bool = true) -> Scenario {
        var (alice, bob) = (NodeOptions(), Scenario.answering)
        for end in 0...1 where end == 0 || both {
            if end == 0 {
                alice.padding = .datagrams(Self.buckets)
                alice.coverBytesPerSecond = rate
            } else {
                bob.padding = .datagrams(Self.buckets)
                bob.coverBytesPerSecond = rate
            }
        }
        let scenario = Scenario(seed: seed, alice: alice, bob: bob)
        #expect(scenario.connect(), "\(scenario.describe())")
        scenario.network.run(for: .seconds(5))
        return scenario
    }

    private func datagrams(_ scenario: Scenario, from endpoint: Endpoint, since: Instant) -> [(at: Instant, size: Int)]
    {
        scenario.network.capture.filter {
            $0.at >= since && $0.datagram.type?.isData == true && $0.datagram.source == endpoint
        }.map { ($0.at, $0.datagram.bytes.count) }
    }

    @Test(arguments: [1000, 20_000]) func theBudgetIsKept(rate: Int) {
        let scenario = scenario(800 + UInt64(rate), rate: rate)
        let (start, before) = (scenario.network.now, scenario.alice.cover)
        scenario.network.run(for: .seconds(1000))
        let cost = scenario.alice.cover
        let mean = Double(cost.bytes - before.bytes) / 1000
        #expect(abs(mean - Double(rate)) < Double(rate) / 5, "\(mean) bytes a second")
        let seen = datagrams(scenario, from: Scenario.aliceEndpoint, since: start)
        #expect(seen.count >= Int(cost.datagrams - before.datagrams))
        // Every size is used, and about as often as any other.
        for size in Self.buckets + [1472] {
            let count = seen.count { $0.size == size }
            #expect(count > seen.count / 12, "\(count) of \(seen.count) have \(size) bytes")
        }
    }

    /// Pauses have no memory: as many are shorter than ln 2 of their mean as are longer, and e^-3 of them are longer than three.
    @Test func pausesAreExponential() {
        var random = SeededGenerator(801)
        let draws = (0..<20_000).map { _ -> Double in
            let drawn = ExponentialDraw.next { random.next() }
            return Double(drawn.whole) + Double(drawn.fraction) / 18_446_744_073_709_551_616
        }
        let mean = draws.reduce(0, +) / Double(draws.count)
        #expect(abs(mean - 1) < 0.03, "\(mean)")
        #expect(abs(Double(draws.count { $0 < 0.6931 }) / Double(draws.count) - 0.5) < 0.02)
        #expect(abs(Double(draws.count { $0 > 3 }) / Double(draws.count) - 0.0498) < 0.006)
    }

    /// A side that covers and one that does not: nobody takes datagrams of nothing for traffic or for silence.
    @Test func oneSideIsEnoughAndKeepsNobodyBusy() {
        let scenario = scenario(802, rate: 4000, both: false)
        scenario.network.run(for: .seconds(600))
        #expect(scenario.alice.establishedSessions.count == 1 && scenario.bob.cover.datagrams == 0)
        #expect(scenario.carriesTraffic(), "\(scenario.describe())")
        // The handshake's answer is forgotten in time.
        let drops = Set(scenario.bob.controlDrops.nonZero.map(\.reason)).subtracting([.handshakeExpired])
        #expect(drops.isEmpty && scenario.bob.delivered.count <= 4, "\(drops)")
    }

    /// Without a session there is none, whatever the node waits for.
    @Test func withoutASessionThereIsNone() {
        let scenario = scenario(803, rate: 100_000)
        scenario.network.shutDown(scenario.bob)
        scenario.network.run(for: .seconds(2))
        let before = scenario.alice.cover.datagrams
        scenario.network.run(for: .seconds(20))
        #expect(scenario.alice.cover.datagrams == before)
    }

    @Test func itIsOffUnlessAskedFor() {
        let scenario = scenario(804, rate: 0)
        scenario.network.run(for: .seconds(100))
        #expect(scenario.alice.cover == CoverCost() && scenario.bob.cover == CoverCost())
    }
}
