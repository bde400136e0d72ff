// SPDX-License-Identifier: Apache-2.0
// Receiver index → session, as an open-addressing table that costs a look-up one or two cache lines and no reference
// counting. Indices are random and chosen here, so they need no hashing and no peer can make them collide.

/// The sessions that can receive on one worker.
///
/// Packets reach a session through an uncounted reference; `owners` keeps it alive as long as the table holds it.
struct SessionTable {
    /// What an index stands for.
    struct Entry {
        /// 0 marks a free place: no session has index 0.
        var index: UInt32
        /// The patch of the session (§9); 0 for its own index.
        var patch: UInt8 = 0
        /// Whether the session has patches, or had some.
        var isQuilted = false
        var session: SessionReference?
    }

    private var entries: [Entry]
    private(set) var owners: [UInt32: Session] = [:]
    /// How many sessions each peer has here, so that nobody looks through all of them for one that has none.
    private var counts: [UInt16] = []
    /// Further indices: the session's own one, and the patch.
    private var patches: [UInt32: (session: UInt32, patch: UInt8)] = [:]
    /// Sessions that have or had some: what is under way may say so after the last of them has gone.
    private var quilted: Set<UInt32> = []

    init() {
        entries = Array(repeating: Entry(index: 0, session: nil), count: 16)
    }

    /// Adds a session under its local index; a session that is there already stays.
    /// - Returns: false if another session has this index: a bug of whoever draws indices.
    mutating func insert(_ session: Session) -> Bool {
        if let present = owners[session.localIndex] { return present === session }
        owners[session.localIndex] = session
        if counts.count <= session.peer {
            counts += Array(repeating: 0, count: session.peer + 1 - counts.count)
        }
        counts[session.peer] += 1
        add(Entry(index: session.localIndex, session: SessionReference(session)))
        return true
    }

    /// Gives a session that is here another index; one that it has already changes nothing.
    mutating func insert(patch: UInt8, of session: Session, index: UInt32) {
        guard owners[session.localIndex] === session, patches[index] == nil, owners[index] == nil else { return }
        patches[index] = (session.localIndex, patch)
        // All of its indices know it from now on; those of other patches do so already.
        if quilted.insert(session.localIndex).inserted { entries[location(of: session.localIndex)].isQuilted = true }
        add(Entry(index: index, patch: patch, isQuilted: true, session: SessionReference(session)))
    }

    /// Takes such an index back.
    mutating func removePatch(_ index: UInt32) {
        if patches.removeValue(forKey: index) != nil { vacate(index) }
    }

    /// Removes a session and gives it back.
    mutating func remove(_ index: UInt32) -> Session? {
        guard let session = owners.removeValue(forKey: index) else { return nil }
        counts[session.peer] -= 1
        vacate(index)
        if quilted.remove(index) != nil {
            for patch in patches.filter({ $0.value.session == index }).keys { removePatch(patch) }
        }
        return session
    }

    /// The indices of a peer's sessions.
    func indices(of peer: PeerSlot) -> [UInt32] {
        guard counts.indices.contains(peer), counts[peer] > 0 else { return [] }
        return owners.values.filter { $0.peer == peer }.map(\.localIndex)
    }

    /// The session of `index`; to be followed before this table changes.
    ///
    /// A reference comes out and no closure goes in: a closure that uses the rest of the data plane would make the
    /// compiler copy, and so retain, the whole table for each packet.
    @inline(__always)
    func reference(_ index: UInt32) -> SessionReference? { entry(index)?.session }

    /// The same with the patch that the index stands for.
    @inline(__always)
    func entry(_ index: UInt32) -> Entry? {
        var place = Int(truncatingIfNeeded: index) & (entries.count - 1)
        while true {
            let entry = entries[place]
            // Index 0 finds a free place, which has no session.
            if entry.index == index { return index == 0 ? nil : entry }
            if entry.index == 0 { return nil }
            place = (place + 1) & (entries.count - 1)
        }
    }

    private mutating func add(_ entry: Entry) {
        if (owners.count + patches.count) * 2 > entries.count {
            rebuild(capacity: entries.count * 2)
        } else {
            put(entry)
        }
    }

    private mutating func put(_ entry: Entry) {
        var place = Int(truncatingIfNeeded: entry.index) & (entries.count - 1)
        while entries[place].index != 0 { place = (place + 1) & (entries.count - 1) }
        entries[place] = entry
    }

    /// Where an index stands, which is in the table.
    private func location(of index: UInt32) -> Int {
        var place = Int(truncatingIfNeeded: index) & (entries.count - 1)
        while entries[place].index != index {
            precondition(entries[place].index != 0, "an index that is not in the table")
            place = (place + 1) & (entries.count - 1)
        }
        return place
    }

    /// Frees the place of an index. Those behind it that may come nearer to their own do, so that the table is as if it had
    /// never been there: no tombstones, and no work but for one chain, however many sessions go at once.
    private mutating func vacate(_ index: UInt32) {
        var hole = location(of: index)
        let mask = entries.count - 1
        var place = (hole + 1) & mask
        while entries[place].index != 0 {
            let home = Int(truncatingIfNeeded: entries[place].index) & mask
            // How far it stands from its own place, and how far from the hole.
            if (place - home) & mask >= (place - hole) & mask {
                entries[hole] = entries[place]
                hole = place
            }
            place = (place + 1) & mask
        }
        entries[hole] = Entry(index: 0, session: nil)
    }

    private mutating func rebuild(capacity: Int) {
        entries = Array(repeating: Entry(index: 0, session: nil), count: capacity)
        for session in owners.values {
            put(
                Entry(
                    index: session.localIndex, isQuilted: quilted.contains(session.localIndex),
                    session: SessionReference(session)))
        }
        for (index, patch) in patches {
            guard let session = owners[patch.session] else { continue }
            put(Entry(index: index, patch: patch.patch, isQuilted: true, session: SessionReference(session)))
        }
    }
}
