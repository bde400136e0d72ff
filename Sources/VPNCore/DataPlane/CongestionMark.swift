// SPDX-License-Identifier: Apache-2.0
// The ECN field across the tunnel (RFC 6040, normal mode): what the outer header says of an inner packet that comes out. The
// way in is simply a copy. DSCP is not touched on the way out: the inner one is the sender's own (RFC 2983, pipe model).

/// What an outer ECN field adds to the inner one.
public enum CongestionMark: Sendable {
    /// Not-ECT and ECT(0): the inner field stays as it is.
    case none
    /// ECT(1): an inner ECT(0) becomes ECT(1).
    case ect1
    /// CE: an inner ECT becomes CE; a packet whose ends do not know ECN is dropped, which is the only sign it understands.
    case experienced

    /// Of the IPv4 TOS or IPv6 traffic class byte of the outer header.
    @inline(__always)
    public init(trafficClass: UInt8) {
        switch trafficClass & 3 {
        case 3: self = .experienced
        case 1: self = .ect1
        default: self = .none
        }
    }

    /// The two bits that mean it.
    var field: UInt8 {
        switch self {
        case .none: 0
        case .ect1: 1
        case .experienced: 3
        }
    }

    /// Marks the IP packet that is exactly `packet` of `buffer`; false if it must be dropped. RFC 6040 §4.2.
    func apply(to buffer: inout MutableSpan<UInt8>, _ packet: Range<Int>) -> Bool {
        let start = packet.lowerBound
        let isIPv4 = buffer[start] >> 4 == 4
        let before = TrafficClass.of(buffer, at: start)
        let field: UInt8
        switch (self, before & 3) {
        case (.none, _): return true
        case (.experienced, 0): return false
        case (.experienced, _): field = 3
        case (.ect1, 2): field = 1
        case (.ect1, _): return true
        }
        let after = before & ~3 | field
        if after == before { return true }
        if isIPv4 {
            // RFC 1624, eqn. 3, over the 16-bit word that holds the byte.
            let old = buffer.load(UInt16.self, at: start)
            buffer[start + 1] = after
            let sum = InternetChecksum.updated(
                buffer.load(UInt16.self, at: start + 10), from: old, to: buffer.load(UInt16.self, at: start))
            buffer.store(sum, at: start + 10)
        } else {
            buffer[start] = buffer[start] & 0xF0 | after >> 4
            buffer[start + 1] = buffer[start + 1] & 0x0F | after << 4
        }
        return true
    }
}

/// DSCP and ECN of an IP packet, one byte in either family (RFC 2474, RFC 3168).
enum TrafficClass {
    /// Expedited forwarding (RFC 3246): the six bits above ECN.
    static let express: UInt8 = 46

    /// Of the packet that begins at `start`, whose first two bytes are there.
    @inline(__always)
    static func of(_ buffer: borrowing MutableSpan<UInt8>, at start: Int) -> UInt8 {
        buffer[start] >> 4 == 4 ? buffer[start + 1] : buffer[start] << 4 | buffer[start + 1] >> 4
    }
}
