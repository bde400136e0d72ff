// SPDX-License-Identifier: Apache-2.0
// How often senders of packets are told, by ICMP, that theirs went nowhere: sources can be forged, so that each answer may go to a
// bystander.

/// So many answers in each second of one worker, and silence after that.
public struct AnswerRate: Sendable {
    private var since = Instant.origin
    private var count = 0

    public init() {}

    /// Whether one more may be given.
    public mutating func admit(now: Instant) -> Bool {
        if now.since(since) >= .seconds(1) { (since, count) = (now, 0) }
        guard count < Limits.answersPerSecond else { return false }
        count += 1
        return true
    }
}
