// SPDX-License-Identifier: Apache-2.0
// Bytes that all clients, one client, or one link may have relayed in a second (§8), shared out among the circuits. Nothing waits for
// its turn: what has none is dropped, and it is the circuit that asks for the most which loses.

import Synchronization

/// One circuit's part in an allowance. Workers count.
final class RelayShare: Sendable {
    private let allowance: RelayAllowance
    /// Until when what it had is paid for at the rate of one part.
    fileprivate let paid = Atomic<UInt64>(0)
    /// The span in which it asked last, and for how much.
    fileprivate let span = Atomic<UInt64>(0)
    fileprivate let asked = Atomic<UInt64>(0)

    init(of allowance: RelayAllowance) { self.allowance = allowance }

    /// Whether the circuit may have so many bytes now; counted if it may.
    func take(_ bytes: Int, now: Instant) -> Bool { allowance.take(bytes, self, now: now) }
}

/// A rate that is not exceeded by more than a burst, cut into equal parts: into so many that what circuits ask for within one part each
/// just fills it (core-stateless fair queueing, Stoica, Shenker, Zhang 1998, with the rates of circuits counted here). Who is within
/// his part may come where much is owed by all of them together, and the more so the less he has had; all others where next to
/// nothing is. Threads that meet may let a few packets more pass, never fewer.
///
/// Time is in nanoseconds, and bytes are counted as the time that they take at the whole rate.
final class RelayAllowance: Sendable {
    /// Not 0.
    let bytesPerSecond: UInt64
    /// What may be owed by all of them; what a circuit that was silent may have at once; and how long the parts stay as they are.
    private let burst: UInt64
    private let ownBurst: UInt64
    private let span: UInt64
    /// Until when what passed is paid for.
    private let paid = Atomic<UInt64>(0)
    /// Sixteenths of parts.
    private let parts = Atomic<UInt64>(RelayAllowance.whole)
    /// The span that is counted, what was asked for in it, and what of that was within a part.
    private let counted = Atomic<UInt64>(0)
    private let asked = Atomic<UInt64>(0)
    private let within = Atomic<UInt64>(0)

    private static let whole: UInt64 = 16

    init(bytesPerSecond: UInt64) {
        precondition(bytesPerSecond > 0, "an allowance of nothing")
        self.bytesPerSecond = bytesPerSecond
        let bytes = UInt64(Limits.relayBurstBytes) * 1_000_000_000 / bytesPerSecond
        span = max(Limits.relayBurst.nanoseconds, bytes)
        burst = 2 * span
        ownBurst = bytes / 2
    }

    fileprivate func take(_ bytes: Int, _ share: RelayShare, now: Instant) -> Bool {
        let now = now.nanoseconds
        turn(now)
        let cost = UInt64(bytes) &* 1_000_000_000 / bytesPerSecond
        let parts = parts.load(ordering: .relaxed)
        count(cost, share, part: span &* Self.whole / parts, now)
        // In the circuit's own time, which runs as much slower as its part is smaller.
        let most = max(span, ownBurst &* parts / Self.whole)
        let (owed, own) = (Self.owed(paid, now), Self.owed(share.paid, now))
        // Small ones are mostly questions whether a circuit still lives: one that has too much to carry must not die of it.
        var limit = bytes <= Limits.smallPacket ? burst / 8 * 5 : Limits.relayRoom.nanoseconds
        if own < most {
            // What is left over by others is nobody's debt: it is charged no further than this.
            Self.charge(share.paid, cost &* parts / Self.whole, now)
            limit = burst / 2 + burst / 512 * ((most - own) / (most / 256))
        }
        guard owed <= limit else { return false }
        Self.charge(paid, cost, now)
        return true
    }

    /// Notes what is asked for, and how much of it lies within one part.
    private func count(_ cost: UInt64, _ share: RelayShare, part: UInt64, _ now: UInt64) {
        let current = now / span
        if share.span.exchange(current, ordering: .relaxed) != current { share.asked.store(0, ordering: .relaxed) }
        let before = share.asked.wrappingAdd(cost, ordering: .relaxed).oldValue
        asked.wrappingAdd(cost, ordering: .relaxed)
        if before < part { within.wrappingAdd(min(cost, part - before), ordering: .relaxed) }
    }

    /// At the end of a span: more parts where there was more within them than there is, fewer where there was less.
    private func turn(_ now: UInt64) {
        let (current, last) = (now / span, counted.load(ordering: .relaxed))
        guard current != last, counted.compareExchange(expected: last, desired: current, ordering: .relaxed).exchanged
        else { return }
        let asked = asked.exchange(0, ordering: .relaxed)
        let within = within.exchange(0, ordering: .relaxed)
        let before = parts.load(ordering: .relaxed)
        var after = before / 8 * 7
        if last &+ 1 != current {
            after = Self.whole
        } else if asked > span {
            // A twentieth of it is left over, so that what is owed goes down again.
            after = before * min(within, 8 * span) / span
            after = min(max(after + after / 20, before / 2), before * 4)
        }
        parts.store(min(max(after, Self.whole), Self.whole << 16), ordering: .relaxed)
    }

    private static func owed(_ paid: borrowing Atomic<UInt64>, _ now: UInt64) -> UInt64 {
        let until = paid.load(ordering: .relaxed)
        return until > now ? until - now : 0
    }

    private static func charge(_ paid: borrowing Atomic<UInt64>, _ cost: UInt64, _ now: UInt64) {
        // What is over is forgotten: nobody saves up for a greater burst.
        paid.max(now, ordering: .relaxed)
        paid.wrappingAdd(cost, ordering: .relaxed)
    }
}
