// SPDX-License-Identifier: Apache-2.0
// What will be done to a host, as values: rules, filters, name servers, for every kind of tunnel. Nothing is done here.
import Foundation
import Synchronization
import Testing
import VPNCore

@testable import VPNNode

@Suite struct HostPlanTests {
    private static let id = String(repeating: "ab", count: 32)

    private static func configuration(
        allowed: String = "[0.0.0.0/0, \"::/0\"]", endpoint: String = "198.51.100.7:9000", tunnel: String = "",
        rest: String = ""
    ) throws -> NodeConfiguration {
        let text = """
            tunnel: { \(tunnel.contains("addresses") ? "" : "addresses: [10.77.0.1/24],") \(tunnel) }
            peers: [{ name: b, peer_id: "\(id)", endpoint: "\(endpoint)", allowed_ips: \(allowed) }]
            \(rest)
            """
        return try LoadedConfiguration(text: text, file: "/etc/pqvpn/x.yaml").configuration
    }

    static var surroundings: HostSurroundings {
        var value = HostSurroundings(HostTools(path: "/nowhere", scratch: "/nowhere"), HostPlaces())
        value.families = [.v4, .v6]
        (value.hasStrictFilter, value.hasFilter, value.answersForAll) = (false, false, false)
        (value.hasResolvectl, value.hasResolvconf, value.isResolvconfResolvectl) = (false, false, false)
        (value.resolverLink, value.hasInterfaceOrder) = (nil, false)
        return value
    }

    private static func plan(
        _ configuration: NodeConfiguration, _ change: (inout HostSurroundings) -> Void = { _ in }
    ) -> HostPlan {
        var around = surroundings
        change(&around)
        return HostPlan(configuration, around, HostPlaces())
    }

    /// The commands of a plan, as somebody would type them.
    private static func commands(_ plan: HostPlan) -> [String] {
        plan.steps.flatMap { step -> [String] in
            if case .commands(let apply, _) = step.change { return apply.map(\.description) }
            return []
        }
    }

    // MARK: Profiles

    /// What init and join leave beside a profile is none, and one that is no good keeps the host from being open no more than others do.
    @Test func aHostIsLockedDownForTheProfilesThatAreGood() throws {
        let scratch = try Scratch()
        let good = """
            tunnel: { addresses: [10.77.0.1/24] }
            peers: [{ name: b, peer_id: "\(Self.id)", endpoint: "198.51.100.7:9000", allowed_ips: ["0.0.0.0/0"] }]

            """
        for name in ["pqvpn", "a.b"] {
            try scratch.write(good, to: "\(name).yaml")
        }
        for companion in ["known_peers", "revoked", "relays", "guards", "invites"] {
            // The invitations of these two profiles are read with them, and there are none.
            if companion != "invites" { try scratch.write("version: 1\n", to: "\(companion).yaml") }
            try scratch.write("version: 1\n", to: "pqvpn.\(companion).yaml")
        }
        try scratch.write("tunnel: [", to: "half.yaml")
        var places = HostPlaces()
        places.profiles = scratch.path
        #expect(HostProfile.names(places) == ["a.b", "half", "pqvpn"])
        let heard = Mutex<[String]>([])
        let lockdown = LockdownSwitch(places: places, warn: { word in heard.withLock { $0.append(word) } })
        #expect(try lockdown.plans([]).count == 2)
        #expect(heard.withLock { $0.count == 1 && $0[0].contains("profile half") })
        // Whoever names it is told.
        #expect(throws: (any Error).self) { try lockdown.plans(["half"]) }
    }

    // MARK: Rules

    @Test func aFullTunnelIsOneRuleForEachFamily() throws {
        let plan = Self.plan(try Self.configuration())
        #expect(
            Self.commands(plan) == [
                "ip -4 rule add pref 28785 not fwmark 0x7071 lookup 28785",
                "ip -6 rule add pref 28785 not fwmark 0x7071 lookup 28785",
            ])
        #expect(plan.tools == ["ip"] && plan.lockdown == nil)
        #expect(plan.warnings.count == 2 && plan.warnings[1].contains("dns.servers"))
    }

    @Test func theWayBackIsTheSameRuleAndGoneIsGoodEnough() throws {
        for step in Self.plan(try Self.configuration()).steps {
            guard case .commands(let apply, let revert) = step.change else {
                Issue.record("\(step)")
                continue
            }
            #expect(
                revert.map(\.description)
                    == apply.map { $0.description.replacingOccurrences(of: " add ", with: " del ") })
            #expect(revert.allSatisfy { $0.gone == ["No such file or directory"] })
        }
    }

    @Test func whatGoesAroundTheTunnelIsLookedAtFirst() throws {
        let plan = Self.plan(
            try Self.configuration(
                tunnel: "allow_lan: [192.168.7.0/24], exclude_routes: [203.0.113.0/24, \"2001:db8::/32\"]"))
        #expect(
            Self.commands(plan) == [
                "ip -4 rule add pref 28780 to 203.0.113.0/24 lookup main",
                "ip -4 rule add pref 28781 to 192.168.7.0/24 lookup main suppress_prefixlength 0",
                "ip -4 rule add pref 28785 not fwmark 0x7071 lookup 28785",
                "ip -6 rule add pref 28780 to 2001:db8::/32 lookup main",
                "ip -6 rule add pref 28785 not fwmark 0x7071 lookup 28785",
            ])
        let usual = Self.commands(Self.plan(try Self.configuration(tunnel: "allow_lan: true")))
        #expect(usual.contains("ip -4 rule add pref 28781 to 10.0.0.0/8 lookup main suppress_prefixlength 0"))
        #expect(usual.contains("ip -6 rule add pref 28781 to fe80::/10 lookup main suppress_prefixlength 0"))
        #expect(!usual.contains { $0.contains("224.0.0") })
    }

    @Test func anotherMarkIsAnotherTable() throws {
        let configuration = try Self.configuration(rest: "network: { fwmark: 77 }")
        #expect(Self.commands(Self.plan(configuration)).first == "ip -4 rule add pref 28785 not fwmark 0x4d lookup 77")
        let none = Self.plan(try Self.configuration(rest: "network: { fwmark: 0 }"))
        #expect(none.steps.isEmpty && none.warnings.contains { $0.contains("network.fwmark is 0") })
    }

    // MARK: Neighbours

    @Test func neighboursGetNothingFromInnerAddresses() throws {
        let plan = Self.plan(
            try Self.configuration(tunnel: "interface: wg-1_x, addresses: [10.77.0.1/24, \"fd77::1/64\"]")
        ) { $0.hasFilter = true }
        // Before packets are led anywhere.
        guard case .innerFence(let fence)? = plan.steps.first?.change else {
            Issue.record("\(plan.steps)")
            return
        }
        #expect(plan.tools == ["ip", "nft"] && !plan.warnings.contains { $0.contains("nft") })
        #expect(
            fence.text == """
                table inet pqvpn_inner_wg_2d1_5fx {
                  set inner4 { type ipv4_addr; elements = { 10.77.0.1 } }
                  set inner6 { type ipv6_addr; elements = { fd77::1 } }
                  chain beside {
                    type filter hook prerouting priority raw; policy accept;
                    iifname { "lo", "wg-1_x" } accept
                    ip daddr @inner4 counter drop
                    ip6 daddr @inner6 counter drop
                  }
                }

                """)
        #expect(
            try plan.steps[0].undo().way
                == .commands([
                    HostCommand(
                        "nft", ["-f", "-"],
                        input: "table inet pqvpn_inner_wg_2d1_5fx\ndelete table inet pqvpn_inner_wg_2d1_5fx\n")
                ]))
        // Whoever has no addresses yet may be given some.
        #expect(InnerFence(interface: "pqvpn0", addresses: []).text.contains("set inner6 { type ipv6_addr; }"))
        #expect(Self.plan(try Self.configuration()).warnings.contains { $0.contains("CVE-2019-14899") })
        let none = Self.plan(try Self.configuration(tunnel: "enabled: false")) { $0.hasFilter = true }
        #expect(none.steps.isEmpty && !none.warnings.contains { $0.contains("CVE-2019-14899") })
    }

    @Test func addressesAreToldByTheirOwnInterfaceAlone() throws {
        let step = HostStep("answers to ARP", .setting("/proc/sys/net/ipv4/conf/all/arp_ignore", "1"))
        #expect(Self.plan(try Self.configuration()) { $0.answersForAll = true }.steps.contains(step))
        #expect(!Self.plan(try Self.configuration()).steps.contains { $0.title == step.title })
        let none = Self.plan(try Self.configuration(tunnel: "enabled: false")) { $0.answersForAll = true }
        #expect(none.steps.isEmpty)
    }

    @Test func oneFamilyInAndOneOutIsTold() throws {
        let plan = Self.plan(try Self.configuration(allowed: "[0.0.0.0/0]"))
        #expect(plan.warnings.contains { $0.contains("IPv6 is not in the tunnel and goes out in clear") })
        let locked = Self.plan(try Self.configuration(allowed: "[\"::/0\"]", tunnel: "lockdown: true"))
        #expect(locked.warnings.contains { $0.contains("IPv4 is not in the tunnel and cannot leave") })
        #expect(!Self.plan(try Self.configuration()).warnings.contains { $0.contains("is not in the tunnel") })
        let single = Self.plan(try Self.configuration(allowed: "[0.0.0.0/0]")) { $0.families = [.v4] }
        #expect(!single.warnings.contains { $0.contains("IPv6") } && Self.commands(single).count == 1)
    }

    @Test func aStrictReverseFilterNeedsMarksThatComeBack() throws {
        let plan = Self.plan(try Self.configuration()) { $0.hasStrictFilter = true }
        #expect(plan.steps.prefix(2).map(\.title) == ["marks of answers", "src_valid_mark"])
        #expect(plan.tools == ["ip", "nft"])
        // A tunnel that no endpoint is behind has answers that come as they went.
        let split = Self.plan(try Self.configuration(allowed: "[10.0.0.0/8]")) { $0.hasStrictFilter = true }
        #expect(!split.steps.contains { $0.title == "src_valid_mark" })
        let around = Self.plan(try Self.configuration(allowed: "[198.51.100.0/24]")) { $0.hasStrictFilter = true }
        #expect(around.steps.contains { $0.title == "src_valid_mark" })
    }

    @Test func theDaemonsRoutesGoWhereTheRulesLead() throws {
        var configuration = try Self.configuration()
        var warnings: [String] = []
        #expect(NodePlan.routes(configuration, avoiding: [], warnings: &warnings).isEmpty)
        #expect(warnings.count == 2 && warnings.allSatisfy { $0.contains("pqvpn up") })
        configuration = try DaemonRun(configurationFile: "x", usesPolicyRouting: true).overridden(configuration)
        #expect(configuration.tunnel.table == HostNumbers.mark)
        warnings = []
        let routes = NodePlan.routes(configuration, avoiding: [], warnings: &warnings)
        #expect(routes.map(\.description) == ["0.0.0.0/0", "::/0"] && warnings.isEmpty)
        // A reload keeps it.
        #expect(configuration.taking(live: try Self.configuration()).tunnel.table == HostNumbers.mark)
    }

    // MARK: Lockdown

    @Test func theTableSaysWhatMayLeave() throws {
        let configuration = try Self.configuration(
            tunnel: "lockdown: true, interface: tun7, allow_lan: [192.168.7.0/24], exclude_routes: [\"2001:db8::/32\"]",
            rest: "network: { fwmark: 77 }")
        let plan = try #require(Self.plan(configuration).lockdown)
        #expect(
            plan.text == """
                table inet pqvpn_lockdown {
                  chain output {
                    type filter hook output priority filter; policy drop;
                    oifname "lo" accept
                    oifname { "tun7" } accept
                    meta l4proto udp meta mark { 77 } accept
                    meta nfproto ipv4 udp sport 68 udp dport 67 accept
                    ip6 daddr { fe80::/10, ff02::1:2, ff05::1:3 } udp sport 546 udp dport 547 accept
                    icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept
                    icmpv6 type { mld-listener-report, mld2-listener-report } ip6 daddr ff02::/16 ip6 hoplimit 1 accept
                    meta l4proto { tcp, udp } th dport { 53, 853 } drop
                    ip daddr { 192.168.7.0/24, 224.0.0.0/24, 239.255.0.0/16, 255.255.255.255/32 } accept
                    ip6 daddr { 2001:db8::/32, ff02::/16, ff05::/16 } accept
                  }
                  chain forward {
                    type filter hook forward priority filter; policy drop;
                    oifname { "tun7" } accept
                    iifname { "tun7" } ct state established,related accept
                  }
                }

                """)
        #expect(plan.replacement.hasPrefix("table inet pqvpn_lockdown\ndelete table inet pqvpn_lockdown\ntable inet"))
    }

    @Test func withoutExceptionsNothingIsInClear() throws {
        let text = LockdownPlan(try Self.configuration(tunnel: "lockdown: true")).text
        #expect(!text.contains("ip daddr") && !text.contains("dport { 53"))
        #expect(text.components(separatedBy: "policy drop").count == 3)
        #expect(LockdownPlan.plain.text.contains("\"pqvpn0\"") && LockdownPlan.plain.text.contains("28785"))
    }

    @Test func severalPlansAreOneTable() throws {
        let (wide, narrow) = try (IPPrefix("10.0.0.0/8"), IPPrefix("10.1.0.0/16"))
        let a = LockdownPlan(interfaces: ["tun1"], marks: [5], networks: [narrow])
        let b = LockdownPlan(interfaces: ["tun0", "tun1"], marks: [5, 4], networks: [wide, narrow])
        let both = LockdownPlan.union([a, b])
        // A network inside another one would be refused by nftables.
        #expect(both.interfaces == ["tun0", "tun1"] && both.marks == [4, 5] && both.networks == ["10.0.0.0/8"])
        #expect(LockdownPlan.union([b, a]) == both)
    }

    @Test func anEndpointByNameIsToldOfALockdown() throws {
        let plan = Self.plan(try Self.configuration(endpoint: "vpn.example.org:9000", tunnel: "lockdown: true"))
        #expect(plan.warnings.contains { $0.contains("vpn.example.org") && $0.contains("/etc/hosts") })
        #expect(plan.tools == ["ip", "nft"])
        // A tunnel that takes everything takes questions about names, too; one that does not leaves them alone.
        let full = Self.plan(try Self.configuration(endpoint: "vpn.example.org:9000"))
        #expect(full.warnings.contains { $0.contains("vpn.example.org") && $0.contains("beside it") })
        let part = Self.plan(try Self.configuration(allowed: "[10.0.0.0/8]", endpoint: "vpn.example.org:9000"))
        #expect(!part.warnings.contains { $0.contains("vpn.example.org") })
    }

    // MARK: Names

    private static let resolver = "dns: { servers: [10.77.0.2, \"fd77::2\"], search: [a.example, b.example], mode: "

    @Test func resolvectlGetsAllNames() throws {
        let plan = Self.plan(try Self.configuration(rest: Self.resolver + "resolvectl }"))
        #expect(
            Self.commands(plan).suffix(3) == [
                "resolvectl dns pqvpn0 10.77.0.2 fd77::2", "resolvectl domain pqvpn0 a.example b.example '~.'",
                "resolvectl default-route pqvpn0 yes",
            ])
        guard case .commands(_, let revert) = plan.steps.last?.change else { return #expect(Bool(false)) }
        #expect(revert.map(\.description) == ["resolvectl revert pqvpn0"])
        #expect(plan.tools == ["ip", "resolvectl"] && plan.warnings.allSatisfy { $0.contains("nft") })
    }

    @Test func resolvconfIsExclusive() throws {
        let configuration = try Self.configuration(rest: Self.resolver + "resolvconf }")
        guard case .commands(let apply, let revert) = Self.plan(configuration).steps.last?.change else {
            return #expect(Bool(false))
        }
        #expect(apply.map(\.description) == ["resolvconf -a pqvpn0 -m 0 -x"])
        #expect(apply[0].input == "nameserver 10.77.0.2\nnameserver fd77::2\nsearch a.example b.example\n")
        #expect(revert.map(\.description) == ["resolvconf -d pqvpn0 -f"])
        let debian = Self.plan(configuration) { $0.hasInterfaceOrder = true }
        #expect(Self.commands(debian).last == "resolvconf -a tun.pqvpn0 -m 0 -x")
    }

    @Test func withoutServersOrWhenOffNamesAreLeftAlone() throws {
        for rest in ["", "dns: { mode: file }", "dns: { mode: \"off\", servers: [10.77.0.2] }"] {
            #expect(Self.plan(try Self.configuration(rest: rest)).steps.count == 2, "\(rest)")
        }
    }

    @Test func aServerOutsideTheTunnelIsTold() throws {
        let plan = Self.plan(
            try Self.configuration(allowed: "[10.77.0.2/32]", rest: "dns: { servers: [192.0.2.53], mode: file }"))
        #expect(plan.warnings.contains { $0.contains("192.0.2.53 is in no peer's allowed_ips") })
    }

    struct Choice: Sendable {
        var resolvectl = false
        var resolvconf = false
        var isOne = false
        var link: String?
        var mode: ResolverMode
    }

    @Test(arguments: [
        Choice(mode: .file),
        Choice(resolvconf: true, mode: .resolvconf),
        Choice(resolvectl: true, link: "../run/systemd/resolve/stub-resolv.conf", mode: .resolvectl),
        // The program is there and the service does not keep the file.
        Choice(resolvectl: true, mode: .file),
        Choice(resolvectl: true, resolvconf: true, mode: .resolvconf),
        Choice(resolvectl: true, resolvconf: true, isOne: true, mode: .resolvectl),
    ])
    func autoTakesWhatTheHostHas(_ choice: Choice) {
        func mode(_ wanted: ResolverMode) -> ResolverMode {
            ResolverPlan.mode(
                wanted, hasResolvectl: choice.resolvectl, hasResolvconf: choice.resolvconf,
                isResolvconfResolvectl: choice.isOne, linkTarget: choice.link)
        }
        #expect(mode(.auto) == choice.mode)
        for wanted in [ResolverMode.file, .resolvectl, .resolvconf, .off] { #expect(mode(wanted) == wanted) }
    }
}
