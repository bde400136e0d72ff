// SPDX-License-Identifier: Apache-2.0
// What may leave a host that is locked down, and the one nftables table that sees to it, as text. Putting it into the kernel and
// looking whether it is still there is Lockdown's matter.
internal import VPNCore

/// The exceptions of a lockdown.
struct LockdownPlan: Codable, Hashable, Sendable {
    /// TUN interfaces, by name: they may come and go.
    var interfaces: [String]
    /// Of outer datagrams.
    var marks: [UInt32]
    /// Networks that may be reached in clear, as texts; not for names.
    var networks: [String]

    init(interfaces: [String], marks: [UInt32], networks: [IPPrefix]) {
        self.interfaces = Array(Set(interfaces)).sorted()
        self.marks = Array(Set(marks)).sorted()
        self.networks = Self.outermost(networks).map(\.description)
    }

    /// A tunnel that nobody has described.
    static var plain: LockdownPlan {
        LockdownPlan(
            interfaces: ["\(ConfigurationTable.rows["tunnel.interface"]?.fallback?.text ?? "pqvpn0")"],
            marks: [HostNumbers.mark], networks: [])
    }

    init(_ configuration: NodeConfiguration) {
        self.init(
            interfaces: [configuration.tunnel.interface], marks: configuration.network.mark.map { [$0] } ?? [],
            networks: configuration.tunnel.lan.open + configuration.tunnel.excludedRoutes)
    }

    /// What any of them lets out.
    static func union(_ plans: [LockdownPlan]) -> LockdownPlan {
        LockdownPlan(
            interfaces: plans.flatMap(\.interfaces), marks: plans.flatMap(\.marks),
            networks: plans.flatMap(\.networks).compactMap { try? IPPrefix($0) })
    }

    /// nftables refuses networks in one set that overlap.
    private static func outermost(_ networks: [IPPrefix]) -> [IPPrefix] {
        let all = Set(networks)
        return all.filter { inner in
            !all.contains { $0.length < inner.length && $0.contains(inner.address) }
        }.sorted()
    }

    static let table = "inet \(HostNumbers.lockdownTable)"

    /// Takes the table away, whether or not there is one.
    static var removal: String { "table \(table)\ndelete table \(table)\n" }

    /// One transaction of `nft -f -`: at no moment is there no table where there was one.
    var replacement: String { Self.removal + text }

    /// The table. Everything is refused but what is named.
    var text: String {
        var output = ["oifname \"lo\" accept"]
        if !interfaces.isEmpty { output.append("oifname \(Self.set(interfaces.map { "\"\($0)\"" })) accept") }
        if !marks.isEmpty { output.append("meta l4proto udp meta mark \(Self.set(marks.map { "\($0)" })) accept") }
        // Without an address of its own, and without its neighbours, the host cannot reach the peers either. RFC 2131 §4.1,
        // RFC 8415 §7.1 and 7.2, RFC 4861 §6 and 7.
        output += [
            "meta nfproto ipv4 udp sport 68 udp dport 67 accept",
            "ip6 daddr { fe80::/10, ff02::1:2, ff05::1:3 } udp sport 546 udp dport 547 accept",
            "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept",
            // Switches that listen to who wants what would not pass neighbours' questions on. RFC 3810 §5.
            "icmpv6 type { mld-listener-report, mld2-listener-report } ip6 daddr ff02::/16 ip6 hoplimit 1 accept",
        ]
        let prefixes = networks.compactMap { try? IPPrefix($0) }
        if !prefixes.isEmpty {
            // Who sees the names sees where the traffic goes.
            output.append("meta l4proto { tcp, udp } th dport { 53, 853 } drop")
        }
        for (family, word) in [(IPAddress.Family.v4, "ip"), (.v6, "ip6")] {
            let members = prefixes.filter { $0.family == family }.map(\.description)
            if !members.isEmpty { output.append("\(word) daddr \(Self.set(members)) accept") }
        }
        var forward: [String] = []
        if !interfaces.isEmpty {
            let names = Self.set(interfaces.map { "\"\($0)\"" })
            forward = ["oifname \(names) accept", "iifname \(names) ct state established,related accept"]
        }
        return """
            table \(Self.table) {
            \(Self.chain("output", output))
            \(Self.chain("forward", forward))
            }

            """
    }

    private static func chain(_ hook: String, _ rules: [String]) -> String {
        let lines = ["type filter hook \(hook) priority filter; policy drop;"] + rules
        return "  chain \(hook) {\n" + lines.map { "    \($0)\n" }.joined() + "  }"
    }

    private static func set(_ members: [String]) -> String { "{ \(members.joined(separator: ", ")) }" }
}
