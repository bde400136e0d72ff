// SPDX-License-Identifier: Apache-2.0
// The keys of the configuration that are about the host: what they mean, and with which words they are refused.
import Testing
import VPNCore

@testable import VPNNode

@Suite struct HostConfigurationTests {
    private func configuration(_ text: String) throws -> NodeConfiguration {
        try LoadedConfiguration(text: text, file: "n.yaml").configuration
    }

    private func issues(_ text: String) -> [String] {
        do {
            return try LoadedConfiguration(text: text, file: "n.yaml").warnings.map { $0.description(file: "n.yaml") }
        } catch let error as ConfigurationError {
            return error.issues.map { $0.description(file: "n.yaml") }
        } catch { return ["\(error)"] }
    }

    @Test func everyHostKeyHasItsEffect() throws {
        let value = try configuration(
            """
            network: { fwmark: 4711 }
            tunnel: { lockdown: true, allow_lan: [192.168.7.0/24, "fd00::/8"], exclude_routes: [203.0.113.0/24] }
            dns: { mode: Resolvconf, servers: [10.77.0.2, "fd77::2"], search: [corp.example] }
            """)
        #expect(value.network.mark == 4711 && value.tunnel.isLockedDown)
        #expect(value.tunnel.lan == .networks([try IPPrefix("192.168.7.0/24"), try IPPrefix("fd00::/8")]))
        #expect(value.tunnel.excludedRoutes == [try IPPrefix("203.0.113.0/24")] && value.tunnel.table == nil)
        #expect(value.resolver.mode == .resolvconf && value.resolver.search == ["corp.example"])
        #expect(value.resolver.servers.map(\.description) == ["10.77.0.2", "fd77::2"])
    }

    @Test func defaults() throws {
        let value = try configuration("")
        #expect(value.network.mark == HostNumbers.mark && !value.tunnel.isLockedDown && value.tunnel.lan == .none)
        #expect(value.tunnel.excludedRoutes.isEmpty && value.resolver.mode == .auto && value.resolver.servers.isEmpty)
        #expect(try configuration("tunnel: { enabled: false }").network.mark == nil)
        #expect(try configuration("tunnel: { enabled: false }\nnetwork: { fwmark: 5 }").network.mark == 5)
        #expect(try configuration("network: { fwmark: 0 }").network.mark == nil)
        #expect(try configuration("tunnel: { allow_lan: true }").tunnel.lan == .usual)
        #expect(try configuration("tunnel: { allow_lan: false }").tunnel.lan == .none)
    }

    struct Bad: Sendable, CustomTestStringConvertible {
        let text: String
        let message: String
        var testDescription: String { message }

        init(_ text: String, _ message: String) { (self.text, self.message) = (text, message) }
    }

    @Test(arguments: [
        Bad("network: { fwmark: -1 }", "auto or a whole number in 0…4294967295"),
        Bad("network: { fwmark: 254 }", "one of the kernel's own routing tables"),
        Bad("network: { fwmark: 0 }\ntunnel: { lockdown: true }", "nothing to know the tunnel's own datagrams by"),
        Bad("tunnel: { lockdown: true, enabled: false }", "would let nothing out at all"),
        Bad("tunnel: { lockdown: maybe }", "must be true or false"),
        Bad("tunnel: { allow_lan: 192.168.0.0/16 }", "must be true, false or a list"),
        Bad("tunnel: { allow_lan: [192.168.0.1/16] }", "has bits set behind its length"),
        Bad("tunnel: { allow_lan: [0.0.0.0/0] }", "is everything"),
        Bad("tunnel: { exclude_routes: [\"::/0\"] }", "is everything"),
        Bad("tunnel: { exclude_routes: all }", "must be a list"),
        Bad("dns: { mode: systemd }", "is none of auto, resolvectl, resolvconf, file, off"),
        Bad("dns: { servers: [dns.example.org] }", "is not an IPv4 or IPv6 address"),
        Bad("dns: { servers: [10.0.0.1], search: [\"a b\"] }", "neither an IP address nor a host name"),
        // A line break would be a line of resolv.conf.
        Bad(
            "dns: { servers: [10.0.0.1], search: [\"a\\nnameserver 192.0.2.1\"] }",
            "neither an IP address nor a host name"),
        Bad("dns: { search: [a.example] }", "has no effect while dns.servers is empty"),
        Bad("dns: { mode: file }", "has no effect while dns.servers is empty"),
    ])
    func badValuesAreNamed(_ bad: Bad) {
        let found = issues(bad.text)
        #expect(found.count == 1 && found[0].contains(bad.message), "\(found)")
    }

    @Test func anExitMayBringNameServers() {
        let exit = """
            peers:
              - { name: r, peer_id: "\(String(repeating: "ab", count: 32))", endpoint: "198.51.100.7:9000" }
              - { name: e, peer_id: "\(String(repeating: "cd", count: 32))", via: [r], exit: true, allowed_ips: [0.0.0.0/0] }
            """
        for text in ["circuit: { allowed_ips: [10.99.0.0/16] }", exit] {
            #expect(issues("dns: { mode: file, search: [a.example] }\n\(text)") == [])
            #expect(issues("dns: { mode: nonsense }\n\(text)").count == 1)
        }
    }

    @Test func aReloadTellsThatTheyWait() throws {
        let old = try LoadedConfiguration(text: "", file: "n.yaml")
        let new = try LoadedConfiguration(
            text: "network: { fwmark: 5 }\ntunnel: { allow_lan: true }\ndns: { servers: [10.0.0.1] }", file: "n.yaml")
        let change = ConfigurationChange(from: old, to: new)
        #expect(change.live.isEmpty)
        #expect(Set(change.restart.map(\.key)) == ["network.fwmark", "tunnel.allow_lan", "dns.servers"])
    }
}
