// SPDX-License-Identifier: Apache-2.0
// Counters that one thread reserved of a session (§7), so that threads which seal for one session meet once a block and not
// once a packet. It knows nothing of keys.

/// The counters that a thread may still use of one session, and the size of its next block.
struct CounterBlock {
    private var next: UInt64 = 0
    private var end: UInt64 = 0
    private var since = Instant.origin
    /// Doubles while blocks are used up in time, so that a session with few packets skips few counters.
    private var size: UInt64 = 1

    /// A counter that nobody else has; nil if the sending key reached its hard limit.
    @inline(__always)
    mutating func take(of session: Session, now: Instant) -> UInt64? {
        if next == end || isStale(session, now) {
            guard renew(of: session, now: now) else { return nil }
        }
        defer { next &+= 1 }
        return next
    }

    /// §7: abandoned after 1 ms or 1,024 counters' advance, so that its counters never come too late for the window.
    @inline(__always)
    private func isStale(_ session: Session, _ now: Instant) -> Bool {
        now.nanoseconds &- since.nanoseconds >= Limits.counterBlockLifetime.nanoseconds
            || session.reservedCounters &- end > Limits.counterBlockAdvance
    }

    @inline(never)
    private mutating func renew(of session: Session, now: Instant) -> Bool {
        let wasUsedInTime = next == end && now.since(since) < Limits.counterBlockLifetime
        size = wasUsedInTime ? min(size * 2, Limits.counterBlock) : 1
        guard let first = session.reserve(size) else { return false }
        (next, end, since) = (first, first + size, now)
        return true
    }
}
