// SPDX-License-Identifier: Apache-2.0
// Capture files and frames made by hand, for the tests of whoever reads them.

/// Bytes of a capture file.
struct CaptureBytes {
    var bytes: [UInt8]
    private let isLittleEndian: Bool

    init(linkType: UInt32 = 1, isLittleEndian: Bool = true, magic: UInt32 = 0xA1B2_C3D4) {
        self.isLittleEndian = isLittleEndian
        bytes = []
        append(magic)
        // Version 2.4, no time zone, no accuracy, a snapshot length.
        bytes += isLittleEndian ? [2, 0, 4, 0] : [0, 2, 0, 4]
        for word in [0, 0, 262_144, linkType] { append(word) }
    }

    private mutating func append(_ word: UInt32) {
        let bigEndian = (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - 8 * $0)) }
        bytes += isLittleEndian ? bigEndian.reversed() : bigEndian
    }

    mutating func append(packet: [UInt8], claiming size: UInt32? = nil) {
        let length = UInt32(packet.count)
        for word in [1, 2, size ?? length, length] { append(word) }
        bytes += packet
    }
}

/// Ethernet frames by what is in them.
enum Frames {
    static func ethernet(_ type: UInt16, _ payload: [UInt8]) -> [UInt8] {
        [UInt8](repeating: 2, count: 12) + word(type) + payload
    }

    static func ipv4(next: UInt8, flags: UInt16 = 0x4000, options: Int = 0, _ payload: [UInt8]) -> [UInt8] {
        let length = 20 + options + payload.count
        var header: [UInt8] =
            [0x45 + UInt8(options / 4), 0] + word(UInt16(length)) + [0, 1] + word(flags) + [64, next]
        header += [0, 0, 10, 99, 0, 1, 10, 99, 0, 2] + [UInt8](repeating: 1, count: options)
        return ethernet(0x0800, header + payload)
    }

    static func ipv6(next: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let header: [UInt8] = [0x60, 0, 0, 0] + word(UInt16(payload.count)) + [next, 255]
        return ethernet(0x86DD, header + [UInt8](repeating: 0xFD, count: 32) + payload)
    }

    static func udp(from source: UInt16, to destination: UInt16) -> [UInt8] {
        word(source) + word(destination) + word(12) + [0, 0] + [1, 2, 3, 4]
    }

    private static func word(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }
}
