// SPDX-License-Identifier: Apache-2.0
// Whether the tunnel interface is there, between those who see it vanish and the one who makes it anew: it may vanish again
// before it is known that it was made.

struct TunnelLoss {
    private(set) var isGone = false
    private var hasVanishedAgain = false

    /// It vanished. Whether somebody is to begin with a new one; whoever is at it learns by `made` that this one is lost, too.
    mutating func vanished() -> Bool {
        if isGone {
            hasVanishedAgain = true
            return false
        }
        isGone = true
        return true
    }

    /// A new one was made. False where it vanished meanwhile: one more is to be made.
    mutating func made() -> Bool {
        isGone = hasVanishedAgain
        hasVanishedAgain = false
        return !isGone
    }
}
