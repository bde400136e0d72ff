// SPDX-License-Identifier: Apache-2.0
// Asking one relay what others it knows (§7): its list, page by page, then what is news in it, piece by piece, one question at a time.
// It decides what to say next and when to leave it; it believes nothing and sends nothing.

/// What an exchange wants done; in order.
enum ExchangeEffect: Equatable {
    case say(DirectoryMessage)
    /// A whole descriptor came, to be checked.
    case check(DirectoryName, [UInt8])
}

struct DirectoryExchange {
    enum Stage: Equatable {
        case resting
        case listing(after: UInt64?)
        case fetching(DirectoryName, index: Int)
        /// A job looks at what came.
        case checking(DirectoryName)
    }

    private(set) var stage = Stage.resting
    /// Resting: when to begin anew. Else: when to say it again, or to give up.
    private(set) var deadline: Instant
    /// What is news and still to be fetched.
    private(set) var wanted: [DirectoryName] = []
    /// Bytes of the descriptor under way.
    private(set) var bytes: [UInt8] = []
    private var total = 0
    private var pages = 0
    private var repeats = 0

    init(beginning first: Instant) { deadline = first }

    var isActive: Bool { stage != .resting }

    mutating func begin(now: Instant) -> [ExchangeEffect] {
        wanted = []
        pages = 0
        return ask(.ask(after: nil), .listing(after: nil), now: now)
    }

    /// - Parameter wants: whether a name is news.
    /// - Returns: nil where nobody asked for this.
    mutating func received(
        list after: UInt64?, _ names: [DirectoryName], more: Bool, now: Instant, wants: (DirectoryName) -> Bool
    ) -> [ExchangeEffect]? {
        guard stage == .listing(after: after) else { return nil }
        for name in names where wanted.count < Limits.descriptorsPerSource && wants(name) { wanted.append(name) }
        pages += 1
        if more, wanted.count < Limits.descriptorsPerSource, pages < Limits.directoryPages, let last = names.last {
            return ask(.ask(after: last.prefix), .listing(after: last.prefix), now: now)
        }
        return fetchNext(now: now)
    }

    mutating func received(
        piece name: DirectoryName, index: Int, total: Int, _ chunk: [UInt8], now: Instant
    ) -> [ExchangeEffect]? {
        guard stage == .fetching(name, index: index) else { return nil }
        // Gone since it was listed, or grown between two pieces: the next list has what there is then.
        guard total > 0, index == 0 || total == self.total else { return fetchNext(now: now) }
        self.total = total
        bytes += chunk
        guard bytes.count < total else {
            stage = .checking(name)
            deadline = now + Limits.exchangeStall
            defer { bytes = [] }
            return [.check(name, bytes)]
        }
        return ask(.fetch(name, index: index + 1), .fetching(name, index: index + 1), now: now)
    }

    /// What came was looked at, or could not be.
    mutating func checked(_ name: DirectoryName, now: Instant) -> [ExchangeEffect] {
        stage == .checking(name) ? fetchNext(now: now) : []
    }

    mutating func timeout(now: Instant) -> [ExchangeEffect] {
        guard isActive, deadline <= now else { return [] }
        guard repeats < Limits.exchangeRepeats.count else {
            rest(until: now + Limits.exchangeStall)
            return []
        }
        let message: DirectoryMessage
        switch stage {
        case .listing(let after): message = .ask(after: after)
        case .fetching(let name, let index): message = .fetch(name, index: index)
        case .resting, .checking:
            rest(until: now + Limits.exchangeStall)
            return []
        }
        deadline = now + Limits.exchangeRepeats[repeats]
        repeats += 1
        return [.say(message)]
    }

    /// Leaves it until then.
    mutating func rest(until next: Instant) {
        stage = .resting
        deadline = next
        wanted = []
        bytes = []
        total = 0
    }

    private mutating func fetchNext(now: Instant) -> [ExchangeEffect] {
        bytes = []
        total = 0
        guard !wanted.isEmpty else {
            rest(until: now + Limits.directoryPeriod)
            return []
        }
        let name = wanted.removeFirst()
        return ask(.fetch(name, index: 0), .fetching(name, index: 0), now: now)
    }

    private mutating func ask(_ message: DirectoryMessage, _ next: Stage, now: Instant) -> [ExchangeEffect] {
        stage = next
        repeats = 1
        deadline = now + Limits.exchangeRepeats[0]
        return [.say(message)]
    }
}
