// SPDX-License-Identifier: Apache-2.0
// The MSS of a SYN: lowered exactly where it promises too much, nothing else touched, and a checksum as right or wrong as it was.

import VPNTesting

@testable import VPNCore

enum MaximumSegmentProperty {
    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        let mtu = kind & 1 == 0 ? 576 + input.number(below: 1000) : Int(input.word())
        var packet: [UInt8]
        if kind & 2 == 0 {
            var model = PacketModel(&input)
            if kind & 4 == 0 { (model.isTCP, model.flags) = (true, model.flags | 2) }
            // An option at any place, even or odd, after whatever stands there.
            if kind & 8 == 0 {
                let front = Int(input.byte() % 8)
                model.tcpOptions = Array((model.tcpOptions + [UInt8](repeating: 1, count: front)).suffix(32))
                model.tcpOptions += [2, 4] + PacketModel.bytes(input.word())
                model.tcpOptions += [UInt8](repeating: 1, count: (4 - model.tcpOptions.count % 4) % 4)
            }
            model.payload = input.filling(upTo: 40)
            packet = model.encoded()
            if kind & 16 != 0 { input.damage(&packet) }
        } else {
            packet = input.rest(upTo: 300)
        }
        var guarded = GuardedPacket(packet, front: Int(kind >> 5))
        guard guarded.isInner() else { return }
        guarded.access { MaximumSegment.clamp(&$0, $1, mtu: mtu) }
        try FuzzFinding.unless(guarded.isGuardIntact, "bytes beside the packet")
        try compare(packet, guarded.packet, mtu: mtu)
    }

    private static func compare(_ before: [UInt8], _ after: [UInt8], mtu: Int) throws {
        let limit = min(0xFFFF, mtu - (before[0] >> 4 == 4 ? 40 : 60))
        let (start, all) = options(of: before)
        let places = limit > 0 ? all.filter { PacketModel.number(before, $0) > limit } : []
        guard !places.isEmpty else {
            return try FuzzFinding.unless(before == after, "\(before) became \(after)")
        }
        var expected = before
        for place in places {
            expected.replaceSubrange(place..<place + 2, with: PacketModel.bytes(UInt16(limit)))
        }
        // What the checksum is then is told by whether it holds.
        expected.replaceSubrange(start + 16..<start + 18, with: after[start + 16..<start + 18])
        try FuzzFinding.unless(after == expected, "\(before) became \(after), limit \(limit)")
        let holds = [before, after].map { PacketModel.isValid($0, transportStart: start, isTCP: true) }
        try FuzzFinding.unless(holds[0] == holds[1], "the checksum of \(before) became that of \(after)")
    }

    /// Where the TCP header of a SYN and the values of its MSS options lie: receivers differ in which one they obey.
    private static func options(of packet: [UInt8]) -> (start: Int, places: [Int]) {
        guard let (start, isTCP) = PacketModel.transport(of: packet), isTCP, packet[start + 13] & 2 != 0 else {
            return (0, [])
        }
        var places: [Int] = []
        let end = start + Int(packet[start + 12] >> 4) * 4
        var options = packet[(start + 20)..<end]
        while let kind = options.first, kind != 0 {
            if kind == 1 {
                options.removeFirst()
                continue
            }
            guard options.count >= 2 else { break }
            let length = Int(options[options.startIndex + 1])
            if kind == 2 {
                guard length == 4, options.count >= 4 else { break }
                places.append(options.startIndex + 2)
            }
            guard length >= 2 else { break }
            options = options.dropFirst(length)
        }
        return (start, places)
    }
}
