// SPDX-License-Identifier: Apache-2.0
// The Internet checksum in the words of its definition (RFC 1071): what quicker sums are held against. It is here, and not with the
// tests, since they are not optimised.

public enum PlainChecksum {
    /// The sum of 16-bit numbers in network order, carries folded; an odd last byte is the upper half of a number.
    public static func sum(_ bytes: [UInt8]) -> UInt16 {
        var total = 0
        for place in bytes.indices { total += Int(bytes[place]) << (place % 2 == 0 ? 8 : 0) }
        while total > 0xFFFF { total = total >> 16 + total & 0xFFFF }
        return UInt16(total)
    }
}
