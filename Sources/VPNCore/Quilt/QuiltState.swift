// SPDX-License-Identifier: Apache-2.0
// What an end knows of the patches of one session (§9): which there are, how they do, what goes by which, and when they are asked. It
// seals nothing and moves no bytes; threads share it by `Quilt`.

import DequeModule

struct QuiltState: Sendable {
    /// Where a datagram goes.
    struct Way: Equatable, Sendable {
        var patch: Int
        var carrier: Carrier
        var remoteIndex: UInt32
        /// Of inner packets, in bytes.
        var mtu: Int
    }

    /// Datagrams that came together by one patch.
    struct Arrivals: Sendable {
        var packets = 0
        var bytes = 0
        /// One of them was of the peer for certain, and not for the second time.
        var isAuthentic = false
        var hasPayload = false

        mutating func add(_ opened: OpenVerdict, bytes: Int) {
            switch opened {
            case .frame(let frame):
                isAuthentic = true
                if frame.type == .ip { hasPayload = true }
            // A copy of what another patch brought before: not looked at any further, but this patch did bring it.
            case .drop(.replayDuplicate): break
            default: return
            }
            packets += 1
            self.bytes += bytes
        }
    }

    /// A probe that is due.
    struct DueProbe: Equatable, Sendable {
        var way: Way
        var probe: PatchProbe
        /// Bytes of the datagram that it is to go in, at least.
        var size: Int
    }

    /// By number; nil where there is none.
    private(set) var patches = [Patch?](repeating: nil, count: Limits.patches)
    private var scheduler: PatchScheduler
    private let deadline: TimeSpan?
    /// When a packet went or came last.
    private var lastPacket: Instant?
    private var sentLately: SentDatagrams
    /// What a silent patch may have lost, and where it goes now.
    private var again: Deque<(datagram: [UInt8], patch: Int)> = []
    private var againBytes = 0
    /// Bytes of datagrams that all quilts of this node keep.
    private let shared: SharedBytes
    private var againDue = Instant.origin
    /// Datagrams that went a second time for that, since the session began.
    private(set) var sentAgain: UInt64 = 0
    /// Something may be due earlier than whoever keeps the time knows.
    private(set) var isEarlier = false
    /// Who keeps the time has been told so, and has not looked yet.
    private var isTold = false
    /// What the receiver's order costs, as the worker that has it told last.
    var resequencing = Resequencer.Statistics()

    init(
        _ configuration: QuiltConfiguration,
        sharing shared: SharedBytes = SharedBytes(limit: Limits.sentBytesOfAllQuilts)
    ) {
        self.shared = shared
        sentLately = SentDatagrams(sharing: shared)
        scheduler = PatchScheduler(configuration.scheduler, doublesSmallOnly: configuration.doublesSmallOnly)
        deadline = configuration.deadline
    }

    var kind: QuiltScheduler { scheduler.kind }
    var numbers: [Int] { patches.indices.filter { patches[$0] != nil } }

    // MARK: - Which there are

    /// A patch has shown that it carries, both ways; or carries from elsewhere now. What was known of it otherwise goes on.
    mutating func join(_ number: Int, _ carrier: Carrier, remoteIndex: UInt32, mtu: Int, now: Instant) {
        if var patch = patches[number], patch.carrier == carrier, patch.remoteIndex == remoteIndex {
            patch.mtu = mtu
            patches[number] = patch
        } else {
            patches[number] = Patch(carrier: carrier, remoteIndex: remoteIndex, mtu: mtu, now: now)
        }
        if patches[number]?.health.answered(now: now) == true { patches[number]?.estimator.comeBack() }
        patches[number]?.heard = now
        comeEarlier()
        refresh()
    }

    /// The carrier that the session was made on is another one: what was known of the way is of no use.
    mutating func moveFirst(to carrier: Carrier) {
        guard let first = patches[0], first.carrier != carrier else { return }
        if first.carrier.fromAnyAddress == carrier {
            // The same way, from whichever address routes say.
            patches[0]?.carrier = carrier
            return refresh()
        }
        var patch = Patch(carrier: carrier, remoteIndex: first.remoteIndex, mtu: first.mtu, now: first.heard ?? .origin)
        (patch.sent, patch.received, patch.heard) = (first.sent, first.received, first.heard)
        _ = patch.health.answered(now: first.heard ?? .origin)
        patches[0] = patch
        comeEarlier()
        refresh()
    }

    /// What the carrier that the session was made on carries, as far as that is known by now: the longest inner packet, in bytes.
    mutating func limitFirst(mtu: Int) { patches[0]?.mtu = mtu }

    mutating func remove(_ number: Int) {
        patches[number] = nil
        refresh()
    }

    // MARK: - Packets

    private func way(_ number: Int) -> Way? {
        patches[number].map {
            Way(patch: number, carrier: $0.carrier, remoteIndex: $0.remoteIndex, mtu: $0.mtu)
        }
    }

    /// Where a packet's datagram goes, and where its copy; nil where no patch carries. It counts as sent.
    mutating func choose(
        for datagram: [UInt8], flow: UInt32, isExpress: Bool, now: Instant
    ) -> (first: Way, copy: Way?)? {
        let bytes = datagram.count
        guard let choice = scheduler.choose(flow: flow, bytes: bytes, isExpress: isExpress, now: now),
            let first = way(choice.first)
        else { return nil }
        count(bytes, on: choice.first, now: now)
        // What went twice needs no third time.
        if choice.copy == nil {
            let patches = patches
            let order = patches[choice.first]!.sent.packets
            sentLately.keep(datagram, patch: choice.first, order: order, now: now) {
                patches[$0]?.estimator.reported ?? .max
            }
        }
        let copy = choice.copy.flatMap { way($0) }
        if let copy { count(bytes, on: copy.patch, now: now) }
        return (first, copy)
    }

    /// Another patch for what may be lost with this one; it counts as sent.
    mutating func other(than patch: Int, bytes: Int, now: Instant) -> Way? {
        guard let number = scheduler.other(than: patch, bytes: bytes, now: now), let way = way(number) else {
            return nil
        }
        count(bytes, on: number, now: now)
        return way
    }

    /// When a patch takes a packet; nil where one does now.
    func opens(now: Instant) -> Instant? { scheduler.opens(now: now) }

    /// Bytes that may wait for that: what all patches together take in `Limits.pacedFor`.
    var pacedBytes: Int {
        let wanted = Int(clamping: scheduler.rate / 1000 &* (Limits.pacedFor.nanoseconds / 1_000_000))
        return min(max(Limits.pacedLeast, wanted), Limits.pacedMost)
    }

    private mutating func count(_ bytes: Int, on number: Int, now: Instant) {
        patches[number]!.went(bytes)
        wake(now: now)
    }

    /// A frame of no packet went on a patch.
    mutating func sent(_ bytes: Int, on number: Int) { patches[number]?.sent.add(1, bytes) }

    /// DATA came on a patch.
    mutating func received(_ arrivals: Arrivals, on number: Int, now: Instant) {
        guard patches[number] != nil else { return }
        patches[number]!.received.add(arrivals.packets, arrivals.bytes)
        if arrivals.isAuthentic { patches[number]!.heard = now }
        if arrivals.hasPayload { wake(now: now) }
    }

    /// A packet after a pause: patches are looked at more often from now on.
    private mutating func wake(now: Instant) {
        if !isBusy(now: now) {
            for number in patches.indices { patches[number]?.health.becameBusy(now: now) }
            comeEarlier()
        }
        lastPacket = now
    }

    private func isBusy(now: Instant) -> Bool { lastPacket.map { now.since($0) < Limits.quiltBusyFor } ?? false }

    /// The best way for a frame of the control side: any patch that carries, the first of them if possible.
    var spoken: Way? {
        let number = patches.indices.first { patches[$0]?.carries == true }
        return number.flatMap { way($0) }
    }

    // MARK: - Time

    private mutating func comeEarlier() {
        if !isTold { isEarlier = true }
    }

    /// Who keeps the time is told that something may be due earlier, once until it looks.
    mutating func tell() { (isEarlier, isTold) = (false, true) }

    /// Who keeps the time looks: when `advance` or `nextProbe` have something to do.
    mutating func look() -> Instant {
        (isEarlier, isTold) = (false, false)
        return due
    }

    // MARK: - Probes

    /// When `advance` or `nextProbe` have something to do.
    var due: Instant {
        var due = again.isEmpty ? Instant(nanoseconds: .max) : againDue
        for case let patch? in patches {
            due = min(due, patch.health.nextProbe)
            if let deadline = patch.deadline { due = min(due, deadline) }
        }
        return due
    }

    /// What the time changes.
    mutating func advance(now: Instant) {
        var (isChanged, silent) = (false, [Int]())
        for number in patches.indices {
            guard let patch = patches[number] else { continue }
            let change = patches[number]!.health.advance(
                roundTrip: patch.estimator.roundTrip, unansweredSince: patch.estimator.unansweredSince, now: now)
            if change != nil { isChanged = true }
            if change == .suspect { silent.append(number) }
        }
        if isChanged { refresh() }
        for number in silent { sendAgain(from: number, now: now) }
        sentLately.forgetOld(now: now)
    }

    /// What went by a patch and was not reported goes by another one (§9).
    private mutating func sendAgain(from number: Int, now: Instant) {
        guard let reported = patches[number]?.estimator.reported else { return }
        for datagram in sentLately.take(patch: number, after: reported, bytes: Limits.sentAgainBytes - againBytes) {
            again.append((datagram, number))
            againBytes += datagram.count
            shared.take(datagram.count)
        }
        againDue = now
    }

    /// Bytes of datagrams that are kept here.
    var keptBytes: Int { sentLately.bytes + againBytes }

    /// Nothing that was sent goes again: the session is over.
    mutating func forgetSent() {
        sentLately.removeAll()
        forgetAgain()
    }

    private mutating func forgetAgain() {
        shared.giveBack(againBytes)
        (again, againBytes) = ([], 0)
    }

    /// A datagram that goes again now; nil if there is no other. They go by and by, so that they overflow nobody's queue.
    mutating func nextAgain(now: Instant) -> (datagram: [UInt8], way: Way)? {
        guard let first = again.first, now >= againDue else { return nil }
        guard let way = other(than: first.patch, bytes: first.datagram.count, now: now) else {
            forgetAgain()
            return nil
        }
        // Whoever comes late makes up for a little of it: clocks of packet threads have steps of a millisecond.
        let earliest = Instant(nanoseconds: now.nanoseconds - min(now.nanoseconds, 10_000_000))
        againDue = max(againDue, earliest) + Self.time(for: first.datagram.count, at: againRate)
        sentAgain += 1
        againBytes -= first.datagram.count
        shared.giveBack(first.datagram.count)
        return (again.removeFirst().datagram, way)
    }

    /// Bytes a second: what the patches that carry can do, as far as that is known.
    private var againRate: UInt64 {
        let rates = patches.compactMap { $0?.carries == true ? $0?.estimator.capacity ?? Limits.sentAgainRate : nil }
        return max(rates.reduce(0, &+), Limits.sentAgainRate / 8)
    }

    private static func time(for bytes: Int, at rate: UInt64) -> TimeSpan {
        TimeSpan(nanoseconds: UInt64(bytes) * 1_000_000_000 / rate)
    }

    /// The next probe that is due; nil if none is.
    mutating func nextProbe(now: Instant) -> DueProbe? {
        guard let number = patches.indices.first(where: { patches[$0].map { $0.health.nextProbe <= now } ?? false }),
            let way = way(number)
        else { return nil }
        let account = scheduler.account(patch: number, now: now)
        let probe = patches[number]!.probe(UInt8(number), account: account, now: now)
        let size = patches[number]!.longest
        // Spread by their numbers: nobody has to be kept from guessing when.
        let random = UInt8(truncatingIfNeeded: (probe.number &+ UInt32(number) &* 97) &* 0x9E37_79B1 >> 24)
        patches[number]!.health.probed(isBusy: isBusy(now: now), random: random, now: now)
        return DueProbe(way: way, probe: probe, size: size)
    }

    /// The answer to a probe that came on a patch; nil for one of a patch that there is not.
    mutating func answer(_ probe: PatchProbe, now: Instant) -> (report: PatchReport, way: Way)? {
        let number = Int(probe.patch)
        guard let way = way(number) else { return nil }
        patches[number]!.arrived(probe, now: now)
        let received = patches[number]!.received
        let report = PatchReport(
            answering: probe, receivedAt: now.nanoseconds / 1000, packets: received.packets, bytes: received.bytes)
        return (report, way)
    }

    /// False for a report that is not believed.
    mutating func receive(_ report: PatchReport, now: Instant) -> Bool {
        let number = Int(report.patch)
        guard let account = patches[number]?.receive(report, now: now) else { return false }
        if patches[number]!.health.answered(now: now) { patches[number]!.estimator.comeBack() }
        comeEarlier()
        refresh()
        scheduler.correct(patch: number, measured: patches[number]!.estimator.queue, expected: account, now: now)
        return true
    }

    // MARK: - Conditions

    /// What was learnt goes into the choice.
    private mutating func refresh() {
        let least = patches.compactMap { $0?.carries == true ? $0?.estimator.offset : nil }.min()
        scheduler.update(
            patches.map { patch in
                var condition = PatchCondition()
                guard let patch else {
                    condition.state = .down
                    return condition
                }
                let estimator = patch.estimator
                condition.state = patch.health.state
                condition.roundTrip = estimator.roundTrip ?? condition.roundTrip
                condition.variation = estimator.variation
                condition.lossPerMille = estimator.lossPerMille
                if let own = estimator.offset, let least, own > least {
                    // Of the peer's clock, which may say anything.
                    let (difference, overflow) = own.subtractingReportingOverflow(least)
                    condition.delay = TimeSpan(
                        nanoseconds: UInt64(overflow ? 10_000_000 : min(difference, 10_000_000)) * 1000)
                }
                if let capacity = estimator.capacity {
                    (condition.rate, condition.isRateKnown) = (capacity + capacity / Limits.patchCapacityTried, true)
                } else {
                    condition.rate = estimator.delivered
                }
                return condition
            })
    }

    /// How much packets of several patches may be apart when they come, and what that varies by: of the slowest over the quickest way
    /// that any of them took lately, since a queue on one is no longer what it was when the sender chose.
    var disorder: (skew: TimeSpan, jitter: TimeSpan) {
        if let deadline { return (deadline, .zero) }
        let live = patches.compactMap { $0?.carries == true ? $0 : nil }
        let transits = live.compactMap(\.transit)
        guard let most = transits.map(\.upperBound).max(), let least = transits.map(\.lowerBound).min() else {
            return (.zero, .zero)
        }
        let skew = most.subtractingReportingOverflow(least)
        let jitter = live.map(\.jitter).max() ?? 0
        func span(_ microseconds: Int64) -> TimeSpan {
            TimeSpan(nanoseconds: UInt64(max(0, min(microseconds, 10_000_000))) * 1000)
        }
        return (skew.overflow ? span(.max) : span(skew.partialValue), span(jitter))
    }

    /// Packets lost of a thousand on the patch that loses most.
    var lossPerMille: Int { patches.compactMap { $0?.carries == true ? $0?.estimator.lossPerMille : nil }.max() ?? 0 }

    /// The longest inner packet that every further patch carries; nil where there is none.
    var mtu: Int? { patches.dropFirst().compactMap { $0?.mtu }.min() }
}
