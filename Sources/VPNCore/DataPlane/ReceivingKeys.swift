// SPDX-License-Identifier: Apache-2.0
// What a session opens with: the replay window, and the keys of the current key phase and of its neighbours (§7). One thread at a
// time: the session holds it behind a lock. Nothing moves before a tag has verified.

import VPNCrypto

/// The receiving half of a session's keys.
struct ReceivingKeys: ~Copyable {
    private var window: ReplayWindow
    /// The phase of the newest key with which a datagram was opened.
    private(set) var phase: UInt64 = 0
    /// Whether a datagram of the current phase was opened. Always, but in phase 0.
    private(set) var hasOpened = false
    private var current: PacketKey
    /// Made when a datagram first asks for it, and kept: forged ones cost one derivation a phase, and a session that is idle holds one
    /// key less.
    private var next: PacketKey?
    /// For datagrams on their way when the phase changed.
    private var previous: PacketKey?
    private var ratchet: KeyRatchet
    /// The lowest counter opened in the current phase; 0 before the first.
    private var lowest: UInt64 = 0
    /// When the current phase began.
    private var since: Instant

    init(_ ratchet: consuming KeyRatchet, windowWidth: Int, now: Instant) {
        var ratchet = ratchet
        window = ReplayWindow(width: windowWidth)
        current = ratchet.next()
        self.ratchet = ratchet
        since = now
    }

    /// Opens a datagram in place. Check, open, **then** mark (§7).
    ///
    /// - Parameters:
    ///   - header: its outer header, which is DATA.
    ///   - sending: moves on, too, where the datagram is the first of a new phase.
    @inline(__always)
    mutating func open(
        _ buffer: inout MutableSpan<UInt8>, datagram: Range<Int>, header: OuterHeader,
        sending: borrowing SendingKeys, now: Instant
    ) -> OpenVerdict {
        guard datagram.count >= Limits.smallestData else { return .drop(.tooShort) }
        let counter = header.word
        switch window.check(counter) {
        case .fresh: break
        case .duplicate: return .drop(.replayDuplicate)
        case .tooOld: return .drop(.replayTooOld)
        }
        if header.type == (phase & 1 == 0 ? .data0 : .data1) {
            guard current.open(&buffer, range: datagram, counter: counter) else { return .drop(.authentication) }
            lowest = hasOpened ? min(lowest, counter) : counter
            hasOpened = true
        } else if let refusal = openNeighbour(&buffer, datagram, counter, sending, now) {
            return refusal
        }
        window.mark(counter)
        let plaintext = datagram.lowerBound + Limits.outerHeader..<datagram.upperBound - Limits.tag
        switch Frame.decode(buffer, plaintext) {
        case .frame(let view): return .frame(view)
        case .malformed(let reason): return .violation(reason)
        }
    }

    /// Of the other parity: below the lowest counter of the current phase it is of the phase before, else of the next. Nil if it
    /// opened.
    @inline(never)
    private mutating func openNeighbour(
        _ buffer: inout MutableSpan<UInt8>, _ datagram: Range<Int>, _ counter: UInt64,
        _ sending: borrowing SendingKeys, _ now: Instant
    ) -> OpenVerdict? {
        if counter < lowest {
            guard let isOpen = previous?.open(&buffer, range: datagram, counter: counter) else {
                return .drop(.keyPhase)
            }
            return isOpen ? nil : .drop(.authentication)
        }
        if next == nil { next = ratchet.next() }
        guard next?.open(&buffer, range: datagram, counter: counter) == true else { return .drop(.authentication) }
        // Authentic, and too early: the peer cannot have opened a frame of ours that this end never sealed.
        guard sending.follow(to: phase + 1, now: now) else { return .violation(.keyPhase) }
        advance(counter, now)
        return nil
    }

    private mutating func advance(_ counter: UInt64, _ now: Instant) {
        guard var key = next.take() else { return }
        phase += 1
        lowest = counter
        hasOpened = true
        since = now
        swap(&key, &current)
        previous = consume key
    }

    mutating func widenWindow(to width: Int) { window.widen(to: width) }

    /// Only below the highest counter that was opened: nothing but a tag moves the window on.
    mutating func markReceived(_ counter: UInt64) -> Bool {
        guard counter <= window.highest, window.check(counter) == .fresh else { return false }
        window.mark(counter)
        return true
    }

    /// Wipes the previous phase's key after its grace.
    mutating func dropPrevious(now: Instant) {
        if now.since(since) >= Limits.keyPhaseGrace { previous = nil }
    }

    /// The highest counter that was opened; 0 before the first.
    @inline(__always)
    var highest: UInt64 { window.highest }

    /// Counters from the lowest that was opened in this phase to the highest of all.
    var span: UInt64 { hasOpened ? window.highest &- lowest &+ 1 : 0 }
}
