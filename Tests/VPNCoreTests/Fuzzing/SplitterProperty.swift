// SPDX-License-Identifier: Apache-2.0
// Division as a worker does it: what is accepted gives as many packets as it says, no longer than it says, byte for byte those
// of the model, and touches nothing beside them.

import VPNTesting

@testable import VPNCore

enum SplitterProperty {
    /// Where a worker's reads begin: the header, then the packet at a multiple of 16.
    private static let packetStart = 16

    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        var header = [UInt8](repeating: 0, count: OffloadHeader.size)
        var packet: [UInt8]
        if kind & 1 == 0 {
            var model = PacketModel(&input)
            var offload = model.header(segmentSize: 1 + input.number(below: 1500))
            if kind & 2 != 0 { offload.segmentation = .none }
            if kind & 4 != 0 { offload.needsChecksum = false }
            model.payload = input.filling(upTo: min(3000, Int(offload.segmentSize) * 40))
            packet = model.encoded(partial: true)
            var span = header.mutableSpan
            offload.encode(into: &span, at: 0)
            if kind & 8 != 0 { input.damage(&packet) }
            if kind & 16 != 0 { header[Int(input.byte()) % header.count] ^= input.byte() }
        } else {
            header = input.take(header.count)
            packet = input.rest(upTo: 2000)
        }
        try divide(header, packet, front: Int(kind >> 5))
    }

    private static func divide(_ header: [UInt8], _ packet: [UInt8], front: Int) throws {
        let filler = [UInt8](repeating: 0xEE, count: packetStart - header.count)
        let source = filler + header + packet
        var buffer = source
        let span = buffer.mutableSpan
        guard !packet.isEmpty, let offload = OffloadHeader(span, at: packetStart - header.count),
            var splitter = PacketSplitter(span, packet: packetStart..<span.count, header: offload)
        else { return }
        let (longest, count) = (splitter.longest, splitter.remaining)
        try FuzzFinding.unless(longest <= packet.count, "longest is \(longest) of \(packet.count)")
        var parts: [[UInt8]] = []
        var target = [UInt8](repeating: 0xDD, count: front + longest)
        while true {
            var room = target.mutableSpan
            guard let length = splitter.next(span, into: &room, at: front) else { break }
            try FuzzFinding.unless((1...longest).contains(length), "\(length) bytes, at most \(longest)")
            try FuzzFinding.unless(target[..<front].allSatisfy { $0 == 0xDD }, "bytes before the packet")
            parts.append(Array(target[front..<front + length]))
            try FuzzFinding.unless(
                splitter.isFinished == (splitter.remaining == 0), "finished with \(splitter.remaining) to come")
        }
        // A super-packet without payload is one packet, and is told as none.
        let isTold = count == parts.count || (count == 0 && parts.count == 1)
        try FuzzFinding.unless(splitter.isFinished && isTold, "\(count) told, \(parts.count) given")
        let expected = try offload.segmentation == .none ? [single(packet, offload)] : segments(packet, offload)
        try FuzzFinding.unless(parts == expected, "\(parts.map { $0.prefix(80) }) of \(source.prefix(120)), \(offload)")
    }

    private static func single(_ packet: [UInt8], _ offload: OffloadHeader) -> [UInt8] {
        guard offload.needsChecksum else { return packet }
        var packet = packet
        let start = Int(offload.checksumStart)
        var value = ~PacketModel.sum(Array(packet[start...]))
        if value == 0, offload.checksumOffset == 6 { value = 0xFFFF }
        let place = start + Int(offload.checksumOffset)
        packet.replaceSubrange(place..<place + 2, with: PacketModel.bytes(value))
        return packet
    }

    private static func segments(_ packet: [UInt8], _ offload: OffloadHeader) throws -> [[UInt8]] {
        guard let (start, isTCP) = PacketModel.transport(of: packet) else {
            throw FuzzFinding("accepted, but neither TCP nor UDP: \(packet.prefix(80))")
        }
        try FuzzFinding.unless(isTCP == (offload.segmentation != .udp), "\(offload.segmentation) of the other protocol")
        var offload = offload
        try FuzzFinding.unless(
            !offload.needsChecksum || Int(offload.checksumStart) == start, "\(offload), not \(start)")
        offload.checksumStart = UInt16(start)
        let parts = PacketModel.segments(packet, offload)
        for part in parts {
            try FuzzFinding.unless(
                PacketModel.isValid(part, transportStart: start, isTCP: isTCP), "checksum of \(part.prefix(80))")
        }
        return parts
    }
}
