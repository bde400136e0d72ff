// SPDX-License-Identifier: Apache-2.0
// When an unanswered datagram of the handshake is sent again (§5).

/// 0.25, 0.75 and 1.75 s after the first sending, then every 2 s, each ± 10 %.
struct RetransmitSchedule {
    private var sent = 0
    private(set) var next: Instant

    /// `jitter`: a random byte, that nodes which start together do not stay in step.
    init(now: Instant, jitter: UInt8) { next = now + Self.gap(0, jitter) }

    mutating func advance(now: Instant, jitter: UInt8) {
        sent += 1
        next = now + Self.gap(sent, jitter)
    }

    private static func gap(_ sent: Int, _ jitter: UInt8) -> TimeSpan {
        let milliseconds: UInt64 =
            switch sent {
            case 0: 250
            case 1: 500
            case 2: 1000
            default: 2000
            }
        // 0.9 to 1.1 of it.
        return TimeSpan(nanoseconds: milliseconds * (900_000 + UInt64(jitter) * 200_000 / 255))
    }
}
