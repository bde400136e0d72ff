// SPDX-License-Identifier: Apache-2.0
// Addresses of guests who have gone, until the kernel has forgotten their connections: whoever gets one next, a minute later, must not
// get what is still under way to them. A value; the kernel is ConnectionTracking's.
internal import VPNCore

struct ExitLeavers: Sendable {
    /// Since when each is free.
    private var free: [IPAddress: Instant] = [:]
    private var isBusy = false
    private var hasComplained = false

    /// What of theirs is under way in this host comes to its end first.
    static let pause = TimeSpan.seconds(5)
    /// Then others may have the address soon (`Limits.leaseQuarantine`), and connections of theirs would be cut.
    static let last = TimeSpan.seconds(45)

    mutating func add(_ addresses: [IPAddress], now: Instant) { for address in addresses { free[address] = now } }

    /// Those whose connections are to be forgotten now; nil where there are none, or while some are being forgotten.
    mutating func begin(now: Instant) -> Set<IPAddress>? {
        guard !isBusy else { return nil }
        free = free.filter { now.since($0.value) < Self.last }
        let due = Set(free.filter { now.since($0.value) >= Self.pause }.keys)
        isBusy = !due.isEmpty
        return due.isEmpty ? nil : due
    }

    /// Tried again unless it is done.
    mutating func finish(_ addresses: Set<IPAddress>, isDone: Bool) {
        isBusy = false
        guard isDone else { return }
        for address in addresses { free[address] = nil }
        hasComplained = false
    }

    /// Whether this is the first complaint since all was well.
    mutating func complain() -> Bool {
        defer { hasComplained = true }
        return !hasComplained
    }
}
