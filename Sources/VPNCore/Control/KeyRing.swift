// SPDX-License-Identifier: Apache-2.0
// The sessions with one peer (§6): previous, current and next.

/// A session and what the control side remembers of it.
struct HeldSession {
    let session: Session
    let summary: SessionSummary
    let installed: Instant
    /// When a successor should be made, jittered.
    var renew: Instant
    var expires: Instant
}

/// Current is what is sent on. A responder's new session waits in `next` until its first valid DATA proves that the
/// initiator has it; `previous` still receives for a grace time, so that no packet under way is lost.
struct KeyRing {
    var previous: HeldSession?
    var current: HeldSession?
    var next: HeldSession?

    var all: [HeldSession] { [previous, current, next].compactMap { $0 } }

    var isEmpty: Bool { previous == nil && current == nil && next == nil }

    func held(_ index: UInt32) -> HeldSession? { all.first { $0.session.localIndex == index } }
}
