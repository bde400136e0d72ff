// SPDX-License-Identifier: Apache-2.0
// Whether a path still answers (§8): when to ask the farthest hop that it has for a sign of life, and when to believe that there will
// be none. It sends nothing and measures nothing itself.

/// Of one path, for as long as it is being built or in use. Anything authentic that comes in the session with its farthest hop is an
/// answer.
struct CircuitVigil {
    enum Step: Equatable { case wait, ask, failed }

    /// When `step` is to be taken.
    private(set) var due: Instant
    /// Questions without an answer, and when the first of them was asked.
    private var asked = 0
    private var askedFirst = Instant.origin
    /// When the second question without an answer was asked: since then it is worth asking the hops before, too.
    private(set) var doubted: Instant?
    /// 0 … 255 for 75 … 125 % of an interval.
    private var jitter: UInt8

    init(now: Instant, jitter: UInt8) {
        self.jitter = jitter
        due = now + Limits.vigilBusy
    }

    /// - Parameters:
    ///   - heard: when something came last.
    ///   - used: when a packet went or came last.
    ///   - roundTrip: what an answer took; nil where none came yet, and it may take as long as any.
    ///   - random: for the next interval.
    mutating func step(
        now: Instant, heard: Instant, used: Instant, roundTrip: TimeSpan?, random: UInt8
    ) -> Step {
        guard now >= due else { return .wait }
        if heard >= askedFirst { (asked, doubted) = (0, nil) }
        let patience =
            roundTrip.map { min(max(Limits.vigilAnswer, $0 * 3), Limits.vigilLongestAnswer) }
            ?? Limits.vigilLongestAnswer
        if asked == 0 {
            let isBusy = now.since(used) < Limits.vigilBusyFor
            let next = heard + jittered(isBusy ? Limits.vigilBusy : Limits.vigilIdle)
            guard now >= next else {
                // Traffic may begin at any time, and nobody tells.
                due = min(next, now + Limits.vigilBusy)
                return .wait
            }
            jitter = random
            askedFirst = now
            asked = 1
            due = now + patience
            return .ask
        }
        guard asked < Limits.vigilQuestions else { return .failed }
        asked += 1
        doubted = doubted ?? now
        due = now + (asked < Limits.vigilQuestions ? Limits.vigilRepeat : max(Limits.vigilRepeat, patience))
        return .ask
    }

    private func jittered(_ span: TimeSpan) -> TimeSpan {
        TimeSpan(nanoseconds: span.nanoseconds / 4 * 3 + span.nanoseconds / 2 * UInt64(jitter) / 255)
    }
}
