// SPDX-License-Identifier: Apache-2.0
// The relays that this node's paths begin with: few, and the same ones for months. Whoever changes the first hop with every path
// will one day begin with somebody who looks. Times are Unix seconds, since the list outlives its process.
public import VPNCrypto

/// Guards in the order of their choice; the first that can be reached is used.
public struct GuardList: Sendable, Equatable {
    public struct Guard: Sendable, Equatable {
        public let id: PeerID
        public internal(set) var added: UInt64
        public internal(set) var expires: UInt64
        /// Attempts without a session since the last that had one, and when it may be tried again. Not kept across restarts.
        public internal(set) var failures = 0
        public internal(set) var retry: UInt64 = 0
        /// Chosen in this run: its times are those of the clock as it was then. Not kept either.
        var isFresh = false

        public init(id: PeerID, added: UInt64, expires: UInt64) {
            self.id = id
            self.added = added
            self.expires = expires
        }
    }

    /// Guards that are remembered at all, the unusable ones among them.
    public static let sample = 20
    /// So many there are as long as all is well.
    public static let primaries = 3
    static let day: UInt64 = 86_400
    /// New ones in any day, the first three among them: whoever can make guards unreachable cannot turn the list over at will.
    public static let additionsPerDay = 6
    /// 60 to 120 days, at random, so that nobody knows when one is due.
    static let life: ClosedRange<UInt64> = 60 * day...120 * day
    /// Before a guard that failed is tried again: doubles each time up to an hour.
    static let pause: UInt64 = 30
    static let longestPause: UInt64 = 3600
    /// Failures after which a guard does not count when it is asked whether another one is needed.
    static let patience = 2

    public private(set) var guards: [Guard]

    /// What was written down before. Of two with one id the first counts, and no more than there is room for; a life longer than
    /// any is cut, as a clock that was wrong may have left it.
    public init(_ guards: [Guard] = []) {
        self.guards = []
        for entry in guards where self.guards.count < Self.sample && !contains(entry.id) {
            let latest = entry.added &+ Self.life.upperBound
            self.guards.append(Guard(id: entry.id, added: entry.added, expires: min(entry.expires, latest)))
        }
    }

    public func contains(_ id: PeerID) -> Bool { guards.contains { $0.id == id } }

    public var ids: Set<PeerID> { Set(guards.map(\.id)) }

    /// Drops those whose time is over; true if there was one. Only by a clock that something else agrees with.
    public mutating func expire(unix: UInt64) -> Bool {
        let before = guards.count
        guards.removeAll { $0.expires <= unix }
        return guards.count != before
    }

    /// Whether a guard was chosen later than this clock goes, by more than a life: that one's clock was wrong, or this one is. Nobody can
    /// tell which, so that such a guard stays, is not used, and is in nobody's way.
    private static func isOfLater(_ entry: Guard, _ unix: UInt64) -> Bool {
        entry.added > unix && entry.added - unix > life.upperBound
    }

    private static func isOlderThanADay(_ entry: Guard, _ unix: UInt64) -> Bool {
        entry.added <= unix && unix - entry.added >= day
    }

    /// The guards to try, in this order.
    ///
    /// - Parameter usable: the relays that are in the directory and not barred.
    public func preferred(among usable: Set<PeerID>, unix: UInt64) -> [PeerID] {
        guards.filter { usable.contains($0.id) && $0.retry <= unix && !Self.isOfLater($0, unix) }.map(\.id)
    }

    /// Whether another guard may be chosen: fewer than three can be used, and the day's are not used up.
    public func mayAdd(among usable: Set<PeerID>, unix: UInt64) -> Bool {
        let good = guards.count {
            usable.contains($0.id) && $0.failures < Self.patience && !Self.isOfLater($0, unix)
        }
        return good < Self.primaries && hasAdditions(unix: unix)
    }

    /// Whether the day's new guards are not used up.
    public func hasAdditions(unix: UInt64) -> Bool {
        guards.count { !Self.isOlderThanADay($0, unix) && !Self.isOfLater($0, unix) } < Self.additionsPerDay
    }

    /// Adds one at the end. Where the sample is full, one that is not used, or is no relay any more, gives way; false where there is none.
    public mutating func add(
        _ id: PeerID, usable: Set<PeerID>, unix: UInt64, using random: inout some RandomNumberGenerator
    ) -> Bool {
        guard !contains(id), hasAdditions(unix: unix) else { return false }
        if guards.count >= Self.sample {
            let gone = guards.firstIndex { entry in
                Self.isOfLater(entry, unix) || !usable.contains(entry.id) && Self.isOlderThanADay(entry, unix)
            }
            guard let gone else { return false }
            guards.remove(at: gone)
        }
        var new = Guard(
            id: id, added: unix,
            expires: unix + Self.life.lowerBound
                + random.next(upperBound: Self.life.upperBound - Self.life.lowerBound + 1))
        new.isFresh = true
        guards.append(new)
        return true
    }

    /// Somebody set the clock by so many seconds. Pauses stay as long as they are, and what this run has chosen was chosen as long ago
    /// as before: whoever can set the clock, as by forged NTP, cannot turn the list over, and a machine that starts in 1970 keeps its
    /// first guards when it learns the time.
    mutating func clockStepped(by seconds: Int64) {
        func moved(_ time: UInt64) -> UInt64 {
            let (sum, isOver) = Int64(clamping: time).addingReportingOverflow(seconds)
            return isOver ? (seconds > 0 ? .max : 0) : UInt64(clamping: sum)
        }
        for place in guards.indices {
            if guards[place].retry > 0 { guards[place].retry = moved(guards[place].retry) }
            guard guards[place].isFresh else { continue }
            guards[place].added = moved(guards[place].added)
            guards[place].expires = moved(guards[place].expires)
        }
    }

    public mutating func failed(_ id: PeerID, unix: UInt64) {
        guard let place = guards.firstIndex(where: { $0.id == id }) else { return }
        let pause = min(Self.pause << UInt64(min(guards[place].failures, 7)), Self.longestPause)
        guards[place].failures += 1
        guards[place].retry = unix + pause
    }

    public mutating func succeeded(_ id: PeerID) {
        guard let place = guards.firstIndex(where: { $0.id == id }) else { return }
        guards[place].failures = 0
        guards[place].retry = 0
    }
}
