// SPDX-License-Identifier: Apache-2.0
// The message that a packet is too big: given where it may be, well-formed, about the right packet, and to its sender.

import VPNTesting

@testable import VPNCore

enum TooBigProperty {
    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        let mtu = kind & 1 == 0 ? 576 + input.number(below: 1000) : Int(input.wide())
        var packet: [UInt8]
        if kind & 2 == 0 {
            var model = PacketModel(&input)
            model.payload = input.filling(upTo: 2000)
            packet = model.encoded()
            // ICMP, and its type.
            if kind & 4 != 0 {
                packet[model.isIPv4 ? 9 : 6] = model.isIPv4 ? 1 : 58
                packet[model.transportStart] = input.byte()
            }
            if kind & 8 != 0 { packet.replaceSubrange(model.isIPv4 ? 12..<16 : 8..<12, with: input.take(4)) }
            if kind & 16 != 0 { input.damage(&packet) }
        } else {
            packet = input.rest(upTo: 1500)
        }
        var guarded = GuardedPacket(packet, front: Int(kind >> 5))
        guard guarded.isInner(), guarded.access({ PacketTooBig.mustNotFragment($0, $1) }) else { return }
        let start = Int(kind >> 4)
        var target = [UInt8](repeating: 0xDD, count: start + PacketTooBig.largest)
        let length = guarded.access { span, range in
            var room = target.mutableSpan
            return PacketTooBig.write(about: span, range, mtu: mtu, into: &room, at: start)
        }
        try FuzzFinding.unless(guarded.isGuardIntact && guarded.packet == packet, "the packet was changed")
        try FuzzFinding.unless(target[..<start].allSatisfy { $0 == 0xDD }, "bytes before the message")
        let isV4 = packet[0] >> 4 == 4
        try FuzzFinding.unless(
            (length != nil) == (isV4 ? isAnswerable4(packet) : isAnswerable6(packet)),
            "\(length == nil ? "no " : "")message about \(packet.prefix(80))")
        guard let length else { return }
        let message = Array(target[start..<start + length])
        try isV4 ? check4(message, packet, mtu) : check6(message, packet, mtu)
    }

    /// RFC 1122 §3.2.2, of what a sender's own packet shows.
    private static func isAnswerable4(_ packet: [UInt8]) -> Bool {
        let isFirst = packet[6] & 0x1F == 0 && packet[7] == 0
        let header = Int(packet[0] & 15) * 4
        let isError = packet[9] == 1 && packet.count > header && ![0, 8, 13, 14].contains(packet[header])
        let areHosts = [12, 16].allSatisfy { packet[$0] != 0 && packet[$0] < 224 }
        return isFirst && !isError && areHosts
    }

    /// RFC 4443 §2.4 (e).
    private static func isAnswerable6(_ packet: [UInt8]) -> Bool {
        let isError = packet[6] == 58 && packet.count > 40 && packet[40] < 128
        let areHosts = [8, 24].allSatisfy { packet[$0] != 0xFF && packet[$0..<$0 + 16].contains { $0 != 0 } }
        return !isError && areHosts
    }

    private static func check4(_ message: [UInt8], _ packet: [UInt8], _ mtu: Int) throws {
        let head: [UInt8] = [0x45, 0] + PacketModel.bytes(UInt16(message.count)) + [0, 0, 0x40, 0, 64, 1]
        try FuzzFinding.unless(
            message.count <= 576 && message.count == 28 + min(packet.count, 548) && message.starts(with: head)
                && message[12..<16] == packet[16..<20] && message[16..<20] == packet[12..<16]
                && PacketModel.sum(Array(message[..<20])) == 0xFFFF, "header \(message.prefix(20))")
        let icmp = Array(message[20...])
        try FuzzFinding.unless(
            icmp[0] == 3 && icmp[1] == 4 && icmp[4] == 0 && icmp[5] == 0
                && PacketModel.number(icmp, 6) == min(mtu, 0xFFFF) && packet.starts(with: icmp[8...])
                && PacketModel.sum(icmp) == 0xFFFF, "message \(icmp.prefix(40)) about \(packet.prefix(40))")
    }

    private static func check6(_ message: [UInt8], _ packet: [UInt8], _ mtu: Int) throws {
        let length = PacketModel.bytes(UInt16(message.count - 40))
        try FuzzFinding.unless(
            message.count <= 1280 && message.count == 48 + min(packet.count, 1232)
                && message.starts(with: [0x60, 0, 0, 0] + length + [58, 64])
                && message[8..<24] == packet[24..<40] && message[24..<40] == packet[8..<24],
            "header \(message.prefix(40))")
        let icmp = Array(message[40...])
        let pseudo = Array(message[8..<40]) + [0, 0] + length + [0, 0, 0, 58]
        try FuzzFinding.unless(
            icmp[0] == 2 && icmp[1] == 0
                && PacketModel.number(icmp, 4) << 16 | PacketModel.number(icmp, 6) == mtu
                && packet.starts(with: icmp[8...]) && PacketModel.sum(pseudo + icmp) == 0xFFFF,
            "message \(icmp.prefix(48)) about \(packet.prefix(40))")
    }
}
