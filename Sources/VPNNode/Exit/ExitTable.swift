// SPDX-License-Identifier: Apache-2.0
// The second fence of an exit (§8): one nftables table of our own, as text, made of the same policy that packets are judged by in the
// core. Pure. Putting it into the kernel is ExitHost's.
internal import VPNCore

/// What the table is made of.
struct ExitTable: Sendable, Hashable {
    var policy: ExitPolicy
    var surroundings: ExitSurroundings
    /// Of the tunnel, where guests' packets come out. Configured peers' come out there, too: guests are known by their source.
    var interface: String
    /// Where leases come from.
    var networks: [IPPrefix]
    /// Guests go out under the host's own addresses.
    var masquerades: Bool
    /// Of one guest: new connections in a second, and connections at a time; 0 = as many as it likes.
    var newConnectionsPerSecond: Int
    var connections: Int

    static let table = "inet \(HostNumbers.exitTable)"

    /// Takes the table away, whether or not there is one.
    static var removal: String { "table \(table)\ndelete table \(table)\n" }

    /// One transaction of `nft -f -`: what a daemon that died left is replaced, and at no moment is there none.
    var replacement: String { Self.removal + text }

    /// The table.
    var text: String {
        var lines = ["table \(Self.table) {"]
        for family in Family.all { lines += sets(family) }
        lines += chain("spoofed", "type filter hook prerouting priority raw; policy accept;", spoofed)
        lines += chain("input", "type filter hook input priority filter; policy accept;", entries)
        lines += chain(
            "forward", "type filter hook forward priority filter; policy accept;", between + entries + returns)
        lines += chain("from_guests", nil, fromGuests)
        for family in Family.all where has(family) { lines += chain("rules\(family.digit)", nil, rules(family)) }
        if masquerades {
            lines += chain(
                "leaving", "type nat hook postrouting priority srcnat; policy accept;",
                Family.all.filter(has).map {
                    "\($0.source) @guests\($0.digit) oifname != \(name) counter masquerade fully-random"
                })
        }
        return (lines + ["}"]).joined(separator: "\n") + "\n"
    }

    private var name: String { "\"\(interface)\"" }

    /// What differs between IPv4 and IPv6 in nft's language.
    private struct Family: Hashable {
        let family: IPAddress.Family
        let digit: String
        let destination: String
        let source: String
        let kind: String
        let echo: String
        let protocolName: String

        static let v4 = Family(
            family: .v4, digit: "4", destination: "ip daddr", source: "ip saddr", kind: "ipv4_addr",
            echo: "icmp type { echo-request, echo-reply }", protocolName: "icmp")
        static let v6 = Family(
            family: .v6, digit: "6", destination: "ip6 daddr", source: "ip6 saddr", kind: "ipv6_addr",
            echo: "icmpv6 type { echo-request, echo-reply }", protocolName: "ipv6-icmp")
        static let all = [v4, v6]
    }

    private func has(_ family: Family) -> Bool { networks.contains { $0.family == family.family } }

    // MARK: Sets

    private func sets(_ family: Family) -> [String] {
        guard has(family) else { return [] }
        func of(_ networks: [IPPrefix]) -> [String] {
            networks.filter { $0.family == family.family }.sorted().map(\.description)
        }
        let closed = surroundings.closed.filter { $0.length > 0 } + (family == .v6 ? [SpecialNetworks.mapped] : [])
        let own = surroundings.addresses.filter { $0.family == family.family }
        return set("guests", family, of(networks)) + set("closed", family, of(closed))
            + set("special", family, of(SpecialNetworks.all + surroundings.links.filter { $0.length > 0 }))
            + set("host", family, Array(Set(own)).sorted().map(\.description))
            + meter("newcomers", family, newConnectionsPerSecond) + meter("connections", family, connections)
    }

    private func set(_ name: String, _ family: Family, _ members: [String]) -> [String] {
        let elements = members.isEmpty ? "" : " elements = { \(members.joined(separator: ", ")) }"
        return ["  set \(name)\(family.digit) { type \(family.kind); flags interval; auto-merge;\(elements) }"]
    }

    private func meter(_ name: String, _ family: Family, _ limit: Int) -> [String] {
        guard limit > 0 else { return [] }
        let timeout = name == "newcomers" ? " timeout 1m;" : ""
        return ["  set \(name)\(family.digit) { type \(family.kind); flags dynamic;\(timeout) size 65536; }"]
    }

    private func chain(_ name: String, _ head: String?, _ rules: [String]) -> [String] {
        ["  chain \(name) {"] + ([head].compactMap { $0 } + rules).map { "    \($0)" } + ["  }"]
    }

    // MARK: Chains

    /// Nobody else is a guest.
    private var spoofed: [String] {
        // The host asks its own inner address from that address.
        Family.all.filter(has).map { "iifname != { \"lo\", \(name) } \($0.source) @guests\($0.digit) counter drop" }
    }

    /// Neither to one another nor to configured peers: whoever is behind the same interface.
    private var between: [String] {
        Family.all.filter(has).map { "iifname \(name) oifname \(name) \($0.source) @guests\($0.digit) counter drop" }
    }

    private var entries: [String] {
        Family.all.filter(has).map { "iifname \(name) \($0.source) @guests\($0.digit) jump from_guests" }
    }

    /// To guests comes what they asked for.
    private var returns: [String] {
        Family.all.filter(has).flatMap {
            [
                "oifname \(name) \($0.destination) @guests\($0.digit) ct state established,related accept",
                "oifname \(name) \($0.destination) @guests\($0.digit) counter drop",
            ]
        }
    }

    private var fromGuests: [String] {
        var rules = ["ct state invalid counter drop", "ct state established,related accept"]
        for family in Family.all where has(family) {
            // An address that this host has had for less than five seconds.
            rules.append(
                "fib daddr type { local, broadcast, multicast, anycast } \(family.destination) != @host\(family.digit) counter drop"
            )
            if newConnectionsPerSecond > 0 {
                // A connection counts by its first packet: once that has passed it is confirmed, and stays new for as long as nobody
                // answers.
                rules.append(
                    "ct state new ct status ! confirmed add @newcomers\(family.digit) { \(family.source) limit rate over "
                        + "\(newConnectionsPerSecond)/second burst \(newConnectionsPerSecond * 4) packets } counter drop"
                )
            }
            if connections > 0 {
                rules.append(
                    "ct state new ct status ! confirmed add @connections\(family.digit) { \(family.source) ct count over \(connections) } counter drop"
                )
            }
        }
        rules += Family.all.filter(has).map { "meta nfproto ipv\($0.digit) jump rules\($0.digit)" }
        return rules + ["counter reject with icmpx type admin-prohibited"]
    }

    // MARK: The policy

    /// As ExitFence has it: what is closed first, then rule by rule, each `accept` without what it may not reach.
    private func rules(_ family: Family) -> [String] {
        let (to, digit) = (family.destination, family.digit)
        let reject = "counter reject with icmpx type admin-prohibited"
        var lines = [
            "\(to) @host\(digit) udp dport \(surroundings.port) \(reject)",
            "\(to) != @host\(digit) \(to) @closed\(digit) \(reject)",
            // Of ICMP, questions and their answers; errors belong to what they are about.
            "meta l4proto \(family.protocolName) \(family.echo.replacing("type {", with: "type != {")) \(reject)",
        ]
        for rule in policy.rules {
            for place in places(rule, family) {
                let words = [place, what(rule, family)].filter { !$0.isEmpty } + ["counter"]
                lines.append(words.joined(separator: " ") + (rule.verdict == .accept ? " accept" : " \(reject)"))
            }
        }
        return lines
    }

    /// Where a rule reaches, in this family; "" is everywhere, and no text nowhere.
    private func places(_ rule: ExitRule, _ family: Family) -> [String] {
        let (to, digit) = (family.destination, family.digit)
        let notOwn = "\(to) != @host\(digit)"
        let open = "\(notOwn) \(to) != @special\(digit)"
        let accepts = rule.verdict == .accept
        switch rule.target {
        case .any: return [accepts ? open : ""]
        case .anyIPv4: return family == .v4 ? [accepts ? open : ""] : []
        case .anyIPv6: return family == .v6 ? [accepts ? open : ""] : []
        case .host: return ["\(to) @host\(digit)"]
        case .ownNetworks:
            let networks = SpecialNetworks.ownNetworks.filter { $0.family == family.family }.map(\.description)
            let place = "\(to) { \(networks.joined(separator: ", ")) }"
            return [accepts ? "\(notOwn) \(place)" : place]
        case .network(let network):
            guard network.family == family.family else { return [] }
            let place = "\(to) \(network)"
            guard accepts else { return [place] }
            return ["\(surroundings.isApart(network) ? notOwn : open) \(place)"]
        }
    }

    private func what(_ rule: ExitRule, _ family: Family) -> String {
        let ranges = rule.ports.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
        let ports = ranges.isEmpty ? "" : " dport { \(ranges.joined(separator: ", ")) }"
        switch rule.transport {
        case .tcp: return ports.isEmpty ? "meta l4proto tcp" : "tcp\(ports)"
        case .udp: return ports.isEmpty ? "meta l4proto udp" : "udp\(ports)"
        case .icmp: return family.echo
        case nil: return ports.isEmpty ? "" : "meta l4proto { tcp, udp } th\(ports)"
        }
    }
}
