// SPDX-License-Identifier: Apache-2.0
// Fragments of an IPv4 packet: each fits, together they are the packet, and a receiver can tell.

import VPNTesting

@testable import VPNCore

enum FragmentsProperty {
    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        let mtu = kind & 1 == 0 ? 68 + input.number(below: 1500) : Int(input.byte())
        var packet: [UInt8]
        if kind & 2 == 0 {
            var model = PacketModel(&input)
            (model.isIPv4, model.dontFragment) = (true, false)
            if model.ipOptions.count % 4 != 0 || model.ipOptions.count > 40 { model.ipOptions = [] }
            model.payload = input.filling(upTo: 3000)
            packet = model.encoded()
            // A fragment itself.
            if kind & 4 != 0 { packet.replaceSubrange(6..<8, with: [input.byte() & 0xBF, input.byte()]) }
            if kind & 8 != 0 { input.damage(&packet) }
        } else {
            packet = input.rest(upTo: 1500)
        }
        var guarded = GuardedPacket(packet, front: Int(kind >> 5))
        guard guarded.isInner(), packet.count > mtu,
            !guarded.access({ PacketTooBig.mustNotFragment($0, $1) })
        else { return }
        let range = guarded.range
        let span = guarded.buffer.mutableSpan
        guard var fragments = IPv4Fragments(span, range, mtu: mtu) else {
            let header = Int(packet[0] & 15) * 4
            // RFC 791: a packet is at most 65,535 bytes; a fragment that says it lies beyond is nobody's.
            let end = (PacketModel.number(packet, 6) & 0x1FFF) * 8 + packet.count - header
            return try FuzzFinding.unless(
                mtu < header + 8 || end > 0xFFFF, "refused at \(mtu): \(packet.prefix(60))")
        }
        let start = Int(kind >> 4)
        var target = [UInt8](repeating: 0xDD, count: start + mtu)
        var parts: [[UInt8]] = []
        while true {
            var room = target.mutableSpan
            guard let length = fragments.next(span, into: &room, at: start) else { break }
            try FuzzFinding.unless(length <= mtu && parts.count < packet.count, "\(length) bytes for \(mtu)")
            parts.append(Array(target[start..<start + length]))
        }
        try FuzzFinding.unless(target[..<start].allSatisfy { $0 == 0xDD }, "bytes before a fragment")
        try compare(parts, packet)
    }

    private static func compare(_ parts: [[UInt8]], _ packet: [UInt8]) throws {
        let header = Int(packet[0] & 15) * 4
        let field = PacketModel.number(packet, 6)
        var content: [UInt8] = []
        for (place, part) in parts.enumerated() {
            let isLast = place == parts.count - 1
            var head = Array(packet[..<header])
            if place > 0 { dropOptions(&head) }
            head.replaceSubrange(2..<4, with: PacketModel.bytes(UInt16(part.count)))
            let more = isLast ? field & 0x2000 : 0x2000
            let offset = field & 0x1FFF + content.count / 8
            head.replaceSubrange(6..<8, with: PacketModel.bytes(UInt16(more | offset)))
            head.replaceSubrange(10..<12, with: part[10..<12])
            try FuzzFinding.unless(
                part.starts(with: head) && PacketModel.sum(Array(part[..<header])) == 0xFFFF,
                "header \(part.prefix(header)), not \(head), of \(packet.prefix(60))")
            try FuzzFinding.unless(
                isLast || (part.count - header) % 8 == 0, "\(part.count - header) bytes before others")
            try FuzzFinding.unless(part.count > header, "an empty fragment")
            content += part[header...]
        }
        try FuzzFinding.unless(content == Array(packet[header...]), "content of \(packet.prefix(60))")
    }

    /// RFC 791 §3.1: an option whose copied bit is not set is a no-op in all fragments but the first.
    private static func dropOptions(_ head: inout [UInt8]) {
        var place = 20
        while place < head.count, head[place] != 0 {
            if head[place] == 1 {
                place += 1
                continue
            }
            guard place + 1 < head.count, head[place + 1] > 0, place + Int(head[place + 1]) <= head.count else {
                return
            }
            let end = place + Int(head[place + 1])
            if head[place] < 0x80 { head.replaceSubrange(place..<end, with: repeatElement(1, count: end - place)) }
            place = end
        }
    }
}
