// SPDX-License-Identifier: Apache-2.0
// Addresses that are nobody's on the Internet (RFC 6890 and the registries after it): what an exit refuses unless a rule names it,
// and what no lease may be. Lists only; who may reach what is ExitPolicy's.

public enum SpecialNetworks {
    /// What the word `private` means in a rule: networks of one's own. Not link-local ones, where clouds keep their metadata.
    public static let ownNetworks: [IPPrefix] = [
        v4(10, 0, 0, 0, 8), v4(100, 64, 0, 0, 10), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16), v6(0xFC00, 0, 7),
    ]

    /// Everything special, without overlaps, in order: `ownNetworks`, and
    /// "this network", loopback, link-local (169.254.169.254 among them), protocol assignments, documentation, 6to4 relays,
    /// benchmarks, multicast, reserved and broadcast; of IPv6 whatever is outside of 2000::/3 (NAT64's 64:ff9b::/96 and
    /// 64:ff9b:1::/48, ULA, link-local, site-local, multicast, unassigned) and in it Teredo and its neighbours, documentation, 6to4.
    public static let all: [IPPrefix] = [
        v4(0, 0, 0, 0, 8), v4(10, 0, 0, 0, 8), v4(100, 64, 0, 0, 10), v4(127, 0, 0, 0, 8), v4(169, 254, 0, 0, 16),
        v4(172, 16, 0, 0, 12), v4(192, 0, 0, 0, 24), v4(192, 0, 2, 0, 24), v4(192, 88, 99, 0, 24),
        v4(192, 168, 0, 0, 16), v4(198, 18, 0, 0, 15), v4(198, 51, 100, 0, 24), v4(203, 0, 113, 0, 24),
        v4(224, 0, 0, 0, 3),
        v6(0, 0, 3), v6(0x2001, 0, 23), v6(0x2001, 0x0DB8, 32), v6(0x2002, 0, 16), v6(0x3FFF, 0, 20), v6(0x4000, 0, 2),
        v6(0x8000, 0, 1),
    ]

    /// IPv4 addresses in the clothes of IPv6 (RFC 4291 §2.5.5.2): no packet has one, and a rule that means IPv4 says so.
    public static let mapped = IPPrefix(containing: IPAddress(v6: 0xFFFF << 32), length: 96)

    /// What no interface has: a lease or a name server of it is nonsense.
    private static let nobody: [IPPrefix] = [
        v4(0, 0, 0, 0, 8), v4(127, 0, 0, 0, 8), v4(169, 254, 0, 0, 16), v4(224, 0, 0, 0, 3), v6(0, 0, 8),
        v6(0xFE80, 0, 10), v6(0xFF00, 0, 8),
    ]

    /// Whether a host may have the address as its own, beyond its link.
    public static func isAssignable(_ address: IPAddress) -> Bool { !nobody.contains { $0.contains(address) } }

    /// Whether a whole network is special.
    public static func contain(_ network: IPPrefix) -> Bool {
        all.contains { $0.contains(network.address) && $0.length <= network.length }
    }

    private static func v4(_ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: UInt32, _ length: Int) -> IPPrefix {
        IPPrefix(containing: IPAddress(v4: a << 24 | b << 16 | c << 8 | d), length: length)
    }

    /// By the first two groups.
    private static func v6(_ first: UInt128, _ second: UInt128, _ length: Int) -> IPPrefix {
        IPPrefix(containing: IPAddress(v6: first << 112 | second << 96), length: length)
    }
}
