// SPDX-License-Identifier: Apache-2.0
// Networks ("10.0.0.0/8") and the addresses of an interface ("10.77.0.1/24"), with the errors that a person who writes
// a configuration needs.

/// What is wrong with the text of a prefix.
public enum IPPrefixError: Error, Hashable, Sendable {
    /// Not an address, or more than one slash.
    case malformed(String)
    /// The length is no number, or longer than the family's addresses.
    case length(String)
    /// Bits behind the prefix length are set; the network that was probably meant.
    case hostBits(String, suggestion: IPPrefix)
}

extension IPPrefixError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .malformed(let text): "'\(text)' is not an IP prefix such as 10.0.0.0/8 or fd77::/64"
        case .length(let text): "'\(text)' has no valid prefix length (IPv4: 0–32, IPv6: 0–128)"
        case .hostBits(let text, let suggestion): "'\(text)' has bits set behind its length; use '\(suggestion)'"
        }
    }
}

/// A network: an address whose bits behind `length` are zero.
public struct IPPrefix: Hashable, Sendable {
    public let address: IPAddress
    /// 0...32 or 0...128.
    public let length: Int

    /// The network of `length` bits that `address` lies in; host bits are cleared.
    public init(containing address: IPAddress, length: Int) {
        precondition((0...address.family.bits).contains(length))
        let value = address.value & ~IPPrefix.hostMask(address.family, length)
        self.address = address.family == .v4 ? IPAddress(v4: UInt32(value)) : IPAddress(v6: value)
        self.length = length
    }

    /// Parses "address/length"; a bare address is a network of its own.
    public init(_ text: some StringProtocol) throws(IPPrefixError) {
        let parsed = try InterfaceAddress(text)
        let prefix = parsed.network
        guard prefix.address == parsed.address else { throw .hostBits(String(text), suggestion: prefix) }
        self = prefix
    }

    public var family: IPAddress.Family { address.family }
    public var first: UInt128 { address.value }
    public var last: UInt128 { address.value | IPPrefix.hostMask(family, length) }

    public func contains(_ other: IPAddress) -> Bool {
        other.family == family && (first...last).contains(other.value)
    }

    static func hostMask(_ family: IPAddress.Family, _ length: Int) -> UInt128 {
        let bits = family.bits - length
        return bits == 128 ? .max : (UInt128(1) << UInt128(bits)) - 1
    }
}

extension IPPrefix: CustomStringConvertible {
    public var description: String { "\(address)/\(length)" }
}

extension IPPrefix: Comparable {
    public static func < (a: IPPrefix, b: IPPrefix) -> Bool { (a.address, a.length) < (b.address, b.length) }
}

/// An address that an interface has, with the length of the network that it is on.
public struct InterfaceAddress: Hashable, Sendable {
    public let address: IPAddress
    /// 0...32 or 0...128.
    public let length: Int

    public init(_ address: IPAddress, length: Int) {
        precondition((0...address.family.bits).contains(length))
        self.address = address
        self.length = length
    }

    /// Parses "address/length"; without a length the address is alone on its network.
    public init(_ text: some StringProtocol) throws(IPPrefixError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let first = parts.first, let address = IPAddress(first) else {
            throw .malformed(String(text))
        }
        var length = address.family.bits
        if parts.count == 2 {
            let digits = parts[1]
            guard (1...3).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let number = Int(digits), number <= length
            else { throw .length(String(text)) }
            length = number
        }
        self.init(address, length: length)
    }

    /// The network that the interface is on.
    public var network: IPPrefix { IPPrefix(containing: address, length: length) }
}

extension InterfaceAddress: CustomStringConvertible {
    public var description: String { "\(address)/\(length)" }
}
