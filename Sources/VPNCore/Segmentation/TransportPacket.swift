// SPDX-License-Identifier: Apache-2.0
// Where the headers of a TCP or UDP packet lie, after the checks without which splitting and merging would go wrong.
// Fragments, ESP and everything else are no such packets.

/// The places of headers and payload in a buffer.
struct TransportPacket {
    enum Transport {
        case tcp
        case udp
    }

    let isIPv4: Bool
    let transport: Transport
    /// Where the packet begins and ends.
    let start: Int
    let end: Int
    /// Where the transport header begins.
    let transportStart: Int
    /// Where the payload begins.
    let payloadStart: Int

    var payloadLength: Int { end - payloadStart }
    var headerLength: Int { payloadStart - start }
    var hasExtensions: Bool { transportStart - start != (isIPv4 ? 20 : 40) }
    /// Offset of the checksum in the transport header.
    var checksumOffset: Int { transport == .tcp ? 16 : 6 }
    var protocolNumber: Int { transport == .tcp ? 6 : 17 }

    /// Reads the packet that is exactly `packet` of `buffer`; nil if it is not one whole TCP or UDP packet.
    @inline(__always)
    init?(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>) {
        start = packet.lowerBound
        end = packet.upperBound
        guard packet.count >= 28 else { return nil }
        let next: UInt8
        switch buffer[start] >> 4 {
        case 4:
            let header = Int(buffer[start] & 0xF) * 4
            guard header >= 20, Int(buffer.load(UInt16.self, at: start + 2)) == packet.count else { return nil }
            // More fragments, or an offset.
            guard buffer.load(UInt16.self, at: start + 6) & 0x3FFF == 0 else { return nil }
            isIPv4 = true
            next = buffer[start + 9]
            transportStart = start + header
        case 6:
            guard packet.count >= 48, Int(buffer.load(UInt16.self, at: start + 4)) + 40 == packet.count else {
                return nil
            }
            isIPv4 = false
            guard let found = TransportPacket.skipExtensions(buffer, packet) else { return nil }
            (next, transportStart) = found
        default: return nil
        }
        switch next {
        case 6:
            transport = .tcp
            guard end - transportStart >= 20 else { return nil }
            let header = Int(buffer[transportStart + 12] >> 4) * 4
            guard header >= 20, header <= end - transportStart else { return nil }
            payloadStart = transportStart + header
        case 17:
            transport = .udp
            guard end - transportStart >= 8 else { return nil }
            payloadStart = transportStart + 8
        default: return nil
        }
    }

    /// RFC 8200 §4: hop-by-hop options, routing and destination options; a chain of more than four is nobody's.
    @inline(__always)
    private static func skipExtensions(
        _ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>
    ) -> (next: UInt8, start: Int)? {
        var next = buffer[packet.lowerBound + 6]
        var offset = packet.lowerBound + 40
        for _ in 0..<5 {
            guard next == 0 || next == 43 || next == 60 else { return (next, offset) }
            guard packet.upperBound - offset >= 8 else { return nil }
            next = buffer[offset]
            offset += (Int(buffer[offset + 1]) + 1) * 8
        }
        return nil
    }

    /// The sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1) for a transport header and payload of `length`.
    @inline(__always)
    func pseudoHeader(_ buffer: borrowing MutableSpan<UInt8>, at start: Int, length: Int) -> InternetChecksum {
        var sum = InternetChecksum()
        sum.add(buffer, isIPv4 ? start + 12..<start + 20 : start + 8..<start + 40)
        sum.add(length)
        sum.add(protocolNumber)
        return sum
    }

    /// Whether the transport checksum, and that of an IPv4 header, are there and right.
    @inline(__always)
    func hasValidChecksums(_ buffer: borrowing MutableSpan<UInt8>) -> Bool {
        if isIPv4 {
            var header = InternetChecksum()
            header.add(buffer, start..<transportStart)
            guard header.isValid else { return false }
        }
        // RFC 768: 0 is no checksum.
        if transport == .udp && buffer.load(UInt16.self, at: transportStart + 6) == 0 { return false }
        var sum = pseudoHeader(buffer, at: start, length: end - transportStart)
        sum.add(buffer, transportStart..<end)
        return sum.isValid
    }
}

extension MutableSpan where Element == UInt8 {
    /// Computes the checksum of the IPv4 header at `start`.
    @inline(__always)
    mutating func finishIPv4Header(at start: Int, length: Int) {
        store(UInt16(0), at: start + 10)
        var sum = InternetChecksum()
        sum.add(self, start..<start + length)
        store(sum.checksum, at: start + 10)
    }
}
