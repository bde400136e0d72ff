// SPDX-License-Identifier: Apache-2.0
// A session's next counter and its key phase (§7) in one word, so that whoever takes counters learns by the same step which key
// they belong to, whatever other threads do. It knows no keys.

import Synchronization

/// Counters in the lower 48 bits, the phase in the upper 16.
///
/// Neither overflows: a session begins below 2^31, and 2^16 phases of at most 2^30 frames are less than 2^47.
struct PhasedCounter: ~Copyable, Sendable {
    struct Value {
        var counter: UInt64
        var phase: UInt64
    }

    private static var shift: UInt64 { 48 }
    /// There is no phase after this one.
    static var lastPhase: UInt64 { UInt64(UInt16.max) }

    private let word: Atomic<UInt64>

    /// Phase 0.
    init(first: UInt64) { word = Atomic(first) }

    /// Takes `count` counters; the first of them, and the phase of all of them.
    @inline(__always)
    func reserve(_ count: UInt64) -> Value {
        PhasedCounter.split(word.wrappingAdd(count, ordering: .relaxed).oldValue)
    }

    /// The first counter that nobody has taken, and the phase that it would be of.
    @inline(__always)
    var next: Value { PhasedCounter.split(word.load(ordering: .relaxed)) }

    /// Begins the next phase; the first counter of it (T of §7). One thread at a time, and never in the last phase.
    func beginPhase() -> UInt64 {
        PhasedCounter.split(word.wrappingAdd(1 << PhasedCounter.shift, ordering: .relaxed).oldValue).counter
    }

    @inline(__always)
    private static func split(_ word: UInt64) -> Value {
        Value(counter: word & (1 << shift - 1), phase: word >> shift)
    }
}
