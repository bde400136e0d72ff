// SPDX-License-Identifier: Apache-2.0
// The sessions with one peer (§6): previous, current and next.
internal import VPNCrypto

/// A session and what the control side remembers of it.
struct HeldSession {
    let session: Session
    let summary: SessionSummary
    let installed: Instant
    /// When a successor should be made.
    var renew: Instant
    var expires: Instant
    /// The name of the next_psk that its handshake left, and of the one that it mixed; 0 is none. A session that mixed what
    /// another left came after it, whatever the clocks say.
    let leaves: UInt32
    let mixed: UInt32
    /// Since when it only receives; nil while it is sent on.
    var replaced: Instant?
    /// When the first valid DATA of the other end came in it. Both ends see that within a round trip, whenever S2 came.
    var confirmed: Instant?
    /// What its handshake mixed and what it left, until the session is confirmed.
    @Rare var chained: (used: PresharedKey?, next: PresharedKey)? = nil
    /// It was begun with an invitation that is not used up yet: until it is, the session carries nothing.
    @Rare var claim: InvitationClaim? = nil
    /// Whose keys are to be pinned when its first valid DATA comes: of this session, not of another that the same entry has.
    @Rare var pin: PinnedPeer? = nil

    /// Since when nothing came in it, or it was replaced.
    var quietSince: Instant { max(session.lastReceived ?? .origin, replaced ?? .origin) }
}

/// Current is what is sent on. A responder's new session waits in `next` until its first valid DATA proves that the
/// initiator has it; `previous` still receive for a grace time, so that no packet under way is lost, and longer where the other
/// end goes on sending on them. They are more than one where both ends began a handshake at once.
struct KeyRing {
    /// The oldest first.
    var previous: [HeldSession] = []
    var current: HeldSession?
    @Rare var next: HeldSession? = nil

    var all: [HeldSession] { previous + [current, next].compactMap { $0 } }

    var isEmpty: Bool { previous.isEmpty && current == nil && next == nil }

    /// Whether both ends began a handshake at once: this session's and that of `current`. They crossed unless one mixed what the
    /// other left, which both ends see alike.
    func isCrossed(by held: HeldSession, now: Instant) -> Bool {
        guard let current, held.summary.role != current.summary.role, held.mixed != current.leaves,
            current.mixed != held.leaves
        else { return false }
        return now.since(current.confirmed ?? now) < Limits.simultaneousSessions
    }

    /// Whether `current` goes on in spite of a session that was confirmed now, which only receives then. Where two crossed, both
    /// ends send on the one that the smaller id began; one that was not heard yet may be no more at the other end.
    func keepsCurrent(over held: HeldSession, ownID: PeerID, now: Instant) -> Bool {
        guard let current, current.confirmed != nil, isCrossed(by: held, now: now) else { return false }
        let began = current.summary.role == .initiator ? ownID : current.summary.peer
        let other = current.summary.role == .initiator ? current.summary.peer : ownID
        return began < other
    }

    /// What is to be pinned since this session was heard; once.
    mutating func takePin(of session: Session) -> PinnedPeer? {
        var pin: PinnedPeer?
        if next?.session === session {
            pin = next?.pin
            next?.pin = nil
        } else if current?.session === session {
            pin = current?.pin
            current?.pin = nil
        } else if let place = previous.firstIndex(where: { $0.session === session }) {
            pin = previous[place].pin
            previous[place].pin = nil
        }
        return pin
    }

    func held(_ index: UInt32) -> HeldSession? { all.first { $0.session.localIndex == index } }
}
