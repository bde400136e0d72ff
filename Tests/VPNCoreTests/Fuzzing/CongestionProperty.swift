// SPDX-License-Identifier: Apache-2.0
// The ECN field of a packet that comes out of the tunnel, by the table of RFC 6040 §4.2, and nothing else of the packet.

import VPNTesting

@testable import VPNCore

enum CongestionProperty {
    /// Rows: inner not-ECT, ECT(1), ECT(0), CE. Columns: outer, in the same order. nil: dropped.
    private static let table: [[UInt8?]] = [[0, 0, 0, nil], [1, 1, 1, 3], [2, 1, 2, 3], [3, 3, 3, 3]]

    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        let outer = input.byte()
        var packet: [UInt8]
        if kind & 1 == 0 {
            var model = PacketModel(&input)
            model.payload = input.filling(upTo: 60)
            packet = model.encoded()
            if kind & 2 != 0 { input.damage(&packet) }
        } else {
            packet = input.rest(upTo: 100)
        }
        var guarded = GuardedPacket(packet, front: Int(kind >> 5))
        guard guarded.isInner() else { return }
        let isV4 = packet[0] >> 4 == 4
        let trafficClass = isV4 ? packet[1] : packet[0] << 4 | packet[1] >> 4
        try FuzzFinding.unless(
            guarded.access({ TrafficClass.of($0, at: $1.lowerBound) }) == trafficClass,
            "traffic class of \(packet.prefix(4))")
        let isKept = guarded.access { CongestionMark(trafficClass: outer).apply(to: &$0, $1) }
        let after = guarded.packet
        let text = "\(packet.prefix(40)) became \(after.prefix(40)) by \(outer & 3)"
        try FuzzFinding.unless(guarded.isGuardIntact, "bytes beside the packet")
        guard let field = table[Int(trafficClass & 3)][Int(outer & 3)] else {
            return try FuzzFinding.unless(!isKept && after == packet, text)
        }
        var expected = packet
        let new = trafficClass & ~3 | field
        if isV4 {
            expected[1] = new
            expected.replaceSubrange(10..<12, with: after[10..<12])
            let holds = [packet, after].map { PacketModel.sum(Array($0[..<(Int($0[0] & 15) * 4)])) == 0xFFFF }
            try FuzzFinding.unless(holds[0] == holds[1], "checksum: \(text)")
            if new == trafficClass { expected = packet }
        } else {
            expected[0] = expected[0] & 0xF0 | new >> 4
            expected[1] = expected[1] & 0x0F | new << 4
        }
        try FuzzFinding.unless(isKept && after == expected, text)
    }
}
