// SPDX-License-Identifier: Apache-2.0
// Secret bytes as base64 (RFC 4648 §4) inside locked memory, without branches or tables that depend on them. For key
// files; public data takes Foundation's base64.
internal import VPNCrypto

extension Secret {
    /// `count` bytes, each from its index.
    init(count: Int, byte: (Int) -> UInt8) {
        self.init(count: count) { room in
            // SAFETY: the room has `count` bytes and is ours until the closure returns.
            for index in 0..<count { unsafe room[index] = byte(index) }
        }
    }

    borrowing func byte(at index: Int) -> UInt8 {
        precondition((0..<count).contains(index), "index outside the secret")
        // SAFETY: the index was checked; the bytes are borrowed for the closure.
        return withBytes { unsafe $0[index] }
    }

    /// The base64 of the bytes, with padding.
    borrowing func base64() -> Secret {
        let (size, blocks) = (count, (count + 2) / 3)
        var buffer = SecretBuffer(capacity: blocks * 4)
        for start in stride(from: 0, to: size, by: 3) {
            var bits = 0
            for index in start..<start + 3 { bits = bits << 8 | (index < size ? Int(byte(at: index)) : 0) }
            let quad = Secret(count: 4) { place in
                start + place > size ? UInt8(ascii: "=") : Base64.character(bits >> (18 - 6 * place) & 63)
            }
            buffer.append(quad)
        }
        return buffer.finish()
    }

    /// The bytes that part of this text encodes; nil where it is not canonical base64.
    borrowing func decodingBase64(_ range: Range<Int>) -> Secret? {
        guard range.count.isMultiple(of: 4), !range.isEmpty else { return nil }
        var padding = 0
        while padding < 2, byte(at: range.upperBound - 1 - padding) == UInt8(ascii: "=") { padding += 1 }
        let size = range.count / 4 * 3 - padding
        var isValid = true
        var buffer = SecretBuffer(capacity: size)
        for start in stride(from: range.lowerBound, to: range.upperBound, by: 4) {
            var bits = 0
            for index in start..<start + 4 {
                let isPadding = index >= range.upperBound - padding
                let value = isPadding ? 0 : Base64.value(Int(byte(at: index)))
                if value < 0 { isValid = false }
                bits = bits << 6 | value & 63
            }
            let room = min(3, size - (start - range.lowerBound) / 4 * 3)
            // Bits behind the last byte must be zero, or two texts would mean the same key.
            if room < 3, bits & (1 << (8 * (3 - room)) - 1) != 0 { isValid = false }
            buffer.append(Secret(count: room) { UInt8(truncatingIfNeeded: bits >> (16 - 8 * $0)) })
        }
        let result = buffer.finish()
        guard isValid else { return nil }
        return consume result
    }
}

private enum Base64 {
    /// The character of a value in 0…63; each line's mask is all ones where the value is beyond a limit.
    static func character(_ value: Int) -> UInt8 {
        var code = value + 0x41
        code += (25 - value) >> 8 & 6
        code -= (51 - value) >> 8 & 75
        code -= (61 - value) >> 8 & 15
        code += (62 - value) >> 8 & 3
        return UInt8(code)
    }

    /// The value of a character, or -1; each line's mask is all ones inside one range of characters.
    static func value(_ code: Int) -> Int {
        var value = -1
        value += ((0x40 - code) & (code - 0x5B)) >> 8 & (code - 64)
        value += ((0x60 - code) & (code - 0x7B)) >> 8 & (code - 70)
        value += ((0x2F - code) & (code - 0x3A)) >> 8 & (code + 5)
        value += ((0x2A - code) & (code - 0x2C)) >> 8 & 63
        value += ((0x2E - code) & (code - 0x30)) >> 8 & 64
        return value
    }
}
