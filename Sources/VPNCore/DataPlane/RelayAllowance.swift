// SPDX-License-Identifier: Apache-2.0
// Bytes that one client, or one link, may have relayed in a second (§8), shared out among its circuits. Nothing waits for its turn:
// what has none is dropped, and it is the circuit that asks for the most which loses.

import Synchronization

/// One circuit's part in an allowance. Workers count.
struct RelayShare: ~Copyable, Sendable {
    /// Until when what it had is paid for at an equal share, in nanoseconds.
    fileprivate let paid = Atomic<UInt64>(0)
    /// The span in which it was counted last.
    fileprivate let span = Atomic<UInt64>(0)
}

/// A rate that is not exceeded by more than a burst, whoever asks. While there is room everybody has it; where there is none,
/// only circuits that are within an equal share of the rate do. Threads that meet may let a few packets more pass, never fewer.
final class RelayAllowance: Sendable {
    /// 0 = no limit.
    private let bytesPerSecond: UInt64
    /// Until when what passed is paid for, in nanoseconds.
    private let paid = Atomic<UInt64>(0)
    /// Circuits that carry something: counted in this span, and of the last whole one.
    private let span = Atomic<UInt64>(0)
    private let counted = Atomic<UInt64>(0)
    private let active = Atomic<UInt64>(1)

    init(bytesPerSecond: UInt64) { self.bytesPerSecond = bytesPerSecond }

    /// Whether a circuit may have so many bytes now; counted if it may.
    func take(_ bytes: Int, _ share: borrowing RelayShare, now: Instant) -> Bool {
        if bytesPerSecond == 0 { return true }
        let now = now.nanoseconds
        count(share, now)
        let sharers = max(active.load(ordering: .relaxed), counted.load(ordering: .relaxed), 1)
        let (owed, owedByIt) = (Self.owed(paid, now), Self.owed(share.paid, now))
        let isWithinShare = owedByIt <= Limits.relayShareBurst.nanoseconds
        guard owed <= (isWithinShare ? Limits.relayBurst : Limits.relayRoom).nanoseconds else { return false }
        let cost = UInt64(bytes) &* 1_000_000_000 / bytesPerSecond
        Self.charge(paid, cost, now)
        Self.charge(share.paid, cost &* sharers, now)
        return true
    }

    /// Notes that a circuit carries something, once in a span.
    private func count(_ share: borrowing RelayShare, _ now: UInt64) {
        let current = now / Limits.relaySpan.nanoseconds
        let last = span.load(ordering: .relaxed)
        if last != current, span.compareExchange(expected: last, desired: current, ordering: .relaxed).exchanged {
            let counted = counted.exchange(0, ordering: .relaxed)
            active.store(last &+ 1 == current ? counted : 0, ordering: .relaxed)
        }
        if share.span.exchange(current, ordering: .relaxed) != current { counted.wrappingAdd(1, ordering: .relaxed) }
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
