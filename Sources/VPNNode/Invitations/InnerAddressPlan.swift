// SPDX-License-Identifier: Apache-2.0
// Which inner addresses a guest gets: the first free one of each network that the inviter's interface is on.
internal import VPNCore

enum InnerAddressPlan {
    /// Looked at in one network: a full one of this size is full.
    private static let mostTried: UInt128 = 65_536

    /// Networks that an inviter may put into the tunnel of a guest: RFC 1918, RFC 6598 and RFC 4193. All others are somebody's of the
    /// internet, whose traffic would go to the inviter.
    private static let privateNetworks = [
        IPPrefix(containing: IPAddress(v4: 0x0A00_0000), length: 8),
        IPPrefix(containing: IPAddress(v4: 0xAC10_0000), length: 12),
        IPPrefix(containing: IPAddress(v4: 0xC0A8_0000), length: 16),
        IPPrefix(containing: IPAddress(v4: 0x6440_0000), length: 10),
        IPPrefix(containing: IPAddress(v6: UInt128(0xFC) << 120), length: 7),
    ]
    static let mostNetworks = 4

    /// What is wrong with addresses that a guest is given, with the lengths of their networks; nil where nothing is.
    static func complaint(about addresses: [InterfaceAddress]) -> String? {
        if addresses.count > mostNetworks { return "\(addresses.count) networks are more than \(mostNetworks)" }
        for network in addresses.map(\.network) {
            let shortest = network.family == .v4 ? 8 : 32
            if network.length < shortest {
                return "\(network) is larger than any inner network is (/\(shortest))"
            }
            let isPrivate = privateNetworks.contains { $0.length <= network.length && $0.contains(network.address) }
            if !isPrivate {
                return "\(network) is no private network (10/8, 172.16/12, 192.168/16, 100.64/10 or fc00::/7)"
            }
        }
        return nil
    }

    /// An address of each network, with its length; nil where one of them is full, or there is none.
    ///
    /// - Parameters:
    ///   - own: of the inviter's interface.
    ///   - taken: networks that are somebody's already.
    static func allocate(own: [InterfaceAddress], taken: [IPPrefix]) -> [InterfaceAddress]? {
        var networks: [IPPrefix] = []
        for address in own where address.length < address.address.family.bits - 1 {
            if !networks.contains(address.network) { networks.append(address.network) }
        }
        guard !networks.isEmpty else { return nil }
        let mine = Set(own.map(\.address))
        var result: [InterfaceAddress] = []
        for network in networks {
            // Neither the network's own address, nor IPv4's broadcast.
            let last = network.family == .v4 ? network.last - 1 : network.last
            let end = min(last, network.first + mostTried)
            var candidate = network.first + 1
            var found: IPAddress?
            while candidate <= end {
                let address =
                    network.family == .v4 ? IPAddress(v4: UInt32(candidate)) : IPAddress(v6: candidate)
                // A peer that has all of the network, as a gateway does, leaves its hosts to longer prefixes.
                let isTaken =
                    mine.contains(address)
                    || taken.contains { $0.length > network.length && $0.contains(address) }
                if !isTaken {
                    found = address
                    break
                }
                candidate += 1
            }
            guard let found else { return nil }
            result.append(InterfaceAddress(found, length: network.length))
        }
        return result
    }
}
