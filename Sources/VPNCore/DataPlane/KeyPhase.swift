// SPDX-License-Identifier: Apache-2.0
// Where a session stands in its ratchet (§7): a value for those who decide when the next phase begins.

/// A session's key phases, one moment's view.
struct KeyPhase: Equatable {
    /// The phase of what is sealed now.
    var sending: UInt64
    /// The phase of the newest key that opened something: the same, or one less.
    var receiving: UInt64
    /// When the sending phase began.
    var since: Instant
    /// Whether the peer is known to be here, too.
    var mayEnd: Bool
    /// Frames of this phase, in the direction that had more.
    var frames: UInt64
}
