// SPDX-License-Identifier: Apache-2.0
// Where a relay says that it is: the addresses of a descriptor, taken for nothing but text until they were looked at here. Names are
// no addresses: whoever writes a descriptor would make all its readers ask for a name of its choice.

/// Whether relays in networks of one's own are believed to be where they say.
public enum RelayAddressRule: Sendable, Equatable {
    /// Addresses of the public internet alone.
    case publicOnly
    /// Private networks as well: laboratories. Never loopback, link-local or multicast.
    case publicAndPrivate
}

enum RelayAddress {
    /// The endpoints that may be called, IPv4 before IPv6, each once. What is no such address is left out.
    static func endpoints(in texts: [String], _ rule: RelayAddressRule) -> [Endpoint] {
        var found: [Endpoint] = []
        for text in texts {
            guard let endpoint = parse(text), isCallable(endpoint, rule), !found.contains(endpoint) else { continue }
            found.append(endpoint)
        }
        return found.filter(\.isV4) + found.filter { !$0.isV4 }
    }

    /// `192.0.2.1:4433` or `[2001:db8::1]:4433`; nothing else, and no port 0.
    static func parse(_ text: String) -> Endpoint? {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        var host = text[..<colon]
        let digits = text[text.index(after: colon)...]
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), digits.first != "0", let port = UInt16(digits)
        else { return nil }
        if host.first == "[" {
            guard host.last == "]" else { return nil }
            host = host.dropFirst().dropLast()
            // An IPv4-mapped address is a way to write an IPv4 one that whoever reads a list does not expect.
            guard let address = IPAddress(host), address.family == .v6, address.value >> 32 != 0xFFFF else {
                return nil
            }
            return Endpoint(address, port: port)
        }
        guard let address = IPAddress(host), address.family == .v4 else { return nil }
        return Endpoint(address, port: port)
    }

    static func isCallable(_ endpoint: Endpoint, _ rule: RelayAddressRule) -> Bool {
        guard endpoint.port != 0, endpoint.scope == 0 else { return false }
        let address = endpoint.address
        let networks = address.family == .v4 ? networksV4 : networksV6
        // The longest prefix decides.
        let match = networks.filter { $0.prefix.contains(address) }.max { $0.prefix.length < $1.prefix.length }
        switch match?.kind {
        case .open: return true
        case .closed: return rule == .publicAndPrivate
        case .never, nil: return false
        }
    }

    private enum Kind { case open, closed, never }

    private typealias Network = (prefix: IPPrefix, kind: Kind)

    private static func v4(_ a: UInt32, _ b: UInt32, _ c: UInt32, _ length: Int, _ kind: Kind) -> Network {
        (IPPrefix(containing: IPAddress(v4: a << 24 | b << 16 | c << 8), length: length), kind)
    }

    private static func v6(_ high: UInt64, _ length: Int, _ kind: Kind) -> Network {
        (IPPrefix(containing: IPAddress(v6: UInt128(high) << 64), length: length), kind)
    }

    /// IANA's registry of special-purpose IPv4 addresses (RFC 6890 and its updates).
    private static let networksV4: [Network] = [
        v4(0, 0, 0, 0, .open), v4(0, 0, 0, 8, .never), v4(10, 0, 0, 8, .closed), v4(100, 64, 0, 10, .closed),
        v4(127, 0, 0, 8, .never), v4(169, 254, 0, 16, .never), v4(172, 16, 0, 12, .closed), v4(192, 0, 0, 24, .never),
        v4(192, 0, 2, 24, .closed), v4(192, 88, 99, 24, .never), v4(192, 168, 0, 16, .closed),
        v4(198, 18, 0, 15, .closed), v4(198, 51, 100, 24, .closed), v4(203, 0, 113, 24, .closed),
        v4(224, 0, 0, 4, .never), v4(240, 0, 0, 4, .never),
    ]

    /// The same of IPv6: global unicast without what carries IPv4 in it, which would be looked at as IPv4 by whoever gets it.
    private static let networksV6: [Network] = [
        v6(0x2000_0000_0000_0000, 3, .open), v6(0x2001_0000_0000_0000, 23, .never),
        v6(0x2001_0db8_0000_0000, 32, .closed), v6(0x2002_0000_0000_0000, 16, .never),
        v6(0x3fff_0000_0000_0000, 20, .closed), v6(0xfc00_0000_0000_0000, 7, .closed),
    ]

    /// What lies near each other: IPv4's /16, IPv6's /32.
    static func neighbourhood(_ endpoint: Endpoint) -> IPPrefix {
        let address = endpoint.address
        return IPPrefix(containing: address, length: address.family == .v4 ? 16 : 32)
    }
}
