// SPDX-License-Identifier: Apache-2.0
// What one end knows of one patch (§9), from the answers to its probes: round trip, jitter, loss, delivery rate, delay over the
// quickest. The reports are a peer's word: nothing here believes more than what this end has sent.

struct PatchEstimator: Sendable {
    /// What was sent, when a probe went.
    private struct Sent {
        var number: UInt32
        var at: Instant
        var packets: UInt64
        var bytes: UInt64
    }

    /// What the last report that was believed said.
    private struct Seen {
        var at: Instant
        var receivedAt: UInt64
        var sentPackets: UInt64
        var packets: UInt64
        var bytes: UInt64
    }

    /// RFC 6298; nil before the first answer.
    private(set) var roundTrip: TimeSpan?
    private(set) var variation = TimeSpan.zero
    /// The shortest round trip of the last 10 s or so.
    private(set) var shortest: TimeSpan?
    /// RFC 3550 §6.4.1, of the way there.
    private(set) var jitter = TimeSpan.zero
    /// Packets lost of a thousand, an average over some reports.
    private(set) var lossPerMille = 0
    /// Bytes a second that arrived at most in the last ten round trips; 0 before anything is known.
    private(set) var delivered: UInt64 = 0
    /// More was sent than arrived in time: `delivered` is what the patch can do, and not what was asked of it.
    private(set) var isSaturated = false
    /// Bytes a second that the patch can do, since it was saturated a while ago; nil: at least `delivered`.
    private(set) var capacity: UInt64?
    /// Microseconds between the two clocks plus the way there where no queue is: to be compared with that of other patches to the
    /// same peer only.
    private(set) var offset: Int64?
    /// How long the last probe that was answered stood in queues on its way there.
    private(set) var queue = TimeSpan.zero

    private var outstanding: [Sent] = []
    private var seen: Seen?
    private var lossAverage = 0.0
    private var jitterAverage = 0.0
    private var lastTransit: Int64?
    /// The shortest ways there of this while and of the one before.
    private var transits: (now: Int64, before: Int64, since: Instant)?
    private var saturatedAt = Instant.origin
    /// Reports in a row by which it was found to do more.
    private var growths = 0
    private var rates: [(at: Instant, rate: UInt64)] = []
    private var shortestAt = Instant.origin
    private var number: UInt32 = 0

    init() {}

    // MARK: - Probes

    /// The next probe, which is thereby under way.
    mutating func probe(patch: UInt8, packets: UInt64, bytes: UInt64, now: Instant) -> PatchProbe {
        number &+= 1
        outstanding.append(Sent(number: number, at: now, packets: packets, bytes: bytes))
        if outstanding.count > Limits.patchProbesKept { outstanding.removeFirst() }
        return PatchProbe(
            patch: patch, number: number, sentAt: now.nanoseconds / 1000, packets: packets, bytes: bytes)
    }

    /// When the oldest probe without an answer went; nil if there is none.
    var unansweredSince: Instant? { outstanding.first?.at }
    var unanswered: Int { outstanding.count }

    /// Datagrams that had gone before the last probe that was answered: they came, or are lost.
    var reported: UInt64 { seen?.sentPackets ?? 0 }

    /// It carries again after it did not: what it lost meanwhile says nothing of what it can do.
    mutating func comeBack() {
        (capacity, delivered, rates, growths) = (nil, 0, [], 0)
        (lossAverage, lossPerMille, isSaturated) = (0, 0, false)
    }

    // MARK: - Reports

    /// False for a report that answers nothing that is under way, or that claims what cannot be: it changes nothing.
    mutating func receive(_ report: PatchReport, now: Instant) -> Bool {
        guard let place = outstanding.firstIndex(where: { $0.number == report.number }) else { return false }
        let sent = outstanding[place]
        // What was sent after the probe may be in the report, too, but never more than there is room for in a round trip; what went
        // before it may be lost, and what came before can never become less.
        guard report.sentAt == sent.at.nanoseconds / 1000,
            seen.map({ report.packets >= $0.packets && report.bytes >= $0.bytes }) ?? true
        else { return false }
        // Answers to later probes say all that those to earlier ones would.
        outstanding.removeFirst(place + 1)
        let trip = now.since(sent.at)
        noteTrip(trip, now: now)
        noteTransit(Int64(bitPattern: report.receivedAt &- report.sentAt), now: now)
        if let seen {
            noteLoss(sent: sent.packets &- seen.sentPackets, came: report.packets - seen.packets)
            noteRate(
                report, since: seen, went: sent.packets &- seen.sentPackets, trip: trip, now: now)
        }
        seen = Seen(
            at: now, receivedAt: report.receivedAt, sentPackets: sent.packets,
            packets: report.packets, bytes: report.bytes)
        return true
    }

    /// RFC 6298 §2.
    private mutating func noteTrip(_ trip: TimeSpan, now: Instant) {
        if let smooth = roundTrip {
            let difference = max(smooth, trip).less(min(smooth, trip))
            variation = TimeSpan(nanoseconds: (variation.nanoseconds * 3 + difference.nanoseconds) / 4)
            roundTrip = TimeSpan(nanoseconds: (smooth.nanoseconds * 7 + trip.nanoseconds) / 8)
        } else {
            roundTrip = trip
            variation = TimeSpan(nanoseconds: trip.nanoseconds / 2)
        }
        if shortest.map({ trip <= $0 }) ?? true || now.since(shortestAt) > Limits.patchShortestKept {
            shortest = trip
            shortestAt = now
        }
    }

    private mutating func noteTransit(_ transit: Int64, now: Instant) {
        if let lastTransit {
            let change = Double(distance(transit, lastTransit))
            jitterAverage += (min(change, 1e6) - jitterAverage) / 16
            jitter = TimeSpan(nanoseconds: UInt64(jitterAverage * 1000))
        }
        lastTransit = transit
        var least = transits ?? (transit, transit, now)
        if now.since(least.since) > Limits.patchShortestKept { least = (transit, least.now, now) }
        least.now = min(least.now, transit)
        transits = least
        let rest = min(least.now, least.before)
        offset = rest
        queue = TimeSpan(nanoseconds: UInt64(min(distance(transit, rest), 10_000_000)) * 1000)
    }

    private mutating func noteLoss(sent: UInt64, came: UInt64) {
        guard sent > 0 else { return }
        // More may come than went between two probes, since neither end counts in one breath: what was too little before comes
        // back so, and the average over both is right.
        let lost = (Double(sent) - Double(min(came, sent * 2))) / Double(sent)
        // So many packets weigh as one eighth; fewer say less.
        let weight = min(Double(sent) / 64, 1) / 8
        lossAverage += (lost - lossAverage) * weight
        lossPerMille = max(0, Int((lossAverage * 1000).rounded()))
    }

    /// - Parameter went: packets that were sent in that time.
    private mutating func noteRate(
        _ report: PatchReport, since seen: Seen, went: UInt64, trip: TimeSpan, now: Instant
    ) {
        // The reporter's clock measures between arrivals; ours bounds what it may claim.
        let theirs = report.receivedAt &- seen.receivedAt
        let ours = now.since(seen.at).nanoseconds / 1000
        guard theirs > 0, theirs < 1 << 40 else { return }
        let span = max(theirs, ours / 2, 1000)
        let rate = (report.bytes - seen.bytes).multipliedFullWidth(by: 1_000_000)
        guard rate.high < span else { return }
        let sample = min(span.dividingFullWidth(rate).quotient, Limits.patchRateMost)
        let window = max(trip * 10, .seconds(1))
        rates.removeAll { now.since($0.at) > window || $0.rate <= sample }
        rates.append((now, sample))
        delivered = rates.map(\.rate).max() ?? 0
        // A queue that stands: the way is longer than the shortest one by more than jitter explains. Who drops instead of queueing
        // shows it by losses that no radio has.
        // Next to nothing fills no queue: a probe that was late then, or losses of earlier, say nothing of what it can do.
        isSaturated =
            went >= Limits.patchLoadTold
            && (queue > max(Limits.patchQueueTold, jitter * 2) || lossPerMille > Limits.patchLossTold)
        if isSaturated {
            (capacity, saturatedAt, growths) = (delivered, now, 0)
        } else if let known = capacity {
            // Well used and without a queue, it can do more than was thought.
            // By little at first, and by half of it where that goes on.
            var more = known
            if sample > known / 16 * 15 {
                more = known + known >> UInt64(max(1, 5 - growths))
                growths += 1
            } else {
                growths = 0
            }
            capacity = now.since(saturatedAt) > Limits.patchCapacityKept ? nil : max(more, delivered)
        }
    }
}

/// The distance of two numbers, at most the largest there is.
private func distance(_ a: Int64, _ b: Int64) -> Int64 {
    let (difference, overflow) = a.subtractingReportingOverflow(b)
    return overflow || difference == .min ? .max : abs(difference)
}
