// SPDX-License-Identifier: Apache-2.0
// Inner packets to peers with quilts that wait until a patch takes them (§9): what a patch can do is known, and what is given to it
// beyond that would stand in a queue on its way, where nobody can choose again. One value per worker.

import DequeModule

struct PacedPackets {
    private struct Line {
        var packets: Deque<[UInt8]> = []
        var bytes = 0
        /// When a patch takes a packet again.
        var opens: Instant
    }

    /// Those that have packets, by peer.
    private var lines: [PeerSlot: Line] = [:]

    var isEmpty: Bool { lines.isEmpty }
    func isWaiting(_ slot: PeerSlot) -> Bool { lines[slot] != nil }

    /// Puts a packet behind those that wait already.
    ///
    /// - Parameters:
    ///   - opens: when a patch takes one again.
    ///   - limit: bytes that wait, at most.
    /// - Returns: false where there is no room.
    mutating func append(_ packet: [UInt8], for slot: PeerSlot, opens: Instant, limit: Int) -> Bool {
        var line = lines.removeValue(forKey: slot) ?? Line(opens: opens)
        defer { lines[slot] = line }
        // One always has room: a limit below its length would let none through for ever.
        guard line.packets.isEmpty || line.bytes + packet.count <= limit else { return false }
        line.packets.append(packet)
        line.bytes += packet.count
        return true
    }

    /// When the first line is to be looked at; nil where nothing waits.
    var due: Instant? { lines.values.lazy.map(\.opens).min() }

    /// A peer whose line is to be looked at by now.
    func ready(now: Instant) -> PeerSlot? { lines.first { $0.value.opens <= now }?.key }

    /// A line's patches take nothing before then.
    mutating func postpone(_ slot: PeerSlot, until opens: Instant) { lines[slot]?.opens = opens }

    /// Takes the packet that has waited longest for a peer.
    mutating func removeFirst(_ slot: PeerSlot) -> [UInt8]? {
        guard var line = lines.removeValue(forKey: slot), let packet = line.packets.popFirst() else { return nil }
        line.bytes -= packet.count
        if !line.packets.isEmpty { lines[slot] = line }
        return packet
    }

    /// Forgets a peer's; how many they were.
    mutating func remove(_ slot: PeerSlot) -> Int { lines.removeValue(forKey: slot)?.packets.count ?? 0 }
}
