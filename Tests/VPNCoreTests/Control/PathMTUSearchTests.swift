// SPDX-License-Identifier: Apache-2.0
// The search alone, on a path that is one number: every path, both families, every interface; and answers that are none.

import Testing
import VPNTesting

@testable import VPNCore

@Suite struct PathMTUSearchTests {
    /// A search and a clock.
    private struct Run {
        var search: PathMTUSearch
        var now = Fixture.now
        var nonce: UInt64 = 0
        var asked: [Int] = []

        init(ceiling: Int, isV4: Bool) { search = PathMTUSearch(ceiling: ceiling, isV4: isV4, now: now) }

        mutating func advance(isBusy: Bool = false) -> [ProbeMessage] {
            now = max(now, search.deadline)
            var next = nonce
            let messages = search.advance(
                now: now, isBusy: { _ in isBusy },
                nonce: {
                    next += 1
                    return next
                })
            nonce = next
            asked += messages.map { Int($0.packet) }
            return messages
        }

        /// Lets time pass on a path that carries inner packets of so many bytes.
        mutating func run(for span: TimeSpan, truth: Int, isBusy: Bool = false) {
            let end = now + span
            while search.deadline <= end {
                let messages = advance(isBusy: isBusy)
                now += .milliseconds(20)
                for message in messages where Int(message.packet) <= truth {
                    _ = search.answered(message, now: now)
                }
            }
            now = max(now, end)
        }
    }

    private func common(isV4: Bool, below ceiling: Int) -> [Int] {
        [9000, 8000, 4352, 1500, 1492, 1480, 1460, 1440, 1420, 1400, 1380, 1340, 1280, 1260].map {
            Limits.innerMTU(path: $0, isV4: isV4)
        }.filter { $0 <= ceiling }
    }

    @Test(arguments: [true, false], [576, 1280, 1300, 1416, 1436, 8936])
    func everyPathIsFound(isV4: Bool, ceiling: Int) {
        let common = common(isV4: isV4, below: ceiling)
        let smallest = common.last ?? ceiling
        for truth in stride(from: smallest, through: ceiling + 20, by: ceiling > 2000 ? 13 : 1) {
            var run = Run(ceiling: ceiling, isV4: isV4)
            run.run(for: .seconds(3), truth: truth)
            let most = min(truth, ceiling)
            #expect((smallest...most).contains(run.search.current), "\(truth)")
            if common.contains(most) || most == ceiling { #expect(run.search.current == most, "\(truth)") }
            run.run(for: .seconds(12), truth: truth)
            #expect((most - Limits.pathPrecision...most).contains(run.search.current), "\(truth)")
            #expect(run.asked.allSatisfy { $0 <= ceiling && $0 >= smallest })
            // A bounded number of questions: three surveys, and three for each halving.
            #expect(run.asked.count <= 3 * (common.count + 1) + 3 * 14)
            // Then silence, as long as nobody uses the path and it has nothing to gain.
            let asked = run.asked.count
            run.run(for: .seconds(500), truth: truth)
            #expect(run.asked.count == asked)
        }
    }

    /// A path that carries none of the sizes asked for gives no answer, which says nothing about sizes.
    @Test func withoutAnyAnswerTheAssumptionStays() {
        for ceiling in [576, 1000, 1436, 8936] {
            var run = Run(ceiling: ceiling, isV4: true)
            run.run(for: .seconds(300), truth: 0, isBusy: true)
            #expect(run.search.current == min(ceiling, Limits.innerMTUOverIPv4))
        }
    }

    /// A jumbo path needs an answer before anything longer than the usual is sent on it.
    @Test func jumboFramesAreSentOnlyWhenProven() {
        var run = Run(ceiling: 8936, isV4: true)
        #expect(run.search.current == 1436)
        let first = run.advance()
        #expect(first.map { Int($0.packet) }.max() == 8936 && run.search.current == 1436)
        for message in first where message.packet == 8936 {
            let isTaken = run.search.answered(message, now: run.now)
            #expect(isTaken)
        }
        #expect(run.search.current == 8936)
    }

    /// Only what was asked, once, and with the size that it was asked with.
    @Test func answersThatAreNone() {
        var run = Run(ceiling: 1436, isV4: true)
        let messages = run.advance()
        #expect(messages.count > 5 && Set(messages.map(\.nonce)).count == messages.count)
        let good = messages[messages.count - 1]
        var random = SeededRandom(seed: 3)
        var taken = 0
        for _ in 0..<1000 {
            // Nonces here are small numbers, and these are not.
            let forged = ProbeMessage(packet: Int(good.packet), nonce: random.next() | 1 << 40)
            if run.search.answered(forged, now: run.now) { taken += 1 }
        }
        for size in 0..<1600 where size != Int(good.packet) {
            let forged = ProbeMessage(packet: size, nonce: good.nonce)
            if run.search.answered(forged, now: run.now) { taken += 1 }
        }
        #expect(taken == 0 && run.search.current == 1436)
        let answers = [run.search.answered(good, now: run.now), run.search.answered(good, now: run.now)]
        #expect(answers == [true, false])
        // Nothing is known of a path before something was asked.
        var fresh = Run(ceiling: 1436, isV4: true)
        let early = fresh.search.answered(good, now: fresh.now)
        #expect(!early)
    }

    /// A late answer to an earlier round of the survey counts as well.
    @Test func lateAnswersAreWelcome() {
        var run = Run(ceiling: 1436, isV4: true)
        let first = run.advance()
        _ = run.advance()
        for message in first where message.packet == 1356 {
            let isTaken = run.search.answered(message, now: run.now)
            #expect(isTaken)
        }
        for _ in 0..<3 { _ = run.advance() }
        #expect(run.search.current >= 1356 && run.search.current < 1376)
    }

    /// A busy path that shrinks is found out about within 20 s, one that stays asks one small question every 15 s.
    @Test func busyPaths() {
        let paths = [(true, 1436, 1356), (true, 1436, 1216), (false, 1416, 1336), (true, 8936, 1436)]
        for (isV4, ceiling, smaller) in paths {
            var run = Run(ceiling: ceiling, isV4: isV4)
            run.run(for: .seconds(30), truth: ceiling, isBusy: true)
            #expect(run.search.current == ceiling)
            let asked = run.asked.count
            run.run(for: .seconds(150), truth: ceiling, isBusy: true)
            #expect((9...10).contains(run.asked.count - asked) && run.asked.suffix(9).allSatisfy { $0 == ceiling })
            run.run(for: .seconds(20), truth: smaller, isBusy: true)
            #expect(run.search.current == smaller)
        }
    }

    @Test func messagesAndTheirFaults() {
        var random = SeededRandom(seed: 4)
        for _ in 0..<1000 {
            let message = ProbeMessage(packet: Int(random.next() % 65_536), nonce: random.next())
            let encoded = message.encoded
            #expect(encoded.count == 12 && ProbeMessage(encoded) == message)
            for length in 0..<12 { #expect(ProbeMessage(Array(encoded.prefix(length))) == nil) }
            #expect(ProbeMessage(encoded + [0]) == nil)
            for place in 0..<2 { #expect(ProbeMessage(encoded.flipping(place, mask: 0x10)) == nil) }
        }
    }
}
