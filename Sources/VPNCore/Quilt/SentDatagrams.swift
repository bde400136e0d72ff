// SPDX-License-Identifier: Apache-2.0
// Datagrams that went by the patches of one session (§9) and are not known to have come, to go again by another patch where theirs falls
// silent. It keeps and finds them; nothing more.

import DequeModule

struct SentDatagrams: Sendable {
    private struct Entry {
        var patch: Int
        /// How many datagrams had gone by the patch with it.
        var order: UInt64
        var at: Instant
        var datagram: [UInt8]
    }

    /// Oldest first.
    private var entries: Deque<Entry> = []
    private(set) var bytes = 0
    /// What all quilts keep.
    private let shared: SharedBytes

    var count: Int { entries.count }

    init(sharing shared: SharedBytes) { self.shared = shared }

    /// Keeps one, and lets go of the oldest ones: those that were reported, and those that there is no room for.
    ///
    /// - Parameter reported: so many datagrams of a patch came, or are known to be lost.
    mutating func keep(_ datagram: [UInt8], patch: Int, order: UInt64, now: Instant, reported: (Int) -> UInt64) {
        while let first = entries.first, first.order <= reported(first.patch) { removeFirst() }
        entries.append(Entry(patch: patch, order: order, at: now, datagram: datagram))
        bytes += datagram.count
        shared.take(datagram.count)
        while bytes > min(Limits.sentBytesKept, shared.share) { removeFirst() }
    }

    /// Lets go of those that went so long ago that nobody waits for them any more.
    mutating func forgetOld(now: Instant) {
        while let first = entries.first, now.since(first.at) > Limits.sentKeptFor { removeFirst() }
    }

    /// Lets go of all.
    mutating func removeAll() {
        shared.giveBack(bytes)
        (entries, bytes) = ([], 0)
    }

    private mutating func removeFirst() {
        guard let gone = entries.popFirst() else { return }
        bytes -= gone.datagram.count
        shared.giveBack(gone.datagram.count)
    }

    /// Those of a patch that went after so many others by it, oldest first; each is taken out.
    ///
    /// - Parameter limit: bytes of all together, at most.
    mutating func take(patch: Int, after reported: UInt64, bytes limit: Int) -> [[UInt8]] {
        var (found, left): ([[UInt8]], Int) = ([], limit)
        entries.removeAll { entry in
            guard entry.patch == patch, entry.order > reported, left >= entry.datagram.count else { return false }
            left -= entry.datagram.count
            found.append(entry.datagram)
            return true
        }
        bytes -= limit - left
        shared.giveBack(limit - left)
        return found
    }
}
