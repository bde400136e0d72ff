// SPDX-License-Identifier: Apache-2.0
// Joining: whatever comes, an interface that divides what is written gets every packet as it came, in order; and what a splitter
// divided comes together again to the same bytes.

import VPNTesting

@testable import VPNCore

enum JoiningProperty {
    /// Two flows, packets of which continue, repeat, differ in one field or are damaged.
    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        var flows = [PacketModel(&input), PacketModel(&input)]
        var sizes = [1 + input.number(below: 300), 1 + input.number(below: 300)]
        var packets: [[UInt8]] = []
        while !input.isEmpty, packets.count < 150 {
            let step = input.byte()
            let flow = Int(step & 1)
            // Runs, so that a byte is worth several packets.
            for _ in 0...Int(step >> 1 & 3) {
                var packet = flows[flow]
                packet.payload = [UInt8](repeating: UInt8(truncatingIfNeeded: packets.count), count: sizes[flow])
                change(&packet, by: step >> 3, &input)
                flows[flow].sequence &+= UInt32(packet.payload.count)
                flows[flow].id &+= 1
                var bytes = packet.encoded()
                if step >> 3 == 1 { input.damage(&bytes) }
                packets.append(bytes)
            }
            if step >> 3 == 2 { sizes[flow] = 1 + input.number(below: 300) }
            if step >> 3 == 3 { packets.append(input.take(Int(input.byte() & 63))) }
        }
        if let fault = JoinedPackets(packets, tcp: kind & 1 == 0, udp: kind & 2 == 0).fault {
            throw FuzzFinding(fault)
        }
    }

    private static func change(_ packet: inout PacketModel, by kind: UInt8, _ input: inout FuzzInput) {
        switch kind {
        case 4: packet.flags = input.byte()
        case 5: packet.flags |= 8
        case 6: packet.window ^= input.word()
        case 7: packet.sequence ^= 1 << UInt32(input.byte() & 31)
        case 8: packet.trafficClass ^= input.byte()
        case 9: packet.id ^= input.word()
        case 10: packet.hops = input.byte()
        case 11: packet.acknowledgement = input.wide()
        case 12: packet.tcpOptions = input.take(4 * Int(input.byte() % 11))
        case 13: packet.ipOptions = packet.isIPv4 ? [1, 1, 1, 0] : [packet.isTCP ? 6 : 17, 0, 1, 4, 0, 0, 0, 0]
        case 14: packet.payload = input.filling(upTo: 400)
        case 15: packet.isIPv4.toggle()
        case 16: packet.isTCP.toggle()
        case 17: packet.dontFragment.toggle()
        case 18: packet.sourcePort ^= input.word()
        case 19: packet.destination ^= input.byte()
        default: break
        }
    }

    static func checkRoundTrip(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        var model = PacketModel(&input)
        let size = 1 + input.number(below: 600)
        model.payload = input.filling(upTo: min(4000, size * 200))
        if kind & 1 == 0 { model.flags = kind & 2 == 0 ? 0x10 : 0x18 }
        var packet = model.encoded(partial: true)
        let header = model.header(segmentSize: size)
        let source = packet
        let parts = try divide(&packet, header)
        let joined = JoinedPackets(parts)
        if let fault = joined.fault { throw FuzzFinding(fault) }
        try FuzzFinding.unless(
            parts.flatMap { Array($0[model.payloadStart...]) } == model.payload, "content of \(source.prefix(80))")
        // What may be joined at all comes in one piece again.
        let isPlain = !model.isTCP || model.flags & ~0x48 == 0x10
        let limit = model.isTCP ? PacketCoalescer.capacity : PacketCoalescer.datagrams
        guard isPlain, model.ipOptions.isEmpty, (2...limit).contains(parts.count) else { return }
        try FuzzFinding.unless(
            joined.writes == [.init(header: header, packet: source, count: parts.count)],
            "\(joined.writes.map { ($0.count, $0.packet.prefix(80)) }) instead of \(source.prefix(80)), \(header)")
    }

    private static func divide(_ packet: inout [UInt8], _ header: OffloadHeader) throws -> [[UInt8]] {
        let span = packet.mutableSpan
        guard var splitter = PacketSplitter(span, packet: 0..<span.count, header: header) else {
            throw FuzzFinding("refused: \(header)")
        }
        var parts: [[UInt8]] = []
        var target = [UInt8](repeating: 0, count: splitter.longest)
        while true {
            var room = target.mutableSpan
            guard let length = splitter.next(span, into: &room, at: 0) else { return parts }
            parts.append(Array(target[..<length]))
        }
    }
}
