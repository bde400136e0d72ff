// SPDX-License-Identifier: Apache-2.0
// `relay.exit_policy` and the section `exit`: what they mean, and what an operator reads where they cannot be meant so.
import Testing

@testable import VPNCore
@testable import VPNNode

@Suite struct ExitConfigurationTests {
    private func read(_ text: String) throws -> LoadedConfiguration {
        let scratch = try Scratch()
        return try LoadedConfiguration(
            file: try scratch.write("keys: { runtime_temp_keys: true }\n" + text, to: "node.yaml"))
    }

    private func issues(_ text: String) throws -> [ConfigurationIssue] {
        do { return try read(text).warnings } catch let error as ConfigurationError { return error.issues }
    }

    @Test func aNodeIsNoExitByDefault() throws {
        let exit = try read("tunnel: { addresses: [10.77.0.1/24] }\n").configuration.exit
        #expect(!exit.isOpen && exit.policy == .denyAll && exit.masquerades && exit.servers.isEmpty)
        #expect(exit.networks.map(\.description) == ["10.66.0.0/16", "fd66:7071::/64"])
        #expect(exit.addresses.map(\.description) == ["10.66.0.1/16", "fd66:7071::1/64"])
    }

    @Test func textsAndListsAreOnePolicy() throws {
        for text in [
            "relay: { exit_policy: \"accept tcp/*:443; reject *\" }\n",
            "relay:\n  exit_policy:\n    - accept tcp/*:443\n    - reject *\n",
            "relay: { exit_policy: [\"accept tcp/*:443\", \"reject *\"] }\n",
        ] { #expect(try read(text).configuration.exit.policy.description == "accept tcp/*:443; reject *") }
        #expect(try read("relay: { exit_policy: allow-all }\n").configuration.exit.policy == .allowAll)
        #expect(try read("relay: { exit_policy: [] }\n").configuration.exit.policy == .denyAll)
    }

    @Test(arguments: [
        ("relay: { exit_policy: \"accept 10.0.0.1/8\" }", "relay.exit_policy", "write '10.0.0.0/8'"),
        ("relay: { exit_policy: [\"accept *\", \"accept *:0\"] }", "relay.exit_policy[1]", "rule 2, 'accept *:0'"),
        ("relay: { exit_policy: allow_all }", "relay.exit_policy", "'accept' or 'reject'"),
        ("relay: { exit_policy: 7 }", "relay.exit_policy", "a text or a list"),
        ("relay: { exit_policy: allow-all }\ntunnel: { enabled: false }", "relay.exit_policy", "needs tunnel.enabled"),
        ("relay: { exit_policy: allow-all }\nexit: { networks: [] }", "exit.networks", "needs a network"),
        (
            "relay: { exit_policy: allow-all }\nexit: { networks: [10.66.0.0/16, 10.67.0.0/16] }", "exit.networks[1]",
            "second network of its family"
        ),
        (
            "relay: { exit_policy: allow-all }\nexit: { networks: [10.66.0.0/31] }", "exit.networks[0]",
            "between /8 and /30"
        ),
        (
            "relay: { exit_policy: allow-all }\nexit: { networks: [\"::/0\"] }", "exit.networks[0]",
            "between /8 and /126"
        ),
        (
            "relay: { exit_policy: allow-all }\ntunnel: { addresses: [10.66.5.1/24] }", "exit.networks[0]",
            "overlaps with 10.66.5.0/24"
        ),
        (
            "relay: { exit_policy: allow-all }\nexit: { dns: [10.0.0.53] }", "exit.dns[0]", "add 'accept 10.0.0.53:53'"
        ),
        ("relay: { exit_policy: allow-all }\nexit: { dns: [10.66.0.1] }", "exit.dns[0]", "'accept self:53'"),
        ("exit: { dns: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4, 1.1.1.5] }", "exit.dns", "at most 4"),
    ])
    func faultsAreNamed(text: String, key: String, words: String) throws {
        let found = try issues(text + "\n")
        #expect(found.contains { $0.key == key && $0.message.contains(words) }, "\(found)")
    }

    @Test func whatIsAllowedIsNotComplainedOf() throws {
        #expect(
            try issues(
                "relay: { exit_policy: \"accept self:53; accept *\" }\nexit: { dns: [10.66.0.1, 1.1.1.1] }\n"
            ).filter { $0.key.hasPrefix("exit") }.isEmpty)
    }

    @Test func theDoctorKnowsWhatAnExitNeeds() throws {
        let exit = try read("relay: { exit_policy: allow-all }\n").configuration
        var doctor = Doctor()
        doctor.checkExit(exit, hasFilter: false, closed: ["net.ipv4.ip_forward is 0: answers do not come back"])
        #expect(doctor.findings.map(\.code) == ["exit.nft", "exit.forwarding"])
        #expect(doctor.findings.allSatisfy { $0.verdict == .fail })
        #expect(doctor.findings.map(\.fix) == ["apt-get install nftables", "sysctl -w net.ipv4.ip_forward=1"])
        doctor = Doctor()
        doctor.checkExit(exit, hasFilter: true, closed: [])
        #expect(doctor.findings.allSatisfy { $0.verdict == .ok } && doctor.findings.count == 2)
        doctor = Doctor()
        doctor.checkExit(try read("relay: { exit_policy: deny-all }\n").configuration, hasFilter: false, closed: ["x"])
        #expect(doctor.findings.isEmpty)
    }

    @Test func guestsReachNoPeerOfTheExit() throws {
        let configuration = try read(
            """
            relay: { exit_policy: allow-all }
            tunnel: { addresses: [10.77.0.1/24] }
            security: { tofu: true }
            peers:
              - { name: a, endpoint: "192.0.2.1:9000", allowed_ips: [10.78.0.0/24, 0.0.0.0/0] }
            """ + "\n"
        ).configuration
        let fence = ExitFence(
            configuration.exit.policy,
            ExitSurroundings(addresses: [], port: 9000, closed: configuration.networksClosedToGuests))
        #expect(fence.allows(.tcp, IPAddress("1.1.1.1")!, port: 443))
        let named = ExitFence(
            try ExitPolicy(text: "accept private; accept 10.78.0.0/24"),
            ExitSurroundings(addresses: [], port: 9000, closed: configuration.networksClosedToGuests))
        for address in ["10.77.0.9", "10.78.0.9", "10.66.3.3"] {
            #expect(!named.allows(.tcp, IPAddress(address)!, port: 443), "\(address)")
        }
        #expect(named.allows(.tcp, IPAddress("10.79.0.9")!, port: 443))
    }

    /// As a reload does; the rest of what it says waits for a restart.
    @Test func guestsReachNoPeerThatComesLater() throws {
        let scratch = try Scratch()
        try scratch.write("#!/bin/sh\nexit 0\n", to: "nft", mode: 0o755)
        let words = "tunnel: { addresses: [10.77.0.1/24] }\nsecurity: { tofu: true }\n"
        let before = try read("relay: { exit_policy: [\"accept *\", \"accept private\"] }\n" + words).configuration
        var exit = try #require(try NodeExit(before, interface: "t0", path: scratch.file("")))
        let (peer, other) = (IPAddress("10.78.0.9")!, IPAddress("10.79.0.9")!)
        #expect(exit.fence.allows(.tcp, peer, port: 443) && exit.fence.allows(.tcp, other, port: 443))
        let late = exit.look()
        let after = try read(
            "relay: { exit_policy: deny-all }\n" + words
                + "peers: [{ name: a, endpoint: \"192.0.2.1:9000\", allowed_ips: [10.78.0.0/24] }]\n"
        ).configuration
        exit.take(after.peers)
        // What was looked at before the reload comes after it.
        for look in [exit.look(), late, exit.surroundings] {
            exit.surroundings = exit.current(look)
            #expect(!exit.fence.allows(.tcp, peer, port: 443) && exit.fence.allows(.tcp, other, port: 443))
            #expect(exit.table.text.contains("10.78.0.0/24"))
        }
        exit.take([])
        exit.surroundings = exit.current(exit.surroundings)
        #expect(exit.fence.allows(.tcp, peer, port: 443))
        #expect(!exit.table.text.contains("10.78.0.0/24"))
    }
}
