// SPDX-License-Identifier: Apache-2.0
// One number that stands for everything that happened on a wire: two runs with the same number were the same run. Quick, and no
// cryptographic hash: nobody tries to deceive it.

public import VPNCore

public struct TraceDigest: Equatable, Sendable, CustomStringConvertible {
    private var state: UInt64 = 0x6A09_E667_F3BC_C908

    public init() {}

    public mutating func take(_ word: UInt64) {
        state = (state ^ word) &* 0x9FB2_1C65_1E98_DF25
        state ^= state >> 32
    }

    /// A datagram and when it was sent; whether it holds `word` anywhere, as eight bytes in network order.
    public mutating func take(_ datagram: VirtualDatagram, at now: Instant, lookingFor word: UInt64?) -> Bool {
        take(now.nanoseconds)
        for endpoint in [datagram.source, datagram.destination] {
            take(endpoint.high)
            take(endpoint.low)
            take(UInt64(endpoint.port) << 32 | UInt64(datagram.bytes.count))
        }
        var (window, position, isFound) = (UInt64(0), 0, false)
        for byte in datagram.bytes {
            window = window << 8 | UInt64(byte)
            position += 1
            if window == word, position >= 8 { isFound = true }
            if position & 7 == 0 { take(window) }
        }
        take(window)
        return isFound
    }

    public var description: String {
        let digits = String(state, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
