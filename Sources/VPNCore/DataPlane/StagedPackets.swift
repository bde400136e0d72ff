// SPDX-License-Identifier: Apache-2.0
// Inner packets of one peer that wait for a session: bounded, oldest first out. It copies; this is not the fast path.

import DequeModule

/// The packets that one peer's next session will carry first.
struct StagedPackets {
    struct Packet {
        var bytes: [UInt8]
        var since: Instant
    }

    private var packets: Deque<Packet> = []
    private(set) var bytes = 0

    var count: Int { packets.count }

    /// Adds a packet, and drops the oldest ones that do not fit with it.
    /// - Returns: how many were dropped.
    mutating func append(_ packet: Packet) -> Int {
        packets.append(packet)
        bytes += packet.bytes.count
        var dropped = 0
        while packets.count > Limits.stagedPackets || bytes > Limits.stagedBytes {
            _ = removeFirst()
            dropped += 1
        }
        return dropped
    }

    /// Takes the oldest packet.
    mutating func removeFirst() -> Packet? {
        guard let packet = packets.popFirst() else { return nil }
        bytes -= packet.bytes.count
        return packet
    }
}
