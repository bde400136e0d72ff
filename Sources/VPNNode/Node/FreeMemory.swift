// SPDX-License-Identifier: Apache-2.0
// When a daemon gives memory back to the system that it does not use: after handshakes, and not while there are more of them.

import VPNCore

struct FreeMemory {
    /// Answers to handshakes are kept for half a minute.
    static let calm = TimeSpan.seconds(40)
    /// Where there is no calm.
    static let most = TimeSpan.seconds(300)

    /// When sessions came or went first and last since memory was given back; nil while none did.
    private var changed: (first: Instant, last: Instant)?

    /// A session came or went.
    mutating func note(now: Instant) { changed = (changed?.first ?? now, now) }

    /// Whether it is time; asked every now and then.
    mutating func isDue(now: Instant) -> Bool {
        guard let (first, last) = changed, now.since(last) >= Self.calm || now.since(first) >= Self.most else {
            return false
        }
        changed = nil
        return true
    }
}
