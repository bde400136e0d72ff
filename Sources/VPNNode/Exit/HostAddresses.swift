// SPDX-License-Identifier: Apache-2.0
// Every address that this host answers to, and the networks of its neighbours, as the kernel lists them. It watches nothing: whoever
// wants to know of changes asks again.
internal import Foundation
internal import VPNCore

enum HostAddresses {
    /// Of all interfaces of this network namespace, loopback's among them, in order.
    static func current() -> [IPAddress] {
        // Of this process's own directory: a service may see no other part of proc (systemd's ProcSubset=pid).
        let trie = (try? String(contentsOfFile: "/proc/self/net/fib_trie", encoding: .utf8)) ?? ""
        let table = (try? String(contentsOfFile: "/proc/self/net/if_inet6", encoding: .utf8)) ?? ""
        return Array(Set(ipv4(trie) + ipv6(table))).sorted()
    }

    /// Of proc's fib_trie: the leaf above each line "/32 host LOCAL".
    static func ipv4(_ trie: String) -> [IPAddress] {
        var leaf: IPAddress?
        var found: [IPAddress] = []
        for line in trie.split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace)
            if words.count == 2, words[0] == "|--" {
                leaf = IPAddress(words[1])
            } else if words == ["/32", "host", "LOCAL"], let leaf {
                found.append(leaf)
            }
        }
        return found
    }

    /// Of proc's if_inet6: 32 digits at the start of each line.
    static func ipv6(_ table: String) -> [IPAddress] {
        table.split(separator: "\n").compactMap { line in
            guard let digits = line.split(separator: " ").first, digits.utf8.count == 32,
                let value = UInt128(digits, radix: 16)
            else { return nil }
            return IPAddress(v6: value)
        }
    }

    // MARK: - Neighbours

    // Of a route, as <linux/route.h> has them.
    private static let (isUp, hasGateway, isRefused): (UInt32, UInt32, UInt32) = (1, 2, 0x200)

    /// The public networks that this host is linked to by any interface but loopback and the one of this name, in order.
    static func links(besides interface: String) -> [IPPrefix] {
        let ipv4 = (try? String(contentsOfFile: "/proc/self/net/route", encoding: .utf8)) ?? ""
        let ipv6 = (try? String(contentsOfFile: "/proc/self/net/ipv6_route", encoding: .utf8)) ?? ""
        return Array(Set(links4(ipv4, besides: interface) + links6(ipv6, besides: interface))).sorted()
    }

    /// Of proc's route, whose numbers are as they lie in memory: the networks that are reached without a gateway.
    static func links4(_ table: String, besides interface: String) -> [IPPrefix] {
        table.split(separator: "\n").compactMap { line in
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count >= 8, let network = UInt32(words[1], radix: 16), UInt32(words[2], radix: 16) == 0,
                let flags = UInt32(words[3], radix: 16), let mask = UInt32(words[7], radix: 16)
            else { return nil }
            // Wider ones are no neighbourhood, but a way to everywhere, such as ppp0's.
            let length = mask.nonzeroBitCount
            guard (8..<32).contains(length) else { return nil }
            let link = IPPrefix(containing: IPAddress(v4: UInt32(bigEndian: network)), length: length)
            return isLink(link, String(words[0]), flags, besides: interface) ? link : nil
        }
    }

    /// Of proc's ipv6_route.
    static func links6(_ table: String, besides interface: String) -> [IPPrefix] {
        table.split(separator: "\n").compactMap { line in
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count >= 10, words[0].utf8.count == 32, let network = UInt128(words[0], radix: 16),
                let length = Int(words[1], radix: 16), (16..<128).contains(length),
                UInt128(words[4], radix: 16) == 0, let flags = UInt32(words[8], radix: 16)
            else { return nil }
            let link = IPPrefix(containing: IPAddress(v6: network), length: length)
            return isLink(link, String(words[9]), flags, besides: interface) ? link : nil
        }
    }

    /// What is special is apart anyway. A route that refuses lists no interface that anybody is behind ("*", "lo").
    private static func isLink(_ link: IPPrefix, _ name: String, _ flags: UInt32, besides interface: String) -> Bool {
        flags & (isUp | hasGateway | isRefused) == isUp && ![interface, "lo", "*"].contains(name)
            && !SpecialNetworks.contain(link)
    }
}
