// SPDX-License-Identifier: Apache-2.0
// The peers of the control side by their slots, each in a place of its own: a peer has more than a kilobyte, and a dictionary of
// them would hold half as many again for nobody.

/// A table that its one owner changes in place. It is no value: whoever copies it shares what is in it. It knows for whom something
/// is due, so that nobody looks at ten thousand peers for the sake of one.
struct Peers {
    private final class Place {
        var peer: Peer?
        /// Where its deadline stands.
        let index: Int
        /// Its deadline may be another one since ``settle()``.
        var isChanged = false

        init(_ peer: Peer, index: Int) {
            self.peer = peer
            self.index = index
        }
    }

    private var places: [PeerSlot: Place] = [:]
    private var changed: [Place] = []
    /// When each is due, and who that is. Side by side and not in a heap: the least of ten thousand numbers is found in microseconds,
    /// and nothing is left over from deadlines that move.
    private var dues: [Instant] = []
    private var slots: [PeerSlot] = []
    private var free: [Int] = []

    subscript(slot: PeerSlot) -> Peer? {
        _read {
            if let place = places[slot] { yield place.peer } else { yield nil }
        }
        _modify {
            if let place = places[slot] {
                defer { if place.peer == nil { remove(slot) } else { note(place) } }
                yield &place.peer
            } else {
                var peer: Peer?
                defer { if let peer { add(peer, slot) } }
                yield &peer
            }
        }
    }

    var count: Int { places.count }
    var keys: some Collection<PeerSlot> { places.keys }
    var values: some Sequence<Peer> { places.values.lazy.compactMap(\.peer) }

    /// The first that is like this, in no order; nobody is copied for it.
    func slot(where isWanted: (borrowing Peer) -> Bool) -> PeerSlot? {
        for (slot, place) in places where isWanted(place.peer!) { return slot }
        return nil
    }

    /// All that are like this, by slot.
    func slots(where isWanted: (borrowing Peer) -> Bool) -> [PeerSlot] {
        var slots: [PeerSlot] = []
        for (slot, place) in places where isWanted(place.peer!) { slots.append(slot) }
        return slots.sorted()
    }

    /// How many are like this; nobody is copied for it.
    func count(where isWanted: (borrowing Peer) -> Bool) -> Int {
        var count = 0
        for place in places.values where isWanted(place.peer!) { count += 1 }
        return count
    }

    @discardableResult
    mutating func removeValue(forKey slot: PeerSlot) -> Peer? { remove(slot) }

    // MARK: Deadlines

    /// When something is due for the first of them.
    var deadline: Instant {
        mutating get {
            settle()
            return dues.min() ?? Instant(nanoseconds: .max)
        }
    }

    /// Those for whom something is due, by slot.
    mutating func due(by now: Instant) -> [PeerSlot] {
        settle()
        return dues.indices.filter { dues[$0] <= now }.map { slots[$0] }.sorted()
    }

    private mutating func settle() {
        for place in changed {
            place.isChanged = false
            // Whoever has gone since has left its place to somebody else.
            if let peer = place.peer { dues[place.index] = peer.deadline }
        }
        changed.removeAll(keepingCapacity: true)
    }

    private mutating func note(_ place: Place) {
        guard !place.isChanged else { return }
        place.isChanged = true
        changed.append(place)
    }

    private mutating func add(_ peer: Peer, _ slot: PeerSlot) {
        let place = Place(peer, index: free.popLast() ?? dues.count)
        if place.index == dues.count {
            dues.append(.origin)
            slots.append(slot)
        } else {
            slots[place.index] = slot
        }
        places[slot] = place
        note(place)
    }

    @discardableResult
    private mutating func remove(_ slot: PeerSlot) -> Peer? {
        guard let place = places.removeValue(forKey: slot) else { return nil }
        dues[place.index] = Instant(nanoseconds: .max)
        free.append(place.index)
        defer { place.peer = nil }
        return place.peer
    }
}
