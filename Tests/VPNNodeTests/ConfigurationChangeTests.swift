// SPDX-License-Identifier: Apache-2.0
// What differs between two configurations, and which of it a running node takes.
import Foundation
import Logging
import Testing

@testable import VPNNode

@Suite struct ConfigurationChangeTests {
    private static let id = String(repeating: "ab", count: 32)
    private static let other = String(repeating: "cd", count: 32)

    private func load(_ text: String) throws -> LoadedConfiguration {
        try LoadedConfiguration(text: text, file: "/etc/pqvpn/x.yaml")
    }

    private func change(_ old: String, _ new: String) throws -> ConfigurationChange {
        ConfigurationChange(from: try load(old), to: try load(new))
    }

    @Test func theSameByAnotherSpellingIsNoChange() throws {
        let spelled = "relay: { enabled: false }\nlogging: { level: INFO }\nnetwork: { listen_port: 9000 }\npeers: []\n"
        #expect(try change("relay: false\n", spelled).entries.isEmpty)
        let (a, b) = (
            "peers: [{ name: b, peer_id: \(Self.id) }]", "peers: [{ peer_id: \(Self.id), endpoint: null, name: b }]"
        )
        #expect(try change(a, b).entries.isEmpty)
    }

    @Test func eachKeyHasItsClass() throws {
        let found = try change(
            "network: { listen_port: 1 }\nlogging: { level: INFO }\n",
            "network: { listen_port: 2 }\nlogging: { level: DEBUG, file: x.log }\nsecurity: { handshake_per_minute_per_ip: 3 }\n"
        )
        #expect(found.live.map(\.key) == ["security.handshake_per_minute_per_ip", "logging.level"])
        #expect(found.restart.map(\.key) == ["network.listen_port", "logging.file"])
        #expect(found.restart[0].old == "1" && found.restart[0].new == "2")
        #expect(found.restart[1].old == "null")
    }

    @Test func peersAreComparedByName() throws {
        let old = """
            peers:
              - { name: gone, peer_id: \(Self.other) }
              - { name: stays, peer_id: \(Self.id), allowed_ips: [10.0.0.1/32], keepalive_seconds: 5 }
            """
        let new = """
            peers:
              - { name: stays, peer_id: \(Self.id), allowed_ips: [10.0.0.2/32], endpoint: "192.0.2.1:9" }
              - { name: comes, peer_id: \(Self.other) }
            """
        let found = try change(old, new)
        #expect(
            found.live.map(\.key) == [
                "peers.comes", "peers.gone", "peers.stays.allowed_ips", "peers.stays.endpoint",
                "peers.stays.keepalive_seconds",
            ])
        #expect(found.restart.isEmpty && found.live[0].old == nil && found.live[1].new == nil)
    }

    /// A key that needs a restart stays listed until there is one; a key that was taken does not.
    @Test func whatWaitsGoesOnWaiting() throws {
        let started = try load("network: { listen_port: 1 }\nlogging: { level: INFO }\n")
        let applied = try load("network: { listen_port: 2 }\nlogging: { level: DEBUG }\n")
        let same = ConfigurationChange(started: started, applied: applied, new: applied)
        #expect(same.live.isEmpty && same.restart.map(\.key) == ["network.listen_port"])
        let back = ConfigurationChange(started: started, applied: applied, new: started)
        #expect(back.live.map(\.key) == ["logging.level"] && back.restart.isEmpty)
    }

    /// Whoever marks one more key as live must teach a running node to take it.
    @Test func aRunningNodeTakesEveryLiveKey() throws {
        let live = ConfigurationTable.sections.flatMap(\.keys).filter { $0.reload == .live }.map(\.path)
        #expect(
            Set(live) == [
                "peers", "logging.level", "security.handshake_per_minute_per_ip", "relay.enabled",
                "relay.accept_circuits",
                "relay.max_circuits", "relay.max_circuits_per_peer", "relay.bytes_per_second_per_peer",
                "relay.bytes_per_second", "relay.bytes_per_second_per_link",
            ])
        let old = try load("").configuration
        let new = try load(
            "logging: { level: ERROR }\nsecurity: { handshake_per_minute_per_ip: 4, tofu: true }\n"
                + "peers: [{ name: b, peer_id: \(Self.id) }]\nnetwork: { listen_port: 77 }\n"
        ).configuration
        let taken = old.taking(live: new)
        #expect(taken.logLevel == .error && taken.peers == new.peers)
        #expect(taken.security.handshakesPerMinutePerAddress == 4)
        #expect(taken.network == old.network && !taken.security.trustsOnFirstUse)
    }

    @Test func theCommandTellsBoth() throws {
        let scratch = try Scratch()
        try scratch.write("logging: { level: INFO }\n", to: "a.yaml")
        try scratch.write("logging: { level: ERROR }\ntunnel: { mtu: 1300 }\n", to: "b.yaml")
        let words = try Program.run(["config", "diff", "a.yaml", "b.yaml"], in: scratch)
        #expect(words.status == 0)
        #expect(
            words.output == """
                taken by a running node:
                  logging.level: INFO -> ERROR
                needs a restart:
                  tunnel.mtu: auto -> 1300

                """)
        let json = try #require(try Program.run(["config", "diff", "a.yaml", "b.yaml", "--json"], in: scratch).json)
        #expect(json["schema"] as? String == "pqvpn.config-diff/1")
        #expect((json["live"] as? [[String: Any]])?.first?["key"] as? String == "logging.level")
        #expect((json["restart"] as? [[String: Any]])?.first?["new"] as? String == "1300")
        #expect(try Program.run(["config", "diff", "a.yaml", "a.yaml"], in: scratch).output == "no difference\n")
        try scratch.write("logging: { levl: ERROR }\n", to: "c.yaml")
        let bad = try Program.run(["config", "diff", "a.yaml", "c.yaml"], in: scratch)
        #expect(bad.status == 2 && bad.errors.contains("did you mean 'level'"), "\(bad.errors)")
    }
}
