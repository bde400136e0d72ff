// SPDX-License-Identifier: Apache-2.0
// One carrier of a quilt (§9): where it goes, what went and came there, and what was learnt of it. It decides nothing.

struct Patch: Sendable {
    struct Count: Equatable, Sendable {
        var packets: UInt64 = 0
        var bytes: UInt64 = 0

        mutating func add(_ packets: Int, _ bytes: Int) {
            self.packets &+= UInt64(packets)
            self.bytes &+= UInt64(bytes)
        }
    }

    var carrier: Carrier
    /// By which datagrams find this patch of the session at the peer.
    var remoteIndex: UInt32
    /// The longest inner packet that its join has shown to pass, in bytes.
    var mtu: Int
    var health: PatchHealth
    var estimator = PatchEstimator()
    /// DATA datagrams and bytes of UDP payload.
    var sent = Count()
    var received = Count()
    /// Bytes of the longest datagram that went since a probe as long was answered: the next one has that length, so that a way which
    /// lets short ones pass alone is not taken for one that carries, nor for one that does again.
    private(set) var longest = 0
    /// Of the probes under way, the scheduler's account when they went, and their length.
    private var accounts: [(number: UInt32, account: PatchAccount, size: Int)] = []
    /// Of probes that came lately: microseconds between the clocks plus the way here, at least and at most, in this while and in
    /// the one before.
    private var transits: (now: ClosedRange<Int64>, before: ClosedRange<Int64>, since: Instant)?
    /// By how much it varies from one to the next (RFC 3550).
    private(set) var jitter: Int64 = 0
    private var lastTransit: Int64?
    /// When anything authentic came on it.
    var heard: Instant?

    init(carrier: Carrier, remoteIndex: UInt32, mtu: Int, now: Instant) {
        self.carrier = carrier
        self.remoteIndex = remoteIndex
        self.mtu = mtu
        health = PatchHealth(now: now)
    }

    var carries: Bool { health.state == .up }

    /// When its state may change by time alone.
    var deadline: Instant? {
        health.deadline(roundTrip: estimator.roundTrip, unansweredSince: estimator.unansweredSince)
    }

    mutating func probe(_ number: UInt8, account: PatchAccount, now: Instant) -> PatchProbe {
        let probe = estimator.probe(patch: number, packets: sent.packets, bytes: sent.bytes, now: now)
        accounts.append((probe.number, account, longest))
        if accounts.count > Limits.patchProbesKept { accounts.removeFirst() }
        return probe
    }

    /// Nil for a report that is not believed; else what the account was when its probe went.
    mutating func receive(_ report: PatchReport, now: Instant) -> PatchAccount? {
        guard estimator.receive(report, now: now) else { return nil }
        guard let place = accounts.firstIndex(where: { $0.number == report.number }) else { return PatchAccount() }
        let (_, account, size) = accounts[place]
        accounts.removeFirst(place + 1)
        if size >= longest { longest = 0 }
        return account
    }

    /// A datagram went on the patch.
    mutating func went(_ bytes: Int) {
        sent.add(1, bytes)
        longest = max(longest, bytes)
    }

    /// A probe of the peer's: how long the way here takes.
    mutating func arrived(_ probe: PatchProbe, now: Instant) {
        let sample = Int64(bitPattern: now.nanoseconds / 1000 &- probe.sentAt)
        if let last = lastTransit {
            let change = sample.subtractingReportingOverflow(last)
            let size = change.overflow ? .max : change.partialValue.magnitude
            jitter += (Int64(min(size, 10_000_000)) - jitter) / 16
        }
        lastTransit = sample
        var lately = transits ?? (sample...sample, sample...sample, now)
        if now.since(lately.since) > Limits.patchTransitKept { lately = (sample...sample, lately.now, now) }
        lately.now = min(lately.now.lowerBound, sample)...max(lately.now.upperBound, sample)
        transits = lately
    }

    /// How long the way here took lately, at least and at most, plus what is between the clocks.
    var transit: ClosedRange<Int64>? {
        transits.map {
            min($0.now.lowerBound, $0.before.lowerBound)...max($0.now.upperBound, $0.before.upperBound)
        }
    }
}
