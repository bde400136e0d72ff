// SPDX-License-Identifier: Apache-2.0
// The checksum of RFC 1071, over ranges of a packet buffer. Sums are kept in the byte order of memory and folded at the
// end, which that RFC's §2(B) allows; nothing outside this file sees them in that order.

/// A running one's complement sum.
struct InternetChecksum {
    /// Sum of 64-bit words as they lie in memory, with the carry added back.
    private var sum: UInt64 = 0

    /// Adds the bytes of a range. Every range but the last must be of even length.
    @inline(__always)
    mutating func add(_ buffer: borrowing MutableSpan<UInt8>, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= buffer.count)
        // SAFETY: integers have no invalid bit patterns; every load below says why it is within bounds.
        let bytes = unsafe buffer.bytes
        var offset = range.lowerBound
        let end = range.upperBound
        // Four sums, so that one addition need not wait for the one before.
        var (a, b, c, d) = (sum, UInt64(0), UInt64(0), UInt64(0))
        while end &- offset >= 32 {
            // SAFETY: 32 bytes from `offset` lie before `end`, which lies within the buffer; every bit pattern is a
            // valid integer.
            unsafe InternetChecksum.add(
                bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self), to: &a)
            unsafe InternetChecksum.add(
                bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset &+ 8, as: UInt64.self), to: &b)
            unsafe InternetChecksum.add(
                bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset &+ 16, as: UInt64.self), to: &c)
            unsafe InternetChecksum.add(
                bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset &+ 24, as: UInt64.self), to: &d)
            offset &+= 32
        }
        InternetChecksum.add(b, to: &a)
        InternetChecksum.add(c, to: &a)
        InternetChecksum.add(d, to: &a)
        while end &- offset >= 8 {
            // SAFETY: as above, with 8 bytes.
            let word = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self)
            InternetChecksum.add(word, to: &a)
            offset &+= 8
        }
        while end &- offset >= 2 {
            // SAFETY: as above, with 2 bytes.
            let word = unsafe bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt16.self)
            InternetChecksum.add(UInt64(word), to: &a)
            offset &+= 2
        }
        // An odd byte counts as if a zero followed.
        if offset < end { InternetChecksum.add(UInt64(UInt16(buffer[offset]).littleEndian), to: &a) }
        sum = a
    }

    /// Adds a number as 16-bit words in network order: a length, or a protocol.
    @inline(__always)
    mutating func add(_ value: Int) {
        InternetChecksum.add(UInt64(UInt32(truncatingIfNeeded: value).bigEndian), to: &sum)
    }

    /// The sum as it lies in a packet, not complemented: what a partial checksum holds.
    @inline(__always)
    var folded: UInt16 {
        var value = (sum >> 32) &+ (sum & 0xFFFF_FFFF)
        value = (value >> 16) &+ (value & 0xFFFF)
        value = (value >> 16) &+ (value & 0xFFFF)
        value = (value >> 16) &+ (value & 0xFFFF)
        return UInt16(bigEndian: UInt16(truncatingIfNeeded: value))
    }

    /// The checksum to store.
    @inline(__always)
    var checksum: UInt16 { ~folded }

    /// The checksum to store in a UDP header, where 0 means none (RFC 768).
    @inline(__always)
    var udpChecksum: UInt16 { checksum == 0 ? 0xFFFF : checksum }

    /// Whether the data with its checksum in place adds up.
    @inline(__always)
    var isValid: Bool { folded == 0xFFFF }

    /// A checksum after one 16-bit word under it changed (RFC 1624, eqn. 3).
    static func updated(_ checksum: UInt16, from old: UInt16, to new: UInt16) -> UInt16 {
        var sum = UInt32(~checksum) + UInt32(~old) + UInt32(new)
        sum = (sum >> 16) + (sum & 0xFFFF)
        sum = (sum >> 16) + (sum & 0xFFFF)
        return ~UInt16(truncatingIfNeeded: sum)
    }

    @inline(__always)
    private static func add(_ value: UInt64, to sum: inout UInt64) {
        let (partial, carry) = sum.addingReportingOverflow(value)
        sum = partial &+ (carry ? 1 : 0)
    }
}
