// SPDX-License-Identifier: Apache-2.0
// How long an inner packet to one peer may be: found by probes of the session's own that arrive or do not (RFC 8899), never by
// what ICMP says, which anybody on the way can forge. A value that says which sizes to probe and when; it sends nothing.

/// The search on one path, in bytes of inner packets.
struct PathMTUSearch {
    private enum Phase {
        /// Sizes that paths commonly have, all at once; repeated for those above the largest that arrived.
        case survey(attempt: Int)
        /// Between what arrives and what does not; one size at a time.
        case narrow(high: Int, attempt: Int)
        /// Found. `attempt` counts the confirmations that were asked for in vain.
        case settled(attempt: Int)
    }

    private struct Probe {
        let nonce: UInt64
        let packet: Int
    }

    /// The longest packet that both interfaces take.
    @Short private(set) var ceiling: Int
    /// What a packet may be now.
    @Short private(set) var current: Int
    /// The longest that is known to arrive; 0 before the first answer.
    @Short private var verified = 0
    private let isV4: Bool
    /// Whether sizes between the common ones are looked for.
    private let narrows: Bool
    /// When `advance` has something to do.
    private(set) var deadline: Instant
    private var phase = Phase.survey(attempt: 0)
    private var outstanding: [Probe] = []
    private var nextClimb: Instant
    /// When the current size was last known to arrive.
    private var confirmed = Instant.origin

    /// Path MTUs that are worth a question of their own: jumbo frames, Ethernet, PPPoE, tunnels over each, IPv6's least, and what a
    /// handshake datagram takes over IPv4: a path that carried a handshake has no less.
    private static let commonPaths = [
        9000, 8000, 4352, 1500, 1492, 1480, 1460, 1440, 1420, 1400, 1380, 1340, 1280, 1260,
    ]

    /// Begins at once. Until it knows better it takes a path for one of 1500 bytes: wrong ones lose a few packets, and nearly
    /// none is wrong.
    ///
    /// - Parameter narrows: false asks for common sizes alone, so that no other size is ever seen.
    init(ceiling: Int, isV4: Bool, narrows: Bool = true, now: Instant) {
        _ceiling = Short(wrappedValue: ceiling)
        self.narrows = narrows
        let usual = Limits.innerMTU(path: Limits.usualPathMTU, isV4: isV4)
        _current = Short(wrappedValue: min(ceiling, usual))
        self.isV4 = isV4
        deadline = now
        nextClimb = now + Limits.pathClimb
    }

    /// The longest that arrived, once it is known that nothing longer does; nil before that, and where nothing did.
    var found: Int? {
        if case .settled = phase, verified > 0 { return verified }
        return nil
    }

    // MARK: - Inputs

    /// A probe's answer; false if it is none of ours. `current` may be more afterwards.
    mutating func answered(_ message: ProbeMessage, now: Instant) -> Bool {
        guard
            let place = outstanding.firstIndex(where: { $0.nonce == message.nonce && $0.packet == Int(message.packet) })
        else { return false }
        let packet = outstanding.remove(at: place).packet
        verified = max(verified, packet)
        if packet >= current {
            current = packet
            confirmed = now
        }
        switch phase {
        case .survey: if packet == ceiling { settle(now) }
        case .narrow(let high, _):
            outstanding.removeAll()
            phase = .narrow(high: high, attempt: 0)
            deadline = now
        case .settled:
            guard packet >= current else { break }
            phase = .settled(attempt: 0)
            deadline = now + Limits.pathCheck
        }
        return true
    }

    /// Sizes to probe now, with a nonce for each. To be called at the deadline.
    ///
    /// - Parameter isBusy: whether packets went to the peer since the last confirmation; an idle path is left alone.
    mutating func advance(now: Instant, isBusy: (Instant) -> Bool, nonce: () -> UInt64) -> [ProbeMessage] {
        guard now >= deadline else { return [] }
        switch phase {
        case .survey(let attempt):
            guard attempt < Limits.pathProbes else { return conclude(now, nonce) }
            phase = .survey(attempt: attempt + 1)
            // The first answer takes as long as the path is; each repeat waits twice as long.
            deadline = now + Limits.pathProbeTimeout * (1 << attempt)
            return ask(([ceiling] + common).filter { $0 > verified }, nonce)
        case .narrow(let high, let attempt):
            guard attempt < Limits.pathProbes else {
                phase = .narrow(high: middle(high), attempt: 0)
                return advance(now: now, isBusy: isBusy, nonce: nonce)
            }
            guard high - verified > Limits.pathPrecision else {
                settle(now)
                return []
            }
            phase = .narrow(high: high, attempt: attempt + 1)
            deadline = now + Limits.pathProbeTimeout
            return ask([middle(high)], nonce)
        case .settled(let attempt):
            // What was asked before it settled has its answer or has none.
            if attempt == 0 { outstanding = [] }
            if now >= nextClimb, current < ceiling, isBusy(confirmed) {
                restart(now)
                return advance(now: now, isBusy: isBusy, nonce: nonce)
            }
            deadline = now + Limits.pathCheck
            guard attempt > 0 || isBusy(confirmed) else { return [] }
            guard attempt < Limits.pathProbes else {
                // What arrived before arrives no more: smaller, or nothing at all. The survey tells.
                restart(now)
                return advance(now: now, isBusy: isBusy, nonce: nonce)
            }
            phase = .settled(attempt: attempt + 1)
            deadline = now + Limits.pathProbeTimeout
            return ask([current], nonce)
        }
    }

    // MARK: - Steps

    private var common: [Int] {
        Self.commonPaths.map { Limits.innerMTU(path: $0, isV4: isV4) }.filter { $0 < ceiling }
    }

    private func middle(_ high: Int) -> Int { (verified + high) / 2 }

    private mutating func ask(_ sizes: [Int], _ nonce: () -> UInt64) -> [ProbeMessage] {
        let messages = sizes.map { ProbeMessage(packet: $0, nonce: nonce()) }
        outstanding += messages.map { Probe(nonce: $0.nonce, packet: Int($0.packet)) }
        // Late answers to earlier repeats are welcome, but not for ever.
        if outstanding.count > Limits.pathProbesKept {
            outstanding.removeFirst(outstanding.count - Limits.pathProbesKept)
        }
        return messages
    }

    /// The end of the survey: narrows down between the last size that arrived and the first that did not.
    private mutating func conclude(_ now: Instant, _ nonce: () -> UInt64) -> [ProbeMessage] {
        guard verified > 0 else {
            // Nothing arrives, whatever its size: that is for others to notice, and no word about the size.
            settle(now)
            return []
        }
        current = verified
        guard narrows else {
            outstanding.removeAll()
            settle(now)
            return []
        }
        let high = ([ceiling] + common).filter { $0 > verified }.min() ?? ceiling
        phase = .narrow(high: high, attempt: 0)
        outstanding.removeAll()
        return advance(now: now, isBusy: { _ in true }, nonce: nonce)
    }

    private mutating func settle(_ now: Instant) {
        phase = .settled(attempt: 0)
        confirmed = now
        nextClimb = now + Limits.pathClimb
        deadline = now + Limits.pathCheck
    }

    private mutating func restart(_ now: Instant) {
        phase = .survey(attempt: 0)
        outstanding.removeAll()
        verified = 0
        deadline = now
    }
}
