// SPDX-License-Identifier: Apache-2.0
// The addresses of an inner IP packet, after the checks without which they mean nothing: version, header length, and
// a total length that is exactly the packet's. Nothing beyond the fixed header is looked at.

/// Source and destination of an IP packet.
enum InnerPacket {
    case v4(source: UInt32, destination: UInt32)
    case v6(source: UInt128, destination: UInt128)

    @inline(__always)
    var isV4: Bool { if case .v4 = self { true } else { false } }

    /// Reads the packet that is exactly `packet` of `buffer`; nil if it is none.
    @inline(__always)
    init?(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>) {
        let start = packet.lowerBound
        guard packet.count >= 20 else { return nil }
        switch buffer[start] >> 4 {
        case 4:
            // RFC 791: header length in words of 4, at least 5; total length includes the header.
            let header = Int(buffer[start] & 0xF) * 4
            let total = Int(buffer.load(UInt16.self, at: start + 2))
            guard header >= 20, header <= total, total == packet.count else { return nil }
            self = .v4(
                source: buffer.load(UInt32.self, at: start + 12), destination: buffer.load(UInt32.self, at: start + 16))
        case 6:
            // RFC 8200: payload length does not include the 40 bytes of header. Jumbograms do not fit a datagram.
            guard Int(buffer.load(UInt16.self, at: start + 4)) + 40 == packet.count else { return nil }
            self = .v6(
                source: buffer.load(UInt128.self, at: start + 8), destination: buffer.load(UInt128.self, at: start + 24)
            )
        default: return nil
        }
    }

    /// Reads the beginning of a packet that an ICMP error quotes: as above, but what it says of its length may be more than is
    /// there.
    init?(quotedIn buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>) {
        let start = packet.lowerBound
        guard packet.count >= 20 else { return nil }
        switch buffer[start] >> 4 {
        case 4:
            self = .v4(
                source: buffer.load(UInt32.self, at: start + 12), destination: buffer.load(UInt32.self, at: start + 16))
        case 6:
            guard packet.count >= 40 else { return nil }
            self = .v6(
                source: buffer.load(UInt128.self, at: start + 8), destination: buffer.load(UInt128.self, at: start + 24)
            )
        default: return nil
        }
    }
}
