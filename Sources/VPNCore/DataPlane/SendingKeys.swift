// SPDX-License-Identifier: Apache-2.0
// What a session seals with: its counters, and the keys of the phase that counters are taken of now and of the one before (§7).
// When a phase should begin is decided elsewhere; whether it may is decided here and in ReceivingKeys.

import VPNCrypto
internal import VPNLock

/// The key of one phase. Threads that hold counters of the phase hold this, too; the key is wiped with the last of them.
final class SendingKey: Sendable {
    let phase: UInt64
    /// T of §7: the first counter of the phase.
    let firstCounter: UInt64
    let key: PacketKey

    init(phase: UInt64, firstCounter: UInt64, key: consuming PacketKey) {
        self.phase = phase
        self.firstCounter = firstCounter
        self.key = key
    }

    /// Header types 10 and 11 are the parity of the phase.
    @inline(__always)
    var type: DatagramType { phase & 1 == 0 ? .data0 : .data1 }
}

/// The sending half of a session's keys. Any number of threads at once; packets need no lock of it but at their thread's first
/// counter of a phase.
struct SendingKeys: ~Copyable, Sendable {
    private struct Keys: ~Copyable {
        var ratchet: KeyRatchet
        var current: SendingKey
        /// Until every thread has used up or given back its counters of that phase.
        var previous: SendingKey?
        /// When the current phase began.
        var since: Instant
    }

    private let counters: PhasedCounter
    private let keys: Guarded<Keys>

    init(_ ratchet: consuming KeyRatchet, counterStart: UInt64, now: Instant) {
        var ratchet = ratchet
        counters = PhasedCounter(first: counterStart)
        let first = SendingKey(phase: 0, firstCounter: counterStart, key: ratchet.next())
        keys = Guarded(Keys(ratchet: ratchet, current: first, previous: nil, since: now))
    }

    // MARK: - Counters

    /// Takes counters for one thread; they are to be sealed with the key of their phase.
    @inline(__always)
    func reserve(_ count: UInt64) -> PhasedCounter.Value { counters.reserve(count) }

    /// The first counter that nobody has taken.
    @inline(__always)
    var firstUnreserved: UInt64 { counters.next.counter }

    /// The key of a phase of which counters were taken; nil if it is wiped by now, and its counters are lost.
    func key(of phase: UInt64) -> SendingKey? {
        keys.withLock { keys in
            if keys.current.phase == phase { return keys.current }
            guard let previous = keys.previous, previous.phase == phase else { return nil }
            return previous
        }
    }

    // MARK: - Phases

    /// The current phase, when it began and how many counters of it were taken.
    var status: (phase: UInt64, since: Instant, frames: UInt64) {
        keys.withLock { keys in
            (keys.current.phase, keys.since, counters.next.counter &- keys.current.firstCounter)
        }
    }

    /// Begins the phase after `phase`; false if that is not the current one, or the last.
    func start(after phase: UInt64, now: Instant) -> Bool {
        keys.withLock { keys in
            guard keys.current.phase == phase, phase < PhasedCounter.lastPhase else { return false }
            advance(&keys, now)
            return true
        }
    }

    /// The peer is in `phase`: moves there, if not there already. False if the peer cannot be there, since it never had a
    /// frame of the phase before to open.
    func follow(to phase: UInt64, now: Instant) -> Bool {
        keys.withLock { keys in
            if keys.current.phase >= phase { return true }
            guard keys.current.phase + 1 == phase, phase <= PhasedCounter.lastPhase,
                counters.next.counter != keys.current.firstCounter
            else { return false }
            advance(&keys, now)
            return true
        }
    }

    private func advance(_ keys: inout Keys, _ now: Instant) {
        // A thread that takes counters of the new phase before its key is there waits for this lock.
        let phase = keys.current.phase + 1
        let first = counters.beginPhase()
        keys.previous = keys.current
        keys.current = SendingKey(phase: phase, firstCounter: first, key: keys.ratchet.next())
        keys.since = now
    }

    /// Lets go of the previous phase's key after its grace; whether there was one.
    func dropPrevious(now: Instant) -> Bool {
        keys.withLock { keys in
            guard keys.previous != nil, now.since(keys.since) >= Limits.keyPhaseGrace else { return false }
            keys.previous = nil
            return true
        }
    }
}
