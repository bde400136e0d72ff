// SPDX-License-Identifier: Apache-2.0
// Cover traffic (§7): datagrams of nothing at random times, so that an idle tunnel looks like one that is used a little. It knows
// nothing of the real traffic and never waits for it: what it hides is whether there is any, as long as that is little.
internal import VPNCrypto

extension NodeStateMachine {
    /// Sends a datagram of nothing where one is due, and draws the time of the next.
    mutating func coverTraffic(_ slot: PeerSlot, now: Instant) {
        guard parameters.coverBytesPerSecond > 0, let peer = peers[slot] else { return }
        guard let session = peer.ring.current?.session, let carrier = peer.carrier else {
            peers[slot]?.cover = nil
            return
        }
        let ceiling = plaintextCeiling(slot)
        let sizes = parameters.padding.sizes(ceiling: ceiling)
        if let due = peer.cover {
            guard now >= due else { return }
            let size = sizes[Int(random() % UInt64(sizes.count))]
            if let datagram = session.sealFrame(
                type: .pad, payload: [], padding: .buckets([size]), ceiling: ceiling, now: now)
            {
                cover.add(bytes: datagram.count)
                push(.transmit(datagram, carrier))
            }
        }
        // From now, not from when it was due: a machine that slept owes nothing.
        let next = now + coverPause(sizes)
        peers[slot]?.cover = next
    }

    /// Exponentially distributed, so that what is past tells nothing of what comes; its mean keeps the budget.
    private func coverPause(_ sizes: [Int]) -> TimeSpan {
        let bytes = sizes.reduce(0) { $0 + $1 + Limits.outerHeader + Limits.tag } / sizes.count
        let mean = UInt64(bytes) * 1_000_000_000 / UInt64(parameters.coverBytesPerSecond)
        let drawn = ExponentialDraw.next { random() }
        return TimeSpan(nanoseconds: UInt64(drawn.whole) * mean + mean.multipliedFullWidth(by: drawn.fraction).high)
    }

    private func random() -> UInt64 { cryptography.randomBytes(8).u64(at: 0) }
}

/// A number from the exponential distribution of mean 1 by comparisons alone (von Neumann 1951): this room has no logarithm.
enum ExponentialDraw {
    /// `whole` + `fraction` / 2^64.
    static func next(uniform: () -> UInt64) -> (whole: UInt32, fraction: UInt64) {
        var whole: UInt32 = 0
        while true {
            let first = uniform()
            var last = first
            var length = 1
            while true {
                let drawn = uniform()
                if drawn >= last { break }
                last = drawn
                length += 1
            }
            // A falling run of odd length has the probability e^-x of the x that it began with.
            if length % 2 == 1 { return (whole, first) }
            whole += 1
        }
    }
}

/// What cover traffic has cost since the start.
public struct CoverCost: Hashable, Sendable {
    public private(set) var datagrams: UInt64 = 0
    /// Of UDP payload.
    public private(set) var bytes: UInt64 = 0

    mutating func add(bytes count: Int) {
        datagrams += 1
        bytes += UInt64(count)
    }
}
