// SPDX-License-Identifier: Apache-2.0
// Which S1 messages were answered already (§6): the guard against replay of an S1 within its cookie's life.

/// The h4 of recent S1 messages, oldest out first.
struct InitiationHistory {
    /// The first 16 bytes of an h4, of its 64: as many as nobody finds twice.
    private struct Name: Hashable {
        let high, low: UInt64

        init(_ hash: [UInt8]) { (high, low) = (hash.u64(at: 0), hash.u64(at: 8)) }
    }

    private var known: Set<Name> = []
    private var order: [(name: Name, issued: UInt32)] = []
    private var head = 0
    /// Cookies issued before this are refused once anything was evicted: its S1 might have been seen and forgotten.
    private var refusedBefore: UInt32 = 0
    private let capacity: Int

    init(capacity: Int = Limits.initiationHistory) { self.capacity = capacity }

    enum Verdict { case fresh, replayed, forgotten }

    /// What is known of the S1 with this h4 whose cookie was issued at `issued` seconds; records nothing.
    func verdict(_ hash: [UInt8], issued: UInt32) -> Verdict {
        if known.contains(Name(hash)) { return .replayed }
        return issued < refusedBefore ? .forgotten : .fresh
    }

    /// Records it. Only those whose signatures held are recorded, so that a flood of others cannot fill the history, which
    /// would make it refuse the rest.
    mutating func admit(_ hash: [UInt8], issued: UInt32) -> Verdict {
        let verdict = verdict(hash, issued: issued)
        guard verdict == .fresh else { return verdict }
        if known.count >= capacity {
            let evicted = order[head]
            head += 1
            known.remove(evicted.name)
            refusedBefore = max(refusedBefore, evicted.issued + 1)
            if head > capacity {
                order.removeFirst(head)
                head = 0
            }
            if issued < refusedBefore { return .forgotten }
        }
        known.insert(Name(hash))
        order.append((Name(hash), issued))
        return .fresh
    }
}
