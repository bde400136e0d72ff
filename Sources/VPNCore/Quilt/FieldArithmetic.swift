// SPDX-License-Identifier: Apache-2.0
// GF(2⁸) with the polynomial x⁸ + x⁴ + x³ + x² + 1 (RFC 8681 §3.3), and vectors over it. Not for secrets: tables are looked up by
// the data.

enum Field {
    /// x, x², x³, …: x generates all 255 elements but zero. Twice, so that sums of two logarithms need no modulus.
    private static let powers: [UInt8] = {
        var powers = [UInt8](repeating: 0, count: 510)
        var value = 1
        for exponent in 0..<255 {
            powers[exponent] = UInt8(value)
            powers[exponent + 255] = UInt8(value)
            value <<= 1
            if value > 255 { value ^= 0x11D }
        }
        return powers
    }()

    private static let logarithms: [Int] = {
        var logarithms = [Int](repeating: 0, count: 256)
        for exponent in 0..<255 { logarithms[Int(powers[exponent])] = exponent }
        return logarithms
    }()

    static func multiply(_ a: UInt8, _ b: UInt8) -> UInt8 {
        a == 0 || b == 0 ? 0 : powers[logarithms[Int(a)] + logarithms[Int(b)]]
    }

    /// Of an element that is not zero.
    static func inverse(_ a: UInt8) -> UInt8 {
        precondition(a != 0)
        return powers[255 - logarithms[Int(a)]]
    }

    /// `target += factor · source`, where the target is at least as long.
    static func add(_ source: [UInt8], times factor: UInt8, to target: inout [UInt8]) {
        precondition(source.count <= target.count)
        if factor == 0 { return }
        if factor == 1 {
            for index in source.indices { target[index] ^= source[index] }
            return
        }
        // One row of the table of products, for all bytes.
        let row = row(of: factor)
        for index in source.indices { target[index] ^= row[Int(source[index])] }
    }

    /// `target *= factor`.
    static func scale(_ target: inout [UInt8], by factor: UInt8) {
        if factor == 1 { return }
        let row = row(of: factor)
        for index in target.indices { target[index] = row[Int(target[index])] }
    }

    private static let rows: [[UInt8]] = (0...255).map { factor in
        (0...255).map { multiply(UInt8(factor), UInt8($0)) }
    }

    private static func row(of factor: UInt8) -> [UInt8] { rows[Int(factor)] }
}
