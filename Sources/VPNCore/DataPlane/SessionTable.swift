// SPDX-License-Identifier: Apache-2.0
// Receiver index → session, as an open-addressing table that costs a look-up one or two cache lines and no reference
// counting. Indices are random and chosen here, so they need no hashing and no peer can make them collide.

/// The sessions that can receive on one worker.
///
/// Packets reach a session through an uncounted reference; `owners` keeps it alive as long as the table holds it.
struct SessionTable {
    private struct Entry {
        /// 0 marks a free place: no session has index 0.
        var index: UInt32
        var session: SessionReference?
    }

    private var entries: [Entry]
    private(set) var owners: [UInt32: Session] = [:]

    init() {
        entries = Array(repeating: Entry(index: 0, session: nil), count: 16)
    }

    /// Adds a session under its local index; a session that is there already stays.
    /// - Returns: false if another session has this index: a bug of whoever draws indices.
    mutating func insert(_ session: Session) -> Bool {
        if let present = owners[session.localIndex] { return present === session }
        owners[session.localIndex] = session
        if owners.count * 2 > entries.count { rebuild(capacity: entries.count * 2) } else { place(session) }
        return true
    }

    /// Removes a session and gives it back.
    mutating func remove(_ index: UInt32) -> Session? {
        guard let session = owners.removeValue(forKey: index) else { return nil }
        // Sessions go rarely: placing the others anew is simpler than tombstones, and keeps chains short.
        rebuild(capacity: entries.count)
        return session
    }

    /// The session of `index`; to be followed before this table changes.
    ///
    /// A reference comes out and no closure goes in: a closure that uses the rest of the data plane would make the
    /// compiler copy, and so retain, the whole table for each packet.
    @inline(__always)
    func reference(_ index: UInt32) -> SessionReference? {
        var place = Int(truncatingIfNeeded: index) & (entries.count - 1)
        while true {
            let entry = entries[place]
            // Index 0 finds a free place, which has no session.
            if entry.index == index { return entry.session }
            if entry.index == 0 { return nil }
            place = (place + 1) & (entries.count - 1)
        }
    }

    private mutating func place(_ session: Session) {
        var place = Int(truncatingIfNeeded: session.localIndex) & (entries.count - 1)
        while entries[place].index != 0 { place = (place + 1) & (entries.count - 1) }
        entries[place] = Entry(index: session.localIndex, session: SessionReference(session))
    }

    private mutating func rebuild(capacity: Int) {
        entries = Array(repeating: Entry(index: 0, session: nil), count: capacity)
        for session in owners.values { place(session) }
    }
}
