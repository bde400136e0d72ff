// SPDX-License-Identifier: Apache-2.0
// Bytes of a fuzzer, read as numbers and pieces. Whatever is asked for is there: after the end come zeros, so that a short
// input is a simple case and not a refused one.

struct FuzzInput {
    private var bytes: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

    var isEmpty: Bool { bytes.isEmpty }

    mutating func byte() -> UInt8 { bytes.popFirst() ?? 0 }

    mutating func word() -> UInt16 { UInt16(byte()) << 8 | UInt16(byte()) }

    mutating func wide() -> UInt32 { UInt32(word()) << 16 | UInt32(word()) }

    /// A number of `0..<limit`, for limits up to 65,536.
    mutating func number(below limit: Int) -> Int { Int(word()) % limit }

    /// Exactly `count` bytes.
    mutating func take(_ count: Int) -> [UInt8] { (0..<count).map { _ in byte() } }

    /// What is left, but at most `limit` bytes.
    mutating func rest(upTo limit: Int) -> [UInt8] {
        defer { bytes = [] }
        return Array(bytes.prefix(limit))
    }

    /// Up to `limit` bytes that three bytes of input tell, so that short inputs make long packets.
    mutating func filling(upTo limit: Int) -> [UInt8] {
        let count = number(below: limit + 1)
        let seed = Int(byte())
        return (0..<count).map { UInt8(truncatingIfNeeded: $0 &* (seed | 1) &+ $0 >> 8 &+ seed) }
    }

    /// Changes a few bytes, and seldom the length.
    mutating func damage(_ packet: inout [UInt8]) {
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

extension PacketModel {
    /// A packet with checksums that hold, without payload, of about 16 bytes of input.
    init(_ input: inout FuzzInput) {
        self.init()
        let shape = input.byte()
        (isIPv4, isTCP, dontFragment) = (shape & 1 == 0, shape & 2 == 0, shape & 4 == 0)
        flags = input.byte()
        if shape & 8 != 0 { flags = 0x10 }
        trafficClass = input.byte()
        id = input.word()
        sequence = input.wide()
        if shape & 16 != 0 { tcpOptions = input.take(4 * Int(input.byte() % 11)) }
        if shape & 32 != 0 {
            if isIPv4 {
                ipOptions = input.take(4 * Int(input.byte() % 11))
            } else {
                let units = Int(input.byte() & 3)
                ipOptions = [isTCP ? 6 : 17, UInt8(units)] + input.take(units * 8 + 6)
            }
        }
        if shape & 64 != 0 { (source, destination) = (input.byte(), input.byte()) }
    }
}
