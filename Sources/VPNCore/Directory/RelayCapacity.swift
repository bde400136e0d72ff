// SPDX-License-Identifier: Apache-2.0
// A descriptor's one byte of capacity (§2): steps of an eighth of an octave, from 1 Mbit/s up, so that a careless digit too many is
// not signed to the last bit.

/// What a relay says that it can carry.
public enum RelayCapacity {
    /// Of a byte above 0, `(8 + b mod 8) << (b div 8)` steps of 125 kbit/s; 0 = not said.
    public static func steps(_ code: UInt8) -> UInt64 { code == 0 ? 0 : (8 + UInt64(code & 7)) << UInt64(code >> 3) }

    public static func bitsPerSecond(_ code: UInt8) -> UInt64 { steps(code) * 125_000 }

    /// The largest byte that does not claim more; 1 for all that is less than it.
    public static func code(bitsPerSecond: UInt64) -> UInt8 {
        (1...UInt8.max).last { self.bitsPerSecond($0) <= bitsPerSecond } ?? 1
    }

    /// 1 Mbit/s.
    static let least: UInt64 = 8
}
