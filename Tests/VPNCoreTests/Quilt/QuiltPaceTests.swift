// SPDX-License-Identifier: Apache-2.0
// More than all patches together can do (§9): what is too much waits at the sender, where it can still be chosen by which patch it goes.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

/// One flow that fills whatever it is given, as TCP does (RFC 5681): the window grows with each acknowledgement and is halved when
/// three later packets came before one.
private final class Flow {
    private let quilt: QuiltScenario
    private let back: TimeSpan
    private var window = 10.0
    private var threshold = Double.infinity
    private var highest: UInt32?
    private var missing: Set<UInt32> = []
    /// All that ever were missing, the oldest first, and how many of them are known not to be any more.
    private var gaps: (numbers: [UInt32], closed: Int) = ([], 0)
    private var recoveryEnd: UInt32 = 0
    private let first: UInt32
    private var read: Int
    private var acknowledged = 0
    /// Halvings of the window, and packets that came after three later ones.
    private(set) var halvings = 0
    private(set) var overtaken = 0

    init(_ quilt: QuiltScenario, back: TimeSpan) {
        self.quilt = quilt
        self.back = back
        first = quilt.sent
        read = quilt.bob.delivered.count
    }

    /// Packets that came.
    var arrived: Int { acknowledged }

    func run(for time: TimeSpan) {
        let end = quilt.network.now + time
        while quilt.network.now < end {
            acknowledge()
            // What is under way: sent, neither acknowledged nor thought lost.
            while Double(Int(quilt.sent - first) - acknowledged - missing.count) < window { quilt.sendNumbered(1300) }
            quilt.network.run(for: .microseconds(200))
        }
    }

    private func acknowledge() {
        while read < quilt.bob.delivered.count, quilt.network.now.since(quilt.bob.deliveredAt[read]) >= back {
            let packet = quilt.bob.delivered[read]
            read += 1
            note((0..<4).reduce(0) { $0 << 8 | UInt32(packet[28 + $1]) })
        }
    }

    private func note(_ number: UInt32) {
        acknowledged += 1
        if missing.remove(number) != nil { overtaken += 1 }
        window += window < threshold ? 1 : 1 / window
        let before = highest ?? first &- 1
        guard number > before || highest == nil else { return }
        if number > before &+ 1, number >= 3 {
            for lost in before &+ 1..<number {
                missing.insert(lost)
                gaps.numbers.append(lost)
            }
        }
        highest = number
        // Three later ones came.
        guard let oldest = oldestMissing(), number >= oldest + 3, oldest >= recoveryEnd else { return }
        halvings += 1
        threshold = max(window / 2, 2)
        window = threshold
        recoveryEnd = quilt.sent
        missing = missing.filter { $0 + 3 > number }
    }

    private func oldestMissing() -> UInt32? {
        while gaps.closed < gaps.numbers.count, !missing.contains(gaps.numbers[gaps.closed]) { gaps.closed += 1 }
        return gaps.closed < gaps.numbers.count ? gaps.numbers[gaps.closed] : nil
    }
}

@Suite struct QuiltPaceTests {
    private func way(_ milliseconds: Int, _ megabits: Double) -> LinkConditions {
        var way = LinkConditions(loss: 0, latency: .milliseconds(milliseconds))
        way.bytesPerSecond = UInt64(megabits * 1e6 / 8)
        return way
    }

    static let pairs = [(100.0, 5, 100.0, 15), (300.0, 5, 80.0, 15), (50.0, 40, 100.0, 5)]

    /// Half as much again as the ways can do: they are full, none of them has a long queue, and what comes is in order.
    @Test(arguments: pairs, QuiltScenario.Direction.allCases)
    func tooMuchWaitsHere(_ pair: (Double, Int, Double, Int), direction: QuiltScenario.Direction) {
        let quilt = QuiltScenario(seed: 8, ways: [way(pair.1, pair.0), way(pair.3, pair.2)])
        #expect(quilt.stitch())
        let (sender, receiver) = (quilt.sender(direction), quilt.receiver(direction))
        let sum = pair.0 + pair.2
        quilt.load(megabits: sum * 1.5, for: .seconds(2), from: sender)
        quilt.network.run(for: .seconds(1))
        let (sent, dropped) = (quilt.sent, sender.dataPlaneDrops[.pacedOverflow])
        let before = receiver.delivered.count
        quilt.load(megabits: sum * 1.5, for: .milliseconds(500), from: sender)
        let (began, first) = (quilt.network.now, receiver.delivered.count)
        quilt.load(megabits: sum * 1.5, for: .seconds(2), from: sender)
        let end = quilt.network.now
        let came = zip(receiver.delivered, receiver.deliveredAt)[first..., before: end]
        // 36 bytes of a datagram are not of its packet.
        let share = Double(came.count) * 1236 * 8 / end.since(began).seconds / (sum * 1e6)
        #expect(share >= 0.97, "\(share) of \(pair): \(quilt.summary(sender))")
        let numbers = came.map { packet in (0..<4).reduce(0) { $0 << 8 | UInt32(packet[28 + $1]) } }
        let late = zip(numbers, numbers.dropFirst()).count { $1 < $0 }
        #expect(Double(late) <= Double(numbers.count) * 0.001, "\(late) of \(numbers.count) late")
        // Nothing is lost behind the choice: what did not come was not sent.
        quilt.network.run(for: .seconds(1))
        let left = Int(sender.dataPlaneDrops[.pacedOverflow] - dropped)
        let lost = Int(quilt.sent - sent) - left - (receiver.delivered.count - before)
        #expect(left > 0 && lost <= came.count / 500, "\(lost) of \(came.count): \(quilt.summary(sender))")
    }

    /// One flow that obeys congestion gets what both ways can do.
    @Test(arguments: pairs) func oneFlowFillsBoth(_ pair: (Double, Int, Double, Int)) {
        let quilt = QuiltScenario(seed: 9, ways: [way(pair.1, pair.0), way(pair.3, pair.2)])
        #expect(quilt.stitch())
        let flow = Flow(quilt, back: .milliseconds(min(pair.1, pair.3)))
        flow.run(for: .seconds(3))
        let (before, overtaken) = (flow.arrived, flow.overtaken)
        flow.run(for: .seconds(5))
        let rate = Double(flow.arrived - before) * 1336 * 8 / 5
        let share = rate / ((pair.0 + pair.2) * 1e6)
        #expect(share >= 0.9, "\(share) of \(pair), \(flow.halvings) halvings: \(quilt.summary(quilt.alice))")
        #expect(Double(flow.overtaken - overtaken) <= 0.001 * Double(flow.arrived - before))
    }

    // MARK: - A good way beside a bad one

    /// A way that is worth nothing, or little, beside one of 100 Mbit/s and 5 ms.
    enum Beside: String, CaseIterable, Sendable {
        case slowAndFar, lossy, jittery

        var conditions: LinkConditions {
            switch self {
            case .slowAndFar: VPNCoreTests.way(200, 2)
            case .lossy: VPNCoreTests.way(10, 100, loss: 0.2)
            case .jittery: VPNCoreTests.way(10, 100, jitter: 40)
            }
        }
    }

    /// Packets of one flow in five seconds, once it had three to learn what there is.
    private static func packets(_ ways: [LinkConditions]) -> (count: Int, summary: String)? {
        let quilt = QuiltScenario(seed: 10, ways: ways)
        guard ways.count == 1 ? quilt.scenario.carriesTraffic() : quilt.stitch(within: .seconds(60)) else { return nil }
        let flow = Flow(quilt, back: ways[0].latency)
        flow.run(for: .seconds(3))
        let before = flow.arrived
        flow.run(for: .seconds(5))
        return (flow.arrived - before, "\(flow.halvings) halvings; \(quilt.summary(quilt.alice))")
    }

    private static let alone = packets([VPNCoreTests.way(5, 100)])?.count

    /// Whatever lies beside the best way, one flow has what that way alone would give it, less 3 %.
    @Test(arguments: Beside.allCases) func neverBelowTheBestWayAlone(_ beside: Beside) throws {
        let alone = try #require(Self.alone)
        // 1336 bytes each: the way is full.
        #expect(alone > 40_000, "\(alone)")
        let both = try #require(Self.packets([VPNCoreTests.way(5, 100), beside.conditions]))
        #expect(Double(both.count) >= 0.97 * Double(alone), "\(both.count) of \(alone): \(both.summary)")
    }
}

extension Zip2Sequence where Sequence1 == [[UInt8]], Sequence2 == [Instant] {
    /// Packets from some place on that came before a time.
    fileprivate subscript(range: PartialRangeFrom<Int>, before end: Instant) -> [[UInt8]] {
        dropFirst(range.lowerBound).filter { $0.1 <= end }.map(\.0)
    }
}
