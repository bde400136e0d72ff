// SPDX-License-Identifier: Apache-2.0
// Which patch a packet goes by (§9): the sender's own choice, packet by packet. It knows conditions, sizes and flows; it neither sends
// nor measures. One value per worker.

/// How packets are spread over patches.
public enum QuiltScheduler: String, Hashable, Sendable, CaseIterable {
    /// The patch with the shortest round trip.
    case minrtt
    /// The patch by which the packet is predicted to arrive first.
    case edpf
    /// In proportion to what the patches can do.
    case weighted
    /// Every packet by the two best patches.
    case redundant
    /// As `edpf`, with repairs of lost packets by another patch.
    case fec
}

/// What is thought of one patch at the moment.
struct PatchCondition: Equatable, Sendable {
    var state = PatchState.joining
    /// RFC 6298.
    var roundTrip = TimeSpan.milliseconds(100)
    var variation = TimeSpan.milliseconds(50)
    /// The way there, less that of the quickest patch.
    var delay = TimeSpan.zero
    /// Bytes a second; 0 where it is not known yet.
    var rate: UInt64 = 0
    /// That is what it can do; else it can do at least so much.
    var isRateKnown = false
    var lossPerMille = 0

    var carries: Bool { state == .up }
}

/// Where a packet goes, and where its copy.
struct PatchChoice: Equatable, Sendable {
    var first: Int
    var copy: Int?
}

/// What a patch was given, and what of that was put right.
struct PatchAccount: Equatable, Sendable {
    /// How long it keeps the patch busy.
    var busy = TimeSpan.zero
    /// Nanoseconds by which reports have changed it, all together.
    var corrected: Int64 = 0
}

struct PatchScheduler: Sendable {
    let kind: QuiltScheduler
    /// Of `redundant`: whether small packets and those of DSCP EF alone are doubled.
    let doublesSmallOnly: Bool
    private(set) var conditions: [PatchCondition] = []
    /// Until when what was given to each patch keeps it busy.
    private var busyUntil: [Instant] = []
    /// Nanoseconds by which reports have put that right, all together.
    private var corrected: [Int64] = []
    /// The longest way there of a patch that carries, over the quickest.
    private var farthest = TimeSpan.zero
    /// How long each patch was kept busy by what it was given since `loadSince`; and whether one has about all that it can do.
    private var worked: [TimeSpan] = []
    private var loadSince = Instant.origin
    private var isLoaded = false
    /// What each patch was given, by its weight.
    private var served: [Double] = []
    /// Of `minrtt`: the patch in use, and how often in a row another one was better.
    private var preferred: (patch: Int, rivals: Int)?
    private var flows: [(patch: UInt8, at: Instant)]

    private static let flowCount = 256

    init(_ kind: QuiltScheduler, doublesSmallOnly: Bool = false) {
        self.kind = kind
        self.doublesSmallOnly = doublesSmallOnly
        flows = Array(repeating: (.max, .origin), count: Self.flowCount)
    }

    // MARK: - Conditions

    /// What was learnt of the patches.
    mutating func update(_ conditions: [PatchCondition]) {
        precondition(conditions.count <= Limits.patches)
        let before = self.conditions
        self.conditions = conditions
        while busyUntil.count < conditions.count {
            busyUntil.append(.origin)
            corrected.append(0)
            worked.append(.zero)
            served.append(0)
        }
        for patch in conditions.indices where conditions[patch].carries {
            guard patch >= before.count || !before[patch].carries else { continue }
            // What it was not given while it carried nothing is not made up for.
            let others = conditions.indices.filter { $0 != patch && $0 < before.count && before[$0].carries }
            served[patch] = max(served[patch], others.map { served[$0] }.min() ?? 0)
        }
        if kind == .minrtt { prefer() }
        farthest = conditions.indices.reduce(.zero) { takesPart($1) ? max($0, conditions[$1].delay) : $0 }
    }

    /// How long what a patch was given keeps it busy from now on, by this scheduler's own account.
    func account(patch: Int, now: Instant) -> PatchAccount {
        guard patch < busyUntil.count else { return PatchAccount() }
        return PatchAccount(busy: busyUntil[patch].since(now), corrected: corrected[patch])
    }

    /// A report tells how long a probe stood in the patch's queue: the account is of what was given, and knows of no loss and of
    /// nobody else who sends there.
    /// - Parameter expected: the account when the probe went.
    mutating func correct(patch: Int, measured: TimeSpan, expected: PatchAccount, now: Instant) {
        guard patch < busyUntil.count else { return }
        // What other reports have put right meanwhile was wrong when this probe went.
        let since = corrected[patch] &- expected.corrected
        let error = Int64(clamping: measured.nanoseconds) - Int64(clamping: expected.busy.nanoseconds) - since
        let start = max(busyUntil[patch], now).nanoseconds
        busyUntil[patch] = max(
            now, Instant(nanoseconds: error < 0 ? start - min(start, error.magnitude) : start + error.magnitude))
        corrected[patch] &+= Int64(busyUntil[patch].nanoseconds) - Int64(start)
    }

    // MARK: - Pace

    /// How long what a patch was given may keep it busy before it takes no more: so long that its packets come as late as those of
    /// the slowest patch, and a little longer, so that it never stands still.
    private func allowance(_ patch: Int) -> TimeSpan {
        min(farthest, Limits.patchQueueMost).less(conditions[patch].delay) + Limits.patchQueueLeast
    }

    /// Whether a patch takes a packet now.
    private func isOpen(_ patch: Int, now: Instant) -> Bool {
        !conditions[patch].isRateKnown || busyUntil[patch].since(now) <= allowance(patch)
    }

    /// Those that packets are spread over: one that is so slow that nobody waits for its packets has none while there are others.
    private func takesPart(_ patch: Int) -> Bool {
        conditions[patch].carries && conditions[patch].delay <= Limits.patchDelayMost
    }

    /// When a patch takes a packet again; nil where one does now, or where none is paced.
    func opens(now: Instant) -> Instant? {
        guard kind != .minrtt else { return nil }
        var first: Instant?
        for patch in conditions.indices where takesPart(patch) {
            if isOpen(patch, now: now) { return nil }
            let opens = Instant(nanoseconds: busyUntil[patch].nanoseconds &- allowance(patch).nanoseconds)
            first = min(first ?? opens, opens)
        }
        return first
    }

    /// Bytes a second that all patches together can do, as far as that is known.
    var rate: UInt64 {
        conditions.indices.reduce(0) { takesPart($1) ? $0 &+ conditions[$1].rate : $0 }
    }

    // MARK: - Choice

    /// - Parameters:
    ///   - flow: a hash of the packet's flow.
    ///   - bytes: of the datagram.
    ///   - isExpress: whether its DSCP is EF.
    /// - Returns: nil where no patch carries.
    mutating func choose(flow: UInt32, bytes: Int, isExpress: Bool = false, now: Instant) -> PatchChoice? {
        watchLoad(now: now)
        guard let first = pick(flow: flow, bytes: bytes, now: now) else { return nil }
        give(bytes, to: first, now: now)
        guard kind == .redundant, !doublesSmallOnly || isExpress || bytes <= Limits.smallPacket,
            let copy = earliest(bytes, now: now, but: first),
            // A patch that has more than it can do already would bring it too late, or not at all.
            !conditions[copy].isRateKnown || busyUntil[copy].since(now) <= Limits.patchQueueMost
        else { return PatchChoice(first: first) }
        give(bytes, to: copy, now: now)
        return PatchChoice(first: first, copy: copy)
    }

    /// Another patch than this one, for what may be lost with it: a repair, or a packet sent again.
    mutating func other(than patch: Int, bytes: Int, now: Instant) -> Int? {
        guard let other = earliest(bytes, now: now, but: patch) else { return nil }
        give(bytes, to: other, now: now)
        return other
    }

    private mutating func pick(flow: UInt32, bytes: Int, now: Instant) -> Int? {
        switch kind {
        case .minrtt: return preferred?.patch
        case .weighted: return leastServed(now: now)
        case .edpf, .redundant, .fec: break
        }
        guard let best = earliest(bytes, now: now) else { return nil }
        let slot = Int(flow & UInt32(Self.flowCount - 1))
        let pinned = Int(flows[slot].patch)
        flows[slot].at = now
        if !isLoaded, pinned < conditions.count, takesPart(pinned), pinned != best, isOpen(pinned, now: now),
            arrival(bytes, by: pinned, now: now).since(arrival(bytes, by: best, now: now)) <= Limits.flowletGain
        {
            return pinned
        }
        flows[slot].patch = UInt8(best)
        return best
    }

    /// Under load it does not count that a way is longer: whoever sends more than a patch can do needs the others, and a sender that
    /// fills no queue (BBR tries a quarter more for one round trip) would never find out that there are any. Packets come in order
    /// all the same, as late as by the longest way in use: so much is worth nothing less than a sixteenth of all that there is.
    private func length(_ condition: PatchCondition) -> TimeSpan {
        guard isLoaded, condition.delay <= Limits.patchQueueMost,
            !condition.isRateKnown || condition.rate >= rate / 16
        else { return condition.delay }
        return .zero
    }

    /// Looks at the load of the patches, a while at a time.
    private mutating func watchLoad(now: Instant) {
        let span = now.since(loadSince)
        guard span >= Limits.patchLoadWatched else { return }
        let most = TimeSpan(nanoseconds: span.nanoseconds / 8 * 7)
        isLoaded =
            span <= Limits.patchLoadWatched * 2
            && conditions.indices.contains { takesPart($0) && conditions[$0].isRateKnown && worked[$0] >= most }
        for patch in worked.indices { worked[patch] = .zero }
        loadSince = now
    }

    /// When the last byte would be there by a patch, less what the quickest patch takes.
    private func arrival(_ bytes: Int, by patch: Int, now: Instant) -> Instant {
        let condition = conditions[patch]
        // A lost packet comes a round trip later, if somebody sends it again.
        let risk = condition.roundTrip.nanoseconds / 500 * UInt64(condition.lossPerMille)
        let left = now + length(condition) + TimeSpan(nanoseconds: risk)
        // What carried little so far is not slow for that.
        guard condition.isRateKnown else { return left }
        return left + busyUntil[patch].since(now) + Self.time(for: bytes, at: condition.rate)
    }

    private func earliest(_ bytes: Int, now: Instant, but excluded: Int = -1) -> Int? {
        var best: (patch: Int, rank: Int, at: Instant)?
        for patch in conditions.indices where patch != excluded && conditions[patch].carries {
            let at = arrival(bytes, by: patch, now: now)
            let rank = takesPart(patch) ? isOpen(patch, now: now) ? 0 : 1 : 2
            if best.map({ (rank, at) < ($0.rank, $0.at) }) ?? true { best = (patch, rank, at) }
        }
        return best?.patch
    }

    private mutating func give(_ bytes: Int, to patch: Int, now: Instant) {
        let condition = conditions[patch]
        if condition.isRateKnown {
            // No queue is as long as that: a rate of next to nothing is a mistake, or a lie.
            let time = min(Self.time(for: bytes, at: condition.rate), Limits.patchBusyMost)
            busyUntil[patch] = min(max(busyUntil[patch], now) + time, now + Limits.patchBusyMost)
            worked[patch] = worked[patch] + time
        }
        served[patch] += Double(bytes) / weight(condition)
    }

    private static func time(for bytes: Int, at rate: UInt64) -> TimeSpan {
        rate == 0 ? .zero : TimeSpan(nanoseconds: UInt64(Double(bytes) * 1e9 / Double(rate)))
    }

    // MARK: - Weights

    private func weight(_ condition: PatchCondition) -> Double {
        let arrives = 1 - Double(min(condition.lossPerMille, 999)) / 1000
        // Of a patch that never had enough to show what it can do, as much is expected as of the best.
        let rate = condition.isRateKnown ? condition.rate : conditions.map(\.rate).max() ?? 0
        return max(Double(rate), 1) * arrives * arrives
    }

    /// Of those that take a packet now; of all if none does.
    private func leastServed(now: Instant) -> Int? {
        let carrying = conditions.indices.filter { conditions[$0].carries }
        let open = carrying.filter { takesPart($0) && isOpen($0, now: now) }
        return (open.isEmpty ? carrying : open).min { served[$0] < served[$1] }
    }

    // MARK: - The shortest round trip

    private func cost(_ patch: Int) -> UInt64 {
        conditions[patch].roundTrip.nanoseconds + 2 * conditions[patch].variation.nanoseconds
    }

    private var quickest: Int? {
        var best: Int?
        for patch in conditions.indices where conditions[patch].carries {
            if best.map({ cost(patch) < cost($0) }) ?? true { best = patch }
        }
        return best
    }

    /// Goes over to a patch that was better by a tenth, and by 5 ms, three times in a row.
    private mutating func prefer() {
        guard let best = quickest else { return preferred = nil }
        guard let current = preferred, conditions[current.patch].carries else { return preferred = (best, 0) }
        let own = cost(current.patch)
        let gain = max(own / 10, Limits.flowletGain.nanoseconds)
        if best != current.patch, cost(best) + gain < own {
            preferred = current.rivals >= 2 ? (best, 0) : (current.patch, current.rivals + 1)
        } else {
            preferred = (current.patch, 0)
        }
    }
}
