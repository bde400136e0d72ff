// SPDX-License-Identifier: Apache-2.0
// Whether a patch carries (§9): up, suspect after max(3·srtt, 300 ms) of silence with a probe out, down after two more probes. It sends
// nothing: it says when to probe, and what to think.

/// What is thought of a patch.
public enum PatchState: String, Hashable, Sendable, CaseIterable {
    /// Its join is not proven yet.
    case joining
    case up
    /// Nothing new goes there, and what it may have lost goes elsewhere again.
    case suspect
    /// It is probed, and joins anew with its first answer.
    case down
}

struct PatchHealth: Sendable {
    private(set) var state = PatchState.joining
    /// When the next probe goes.
    private(set) var nextProbe: Instant
    private var lastHeard: Instant
    /// Probes that went since the patch became suspect.
    private var asked = 0
    private var suspectAt: Instant?

    init(now: Instant) {
        nextProbe = now
        lastHeard = now
    }

    /// Something authentic came on the patch.
    mutating func heard(now: Instant) { lastHeard = max(lastHeard, now) }

    /// A probe of this patch was answered, or its join proven. True if the patch is up by that and was not before.
    mutating func answered(now: Instant) -> Bool {
        heard(now: now)
        suspectAt = nil
        asked = 0
        guard state != .up else { return false }
        state = .up
        // It was asked rarely while it was down: what is lost next would be noticed as late.
        nextProbe = min(nextProbe, now + Limits.patchProbeBusy)
        return true
    }

    /// A probe went.
    /// - Parameter random: uniform over 0 … 255, by which probes are up to 25 % early or late.
    mutating func probed(isBusy: Bool, random: UInt8, now: Instant) {
        if state == .suspect { asked += 1 }
        let pause: TimeSpan =
            switch state {
            case .suspect: Limits.patchProbeSuspect
            case .down: Limits.patchProbeDown
            case .joining, .up: isBusy ? Limits.patchProbeBusy : Limits.patchProbeIdle
            }
        // 0.75 … 1.25 of it.
        nextProbe = now + TimeSpan(nanoseconds: pause.nanoseconds / 512 * (384 + UInt64(random)))
    }

    /// Traffic began on an idle patch: it is probed as a busy one from now on.
    mutating func becameBusy(now: Instant) { nextProbe = min(nextProbe, now + Limits.patchProbeBusy) }

    /// How long a patch with this round trip may be silent.
    static func patience(_ roundTrip: TimeSpan?) -> TimeSpan {
        max((roundTrip ?? .milliseconds(333)) * 3, Limits.patchSilence)
    }

    /// What the time changes; nil for nothing.
    /// - Parameter unansweredSince: when the oldest probe without an answer went.
    mutating func advance(roundTrip: TimeSpan?, unansweredSince: Instant?, now: Instant) -> PatchState? {
        guard let due = deadline(roundTrip: roundTrip, unansweredSince: unansweredSince), due <= now else { return nil }
        switch state {
        case .up:
            state = .suspect
            suspectAt = now
            asked = 0
            nextProbe = now
        case .suspect, .joining: state = .down
        case .down: return nil
        }
        return state
    }

    /// When `advance` has something to say.
    func deadline(roundTrip: TimeSpan?, unansweredSince: Instant?) -> Instant? {
        switch state {
        case .up:
            guard let asked = unansweredSince else { return nil }
            // Whatever else is heard: it comes the other way, and that may live while this one does not.
            return asked + PatchHealth.patience(roundTrip)
        case .suspect:
            guard asked >= Limits.patchSuspectProbes, let suspectAt else { return nil }
            return suspectAt + Limits.patchSuspicion
        case .joining: return lastHeard + Limits.patchJoin
        case .down: return nil
        }
    }
}
