// SPDX-License-Identifier: Apache-2.0
// Every address that this host answers to, as the kernel lists them. It watches nothing: whoever wants to know of changes asks again.
internal import Foundation
internal import VPNCore

enum HostAddresses {
    /// Of all interfaces of this network namespace, loopback's among them, in order.
    static func current() -> [IPAddress] {
        let trie = (try? String(contentsOfFile: "/proc/net/fib_trie", encoding: .utf8)) ?? ""
        let table = (try? String(contentsOfFile: "/proc/net/if_inet6", encoding: .utf8)) ?? ""
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
}
