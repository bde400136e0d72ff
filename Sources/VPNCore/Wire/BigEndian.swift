// SPDX-License-Identifier: Apache-2.0
// Big-endian integers in byte arrays. The caller has checked the length once (an exact gate at the door of each
// message), so that these accessors cannot fail; a wrong offset is our own bug and traps.

extension Array where Element == UInt8 {
    @inline(__always)
    func u16(at offset: Int) -> UInt16 { UInt16(self[offset]) << 8 | UInt16(self[offset + 1]) }

    @inline(__always)
    func u32(at offset: Int) -> UInt32 { UInt32(u16(at: offset)) << 16 | UInt32(u16(at: offset + 2)) }

    @inline(__always)
    func u64(at offset: Int) -> UInt64 { UInt64(u32(at: offset)) << 32 | UInt64(u32(at: offset + 4)) }

    func bytes(at offset: Int, count: Int) -> [UInt8] { Array(self[offset..<offset + count]) }

    func isZero(_ range: Range<Int>) -> Bool { self[range].allSatisfy { $0 == 0 } }

    mutating func append(bigEndian value: some FixedWidthInteger) {
        var shift = value.bitWidth - 8
        while shift >= 0 {
            append(UInt8(truncatingIfNeeded: value >> shift))
            shift -= 8
        }
    }

    mutating func append(zeros count: Int) { append(contentsOf: repeatElement(0, count: count)) }

    /// Overwrites the bytes from `offset` on.
    mutating func put(_ bytes: [UInt8], at offset: Int) {
        replaceSubrange(offset..<offset + bytes.count, with: bytes)
    }
}

extension OuterHeader {
    /// The 16 bytes before a handshake datagram whose body has this length.
    static func bytes(_ type: DatagramType, bodyLength: Int, receiverIndex: UInt32, word: UInt64) -> [UInt8] {
        OuterHeader(type: type, bodyLength: UInt16(bodyLength), receiverIndex: receiverIndex, word: word).encoded
    }
}
