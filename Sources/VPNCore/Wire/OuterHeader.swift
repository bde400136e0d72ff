// SPDX-License-Identifier: Apache-2.0
// The 16 bytes before every datagram (§3) and the exact length gate at the door. It says nothing about what follows.

/// The types of datagrams (§3).
public enum DatagramType: UInt8, CaseIterable, Sendable {
    case s1 = 0x01
    case s2 = 0x02
    case s0 = 0x03
    case retry = 0x04
    case infoRequest = 0x05
    case infoResponse = 0x06
    case needFull = 0x07
    /// DATA in an even key phase (§7).
    case data0 = 0x10
    /// DATA in an odd key phase (§7).
    case data1 = 0x11

    public var isData: Bool { rawValue >= 0x10 }
}

/// The outer header, decoded; 16 bytes on the wire:
/// `version 1 │ type 1 │ body length 2 │ receiver index 4 │ word 8`, big-endian.
public struct OuterHeader: Hashable, Sendable {
    /// Bytes on the wire.
    public static let size = Limits.outerHeader
    public static let version: UInt8 = 1

    public var type: DatagramType
    /// Length of the datagram without this header.
    public var bodyLength: UInt16
    /// The index that the receiver chose for itself; 0 if unknown.
    public var receiverIndex: UInt32
    /// The counter of DATA; the first 8 bytes of SHA-256 of a fragmented message; else 0.
    public var word: UInt64

    public init(type: DatagramType, bodyLength: UInt16, receiverIndex: UInt32 = 0, word: UInt64 = 0) {
        self.type = type
        self.bodyLength = bodyLength
        self.receiverIndex = receiverIndex
        self.word = word
    }

    /// Decodes the header of the datagram that is exactly `range` of `buffer`.
    public static func decode(_ buffer: borrowing MutableSpan<UInt8>, _ range: Range<Int>) -> OuterHeaderVerdict {
        guard range.count >= size else { return .drop(.tooShort) }
        return decode(prefix: buffer.load(UInt64.self, at: range.lowerBound), length: range.count) {
            buffer.load(UInt64.self, at: range.lowerBound + 8)
        }
    }

    /// Decodes the header of a whole datagram.
    public static func decode(_ datagram: [UInt8]) -> OuterHeaderVerdict {
        guard datagram.count >= size else { return .drop(.tooShort) }
        let span = datagram.span
        return decode(prefix: span.load(UInt64.self, at: 0), length: datagram.count) { span.load(UInt64.self, at: 8) }
    }

    /// Decodes the header of a whole datagram; nil if anything does not match exactly.
    public init?(_ datagram: [UInt8]) {
        guard case .header(let header) = OuterHeader.decode(datagram) else { return nil }
        self = header
    }

    /// Decodes the header of the datagram that is exactly `range` of `buffer`; nil if anything does not match.
    public init?(_ buffer: borrowing MutableSpan<UInt8>, _ range: Range<Int>) {
        guard case .header(let header) = OuterHeader.decode(buffer, range) else { return nil }
        self = header
    }

    @inline(__always)
    private static func decode(prefix: UInt64, length: Int, word: () -> UInt64) -> OuterHeaderVerdict {
        guard UInt8(truncatingIfNeeded: prefix >> 56) == version else { return .drop(.version) }
        guard let type = DatagramType(rawValue: UInt8(truncatingIfNeeded: prefix >> 48)) else {
            return .drop(.unknownType)
        }
        let bodyLength = UInt16(truncatingIfNeeded: prefix >> 32)
        // §3: body length = datagram − 16, no byte more or less.
        guard Int(bodyLength) == length - size else { return .drop(.bodyLength) }
        let index = UInt32(truncatingIfNeeded: prefix)
        return .header(OuterHeader(type: type, bodyLength: bodyLength, receiverIndex: index, word: word()))
    }

    /// Writes the header at `offset`, where 16 bytes must lie.
    @inline(__always)
    public func encode(into buffer: inout MutableSpan<UInt8>, at offset: Int) {
        buffer.store(prefix, at: offset)
        buffer.store(word, at: offset + 8)
    }

    /// Where the receiver index lies.
    private static var indexOffset: Int { 4 }

    /// Gives the datagram at `offset` another receiver index. What authenticates DATA is the session's own one (§9).
    @inline(__always)
    static func address(_ buffer: inout MutableSpan<UInt8>, at offset: Int, to index: UInt32) {
        buffer.store(index, at: offset + indexOffset)
    }

    /// The same for a whole datagram.
    static func address(_ datagram: inout [UInt8], to index: UInt32) {
        var span = datagram.mutableSpan
        address(&span, at: 0, to: index)
    }

    /// The 16 bytes.
    public var encoded: [UInt8] {
        [prefix, word].flatMap { value in
            (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * $0)) }
        }
    }

    /// Appends the 16 bytes.
    public func append(to datagram: inout [UInt8]) { datagram.append(contentsOf: encoded) }

    private var prefix: UInt64 {
        let high = UInt64(OuterHeader.version) << 24 | UInt64(type.rawValue) << 16 | UInt64(bodyLength)
        return high << 32 | UInt64(receiverIndex)
    }
}

/// What a datagram's first 16 bytes turned out to be.
public enum OuterHeaderVerdict: Hashable, Sendable {
    case header(OuterHeader)
    /// Too short, of another version, of an unknown type or of a length that does not match.
    case drop(DropReason)
}
