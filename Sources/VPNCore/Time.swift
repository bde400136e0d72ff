// SPDX-License-Identifier: Apache-2.0
// Time as the core sees it: values that somebody hands in. Nothing here reads a clock.

/// A length of time in nanoseconds; never negative.
public struct TimeSpan: Comparable, Hashable, Sendable {
    public var nanoseconds: UInt64

    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    public static func seconds(_ value: Int) -> TimeSpan { TimeSpan(nanoseconds: UInt64(value) * 1_000_000_000) }
    public static func milliseconds(_ value: Int) -> TimeSpan { TimeSpan(nanoseconds: UInt64(value) * 1_000_000) }
    public static func microseconds(_ value: Int) -> TimeSpan { TimeSpan(nanoseconds: UInt64(value) * 1_000) }
    public static let zero = TimeSpan(nanoseconds: 0)

    /// Seconds with their fraction, for people and metrics.
    public var seconds: Double { Double(nanoseconds) / 1e9 }

    public static func < (a: TimeSpan, b: TimeSpan) -> Bool { a.nanoseconds < b.nanoseconds }
    public static func + (a: TimeSpan, b: TimeSpan) -> TimeSpan { TimeSpan(nanoseconds: a.nanoseconds + b.nanoseconds) }
    /// What is left without the other; zero if that is longer.
    func less(_ other: TimeSpan) -> TimeSpan {
        TimeSpan(nanoseconds: nanoseconds > other.nanoseconds ? nanoseconds - other.nanoseconds : 0)
    }
    public static func * (a: TimeSpan, b: Int) -> TimeSpan { TimeSpan(nanoseconds: a.nanoseconds * UInt64(b)) }
}

/// A point on a monotonic clock that also counts while the machine sleeps (CLOCK_BOOTTIME), in nanoseconds from an
/// arbitrary origin. Wall-clock time is never used for a decision of the protocol: a clock may jump by years.
public struct Instant: Comparable, Hashable, Sendable {
    public var nanoseconds: UInt64

    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    public static let origin = Instant(nanoseconds: 0)

    public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }
    public static func + (a: Instant, b: TimeSpan) -> Instant { Instant(nanoseconds: a.nanoseconds &+ b.nanoseconds) }
    public static func += (a: inout Instant, b: TimeSpan) { a = a + b }

    /// The time from `earlier` to here; zero if `earlier` is later, so that a caller never underflows.
    public func since(_ earlier: Instant) -> TimeSpan {
        TimeSpan(nanoseconds: nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0)
    }
}
