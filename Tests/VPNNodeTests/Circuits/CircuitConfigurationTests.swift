// SPDX-License-Identifier: Apache-2.0
// What a configuration says of relays and of peers behind them: what is made of it, and each way in which it can be wrong.
import Foundation
import Testing
import VPNCore
import VPNCrypto
import VPNEngine

@testable import VPNNode

@Suite struct CircuitConfigurationTests {
    private static func id(_ digit: Int) -> String { String(repeating: "\(digit)", count: 64) }
    private static func peerID(_ digit: Int) -> PeerID { PeerID(hex: id(digit))! }

    private static let way = """
        peers:
          - { name: r1, peer_id: "\(id(1))", endpoint: "192.0.2.1:9000" }
          - { name: r2, peer_id: "\(id(2))" }
          - { name: exit, peer_id: "\(id(3))", endpoint: "192.0.2.3:9000", allowed_ips: [10.99.0.0/24], via: [r1, r2] }

        """

    private func read(_ text: String) throws -> NodeConfiguration {
        try LoadedConfiguration(text: text, file: "n.yaml").configuration
    }

    private func issues(_ text: String) -> [String] {
        do {
            return try LoadedConfiguration(text: text, file: "n").warnings.map { $0.description(file: "n") }
        } catch let error as ConfigurationError {
            return error.issues.map { $0.description(file: "n") }
        } catch { return ["\(error)"] }
    }

    @Test func bothMakeARelay() throws {
        for (text, isRelay) in [
            ("", false), ("relay: true\n", true), ("relay: false\n", false), ("relay: { enabled: true }\n", true),
            ("relay: { enabled: true, accept_circuits: true }\n", true),
            ("relay: { enabled: true, accept_circuits: false }\n", false),
            ("relay: { accept_circuits: true }\n", false),
        ] {
            let relay = try read(text).relay
            #expect((relay.policy(directory: [:]) != nil) == isRelay, "\(text)")
        }
        #expect(issues("relay: { enabled: true, accept_circuits: false }\n").count == 1, "a relay that relays nothing")
    }

    @Test func theLimitsArrive() throws {
        let relay = try read(
            "relay: { enabled: true, max_circuits: 7, max_circuits_per_peer: 3, bytes_per_second_per_peer: 1000,\n"
                + "  bytes_per_second: 9000, bytes_per_second_per_link: 4000 }\n"
        ).relay
        let where1 = [Self.peerID(1): Endpoint(IPAddress("192.0.2.1")!, port: 1)]
        let policy = try #require(relay.policy(directory: where1))
        #expect(policy.circuits == 7 && policy.circuitsPerClient == 3 && policy.bytesPerSecondPerClient == 1000)
        #expect(policy.bytesPerSecond == 9000 && policy.bytesPerSecondPerLink == 4000)
        #expect(policy.directory == where1)
        for bad in [
            "max_circuits: 0", "max_circuits: 65537", "max_circuits_per_peer: 0", "bytes_per_second_per_peer: -1",
            "bytes_per_second: -1", "bytes_per_second_per_link: many",
        ] {
            #expect(issues("relay: { \(bad) }\n").first?.contains("must be a whole number") == true, "\(bad)")
        }
    }

    @Test func viaMakesACircuitAndNoDirectPeer() throws {
        let configuration = try read(Self.way)
        #expect(issues(Self.way) == [])
        #expect(configuration.directPeers.map(\.name) == ["r1"], "r2 is named to be known, not to be called")
        #expect(configuration.distantPeers.map(\.name) == ["r2", "exit"])
        #expect(
            configuration.circuitRequests == [
                CircuitRequest(
                    name: "exit", hops: [Self.peerID(1), Self.peerID(2), Self.peerID(3)],
                    allowedIPs: [try IPPrefix("10.99.0.0/24")])
            ])
        let identity = try LoadedIdentity(signer: Identities.alice, nickname: "a", isTemporary: true)
        let plan = NodePlan(configuration, identity: identity)
        #expect(plan.peers.map(\.name) == ["r1"] && plan.names.keys.sorted() == ["r1"])
        #expect(plan.engine.tunnel?.routes == [try IPPrefix("10.99.0.0/24")], "the kernel leads there all the same")
    }

    /// A relay's own peers say where others are; what is pinned from somewhere does, too.
    @Test func theDirectoryHasAddressesOnly() throws {
        var pins = [Identities.pin(Identities.alice, "alice"), Identities.pin(Identities.bob, "bob")]
        pins[0].endpoint = "192.0.2.7:9000"
        pins[1].endpoint = "bob.example:9000"
        let directory = try read(Self.way).relayDirectory(pins)
        #expect(
            directory == [
                pins[0].peerID: Endpoint(IPAddress("192.0.2.7")!, port: 9000),
                Self.peerID(3): Endpoint(IPAddress("192.0.2.3")!, port: 9000),
            ])
    }

    static let bad: [(String, [String])] = [
        (
            way.replacingOccurrences(of: "[r1, r2]", with: "[r1, rr2]"),
            ["n:4:109: error: peers[2].via[1]: there is no peer 'rr2' in this file; did you mean 'r2'?"]
        ),
        (
            way.replacingOccurrences(of: "[r1, r2]", with: "[r1, exit]"),
            ["n:4:109: error: peers[2].via[1]: 'exit' is the peer itself: name the others on the way to it"]
        ),
        (
            way.replacingOccurrences(of: "[r1, r2]", with: "[r1, r2, r1]"),
            ["n:4:113: error: peers[2].via[2]: 'r1' is on the way already"]
        ),
        (
            way.replacingOccurrences(of: "[r1, r2]", with: "[r2, r1]"),
            [
                "n:2:64: warning: peers[0].endpoint",
                "n:4:105: error: peers[2].via[0]: 'r2' (line 3) needs an endpoint: the first is called from here",
            ]
        ),
        (
            way.replacingOccurrences(
                of: "[r1, r2]", with: "[\(Array(repeating: "r1", count: 8).joined(separator: ", "))]"),
            ["n:4:104: error: peers[2].via: has 8 entries, at most 7 are possible"]
        ),
        (
            way.replacingOccurrences(of: "via: [r1, r2]", with: "psk_file: k, via: [r1, r2]"),
            ["n:4:108: error: peers[2].psk_file: cannot be with via"]
        ),
        (
            // Two that lead to each other: neither has a first hop.
            way.replacingOccurrences(of: "\"192.0.2.1:9000\"", with: "\"192.0.2.1:9000\", via: [exit]"),
            [
                "n:2:88: error: peers[0].via[0]: 'exit' (line 4) is reached by a circuit itself",
                "n:4:105: error: peers[2].via[0]: 'r1' (line 2) is reached by a circuit itself",
            ]
        ),
        (
            "security: { tofu: true }\n"
                + way.replacingOccurrences(of: "peer_id: \"\(id(1))\", ", with: "")
                .replacingOccurrences(of: "peer_id: \"\(id(3))\", ", with: ""),
            [
                "n:5:7: error: peers[2].peer_id: is missing: a circuit leads to nobody but who is pinned",
                "n:5:28: error: peers[2].via[0]: 'r1' (line 3) needs a peer_id to relay",
            ]
        ),
    ]

    @Test(arguments: bad.indices) func everyFaultIsNamedWithItsPlace(_ number: Int) {
        let (text, messages) = Self.bad[number]
        let found = issues(text)
        #expect(found.count == messages.count, "\(found)")
        for (issue, message) in zip(found, messages) {
            // Columns are the parser's word, lines and words are ours.
            let (line, words) = (message.split(separator: ":")[1], message.split(separator: ": ").dropFirst())
            #expect(issue.hasPrefix("n:\(line):"), "\(issue)")
            #expect(issue.contains(words.joined(separator: ": ")), "\(issue)\n\(message)")
        }
    }

    /// Trust on first use has no place on a circuit: whoever is met there must be pinned before.
    @Test func whoIsNotPinnedIsNoHop() throws {
        let configuration = try read("security: { tofu: true }\n" + Self.way)
        let error = #expect(throws: ConfigurationError.self) { try configuration.check(pins: [], own: nil) }
        let words = try #require(error).issues.map(\.message)
        #expect(words.count == 2, "\(words)")
        #expect(words.allSatisfy { $0.contains("is not pinned") && $0.contains("a circuit leads to nobody else") })
    }
}
