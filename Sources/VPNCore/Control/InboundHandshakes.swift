// SPDX-License-Identifier: Apache-2.0
// The responder's memory of handshakes on their way (§5): fragments of S1, those that wait for work, work in progress, and
// answers kept for repeats. Bounded in number, in time and by source; only fragments whose cookie held get here.
internal import VPNCrypto

/// What makes two fragments parts of one message.
struct InboundKey: Hashable {
    var carrier: Carrier
    var senderIndex: UInt32
    var message: UInt64
}

/// One S1 on its way in, and its answer.
struct InboundHandshake {
    enum Stage {
        case collecting([[UInt8]?])
        /// Complete, and in line for public-key work. `load`: messages of its prefix and site in the minute before it came.
        case waiting([UInt8], paid: UInt8, load: Int)
        /// Public-key work is under way.
        case working
        /// Answer i goes to whoever repeats fragment i.
        case answered([[UInt8]])
        /// Refused or replayed: repeats are dropped without more work.
        case ignored

        /// What the bounds of the table count together.
        fileprivate enum Kind { case collecting, waiting, working, answered, ignored }

        fileprivate var kind: Kind {
            switch self {
            case .collecting: .collecting
            case .waiting: .waiting
            case .working: .working
            case .answered: .answered
            case .ignored: .ignored
            }
        }
    }

    var shape: FragmentShape
    var cookie: [UInt8]
    /// When the cookie was issued, in its issuer's seconds.
    var issued: UInt32
    /// UDP payload of the S1 fragments; no answer is longer.
    var datagramSize: Int
    var created: Instant
    var expires: Instant
    var stage: Stage
}

struct InboundHandshakes {
    enum Verdict {
        case incomplete
        case duplicate
        /// Contradicts the first fragment of its message.
        case inconsistent
        /// All fragments are there but their hash is not that of the header; everything about it is freed.
        case corrupt
        case complete([UInt8])
        /// A repeat: answer with this one datagram.
        case answer([UInt8])
    }

    private var entries: [InboundKey: InboundHandshake] = [:]
    private var counts: [InboundHandshake.Stage.Kind: Int] = [:]
    /// No entry expires before this; may be early after a removal, which costs one idle look.
    private(set) var deadline: Instant?

    var count: Int { entries.count }
    var collectingCount: Int { counts[.collecting] ?? 0 }
    var waitingCount: Int { counts[.waiting] ?? 0 }

    subscript(key: InboundKey) -> InboundHandshake? { entries[key] }

    /// §5: first copy of a fragment wins; cookie, count and total must equal the first fragment's.
    mutating func add(_ fragment: S1Fragment, size: Int, issued: UInt32, from carrier: Carrier, now: Instant) -> Verdict
    {
        let key = InboundKey(carrier: carrier, senderIndex: fragment.senderIndex, message: fragment.messageHash)
        guard var entry = entries[key] else {
            makeRoom(for: carrier)
            var chunks: [[UInt8]?] = Array(repeating: nil, count: fragment.shape.count)
            chunks[fragment.index] = fragment.chunk
            entries[key] = InboundHandshake(
                shape: fragment.shape, cookie: fragment.cookie, issued: issued, datagramSize: size, created: now,
                expires: now + Limits.reassemblyLifetime, stage: .collecting(chunks))
            counts[.collecting, default: 0] += 1
            noteExpiry(now + Limits.reassemblyLifetime)
            return fragment.shape.count == 1 ? finish(key) : .incomplete
        }
        guard entry.shape == fragment.shape, entry.cookie == fragment.cookie else { return .inconsistent }
        switch entry.stage {
        case .collecting(var chunks):
            guard chunks[fragment.index] == nil else { return .duplicate }
            chunks[fragment.index] = fragment.chunk
            entry.stage = .collecting(chunks)
            entries[key] = entry
            return chunks.contains { $0 == nil } ? .incomplete : finish(key)
        case .answered(let datagrams):
            return fragment.index < datagrams.count ? .answer(datagrams[fragment.index]) : .duplicate
        case .waiting, .working, .ignored:
            return .duplicate
        }
    }

    private mutating func finish(_ key: InboundKey) -> Verdict {
        guard let entry = entries[key], case .collecting(let chunks) = entry.stage,
            let message = entry.shape.join(chunks), Hash.sha256(message).u64(at: 0) == key.message
        else {
            remove(key)
            return .corrupt
        }
        return .complete(message)
    }

    mutating func setStage(_ stage: InboundHandshake.Stage, of key: InboundKey, until expires: Instant) {
        guard var entry = entries[key] else { return }
        counts[entry.stage.kind, default: 0] -= 1
        counts[stage.kind, default: 0] += 1
        entry.stage = stage
        entry.expires = expires
        entries[key] = entry
        noteExpiry(expires)
    }

    mutating func remove(_ key: InboundKey) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        counts[entry.stage.kind, default: 0] -= 1
    }

    // MARK: The line

    /// Who of those that wait is to be served next, or gives way first: whoever paid most for its cookie, then whoever asked
    /// least lately, then whoever waits longest.
    func waiting(_ place: Place) -> InboundKey? {
        var found: (key: InboundKey, rank: Rank)?
        for (key, entry) in entries {
            guard case .waiting(_, let paid, let load) = entry.stage else { continue }
            let rank = Rank(paid: paid, load: load, created: entry.created)
            if let best = found, place == .first ? !(rank < best.rank) : !(best.rank < rank) { continue }
            found = (key, rank)
        }
        return found?.key
    }

    enum Place { case first, last }

    private struct Rank {
        var paid: UInt8
        var load: Int
        var created: Instant

        static func < (a: Rank, b: Rank) -> Bool {
            if a.paid != b.paid { return a.paid > b.paid }
            return a.load != b.load ? a.load < b.load : a.created < b.created
        }
    }

    /// Frees what has expired; how many.
    mutating func expire(now: Instant) -> Int {
        guard let due = deadline, due <= now else { return 0 }
        let old = entries.filter { $0.value.expires <= now }.map(\.key)
        for key in old { remove(key) }
        // A table keeps the room that its fullest moment took.
        if entries.isEmpty { entries = [:] }
        deadline = entries.values.lazy.map(\.expires).min()
        return old.count
    }

    private mutating func noteExpiry(_ instant: Instant) {
        deadline = deadline.map { min($0, instant) } ?? instant
    }

    // MARK: Bounds

    /// Frees a place where this carrier's prefix, site or the whole table is full: the oldest entry of the heaviest
    /// source goes, so that a flood evicts itself.
    private mutating func makeRoom(for carrier: Carrier) {
        let prefix = SourcePrefix(carrier)
        let limit = carrier.place == nil ? Limits.reassembliesPerPrefix : Limits.reassembliesPerCircuit
        evict(above: limit) { SourcePrefix($0.carrier) == prefix }
        if let site = SourcePrefix.site(carrier) {
            evict(above: Limits.reassembliesPerSite) { SourcePrefix.site($0.carrier) == site }
        }
        evict(above: Limits.reassemblies) { _ in true }
        // Each kind by itself: refusals, which cost their sender nothing, push no answer out, and nothing pushes out work.
        if counts[.answered] ?? 0 >= Limits.answersKept { evictOldest(.answered) }
        if counts[.ignored] ?? 0 >= Limits.answersKept { evictOldest(.ignored) }
    }

    private mutating func evict(above limit: Int, where belongs: (InboundKey) -> Bool) {
        var candidates: [(key: InboundKey, created: Instant)] = []
        for (key, entry) in entries where belongs(key) {
            if case .collecting = entry.stage { candidates.append((key, entry.created)) }
        }
        guard candidates.count >= limit else { return }
        var weights: [Carrier: Int] = [:]
        for candidate in candidates { weights[candidate.key.carrier, default: 0] += 1 }
        let heaviest = weights.values.max() ?? 0
        let oldest = candidates.filter { weights[$0.key.carrier] == heaviest }.min { $0.created < $1.created }
        if let oldest { remove(oldest.key) }
    }

    private mutating func evictOldest(_ kind: InboundHandshake.Stage.Kind) {
        var oldest: (key: InboundKey, created: Instant)?
        for (key, entry) in entries where entry.stage.kind == kind {
            if oldest.map({ entry.created < $0.created }) ?? true { oldest = (key, entry.created) }
        }
        if let oldest { remove(oldest.key) }
    }
}
