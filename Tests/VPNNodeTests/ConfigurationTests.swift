// SPDX-License-Identifier: Apache-2.0
// Every way in which a configuration can be wrong, with the exact words for it; the defaults; the description's sample.
import Foundation
import Logging
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

struct ConfigurationTests {
    private func issues(_ text: String) -> [String] {
        do {
            return try LoadedConfiguration(text: text, file: "n.yaml").warnings.map { $0.description(file: "n.yaml") }
        } catch let error as ConfigurationError {
            return error.issues.map { $0.description(file: "n.yaml") }
        } catch {
            return ["\(error)"]
        }
    }

    private static let id = String(repeating: "ab", count: 32)

    struct Bad: Sendable, CustomTestStringConvertible {
        let text: String
        let messages: [String]

        init(_ text: String, _ messages: String...) {
            self.text = text
            self.messages = messages.map { "n.yaml:" + $0 }
        }

        var testDescription: String { messages.first ?? text }
    }

    static let bad: [Bad] = [
        // YAML itself.
        Bad(
            "peer:\n  nickname: [a\n",
            "3:1: error: not valid YAML: did not find expected ',' or ']', while parsing a flow sequence in line 2"),
        Bad(
            "peer: {\n",
            "2:1: error: not valid YAML: did not find expected node content, while parsing a flow node in line 2"),
        Bad(
            "a: 1\n\tb: 2\n",
            "2:1: error: not valid YAML: found a tab character that violates indentation, while scanning a plain scalar in line 1"
        ),
        Bad("- 1\n", "1:1: error: the file must be a map of sections"),
        Bad("just words\n", "1:1: error: the file must be a map of sections"),
        Bad(
            "peer: {}\n---\npeer: {}\n",
            "2:1: error: not valid YAML: but found another document, expected a single document in the stream in line 1"
        ),
        Bad("rekey: {}\npeer: {}\nrekey: {}\n", "1:1: error: rekey: stands more than once in the same map"),
        Bad(
            "network:\n  listen_port: 1\n  listen_port: 2\n",
            "2:3: error: listen_port: stands more than once in the same map"),
        Bad("peer: &a {}\n", "1:7: error: peer: anchors and aliases are not supported"),
        // Unknown keys.
        Bad("netwrok: {}\n", "1:1: error: netwrok: unknown section; did you mean 'network'?"),
        Bad("listen_port: 1\n", "1:1: error: listen_port: unknown section; did you mean 'network.listen_port'?"),
        Bad("network:\n  listen_prt: 1\n", "2:3: error: network.listen_prt: unknown key; did you mean 'listen_port'?"),
        Bad("network:\n  tofu: true\n", "2:3: error: network.tofu: unknown key; did you mean 'security.tofu'?"),
        Bad("network:\n  zzzzzzzz: 1\n", "2:3: error: network.zzzzzzzz: unknown key"),
        Bad(
            "peers:\n  - name: a\n    peer_id: \(id)\n    alowed_ips: []\n",
            "4:5: error: peers[0].alowed_ips: unknown key; did you mean 'allowed_ips'?"),
        // Types.
        Bad("network: 5\n", "1:10: error: network: must be a map"),
        Bad(
            "network:\n  listen_port: \"9000\"\n",
            "2:16: error: network.listen_port: must be a whole number in 0…65535, is '9000'"),
        Bad(
            "network:\n  listen_port: 0x10\n",
            "2:16: error: network.listen_port: must be a whole number in 0…65535, is '0x10'"),
        Bad(
            "network:\n  listen_port: 1.5\n",
            "2:16: error: network.listen_port: must be a whole number in 0…65535, is '1.5'"),
        Bad(
            "network:\n  listen_port: true\n",
            "2:16: error: network.listen_port: must be a whole number in 0…65535, is true"),
        Bad(
            "network:\n  listen_port:\n", "2:15: error: network.listen_port: must be a whole number in 0…65535, is null"
        ),
        Bad(
            "network:\n  listen_port: [1]\n",
            "2:16: error: network.listen_port: must be a whole number in 0…65535, is a list"),
        Bad("security:\n  tofu: \"true\"\n", "2:9: error: security.tofu: must be true or false, is 'true'"),
        Bad("security:\n  tofu: 1\n", "2:9: error: security.tofu: must be true or false, is 1"),
        Bad(
            "peer:\n  nickname: 7\n",
            "2:13: error: peer.nickname: must be a text, is 7; put it in quotes if it is meant so"),
        Bad(
            "peer:\n  nickname: no\n",
            "2:13: error: peer.nickname: must be a text, is false; put it in quotes if it is meant so"),
        Bad("peer:\n  nickname: {a: b}\n", "2:13: error: peer.nickname: must be a text, is a map"),
        Bad("peers: {a: b}\n", "1:8: error: peers: must be a list of maps, is a map"),
        Bad("peers: [bob]\n", "1:9: error: peers[0]: must be a map, is 'bob'"),
        Bad("tunnel:\n  mtu: big\n", "2:8: error: tunnel.mtu: must be auto or a whole number in 576…65535, is 'big'"),
        Bad(
            "tunnel:\n  mtu: atuo\n",
            "2:8: error: tunnel.mtu: must be auto or a whole number in 576…65535, is 'atuo'; did you mean 'auto'?"),
        // Ranges.
        Bad(
            "network:\n  listen_port: 65536\n",
            "2:16: error: network.listen_port: must be a whole number in 0…65535, is 65536"),
        Bad(
            "network:\n  listen_port: -1\n",
            "2:16: error: network.listen_port: must be a whole number in 0…65535, is -1"),
        Bad("tunnel:\n  mtu: 575\n", "2:8: error: tunnel.mtu: must be auto or a whole number in 576…65535, is 575"),
        Bad(
            "peers:\n  - { name: a, peer_id: \"\(id)\", keepalive_seconds: 65536 }\n",
            "2:112: error: peers[0].keepalive_seconds: must be a whole number in 0…65535, is 65536"),
        // Forms.
        Bad(
            "network:\n  bind_host: localhost\n",
            "2:14: error: network.bind_host: 'localhost' is not an IPv4 or IPv6 address"),
        Bad(
            "network:\n  bind_host: 10.0.0.256\n",
            "2:14: error: network.bind_host: '10.0.0.256' is not an IPv4 or IPv6 address"),
        Bad(
            "tunnel:\n  interface: a/b\n",
            "2:14: error: tunnel.interface: 'a/b' is not an interface name: 1 to 15 bytes without '/', ':', '%' or blanks"
        ),
        Bad(
            "tunnel:\n  interface: abcdefghijklmnop\n",
            "2:14: error: tunnel.interface: 'abcdefghijklmnop' is not an interface name: 1 to 15 bytes without '/', ':', '%' or blanks"
        ),
        Bad(
            "tunnel:\n  addresses: [10.77.0.1/33]\n",
            "2:15: error: tunnel.addresses[0]: '10.77.0.1/33' has no valid prefix length (IPv4: 0–32, IPv6: 0–128)"),
        Bad(
            "logging:\n  level: INOF\n",
            "2:10: error: logging.level: 'INOF' is none of TRACE, DEBUG, INFO, NOTICE, WARNING, ERROR, CRITICAL; did you mean 'INFO'?"
        ),
        Bad(
            "keys:\n  temp_keys_prefix: ../x\n",
            "2:21: error: keys.temp_keys_prefix: '../x' is not 1 to 32 letters, digits, '-' or '_'"),
        Bad("peer:\n  nickname: \"a\\u001bb\"\n", "2:13: error: peer.nickname: has control characters"),
        Bad(
            "peers:\n  - name: a\n    peer_id: abc\n",
            "3:14: error: peers[0].peer_id: is not a peer_id of 64 hexadecimal digits"),
        Bad(
            "peers:\n  - name: a\n    peer_id: \(id)\n    allowed_ips: [10.0.0.1/8]\n",
            "4:19: error: peers[0].allowed_ips[0]: '10.0.0.1/8' has bits set behind its length; did you mean '10.0.0.0/8'?"
        ),
        Bad(
            "peers:\n  - name: a\n    peer_id: \(id)\n    allowed_ips: [10.0.0]\n",
            "4:19: error: peers[0].allowed_ips[0]: '10.0.0' is not an IP prefix such as 10.0.0.0/8 or fd77::/64"),
        Bad(
            "bootstrap:\n  peers: [\"10.0.0.1\"]\n",
            "2:11: error: bootstrap.peers[0]: '10.0.0.1' has no port: write host:port"),
        Bad(
            "bootstrap:\n  peers: [\"fd77::1:9000\"]\n",
            "2:11: error: bootstrap.peers[0]: 'fd77::1:9000': write an IPv6 address in brackets, [2001:db8::1]:9000"),
        Bad(
            "bootstrap:\n  peers: [\"10.0.0.1:0\"]\n",
            "2:11: error: bootstrap.peers[0]: '10.0.0.1:0' has no port in 1…65535"),
        Bad(
            "bootstrap:\n  peers: [\"10.0.0.1.5:9\"]\n",
            "2:11: error: bootstrap.peers[0]: '10.0.0.1.5' is neither an IP address nor a host name"),
        Bad(
            "security: {tofu: true}\nbootstrap:\n  peers: [{host: a.example, prt: 9}]\n",
            "3:11: error: bootstrap.peers[0].port: is missing",
            "3:29: error: bootstrap.peers[0].prt: unknown key; did you mean 'port'?"),
        // Several keys.
        Bad(
            "rekey:\n  interval_seconds: 100\n  threshold_seconds: 100\n",
            "3:22: error: rekey.threshold_seconds: threshold_seconds (100) must be less than interval_seconds (100)"),
        Bad(
            "rekey:\n  interval_seconds: 1800\n",
            "2:21: error: rekey.interval_seconds: threshold_seconds (1800) must be less than interval_seconds (1800)"),
        Bad(
            "peer:\n  ed25519_sk_file: e.key\n",
            "2:20: error: peer.brainpoolP512r1_sk_file: is missing: an identity has four keys, name all four files or none",
            "2:20: error: peer.mldsa87_sk_file: is missing: an identity has four keys, name all four files or none",
            "2:20: error: peer.mlkem1024_sk_file: is missing: an identity has four keys, name all four files or none"),
        Bad(
            "peers:\n  - name: a\n",
            "2:5: error: peers[0].peer_id: is missing: without it the peer needs security.tofu: true and an endpoint"),
        Bad(
            "security: {tofu: true}\npeers:\n  - name: a\n",
            "3:5: error: peers[0].peer_id: is missing: without it the peer needs an endpoint to find it at"),
        Bad("peers:\n  - peer_id: \(id)\n", "2:5: error: peers[0].name: is missing"),
        Bad(
            "security: {tofu: true}\npeers:\n  - { name: a, endpoint: \"h.example:1\", allowed_ips: [10.0.0.0/8] }\n  - { name: a, endpoint: \"h.example:2\", allowed_ips: [10.0.0.0/8] }\n",
            "4:13: error: peers[1].name: 'a' is the name of the peer in line 3 already",
            "4:55: error: peers[1].allowed_ips[0]: 10.0.0.0/8 of 'a' belongs to 'a' in line 3 already"),
        Bad(
            "peers:\n  - { name: a, peer_id: \(id) }\n  - { name: b, peer_id: \(id.uppercased()) }\n",
            "3:25: error: peers[1].peer_id: is the peer_id in line 2 already"),
        // What is refused by name.
        Bad(
            "security:\n  require_hybrid_handshake: false\n",
            "2:29: error: security.require_hybrid_handshake: false is refused: there is no handshake without all four primitives"
        ),
        Bad("circuit: {hops: 9}\n", "1:17: error: circuit.hops: must be a whole number in 1…8, is 9"),
        Bad("circuit: {hops: 5}\n", "1:17: warning: circuit.hops: has no effect while circuit.allowed_ips is empty"),
        Bad(
            "circuit: {exit: r9, relax_diversity: true}\n",
            "1:17: warning: circuit.exit: has no effect while circuit.allowed_ips is empty",
            "1:38: warning: circuit.relax_diversity: has no effect while circuit.allowed_ips is empty"),
        Bad("circuit: {paths: 9}\n", "1:18: error: circuit.paths: must be a whole number in 1…8, is 9"),
        Bad("circuit: {paths: 2}\n", "1:18: warning: circuit.paths: has no effect while circuit.allowed_ips is empty"),
        Bad(
            "circuit: {allowed_ips: [10.9.0.0/16], scheduler: fec}\n",
            "1:50: warning: circuit.scheduler: has no effect with circuit.paths: 1"),
        Bad(
            "circuit: {allowed_ips: [10.9.0.0/16], paths: 2, scheduler: redundant}\n",
            "1:60: error: circuit.scheduler: sends the same bytes by two paths, so that relays which talk to each other know that both "
                + "are yours: say circuit.allow_linkable: true if that does no harm, or take fec"),
        Bad(
            "circuit: {allowed_ips: [10.9.0.0/16], hops: 1}\n",
            "1:45: error: circuit.hops: must be 2 or more: who is met directly is a peer, with an entry in 'peers'"),
        Bad(
            "circuit: {allowed_ips: [10.9.0.0/16, 10.9.0.0/16]}\n",
            "1:38: error: circuit.allowed_ips[1]: 10.9.0.0/16 stands in circuit.allowed_ips[0] already"),
        Bad("directory: {exchange: perhaps}\n", "1:23: error: directory.exchange: must be true or false, is 'perhaps'"),
        Bad("relay: maybe\n", "1:8: error: relay.enabled: must be true or false, is 'maybe'"),
        Bad(
            "traffic_obfuscation: {enabled: true, buckets: [64, 35]}\n",
            "1:52: warning: traffic_obfuscation.buckets[1]: 35 is ignored: no datagram of a session is shorter than 36 bytes"
        ),
        Bad(
            "traffic_obfuscation: {cover_bytes_per_second: 5}\n",
            "1:47: error: traffic_obfuscation.cover_bytes_per_second: needs traffic_obfuscation.enabled: cover traffic that differs from the rest in size covers nothing"
        ),
        // Several at once, in the order of the file.
        Bad(
            "network:\n  listen_port: x\n  bind_hst: 1\nmetrics: {prometheus: 1}\n",
            "2:16: error: network.listen_port: must be a whole number in 0…65535, is 'x'",
            "3:3: error: network.bind_hst: unknown key; did you mean 'bind_host'?",
            "4:23: error: metrics.prometheus: must be true or false, is 1"
        ),
        // Warnings.
        Bad(
            "metrics: {prometheus: true, bind_host: 192.0.2.1}\n",
            "1:40: warning: metrics.bind_host: 192.0.2.1 lets others than this machine read the metrics, which tell who uses the tunnel when"
        ),
        Bad(
            "security: {handshake_per_minute_per_ip: 0}\n",
            "1:41: warning: security.handshake_per_minute_per_ip: 0 lifts the limit: anybody can keep this node's processors busy"
        ),
        Bad(
            "security: {strict_tofu: true}\n", "1:25: warning: security.strict_tofu: has no effect while tofu is false"),
        Bad(
            "bootstrap:\n  peers: [\"a.example:1\"]\n",
            "2:10: warning: bootstrap.peers: are believed only as far as they are pinned, since security.tofu is false"),
        Bad(
            "security: {tofu: true}\nbootstrap:\n  peers: [\"a.example:1\", {host: a.example, port: 1}]\n",
            "3:26: warning: bootstrap.peers[1]: a.example:1 stands in line 3 already"),
        Bad(
            "security:\n  strict_sig_verify: false\n",
            "2:22: warning: security.strict_sig_verify: false lets peers that are pinned with allow_partial in with one signature of two"
        ),
        Bad(
            "security: {allowlist: [abc]}\n",
            "1:24: error: security.allowlist[0]: is not a peer_id of 64 hexadecimal digits"),
        Bad(
            "security: {allowlist: [\"\(String(repeating: "cd", count: 32))\"]}\npeers:\n  - { name: a, peer_id: \(id) }\n",
            "3:25: warning: peers[0].peer_id: is not on security.allowlist: no session with this peer is possible"),
    ]

    @Test(arguments: bad)
    func everyFaultIsNamedWithItsPlace(_ bad: Bad) {
        #expect(issues(bad.text) == bad.messages)
    }

    @Test func emptyFilesAreAllDefaults() throws {
        for text in ["", "\n", "# nothing\n", "---\n", "network:\npeers:\n", "{}", "relay: false\n"] {
            #expect(issues(text) == [], "\(text)")
        }
        let configuration = try LoadedConfiguration(text: "", file: "/etc/pqvpn/n.yaml").configuration
        #expect(configuration.network.listenPort == 9000)
        #expect(configuration.network.bindHost == IPAddress("::"))
        #expect(configuration.security.knownPeersFile == "/etc/pqvpn/known_peers.yaml")
        #expect(configuration.keyDirectory == "/etc/pqvpn/keys")
        #expect(configuration.identity == .temporary(directoryPrefix: "pqvpn"))
        #expect(configuration.tunnel.mtu == nil)
        #expect(configuration.logFile == nil && configuration.logLevel == .info)
    }

    @Test func theDefaultFileIsAcceptedAndSaysTheDefaults() throws {
        let loaded = try LoadedConfiguration(text: DefaultConfiguration.text, file: "d.yaml")
        #expect(loaded.warnings.isEmpty)
        for (path, row) in ConfigurationTable.rows where !path.contains("[]") {
            #expect(loaded.document.values[path]?.value == row.fallback, "\(path)")
        }
        #expect(loaded.effectiveValues.allSatisfy { $0.mark != nil })
        #expect(DefaultConfiguration.text.split(separator: "\n").allSatisfy { $0.count <= 120 })
    }

    /// The description's own sample is served whole: an exit for all, and the weaker of two ways to verify, of which it warns.
    @Test func theDescriptionsSampleIsServed() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Fixtures/description-sample.yaml").path
        let loaded = try LoadedConfiguration(file: path)
        #expect(loaded.configuration.relay.isEnabled)
        #expect(loaded.configuration.exit.policy.description == ExitPolicy.allowAll.description)
        #expect(loaded.warnings.map(\.key) == ["security.strict_sig_verify"])
    }

    @Test func everyValueArrives() throws {
        let text = """
            peer: { nickname: Alice }
            security: { tofu: true, strict_tofu: true, known_peers_file: /var/lib/p.yaml, handshake_per_minute_per_ip: 3 }
            network: { bind_host: 127.0.0.1, listen_port: 0, max_concurrent_datagrams: 7, udp_recv_buffer_size: 8192 }
            tunnel: { interface: tun7, addresses: [10.77.0.1/24, "fd77::1/64"], mtu: 1280, enabled: false }
            peers:
              - { name: bob, peer_id: "\(Self.id)", endpoint: "[fd00::7]:9000", allowed_ips: [10.77.0.2/32, "fd77::2/128"] }
              - { name: carol, endpoint: "carol.example:1", keepalive_seconds: 25 }
            bootstrap: { peers: ["192.0.2.1:9000", "[2001:db8::1]:1", "n.example:2", { host: "2001:db8::2", port: 3 }] }
            rekey: { interval_seconds: 60, threshold_seconds: 30 }
            keys: { runtime_temp_keys: false, temp_keys_prefix: q, dir: k }
            logging: { file: a.log, level: debug }
            relay: { enabled: false, exit_policy: deny-all }
            """
        let loaded = try LoadedConfiguration(text: text, file: "/etc/n.yaml")
        #expect(loaded.warnings.isEmpty)
        let value = loaded.configuration
        #expect(value.nickname == "Alice" && value.identity == .directory("/etc/k"))
        #expect(value.security.trustsOnFirstUse && value.security.isStrictOnFirstUse)
        #expect(value.security.knownPeersFile == "/var/lib/p.yaml" && value.security.handshakesPerMinutePerAddress == 3)
        #expect(value.network.listenPort == 0 && value.network.maximumConcurrentDatagrams == 7)
        #expect(value.network.socketBufferSize == 8192 && value.network.bindHost == IPAddress("127.0.0.1"))
        #expect(value.tunnel.interface == "tun7" && value.tunnel.mtu == 1280 && !value.tunnel.isEnabled)
        #expect(value.tunnel.addresses.map(\.description) == ["10.77.0.1/24", "fd77::1/64"])
        #expect(value.peers.count == 2 && value.peers[0].peerID?.hex == Self.id && value.peers[1].peerID == nil)
        #expect(value.peers[0].endpoint?.literal == Endpoint(IPAddress("fd00::7")!, port: 9000))
        #expect(value.peers[0].allowedIPs.map(\.description) == ["10.77.0.2/32", "fd77::2/128"])
        #expect(value.peers.map(\.keepaliveSeconds) == [0, 25])
        let bootstrap = ["192.0.2.1:9000", "[2001:db8::1]:1", "n.example:2", "[2001:db8::2]:3"]
        #expect(value.bootstrapPeers.map(\.description) == bootstrap)
        #expect(value.rekey.intervalSeconds == 60 && value.rekey.thresholdSeconds == 30)
        #expect(value.logFile == "/etc/a.log" && value.logLevel == .debug)
    }

    @Test func explicitKeyFilesGoBeforeTemporaryKeysButNotAgainstThem() throws {
        let files = ["brainpoolP512r1", "ed25519", "mldsa87", "mlkem1024"].map { "\($0)_sk_file: \($0.prefix(2))" }
        let peer = "peer: { \(files.joined(separator: ", ")) }\n"
        let identity = try LoadedConfiguration(text: peer, file: "/n/c.yaml").configuration.identity
        #expect(identity == .files(KeyFilePaths(brainpool: "/n/br", ed25519: "/n/ed", mldsa: "/n/ml", mlkem: "/n/ml")))
        #expect(
            issues(peer + "keys: { runtime_temp_keys: true }\n") == [
                "n.yaml:2:28: error: keys.runtime_temp_keys: must not be true where peer.*_sk_file (line 1) name a "
                    + "persistent identity"
            ])
    }

    @Test func suggestionsAreNearOrAbsent() {
        #expect(Spelling.distance(Array("kitten".utf8), Array("sitting".utf8)) == 3)
        #expect(Spelling.distance(Array("ab".utf8), Array("ba".utf8)) == 1)
        #expect(Spelling.distance([], Array("abc".utf8)) == 3)
        #expect(Spelling.nearest(to: "tofo", among: ["tofu", "strict_tofu"]) == "tofu")
        #expect(Spelling.nearest(to: "completely_else", among: ["tofu", "strict_tofu"]) == nil)
    }

    /// Bombs: nesting without end, and aliases that would multiply.
    @Test func hostileYAMLEndsSoon() {
        let deep = "peers: " + String(repeating: "[", count: 100_000)
        #expect(issues(deep).first?.contains("error") == true)
        var bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n"
        for level in 1...40 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 8).joined(separator: ", ")
            bomb += "a\(level): &a\(level) [\(aliases)]\n"
        }
        #expect(issues(bomb + "peers: *a40\n").contains { $0.contains("anchors and aliases are not supported") })
    }

    @Test func aFileThatIsNoTextIsRefused() throws {
        let scratch = try Scratch()
        try Data([0xFF, 0xFE, 0x00]).write(to: URL(fileURLWithPath: scratch.file("c.yaml")))
        #expect(failure(of: { _ = try LoadedConfiguration(file: scratch.file("c.yaml")) })?.status == .usage)
        #expect(failure(of: { _ = try LoadedConfiguration(file: scratch.file("absent")) })?.status == .usage)
        #expect(
            failure(of: { _ = try LoadedConfiguration(file: scratch.path) })?.message.contains("not a regular file")
                == true)
    }
}
