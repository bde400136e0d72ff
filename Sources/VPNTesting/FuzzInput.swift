// SPDX-License-Identifier: Apache-2.0
// Bytes of a fuzzer, read as numbers and pieces. Whatever is asked for is there: after the end come zeros, so that a short
// input is a simple case and not a refused one.

public struct FuzzInput {
    private var bytes: ArraySlice<UInt8>

    public init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

    public var isEmpty: Bool { bytes.isEmpty }

    public mutating func byte() -> UInt8 { bytes.popFirst() ?? 0 }

    public mutating func word() -> UInt16 { UInt16(byte()) << 8 | UInt16(byte()) }

    public mutating func wide() -> UInt32 { UInt32(word()) << 16 | UInt32(word()) }

    /// A number of `0..<limit`, for limits up to 65,536.
    public mutating func number(below limit: Int) -> Int { Int(word()) % limit }

    /// Exactly `count` bytes.
    public mutating func take(_ count: Int) -> [UInt8] { (0..<count).map { _ in byte() } }

    /// What is left, but at most `limit` bytes.
    public mutating func rest(upTo limit: Int) -> [UInt8] {
        defer { bytes = [] }
        return Array(bytes.prefix(limit))
    }

    /// Up to `limit` bytes that three bytes of input tell, so that short inputs make long packets.
    public mutating func filling(upTo limit: Int) -> [UInt8] {
        let count = number(below: limit + 1)
        let seed = Int(byte())
        return (0..<count).map { UInt8(truncatingIfNeeded: $0 &* (seed | 1) &+ $0 >> 8 &+ seed) }
    }

    /// Changes a few bytes, and seldom the length.
    public mutating func damage(_ packet: inout [UInt8]) {
        for _ in 0..<Int(byte() & 3) where !packet.isEmpty {
            // Headers more often than payloads.
            let place = Int(byte()) % min(packet.count, 80)
            packet[place] ^= byte()
        }
        switch byte() {
        case 0xF0...0xF7: packet.removeLast(Int(byte()) % (packet.count + 1))
        case 0xF8...0xFF: packet += take(Int(byte() & 31))
        default: break
        }
    }
}
