// SPDX-License-Identifier: Apache-2.0
// What a coalescer makes of packets, and whether an interface that divides it gives every packet back as it came, in order.

@testable import VPNCore

struct JoinedPackets {
    struct Write: Equatable {
        var header: OffloadHeader
        var packet: [UInt8]
        var count: Int
    }

    private let packets: [[UInt8]]
    private(set) var writes: [Write] = []

    /// Lays the packets into one buffer with gaps and joins them as a worker does.
    init(_ packets: [[UInt8]], tcp: Bool = true, udp: Bool = true) {
        self.packets = packets
        var buffer: [UInt8] = []
        var ranges: [Range<Int>] = []
        for packet in packets {
            buffer += [0xEE, 0xEE, 0xEE]
            ranges.append(buffer.count..<buffer.count + packet.count)
            buffer += packet
        }
        var coalescer = PacketCoalescer(joinsTCP: tcp, joinsUDP: udp)
        var held: [Range<Int>] = []
        for range in ranges {
            if let payload = coalescer.append(buffer.mutableSpan, range) {
                held.append(payload)
            } else {
                write(held, &coalescer, &buffer)
                coalescer.begin(buffer.mutableSpan)
                held = [range]
            }
        }
        write(held, &coalescer, &buffer)
    }

    private mutating func write(_ held: [Range<Int>], _ coalescer: inout PacketCoalescer, _ buffer: inout [UInt8]) {
        if held.isEmpty { return }
        var span = buffer.mutableSpan
        let header = coalescer.close(&span)
        writes.append(Write(header: header, packet: held.flatMap { Array(buffer[$0]) }, count: held.count))
    }

    /// Changes the writes, so that a test can see that it would be noticed.
    mutating func alter(_ change: (inout [Write]) -> Void) { change(&writes) }

    /// The first thing that is wrong with the writes; nil if nothing is.
    var fault: String? {
        var place = 0
        for write in writes {
            let limit = write.header.segmentation == .udp ? PacketCoalescer.datagrams : PacketCoalescer.capacity
            guard (1...limit).contains(write.count), place + write.count <= packets.count else {
                return "a write of \(write.count) packets after \(place) of \(packets.count)"
            }
            let went = packets[place..<place + write.count]
            place += write.count
            if write.count == 1 {
                guard write.header == OffloadHeader(), write.packet == went.first else {
                    return "a lone packet changed"
                }
                continue
            }
            if let fault = JoinedPackets.fault(write) { return fault }
            let came = PacketModel.segments(write.packet, write.header)
            guard came.count == went.count else { return "\(went.count) packets came back as \(came.count)" }
            for (came, went) in zip(came, went)
            where JoinedPackets.comparable(came) != JoinedPackets.comparable(went) {
                return "\(went.prefix(80)) came back as \(came.prefix(80)), \(went.count) and \(came.count) bytes"
            }
        }
        return place == packets.count ? nil : "\(place) packets of \(packets.count)"
    }

    /// What an interface would refuse or misunderstand.
    private static func fault(_ write: Write) -> String? {
        let (packet, header) = (write.packet, write.header)
        guard packet.count - (packet[0] >> 4 == 4 ? 0 : 40) <= 65_535 else { return "\(packet.count) bytes in a write" }
        guard header.needsChecksum, header.segmentSize > 0 else { return "\(header) of \(write.count) packets" }
        var expected = packet
        PacketModel.finish(
            &expected, transportStart: Int(header.checksumStart), isTCP: header.segmentation != .udp, partial: true)
        return packet == expected ? nil : "checksums of a write: \(packet.prefix(80))"
    }

    /// Without what may change: ids of packets that are never fragmented, which mean nothing (RFC 6864), and checksums that
    /// hold, which may be written in two ways (RFC 1071: 0 and 0xFFFF are one number).
    private static func comparable(_ packet: [UInt8]) -> [UInt8] {
        guard let (start, isTCP) = PacketModel.transport(of: packet),
            PacketModel.isValid(packet, transportStart: start, isTCP: isTCP)
        else { return packet }
        var packet = packet
        if packet[0] >> 4 == 4 {
            if packet[6] & 0x40 != 0 { packet.replaceSubrange(4..<6, with: [0, 0]) }
            packet.replaceSubrange(10..<12, with: [0, 0])
        }
        let place = start + (isTCP ? 16 : 6)
        packet.replaceSubrange(place..<place + 2, with: [0, 0])
        return packet
    }
}
