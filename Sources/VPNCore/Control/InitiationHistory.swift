// SPDX-License-Identifier: Apache-2.0
// Which S1 messages were answered already (§6): the guard against replay of an S1 within its cookie's life.

/// The h4 of recent S1 messages, oldest out first.
struct InitiationHistory {
    private var known: Set<[UInt8]> = []
    private var order: [(hash: [UInt8], issued: UInt32)] = []
    private var head = 0
    /// Cookies issued before this are refused once anything was evicted: its S1 might have been seen and forgotten.
    private var refusedBefore: UInt32 = 0
    private let capacity: Int

    init(capacity: Int = Limits.initiationHistory) { self.capacity = capacity }

    enum Verdict { case fresh, replayed, forgotten }

    /// Records the S1 with this h4 whose cookie was issued at `issued` seconds.
    mutating func admit(_ hash: [UInt8], issued: UInt32) -> Verdict {
        if known.contains(hash) { return .replayed }
        if issued < refusedBefore { return .forgotten }
        if known.count >= capacity {
            let evicted = order[head]
            head += 1
            known.remove(evicted.hash)
            refusedBefore = max(refusedBefore, evicted.issued + 1)
            if head > capacity {
                order.removeFirst(head)
                head = 0
            }
            if issued < refusedBefore { return .forgotten }
        }
        known.insert(hash)
        order.append((hash, issued))
        return .fresh
    }

    /// Takes back an S1 that was put off, not answered, so that its repeat is heard.
    mutating func forget(_ hash: [UInt8]) {
        guard known.remove(hash) != nil else { return }
        if let last = order.lastIndex(where: { $0.hash == hash }) { order.remove(at: last) }
    }
}
