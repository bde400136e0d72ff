// SPDX-License-Identifier: Apache-2.0
// When a session's next key phase begins, and when the keys of the one before go (§7). How: Session.
internal import VPNCrypto

extension NodeStateMachine {
    /// Once a second, for the session that is sent on.
    mutating func maintainPhase(_ held: HeldSession, slot: PeerSlot, now: Instant) {
        let session = held.session
        if session.dropOldKeys(now: now) { push(.dataPlane(.dropOldKeys(session.localIndex))) }
        // The initiator alone begins a phase. Were both to, one could be two phases ahead of the other by the loss of a whole
        // phase's frames in one direction, and no key would fit any more.
        guard held.summary.role == .initiator else { return }
        let phase = session.phase
        guard phase.mayEnd, isDue(phase, session, now), session.startPhase(now: now) else { return }
        // Its answer shows that the other end came along, so that the old keys go even where nothing else is said.
        sendKeepalive(slot, now: now)
    }

    private func isDue(_ phase: KeyPhase, _ session: Session, _ now: Instant) -> Bool {
        if phase.frames >= Limits.framesBeforePhase { return true }
        guard now.since(phase.since) >= Limits.keyPhase else { return false }
        // A phase in which no inner packet went has nothing to put behind.
        return max(session.lastPayloadSent ?? .origin, session.lastPayloadReceived ?? .origin) >= phase.since
    }
}
