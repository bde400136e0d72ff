// SPDX-License-Identifier: Apache-2.0
// When this node's sessions are renewed: spread over the seconds of their windows, so that a thousand sessions which were made at
// once are not renewed at once. It plans only; who renews is NodeStateMachine.

/// Renewals that are planned, by second.
struct RenewalCalendar {
    private var planned: [UInt64: Int] = [:]

    /// A second of the window with the fewest renewals. Among equals the first from a random one on.
    ///
    /// - Parameter random: any number.
    mutating func plan(from earliest: Instant, to latest: Instant, random: UInt64, now: Instant) -> Instant {
        if planned.count >= Limits.calendarSeconds { planned = planned.filter { $0.key >= Self.second(now) } }
        let first = Self.second(earliest + TimeSpan(nanoseconds: Self.nanoseconds - 1))
        let count = max(first, Self.second(latest)) - first + 1
        // A window of hours is looked at in steps: fewer sessions than that fall into any.
        let step = count / Limits.renewalChoices + 1
        var best = first + random % count
        var fewest = planned[best] ?? 0
        var offset: UInt64 = step
        while fewest > 0, offset < count {
            let candidate = first + (random % count + offset) % count
            let load = planned[candidate] ?? 0
            if load < fewest { (best, fewest) = (candidate, load) }
            offset += step
        }
        planned[best, default: 0] += 1
        return Instant(nanoseconds: best * Self.nanoseconds)
    }

    /// A session will not be renewed at its time.
    mutating func cancel(_ renewal: Instant) {
        let second = Self.second(renewal)
        guard let count = planned[second] else { return }
        planned[second] = count > 1 ? count - 1 : nil
    }

    /// A session whose renewal was cancelled is renewed at its time after all.
    mutating func restore(_ renewal: Instant) { planned[Self.second(renewal), default: 0] += 1 }

    /// Seconds for which something is planned, past ones included until they are in the way.
    var count: Int { planned.count }

    private static var nanoseconds: UInt64 { 1_000_000_000 }

    private static func second(_ instant: Instant) -> UInt64 { instant.nanoseconds / nanoseconds }
}
