// SPDX-License-Identifier: Apache-2.0
// A sender that fills no queue (§9): it sends what it saw arriving, tries a quarter more for one round trip of eight, and must find
// out by that what all patches together can do.
import Testing
import VPNTesting

@testable import VPNCore

/// As BBR does (draft-cardwell-iccrg-bbr-congestion-control-00 §4.3): a rate, the largest seen in ten round trips, times a gain; and no
/// more than two round trips of it under way.
private final class PacingFlow {
    private static let bits = 1336.0 * 8
    private let quilt: QuiltScenario
    private let back: TimeSpan
    private let roundTrip: TimeSpan
    private var samples: [Double] = [2e6]
    private var best = 0.0
    /// Round trips in which nothing more was found, while it begins; then the place in the cycle.
    private var (steady, isBeginning, phase) = (0, true, 0)
    private var read: Int
    /// The number after the highest that came: packets come in order, and what is missing before it is lost.
    private var next: UInt32
    private(set) var arrived = 0

    init(_ quilt: QuiltScenario, back: TimeSpan, roundTrip: TimeSpan) {
        (self.quilt, self.back, self.roundTrip) = (quilt, back, roundTrip)
        next = quilt.sent
        read = quilt.bob.delivered.count
    }

    private var rate: Double { samples.max() ?? 2e6 }

    func run(for time: TimeSpan) {
        let end = quilt.network.now + time
        while quilt.network.now < end { round() }
    }

    /// One round trip.
    private func round() {
        let gain = isBeginning ? 2 : [1.25, 0.75, 1, 1, 1, 1, 1, 1][phase]
        let (start, before, pace) = (quilt.network.now, arrived, rate * gain)
        let most = rate * roundTrip.seconds * 2 / Self.bits + 4
        var budget = 0.0
        while quilt.network.now.since(start) < roundTrip {
            budget = min(budget + pace * 0.0002 / Self.bits, 64)
            while budget >= 1, Double(quilt.sent - next) < most {
                quilt.sendNumbered(1300)
                budget -= 1
            }
            quilt.network.run(for: .microseconds(200))
            while read < quilt.bob.delivered.count, quilt.network.now.since(quilt.bob.deliveredAt[read]) >= back {
                let packet = quilt.bob.delivered[read]
                next = max(next, (0..<4).reduce(0) { $0 << 8 | UInt32(packet[28 + $1]) } + 1)
                read += 1
                arrived += 1
            }
        }
        samples.append(Double(arrived - before) * Self.bits / quilt.network.now.since(start).seconds)
        if samples.count > 10 { samples.removeFirst() }
        guard isBeginning else { return phase = (phase + 1) % 8 }
        steady = rate > best * 1.25 ? 0 : steady + 1
        best = max(best, rate)
        isBeginning = steady < 3
    }
}

@Suite struct QuiltDiscoveryTests {
    private func way(_ latency: Int, _ megabits: Double) -> LinkConditions {
        var way = LinkConditions(loss: 0, latency: .milliseconds(latency))
        way.bytesPerSecond = UInt64(megabits * 1e6 / 8)
        return way
    }

    /// One way there, in ms, and Mbit/s.
    static let sets: [[(Int, Double)]] = [
        [(5, 100), (15, 100)], [(5, 300), (15, 80)], [(5, 60), (12, 30), (20, 15)], [(12, 30), (20, 15)],
    ]

    @Test(arguments: sets.indices) func allPatchesAreFound(_ place: Int) {
        let set = Self.sets[place]
        let quilt = QuiltScenario(seed: 12, ways: set.map { way($0.0, $0.1) })
        #expect(quilt.stitch())
        let flow = PacingFlow(quilt, back: .milliseconds(set[0].0), roundTrip: .milliseconds(set[0].0 * 2))
        flow.run(for: .seconds(8))
        let before = flow.arrived
        flow.run(for: .seconds(8))
        let share = Double(flow.arrived - before) * 1336 * 8 / 8 / (set.map(\.1).reduce(0, +) * 1e6)
        print("MEASURED: a sender that fills no queue has \(share) of \(set)")
        #expect(share >= 0.85, "\(share) of \(set): \(quilt.summary(quilt.alice))")
    }

    /// What one patch can do alone stays on it: nobody waits for a longer way without need.
    @Test func littleTrafficTakesTheShortWay() {
        let quilt = QuiltScenario(seed: 13, ways: [way(5, 60), way(20, 60)])
        #expect(quilt.stitch())
        quilt.load(megabits: 200, for: .seconds(2))
        quilt.network.run(for: .seconds(1))
        quilt.network.isCapturing = true
        quilt.load(megabits: 30, for: .seconds(2))
        quilt.network.run(for: .seconds(1))
        let ways = quilt.network.capture.map(\.datagram)
            .filter { $0.bytes.count > 1000 && $0.destination.low & 0xFF == 2 }.map(QuiltScenario.way)
        let short = ways.count { $0 == 1 }
        #expect(ways.count > 6000 && Double(short) >= 0.95 * Double(ways.count), "\(short) of \(ways.count)")
    }
}
