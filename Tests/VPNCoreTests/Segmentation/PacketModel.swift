// SPDX-License-Identifier: Apache-2.0
// TCP and UDP packets as plain arrays, with checksums and segmentation written the simplest way: the independent word
// that splitting and joining are held against.
import VPNTesting

@testable import VPNCore

/// A TCP or UDP packet by its fields.
struct PacketModel {
    var isIPv4 = true
    var isTCP = true
    var source: UInt8 = 1
    var destination: UInt8 = 2
    var trafficClass: UInt8 = 0
    var hops: UInt8 = 64
    var id: UInt16 = 0
    var dontFragment = true
    var ipOptions: [UInt8] = []
    var sourcePort: UInt16 = 1000
    var destinationPort: UInt16 = 2000
    var sequence: UInt32 = 0
    var acknowledgement: UInt32 = 0
    var flags: UInt8 = 0x10
    var window: UInt16 = 500
    var tcpOptions: [UInt8] = []
    var payload: [UInt8] = []

    /// Where the transport header begins, and where the payload does.
    var transportStart: Int { (isIPv4 ? 20 : 40) + ipOptions.count }
    var payloadStart: Int { transportStart + (isTCP ? 20 + tcpOptions.count : 8) }
    var checksumPlace: Int { transportStart + (isTCP ? 16 : 6) }

    static func bytes(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }
    static func bytes(_ value: UInt32) -> [UInt8] { bytes(UInt16(value >> 16)) + bytes(UInt16(value & 0xFFFF)) }

    static func sum(_ bytes: [UInt8]) -> UInt16 { PlainChecksum.sum(bytes) }

    private static func pseudoHeader(_ packet: [UInt8], transportStart: Int, isTCP: Bool) -> [UInt8] {
        let addresses = packet[0] >> 4 == 4 ? packet[12..<20] : packet[8..<40]
        return Array(addresses) + bytes(UInt32(packet.count - transportStart)) + [0, isTCP ? 6 : 17]
    }

    /// Stores the right checksums.
    static func finish(_ packet: inout [UInt8], transportStart: Int, isTCP: Bool, partial: Bool = false) {
        if packet[0] >> 4 == 4 {
            packet.replaceSubrange(10..<12, with: [0, 0])
            packet.replaceSubrange(10..<12, with: bytes(~sum(Array(packet[0..<Int(packet[0] & 15) * 4]))))
        }
        let place = transportStart + (isTCP ? 16 : 6)
        packet.replaceSubrange(place..<place + 2, with: [0, 0])
        let pseudo = pseudoHeader(packet, transportStart: transportStart, isTCP: isTCP)
        var value = partial ? sum(pseudo) : ~sum(pseudo + packet[transportStart...])
        if !isTCP && !partial && value == 0 { value = 0xFFFF }
        packet.replaceSubrange(place..<place + 2, with: bytes(value))
    }

    /// Whether all checksums of a packet hold.
    static func isValid(_ packet: [UInt8], transportStart: Int, isTCP: Bool) -> Bool {
        if packet[0] >> 4 == 4, sum(Array(packet[0..<Int(packet[0] & 15) * 4])) != 0xFFFF { return false }
        let pseudo = pseudoHeader(packet, transportStart: transportStart, isTCP: isTCP)
        return sum(pseudo + packet[transportStart...]) == 0xFFFF
    }

    /// Where the transport header of a whole TCP or UDP packet begins, found the simplest way; nil for anything else.
    static func transport(of packet: [UInt8]) -> (start: Int, isTCP: Bool)? {
        guard packet.count >= 20 else { return nil }
        var start = Int(packet[0] & 15) * 4
        var next = packet[9]
        if packet[0] >> 4 == 4 {
            guard start >= 20, packet[6] & 0x3F == 0, packet[7] == 0, number(packet, 2) == packet.count else {
                return nil
            }
        } else {
            guard packet[0] >> 4 == 6, packet.count >= 40, number(packet, 4) + 40 == packet.count else { return nil }
            (start, next) = (40, packet[6])
            var extensions = 0
            while [0, 43, 60].contains(next) {
                extensions += 1
                guard extensions <= 4, start + 8 <= packet.count else { return nil }
                next = packet[start]
                start += (Int(packet[start + 1]) + 1) * 8
            }
        }
        switch next {
        case 6 where start + 20 <= packet.count:
            let header = Int(packet[start + 12] >> 4) * 4
            return header >= 20 && start + header <= packet.count ? (start, true) : nil
        case 17 where start + 8 <= packet.count: return (start, false)
        default: return nil
        }
    }

    /// The 16-bit number at a place.
    static func number(_ packet: [UInt8], _ place: Int) -> Int { Int(packet[place]) << 8 | Int(packet[place + 1]) }

    /// The packet, its checksums finished, or its transport checksum left to the interface.
    func encoded(partial: Bool = false) -> [UInt8] {
        let transport = payloadStart - transportStart + payload.count
        var packet: [UInt8]
        let next: UInt8 = isTCP ? 6 : 17
        if isIPv4 {
            packet = [UInt8(0x45 + ipOptions.count / 4), trafficClass]
            packet += PacketModel.bytes(UInt16(20 + ipOptions.count + transport)) + PacketModel.bytes(id)
            packet += [dontFragment ? 0x40 : 0, 0, hops, next, 0, 0, 10, 0, 0, source, 10, 0, 0, destination]
        } else {
            packet = [0x60 | trafficClass >> 4, trafficClass << 4, 0, 7]
            packet += PacketModel.bytes(UInt16(ipOptions.count + transport)) + [ipOptions.isEmpty ? next : 60, hops]
            packet += [0xFD] + [UInt8](repeating: 0, count: 14) + [source]
            packet += [0xFD] + [UInt8](repeating: 0, count: 14) + [destination]
        }
        packet += ipOptions
        packet += PacketModel.bytes(sourcePort) + PacketModel.bytes(destinationPort)
        if isTCP {
            packet += PacketModel.bytes(sequence) + PacketModel.bytes(acknowledgement)
            packet += [UInt8((20 + tcpOptions.count) / 4) << 4, flags] + PacketModel.bytes(window) + [0, 0, 0, 0]
            packet += tcpOptions
        } else {
            packet += PacketModel.bytes(UInt16(transport)) + [0, 0]
        }
        packet += payload
        PacketModel.finish(&packet, transportStart: transportStart, isTCP: isTCP, partial: partial)
        return packet
    }

    /// What an interface does with a packet and its header: divide it, number the parts, finish the checksums.
    static func segments(_ packet: [UInt8], _ header: OffloadHeader) -> [[UInt8]] {
        guard header.segmentation != .none else { return [packet] }
        let isTCP = header.segmentation != .udp
        let transport = Int(header.checksumStart)
        let start = transport + (isTCP ? Int(packet[transport + 12] >> 4) * 4 : 8)
        var parts: [[UInt8]] = []
        var offset = start
        while offset < packet.count || parts.isEmpty {
            let end = min(offset + Int(header.segmentSize), packet.count)
            var part = Array(packet[0..<start]) + packet[offset..<end]
            if packet[0] >> 4 == 4 {
                part.replaceSubrange(2..<4, with: bytes(UInt16(part.count)))
                let id = UInt16(packet[4]) << 8 | UInt16(packet[5])
                part.replaceSubrange(4..<6, with: bytes(id &+ UInt16(parts.count)))
            } else {
                part.replaceSubrange(4..<6, with: bytes(UInt16(part.count - 40)))
            }
            if isTCP {
                let sequence = packet[transport + 4..<transport + 8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                part.replaceSubrange(
                    transport + 4..<transport + 8, with: bytes(sequence &+ UInt32(offset - start)))
                if end < packet.count { part[transport + 13] &= 0xF6 }
                if !parts.isEmpty { part[transport + 13] &= 0x7F }
            } else {
                part.replaceSubrange(transport + 4..<transport + 6, with: bytes(UInt16(part.count - transport)))
            }
            finish(&part, transportStart: transport, isTCP: isTCP)
            parts.append(part)
            offset = end
        }
        return parts
    }

    static func random(_ random: inout SeededGenerator) -> PacketModel {
        var model = PacketModel()
        model.isIPv4 = Bool.random(using: &random)
        model.isTCP = Bool.random(using: &random)
        model.trafficClass = UInt8.random(in: 0...255, using: &random)
        model.id = UInt16.random(in: 0...65535, using: &random)
        model.dontFragment = Bool.random(using: &random)
        model.sequence = UInt32.random(in: 0...UInt32.max, using: &random)
        model.acknowledgement = UInt32.random(in: 0...UInt32.max, using: &random)
        model.flags = UInt8.random(in: 0...255, using: &random)
        model.tcpOptions = (0..<4 * Int.random(in: 0...10, using: &random)).map { UInt8($0) }
        if Int.random(in: 0..<4, using: &random) == 0 {
            model.ipOptions = model.isIPv4 ? [1, 1, 1, 0] : [model.isTCP ? 6 : 17, 0, 1, 4, 0, 0, 0, 0]
        }
        return model
    }

    func header(segmentSize: Int) -> OffloadHeader {
        var header = OffloadHeader()
        header.needsChecksum = true
        header.segmentation = !isTCP ? .udp : isIPv4 ? .tcpIPv4 : .tcpIPv6
        header.segmentSize = UInt16(segmentSize)
        header.headerLength = UInt16(payloadStart)
        header.checksumStart = UInt16(transportStart)
        header.checksumOffset = UInt16(checksumPlace - transportStart)
        return header
    }
}

extension Array where Element == UInt8 {
    static func random(_ count: Int, _ random: inout SeededGenerator) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
}
