// SPDX-License-Identifier: Apache-2.0
// What a TUN interface says of a packet, and is told of one, in the 10 bytes before it (struct virtio_net_hdr, VIRTIO 1.2
// §5.1.6, in the byte order of this machine as legacy devices have it). A value: whether it is true of the packet is
// checked elsewhere.

/// What is left undone in a packet: its checksum, or its division into segments.
public struct OffloadHeader: Hashable, Sendable {
    /// Bytes before a packet.
    public static let size = 10

    public enum Segmentation: UInt8, Sendable {
        case none = 0
        case tcpIPv4 = 1
        case tcpIPv6 = 4
        /// UDP datagrams of one size (VIRTIO_NET_HDR_GSO_UDP_L4).
        case udp = 5
    }

    /// The transport checksum holds the sum of the pseudo-header and must be completed.
    public var needsChecksum = false
    public var segmentation = Segmentation.none
    /// Headers before the payload; a hint.
    public var headerLength: UInt16 = 0
    /// Payload bytes of each segment but the last.
    public var segmentSize: UInt16 = 0
    /// Where the transport header begins, and where in it the checksum lies.
    public var checksumStart: UInt16 = 0
    public var checksumOffset: UInt16 = 0

    /// Of a packet that needs nothing.
    public init() {}

    private static var needsChecksumFlag: UInt8 { 1 }
    /// VIRTIO_NET_HDR_GSO_ECN: the first segment has CWR. The splitter looks at the flag itself.
    private static var ecnFlag: UInt8 { 0x80 }

    /// Reads the header at `offset`, where 10 bytes must lie; nil for a segmentation that is unknown.
    public init?(_ buffer: borrowing MutableSpan<UInt8>, at offset: Int) {
        guard let kind = Segmentation(rawValue: buffer[offset + 1] & ~OffloadHeader.ecnFlag) else { return nil }
        needsChecksum = buffer[offset] & OffloadHeader.needsChecksumFlag != 0
        segmentation = kind
        headerLength = UInt16(bigEndian: buffer.load(UInt16.self, at: offset + 2))
        segmentSize = UInt16(bigEndian: buffer.load(UInt16.self, at: offset + 4))
        checksumStart = UInt16(bigEndian: buffer.load(UInt16.self, at: offset + 6))
        checksumOffset = UInt16(bigEndian: buffer.load(UInt16.self, at: offset + 8))
    }

    /// Writes the header at `offset`, where 10 bytes must lie.
    public func encode(into buffer: inout MutableSpan<UInt8>, at offset: Int) {
        buffer[offset] = needsChecksum ? OffloadHeader.needsChecksumFlag : 0
        buffer[offset + 1] = segmentation.rawValue
        buffer.store(headerLength.bigEndian, at: offset + 2)
        buffer.store(segmentSize.bigEndian, at: offset + 4)
        buffer.store(checksumStart.bigEndian, at: offset + 6)
        buffer.store(checksumOffset.bigEndian, at: offset + 8)
    }
}
