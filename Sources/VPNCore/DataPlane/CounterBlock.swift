// SPDX-License-Identifier: Apache-2.0
// Counters that one thread reserved of a session (§7), so that threads which seal for one session meet once a block and not
// once a packet; and the key of their phase.

/// The counters that a thread may still use of one session, and the size of its next block.
struct CounterBlock {
    private var next: UInt64 = 0
    private var end: UInt64 = 0
    private var since = Instant.origin
    /// Doubles while blocks are used up in time, so that a session with few packets skips few counters.
    private var size: UInt64 = 1
    /// One by one where the other end puts packets in order (§7): what waits in a block would be a gap there.
    var isSingle = false
    /// The key of the phase that the counters were taken in. A phase that ends meanwhile changes nothing about them: whoever
    /// counts on from T (§7) has other counters.
    private var owner: SendingKey?
    private var key: SendingKeyReference?

    /// A counter that nobody else has and the key to seal with, to be used before anything else of this block; nil if the key
    /// reached its hard limit.
    @inline(__always)
    mutating func take(of session: Session, now: Instant) -> (counter: UInt64, key: SendingKeyReference)? {
        if next == end || isStale(session, now) {
            guard renew(of: session, now: now) else { return nil }
        }
        guard let key else { return nil }
        defer { next &+= 1 }
        return (next, key)
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
        size = wasUsedInTime && !isSingle ? min(size * 2, Limits.counterBlock) : 1
        while true {
            let taken = session.reserve(size)
            // §7: hard stop at 2^30 frames a phase.
            func isSpent(_ key: SendingKey) -> Bool {
                taken.counter &+ size &- key.firstCounter > Limits.framesPerPhase
            }
            if let key, key.withObject({ $0.phase }) == taken.phase {
                if key.withObject(isSpent) { return false }
            } else {
                // This thread slept while phases went by: the counters are lost, the next ones are of a phase that lives.
                guard let new = session.sendingKey(of: taken.phase) else { continue }
                if isSpent(new) { return false }
                (owner, key) = (new, SendingKeyReference(new))
            }
            (next, end, since) = (taken.counter, taken.counter + size, now)
            return true
        }
    }
}
