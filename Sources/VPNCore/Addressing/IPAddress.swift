// SPDX-License-Identifier: Apache-2.0
// An IP address of either family as a value, and its textual forms. No names, no ports, no zones.

/// An IPv4 or IPv6 address.
public struct IPAddress: Hashable, Sendable {
    public enum Family: UInt8, Comparable, Sendable {
        case v4 = 4
        case v6 = 6

        /// Bits of an address: 32 or 128.
        public var bits: Int { self == .v4 ? 32 : 128 }

        public static func < (a: Family, b: Family) -> Bool { a.rawValue < b.rawValue }
    }

    public let family: Family
    /// The address as an integer in host order; an IPv4 address uses the low 32 bits.
    public let value: UInt128

    public init(v4 value: UInt32) {
        family = .v4
        self.value = UInt128(value)
    }

    public init(v6 value: UInt128) {
        family = .v6
        self.value = value
    }

    /// 4 or 16 bytes in network order.
    public init?(bytes: [UInt8]) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        family = bytes.count == 4 ? .v4 : .v6
        value = bytes.reduce(0) { $0 << 8 | UInt128($1) }
    }

    /// 4 or 16 bytes in network order.
    public var bytes: [UInt8] {
        stride(from: family.bits - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> UInt128($0)) }
    }

    /// Parses dotted-quad IPv4 (no leading zeros, RFC 6943 §3.1.1) or IPv6 by RFC 4291 §2.2, nothing else.
    public init?(_ text: some StringProtocol) {
        let characters = Array(text.utf8)
        if characters.contains(UInt8(ascii: ":")) {
            guard let value = IPAddress.parseV6(characters[...]) else { return nil }
            self.init(v6: value)
        } else {
            guard let value = IPAddress.parseV4(characters[...]) else { return nil }
            self.init(v4: value)
        }
    }

    private static func parseV4(_ text: ArraySlice<UInt8>) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            if part.count > 1 && part.first == 0x30 { return nil }
            let number = part.reduce(0) { $0 * 10 + UInt32($1 - 0x30) }
            guard number <= 255 else { return nil }
            value = value << 8 | number
        }
        return value
    }

    private static func parseV6(_ text: ArraySlice<UInt8>) -> UInt128? {
        let colon = UInt8(ascii: ":")
        // The place of "::", of which there is at most one: another, as in ":::", shows as an empty group below.
        guard let gap = text.indices.dropLast().first(where: { text[$0] == colon && text[$0 + 1] == colon }) else {
            guard let groups = groups(text), groups.count == 8 else { return nil }
            return groups.reduce(0) { $0 << 16 | UInt128($1) }
        }
        let (before, after) = (text[..<gap], text[(gap + 2)...])
        guard let head = before.isEmpty ? [] : groups(before, mayEndInV4: false),
            let tail = after.isEmpty ? [] : groups(after),
            head.count + tail.count <= 7
        else { return nil }
        let zeros = [UInt16](repeating: 0, count: 8 - head.count - tail.count)
        return (head + zeros + tail).reduce(0) { $0 << 16 | UInt128($1) }
    }

    /// Groups of one to four hexadecimal digits; the last may be a dotted quad, which counts as two.
    private static func groups(_ text: ArraySlice<UInt8>, mayEndInV4: Bool = true) -> [UInt16]? {
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        var groups: [UInt16] = []
        for (number, part) in parts.enumerated() {
            if part.contains(UInt8(ascii: ".")) {
                guard mayEndInV4, number == parts.count - 1, let v4 = parseV4(part) else { return nil }
                groups += [UInt16(truncatingIfNeeded: v4 >> 16), UInt16(truncatingIfNeeded: v4)]
                continue
            }
            guard (1...4).contains(part.count) else { return nil }
            var group: UInt16 = 0
            for character in part {
                guard let digit = hexadecimalDigit(character) else { return nil }
                group = group << 4 | UInt16(digit)
            }
            groups.append(group)
        }
        return groups
    }

    private static func hexadecimalDigit(_ character: UInt8) -> UInt8? {
        switch character {
        case 0x30...0x39: character - 0x30
        case 0x41...0x46: character - 0x41 + 10
        case 0x61...0x66: character - 0x61 + 10
        default: nil
        }
    }
}

extension IPAddress: Comparable {
    public static func < (a: IPAddress, b: IPAddress) -> Bool {
        a.family == b.family ? a.value < b.value : a.family < b.family
    }
}

extension IPAddress: CustomStringConvertible {
    /// Dotted quad, or the canonical form of RFC 5952 (IPv4-mapped addresses with a dotted quad, §5).
    public var description: String {
        guard family == .v6 else { return bytes.map(String.init).joined(separator: ".") }
        if value >> 32 == 0xFFFF { return "::ffff:" + IPAddress(v4: UInt32(truncatingIfNeeded: value)).description }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: value >> UInt128(112 - 16 * $0)) }
        // RFC 5952 §4.2: the longest run of at least two zero groups, the first of equals.
        var best = 0..<0
        var start = 0
        for place in 0...8 where place == 8 || groups[place] != 0 {
            if place - start > max(best.count, 1) { best = start..<place }
            start = place + 1
        }
        let text = { (part: ArraySlice<UInt16>) in part.map { String($0, radix: 16) }.joined(separator: ":") }
        if best.isEmpty { return text(groups[...]) }
        return text(groups[..<best.lowerBound]) + "::" + text(groups[best.upperBound...])
    }
}

extension Endpoint {
    /// The address without its port; IPv4-mapped addresses come out as IPv4.
    public var address: IPAddress {
        isV4 ? IPAddress(v4: v4) : IPAddress(v6: UInt128(high) << 64 | UInt128(low))
    }

    public init(_ address: IPAddress, port: UInt16, scope: UInt32 = 0) {
        switch address.family {
        case .v4:
            self.init(v4: UInt32(truncatingIfNeeded: address.value), port: port)
        case .v6:
            self.init(
                high: UInt64(truncatingIfNeeded: address.value >> 64), low: UInt64(truncatingIfNeeded: address.value),
                port: port, scope: scope)
        }
    }
}
