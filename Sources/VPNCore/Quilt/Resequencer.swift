// SPDX-License-Identifier: Apache-2.0
// Puts packets that came over several patches into the order in which they were sent (§9), for a bounded time. It knows counters,
// patches and lengths; the bytes of a packet that has to wait lie in its cells, where the caller puts them. What was seen before
// is not its business: the replay window comes first.

/// One session's receiving order on a quilt.
///
/// A packet waits only while one that was sent before it may still be under way: until the gap fills, until every patch that takes
/// part has delivered something newer, or until it has waited for `patience`. What comes after its gap was given up is delivered at
/// once, late, never dropped. Where one patch alone takes part, nothing waits.
public struct Resequencer: Sendable {
    /// What becomes of a packet that has just come.
    public enum Verdict: Equatable, Sendable {
        /// Out with it now; then with what `nextReleased` gives.
        case deliver
        /// It waits: its bytes belong into this range of `cells`. Then comes what `nextReleased` gives.
        case hold(Range<Int>)
        /// There is no room: first comes what `nextReleased` gives, until nil, then the same packet again.
        case full
    }

    /// Counts since it was made.
    public struct Statistics: Equatable, Sendable {
        /// Packets that waited.
        public var held: UInt64 = 0
        /// Packets that came after their gap was given up.
        public var late: UInt64 = 0
        /// Times that gaps were given up since a packet had waited long enough, and since there was no room.
        public var expired: UInt64 = 0
        public var crowded: UInt64 = 0
    }

    private enum Slot: Equatable {
        case empty
        /// A counter that brought no packet.
        case passed
        case packet(length: Int)
    }

    /// The waiting packets, a cell each; empty until the first has to wait, and after `giveBack`.
    public private(set) var cells: [UInt8] = []
    /// Whether it takes cells by itself when the first has to wait; else it gets them by `equip`.
    private let takesCells: Bool
    public private(set) var statistics = Statistics()
    /// How long a packet waits at most (§9: clamp(max owd − min owd + 3 jitter + 2 ms, 3 ms, 120 ms)).
    public private(set) var patience = Limits.resequencingLeast
    /// How much patches disorder their own packets: a gap that all of them have passed is given up after that.
    public private(set) var disorder = TimeSpan.zero

    private let cell: Int
    /// By counter, modulo their number. Those that are not empty lie within that number of counters from `next`.
    private var slots: [Slot] = []
    private var occupied = 0
    /// The next counter to be delivered; nil before the first came.
    private var next: UInt64?
    /// Gaps up to here are given up.
    private var boundary: UInt64 = 0
    /// The same, from a time on.
    private var pending: (boundary: UInt64, due: Instant)?
    /// Counters that wait or waited, in the order of their arrival: a ring.
    private var queue: [(counter: UInt64, at: Instant)] = []
    private var (head, queued) = (0, 0)
    /// How much longer packets wait, since some came too late; whether one did since `adjust`.
    private var slack = TimeSpan.zero
    private var isLate = false
    /// The highest counter of each patch, and when it last brought anything.
    private var patches: [(highest: UInt64, at: Instant)?]

    /// - Parameters:
    ///   - cell: the longest packet that can wait, in bytes; a longer one is delivered out of its order.
    ///   - takesCells: false where there are not as many cells as there might be.
    public init(cell: Int, patches: Int = Limits.patches, takesCells: Bool = true) {
        precondition(cell > 0 && patches > 0)
        self.cell = cell
        self.takesCells = takesCells
        self.patches = Array(repeating: nil, count: patches)
    }

    /// A power of two, so that counters find their slots by it.
    private static var capacity: Int { Limits.resequencedPackets }

    // MARK: - What is known of the patches

    /// - Parameters:
    ///   - skew: of the slowest patch's delay over the fastest one's.
    ///   - jitter: the largest of the patches'.
    public mutating func adjust(skew: TimeSpan, jitter: TimeSpan) {
        // Bounded before they are added: they come of another clock, and of a peer who may lie.
        let skew = min(skew, Limits.resequencingMost)
        let jitter = min(jitter, Limits.resequencingMost)
        // What came too late tells more than any estimate.
        slack = isLate ? slack + Limits.resequencingStep : TimeSpan(nanoseconds: slack.nanoseconds / 16 * 15)
        slack = min(slack, Limits.resequencingMost)
        isLate = false
        let wanted = skew + jitter * 3 + Limits.resequencingMargin + slack
        patience = min(max(wanted, Limits.resequencingLeast), Limits.resequencingMost)
        disorder = min(jitter, patience)
    }

    /// A patch that is down holds nobody up.
    public mutating func forget(patch: Int) { patches[patch] = nil }

    // MARK: - Arrivals

    /// A packet with an authentic counter that was never seen before.
    public mutating func arrive(_ counter: UInt64, length: Int, on patch: Int, now: Instant) -> Verdict {
        note(counter, on: patch, now: now)
        guard let next else {
            self.next = counter &+ 1
            return .deliver
        }
        if counter < next {
            statistics.late += 1
            isLate = true
            return .deliver
        }
        if counter == next {
            self.next = next &+ 1
            return .deliver
        }
        // It was said to be none: whoever sent was mistaken, or lies.
        if !slots.isEmpty, counter &- next < UInt64(Self.capacity), slots[place(counter)] == .passed {
            statistics.late += 1
            return .deliver
        }
        giveUp(now: now)
        if occupied == 0, boundary >= counter {
            // All before it came or was lost, and nobody waits.
            self.next = counter &+ 1
            return .deliver
        }
        guard length <= cell, !slots.isEmpty || takesCells else {
            mark(counter, .passed)
            return .deliver
        }
        // Looking at the oldest lets go of those before it that went by now.
        if queued == Self.capacity { _ = oldest }
        if counter &- next >= UInt64(Self.capacity) || queued == Self.capacity {
            makeRoom(for: counter)
            return .full
        }
        mark(counter, .packet(length: length))
        queue[(head + queued) & (Self.capacity - 1)] = (counter, now)
        queued += 1
        statistics.held += 1
        let start = place(counter) * cell
        return .hold(start..<start + length)
    }

    /// A counter that brought something else than a packet: it leaves no gap.
    public mutating func pass(_ counter: UInt64, on patch: Int, now: Instant) {
        note(counter, on: patch, now: now)
        guard let next, counter >= next else { return }
        if counter == next { self.next = next &+ 1 } else { mark(counter, .passed) }
        giveUp(now: now)
    }

    /// So many counters before this one bring no packet, says who sent it.
    mutating func skip(_ count: Int, before counter: UInt64) {
        guard let first = next, counter > first else { return }
        var skipped = max(first, counter > UInt64(count) ? counter - UInt64(count) : 0)
        while skipped < counter {
            // One that came all the same waits to be let go.
            if skipped == next, !isOccupied(skipped) { next = skipped + 1 } else { mark(skipped, .passed) }
            skipped += 1
        }
    }

    /// Puts a packet that is to wait where `hold` told.
    mutating func store(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, in cell: Range<Int>) {
        var span = cells.mutableSpan
        span.copy(buffer, packet, to: cell.lowerBound)
    }

    /// Whether anything waits, be it only the place of something that was no packet.
    var hasPackets: Bool { occupied > 0 }

    /// Nothing more comes: all gaps are given up.
    mutating func releaseAll() { boundary = .max - 1 }

    /// All gaps before what waits are given up.
    mutating func releaseWaiting() {
        guard occupied > 0, let next else { return }
        let last = (0..<UInt64(Self.capacity)).last { isOccupied(next &+ $0) }
        if let last { boundary = max(boundary, next &+ last) }
    }

    // MARK: - Cells

    /// Whether a packet that has just come would have to wait and there is nowhere to.
    mutating func lacksCells(for counter: UInt64, on patch: Int, now: Instant) -> Bool {
        guard slots.isEmpty, let next, counter > next else { return false }
        note(counter, on: patch, now: now)
        giveUp(now: now)
        return counter > boundary
    }

    /// The same of something that is no packet: whether it is out of its turn.
    func lacksCells(for counter: UInt64) -> Bool { slots.isEmpty && next.map { counter > $0 } ?? false }

    /// Gives it room for packets that wait: new cells, or those that another one gave back.
    mutating func equip(_ given: [UInt8] = []) {
        guard slots.isEmpty else { return }
        slots = Array(repeating: .empty, count: Self.capacity)
        queue = Array(repeating: (0, .origin), count: Self.capacity)
        // What lies there of others is written over before it is read.
        cells = given.count == Self.capacity * cell ? given : Array(repeating: 0, count: Self.capacity * cell)
    }

    /// Nothing waits, or nothing but places of what was no packet: gives its cells away.
    mutating func giveBack() -> [UInt8] {
        let given = cells
        (slots, queue, cells) = ([], [], [])
        (head, queued, occupied) = (0, 0, 0)
        return given
    }

    /// Since when the oldest packet waits.
    var waitingSince: Instant? {
        mutating get { oldest?.at }
    }

    /// The next packet that may go, in `cells`; nil when the others have to wait, or there are none.
    public mutating func nextReleased() -> Range<Int>? {
        while let next {
            if occupied == 0 {
                if boundary >= next { self.next = boundary &+ 1 }
                return nil
            }
            let slot = place(next)
            switch slots[slot] {
            case .empty:
                guard next <= boundary else { return nil }
                self.next = next &+ 1
            case .passed:
                slots[slot] = .empty
                occupied -= 1
                self.next = next &+ 1
            case .packet(let length):
                slots[slot] = .empty
                occupied -= 1
                self.next = next &+ 1
                return slot * cell..<slot * cell + length
            }
        }
        return nil
    }

    // MARK: - Time

    /// When `expire` has something to do; nil while nothing waits.
    public var deadline: Instant? {
        mutating get {
            guard let oldest = oldest else { return nil }
            let expiry = oldest.at + patience
            return pending.map { min($0.due, expiry) } ?? expiry
        }
    }

    /// Gives gaps up whose time is over; `nextReleased` then has what waited for them.
    public mutating func expire(now: Instant) {
        giveUp(now: now)
        while let oldest = oldest, now.since(oldest.at) >= patience {
            if boundary < oldest.counter &- 1 {
                boundary = oldest.counter &- 1
                statistics.expired += 1
            }
            dequeue()
        }
    }

    // MARK: - Gaps

    private mutating func note(_ counter: UInt64, on patch: Int, now: Instant) {
        let highest = patches[patch].map { max($0.highest, counter) } ?? counter
        patches[patch] = (highest, now)
    }

    /// Moves the boundary to what every patch that takes part has passed: one that brought nothing for long enough has nothing
    /// under way that is worth waiting for.
    private mutating func giveUp(now: Instant) {
        if let due = pending, due.due <= now {
            boundary = max(boundary, due.boundary)
            pending = nil
        }
        var (passed, count) = (UInt64.max, 0)
        for case let patch? in patches where now.since(patch.at) <= patience * 2 {
            passed = min(passed, patch.highest)
            count += 1
        }
        guard count > 0, passed > boundary else { return }
        if count == 1 || disorder == .zero {
            boundary = passed
        } else if pending == nil {
            pending = (passed, now + disorder)
        }
    }

    private mutating func makeRoom(for counter: UInt64) {
        statistics.crowded += 1
        if let oldest = oldest { boundary = max(boundary, oldest.counter) }
        if let next, counter &- next >= UInt64(Self.capacity) {
            boundary = max(boundary, counter &- UInt64(Self.capacity))
        }
    }

    /// The counter that has waited longest.
    private var oldest: (counter: UInt64, at: Instant)? {
        mutating get {
            while queued > 0, let next, queue[head].counter < next { dequeue() }
            return queued > 0 ? queue[head] : nil
        }
    }

    private mutating func dequeue() {
        head = (head + 1) & (Self.capacity - 1)
        queued -= 1
    }

    // MARK: - Slots

    @inline(__always)
    private func place(_ counter: UInt64) -> Int { Int(truncatingIfNeeded: counter & UInt64(Self.capacity - 1)) }

    private func isOccupied(_ counter: UInt64) -> Bool { !slots.isEmpty && slots[place(counter)] != .empty }

    private mutating func mark(_ counter: UInt64, _ slot: Slot) {
        guard let next, counter &- next < UInt64(Self.capacity) else { return }
        if slots.isEmpty {
            guard takesCells else { return }
            equip()
        }
        // What was told to be nothing may come yet; a packet never twice.
        guard slots[place(counter)] == .empty else {
            precondition(slot == .passed, "a counter that came before")
            return
        }
        slots[place(counter)] = slot
        occupied += 1
    }
}
