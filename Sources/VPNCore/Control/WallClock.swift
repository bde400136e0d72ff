// SPDX-License-Identifier: Apache-2.0
// The time of day as a machine without a clock knows it: what it was told last, and how long that is ago.

struct WallClock: Equatable {
    /// Seconds since 1970, at that instant.
    private(set) var unix: UInt64
    private(set) var at: Instant

    /// A clock that is read in whole seconds differs by so much from one that counts, and nobody has set it.
    static let grain: UInt64 = 1

    func unix(_ now: Instant) -> UInt64 {
        unix &+ now.since(at).nanoseconds / 1_000_000_000
    }

    /// Takes another word; the seconds by which somebody has set the clock, or nil where it only went on.
    mutating func set(unix new: UInt64, now: Instant) -> Int64? {
        let expected = unix(now)
        let isAhead = new > expected
        let distance = isAhead ? new - expected : expected - new
        guard distance > Self.grain else { return nil }
        (unix, at) = (new, now)
        return isAhead ? Int64(clamping: distance) : -Int64(clamping: distance)
    }
}
