// SPDX-License-Identifier: Apache-2.0
// Inner packets to peers with quilts that wait until a patch takes them (§9): what a patch can do is known, and what is given to it
// beyond that would stand in a queue on its way, where nobody can choose again. One value per worker.

import DequeModule

struct PacedPackets {
    private struct Line {
        var packets: Deque<(packet: [UInt8], since: Instant)> = []
        var bytes = 0
        /// When a patch takes a packet again.
        var opens: Instant

        /// When it is to be looked at: then, or when its oldest packet has waited long enough.
        var due: Instant { packets.first.map { min(opens, $0.since + Limits.pacedLongest) } ?? opens }
    }

    /// Those that have packets, by peer.
    private var lines: [PeerSlot: Line] = [:]
    /// Of all of them.
    private(set) var bytes = 0

    var isEmpty: Bool { lines.isEmpty }
    func isWaiting(_ slot: PeerSlot) -> Bool { lines[slot] != nil }

    /// Puts a packet behind those that wait already.
    ///
    /// - Parameters:
    ///   - opens: when a patch takes one again.
    ///   - limit: bytes that wait, at most.
    /// - Returns: false where there is no room.
    mutating func append(
        _ packet: [UInt8], for slot: PeerSlot, opens: Instant, limit: Int, now: Instant
    ) -> Bool {
        guard packet.count + bytes <= Limits.pacedBytesOfAllPeers else { return false }
        var line = lines.removeValue(forKey: slot) ?? Line(opens: opens)
        defer { lines[slot] = line }
        // One always has room: a limit below its length would let none through for ever.
        guard line.packets.isEmpty || line.bytes + packet.count <= min(limit, share) else { return false }
        line.packets.append((packet, now))
        line.bytes += packet.count
        bytes += packet.count
        return true
    }

    /// Half of what nobody has: whoever comes last finds room, too.
    private var share: Int { max(0, Limits.pacedBytesOfAllPeers - bytes) / 2 }

    /// When the first line is to be looked at; nil where nothing waits.
    var due: Instant? { lines.values.lazy.map(\.due).min() }

    /// A peer whose line is to be looked at by now.
    func ready(now: Instant) -> PeerSlot? { lines.first { $0.value.due <= now }?.key }

    /// A line's patches take nothing before then.
    mutating func postpone(_ slot: PeerSlot, until opens: Instant) { lines[slot]?.opens = opens }

    /// Takes the packet that has waited longest for a peer.
    mutating func removeFirst(_ slot: PeerSlot) -> [UInt8]? {
        guard var line = lines.removeValue(forKey: slot), let packet = line.packets.popFirst()?.packet else {
            return nil
        }
        line.bytes -= packet.count
        bytes -= packet.count
        if !line.packets.isEmpty { lines[slot] = line }
        return packet
    }

    /// Drops those that waited for too long for one peer; how many they were.
    mutating func expire(_ slot: PeerSlot, now: Instant) -> Int {
        var count = 0
        while let first = lines[slot]?.packets.first, now.since(first.since) >= Limits.pacedLongest {
            _ = removeFirst(slot)
            count += 1
        }
        return count
    }

    /// Forgets a peer's; how many they were.
    mutating func remove(_ slot: PeerSlot) -> Int {
        guard let line = lines.removeValue(forKey: slot) else { return 0 }
        bytes -= line.bytes
        return line.packets.count
    }
}
