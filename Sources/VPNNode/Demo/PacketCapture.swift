// SPDX-License-Identifier: Apache-2.0
// A capture file in the classic pcap format, as tcpdump writes it. Reads headers and finds bytes; knows no protocol.

/// The packets of one capture file.
struct PacketCapture: Sendable {
    /// What a packet begins with.
    enum LinkType: UInt32, Sendable {
        /// An Ethernet header.
        case ethernet = 1
        /// An IP header (DLT_RAW as this system numbers it).
        case rawSystem = 12
        /// An IP header.
        case raw = 101
    }

    enum Failure: Error, Equatable, Sendable {
        /// Neither byte order of either magic number.
        case notACapture
        case linkType(UInt32)
        /// The file ends inside the record that begins at this offset.
        case truncated(at: Int)
        /// A record claims more than any packet has.
        case oversized(at: Int)
    }

    let linkType: LinkType
    /// The captured bytes of each packet, as places in `bytes`.
    let packets: [Range<Int>]
    let bytes: [UInt8]

    private static let fileHeaderSize = 24
    private static let recordHeaderSize = 16
    /// The greatest snapshot length that libpcap itself accepts.
    private static let maximumPacketSize = 262_144

    /// Reads a whole file.
    init(_ bytes: [UInt8]) throws(Failure) {
        guard bytes.count >= Self.fileHeaderSize else { throw .notACapture }
        let isLittleEndian: Bool
        switch Array(bytes[0..<4]) {
        // Microseconds, then nanoseconds, as written by a little-endian machine and by a big-endian one.
        case [0xD4, 0xC3, 0xB2, 0xA1], [0x4D, 0x3C, 0xB2, 0xA1]: isLittleEndian = true
        case [0xA1, 0xB2, 0xC3, 0xD4], [0xA1, 0xB2, 0x3C, 0x4D]: isLittleEndian = false
        default: throw .notACapture
        }
        func word(_ offset: Int) -> UInt32 {
            var value: UInt32 = 0
            for index in 0..<4 {
                let byte = UInt32(bytes[offset + index])
                value |= byte << UInt32(8 * (isLittleEndian ? index : 3 - index))
            }
            return value
        }
        // The upper bits tell of a frame check sequence, which no virtual link has.
        let number = word(20) & 0xFFFF
        guard let linkType = LinkType(rawValue: number) else { throw .linkType(number) }
        var packets: [Range<Int>] = []
        var offset = Self.fileHeaderSize
        while offset < bytes.count {
            guard bytes.count - offset >= Self.recordHeaderSize else { throw .truncated(at: offset) }
            let size = Int(word(offset + 8))
            guard size <= Self.maximumPacketSize else { throw .oversized(at: offset) }
            let start = offset + Self.recordHeaderSize
            guard bytes.count - start >= size else { throw .truncated(at: offset) }
            packets.append(start..<start + size)
            offset = start + size
        }
        self.linkType = linkType
        self.packets = packets
        self.bytes = bytes
    }

    /// How many packets hold these bytes anywhere in them, headers included.
    func count(containing needle: [UInt8]) -> Int {
        guard let first = needle.first else { return packets.count }
        return packets.count { packet in
            guard packet.count >= needle.count else { return false }
            return (packet.lowerBound...packet.upperBound - needle.count).contains { start in
                bytes[start] == first && needle.indices.allSatisfy { bytes[start + $0] == needle[$0] }
            }
        }
    }
}
