// SPDX-License-Identifier: Apache-2.0
// Datagrams that went lately by the patches of one session (§9), to go again by another patch where theirs falls silent. It keeps and
// finds them; nothing more.

struct SentDatagrams: Sendable {
    private struct Entry {
        var patch: Int
        /// How many datagrams had gone by the patch with it.
        var order: UInt64
        var datagram: [UInt8]
    }

    /// A ring, oldest at `head` once it is full.
    private var entries: [Entry] = []
    private var head = 0

    /// Keeps one in the place of the oldest.
    mutating func keep(_ datagram: [UInt8], patch: Int, order: UInt64) {
        let entry = Entry(patch: patch, order: order, datagram: datagram)
        if entries.count < Limits.sentDatagramsKept {
            entries.append(entry)
        } else {
            entries[head] = entry
            head = (head + 1) % entries.count
        }
    }

    /// Those of a patch that went after so many others by it, oldest first; each is taken out.
    ///
    /// - Parameter bytes: of all together, at most.
    mutating func take(patch: Int, after reported: UInt64, bytes: Int) -> [[UInt8]] {
        var (found, left): ([[UInt8]], Int) = ([], bytes)
        for place in 0..<entries.count {
            let index = (head + place) % entries.count
            let entry = entries[index]
            guard entry.patch == patch, entry.order > reported, !entry.datagram.isEmpty else { continue }
            left -= entry.datagram.count
            guard left >= 0 else { break }
            found.append(entry.datagram)
            entries[index].datagram = []
        }
        return found
    }
}
