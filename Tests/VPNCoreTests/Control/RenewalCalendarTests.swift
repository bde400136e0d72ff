// SPDX-License-Identifier: Apache-2.0
// The calendar of renewals alone (§7): the second with the fewest, wherever it lies in the window.
import Testing

@testable import VPNCore

@Suite struct RenewalCalendarTests {
    private let now = Instant.origin + .seconds(100)

    private func second(_ number: Int) -> Instant { now + .seconds(number) }

    /// A calendar of a few seconds that have so many renewals.
    private func calendar(_ loads: [Int]) -> RenewalCalendar {
        var calendar = RenewalCalendar()
        for (number, load) in loads.enumerated() {
            for _ in 0..<load {
                _ = calendar.plan(from: second(number), to: second(number), random: 0, now: now)
            }
        }
        return calendar
    }

    /// Where every second has some, too.
    @Test(arguments: [[2, 1, 2, 2], [3, 3, 2, 3], [1, 2, 3, 4], [4, 3, 2, 1], [2, 2, 0, 1]])
    func theSecondWithTheFewestIsChosen(loads: [Int]) throws {
        let fewest = try #require(loads.min())
        let place = try #require(loads.firstIndex(of: fewest))
        for random in 0..<8 as Range<UInt64> {
            var calendar = calendar(loads)
            let chosen = calendar.plan(from: second(0), to: second(loads.count - 1), random: random, now: now)
            #expect(chosen == second(place), "\(loads) from \(random)")
        }
    }

    /// Among equals it is the first from a random one on.
    @Test func amongEqualsChanceDecides() {
        let chosen = (0..<4 as Range<UInt64>).map { random -> Instant in
            var calendar = calendar([2, 2, 2, 2])
            return calendar.plan(from: second(0), to: second(3), random: random, now: now)
        }
        #expect(chosen == (0..<4).map(second))
    }
}
