// SPDX-License-Identifier: Apache-2.0
// A bug report of two nodes with everything secret that a node can have: none of it is in there, in no spelling, and what helps is.
import Foundation
import Glibc
import Testing
import VPNCrypto

@testable import VPNNode

@Suite(.serialized, .threads(.programs)) struct BugReportTests {
    /// A secret as somebody might meet it again.
    private func spellings(_ bytes: [UInt8]) -> [String] {
        let base64 = Data(bytes).base64EncodedString().filter { $0 != "=" }
        let hex = Hex.encode(bytes)
        // Inside another text base64 begins at one of three places.
        let shifted = [1, 2].map { Data([UInt8](repeating: 0, count: $0) + bytes).base64EncodedString() }
        return [base64, base64.replacing("+", with: "-").replacing("/", with: "_"), hex, hex.uppercased()]
            + shifted.map { String($0.dropFirst(4).prefix(16)) }
    }

    private func expectAbsent(_ secret: [UInt8], _ what: String, in report: String) {
        for text in spellings(secret) {
            // Not even a good part of it.
            for part in [text.prefix(16), text.suffix(16)] where part.count >= 8 {
                #expect(!report.contains(part), "\(what) is in the report: \(part)")
            }
        }
        if let plain = String(validating: secret, as: UTF8.self) {
            #expect(!report.contains(plain), "\(what) is in the report")
        }
    }

    @Test func nothingSecretIsInIt() throws {
        let passphrase = "correct-horse-battery"
        let pair = try DaemonPair(
            alice: "metrics: { prometheus: true, bind_port: 0, per_peer: true }\nlogging: { level: DEBUG }\n",
            sharesKey: true)
        let scratch = pair.scratch
        try scratch.write(passphrase + "\n", to: "unlock")
        #expect(try pair.status(until: { $0.peers.first?.session != nil }) != nil)
        // A file with all that can be in one, of a node that is not up, beside one that is.
        try scratch.write(
            """
            # passphrase: \(passphrase)
            peer: { nickname: mallory-laptop }
            keys: { runtime_temp_keys: false, dir: alice-keys, passphrase_file: unlock }
            security: { known_peers_file: alice.known }
            network: { listen_port: 9123 }
            tunnel: { enabled: false, addresses: [10.201.3.1/24, "fd12:3456::1/64"] }
            invites: { file: guests.yaml, endpoint: "home.example.org:9123" }
            dns: { servers: [10.201.3.9], search: [corp.example.net] }
            bootstrap: { peers: ["198.51.100.77:9000", "[2001:db8:77::5]:9000"] }
            peers: [ { name: grandmother, peer_id: "\(String(repeating: "ab", count: 32))", psk_file: psk, endpoint: "203.0.113.61:9001", allowed_ips: [10.201.3.2/32] } ]

            """, to: "full.yaml")
        let invitation = try InvitationStore(path: scratch.file("guests.yaml")).create(
            name: "uncle", seconds: 3600, uses: 1, now: UnixTime.now)
        let outcome = try pair.run(["bugreport", "--config", "full.yaml", "--out", "report.txt", "--yes", "--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try JSONSchema("bugreport").faults(in: outcome.output) == [], "\(outcome.output)")
        let report = try scratch.read("report.txt")
        let attributes = try FileManager.default.attributesOfItem(atPath: scratch.file("report.txt"))
        #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)

        for kind in KeyFileKind.allCases {
            let text = try scratch.read("alice-keys/\(kind.fileName)")
            for line in text.split(separator: "\n")
            where line.count >= 16 && !line.hasPrefix("-") && !line.contains(":") {
                #expect(!report.contains(line.prefix(16)), "\(kind)")
                if let bytes = Data(base64Encoded: String(line)) { expectAbsent([UInt8](bytes), "\(kind)", in: report) }
            }
        }
        let psk = try scratch.read("psk").trimmingCharacters(in: .newlines)
        expectAbsent([UInt8](try #require(Data(base64Encoded: psk))), "preshared key", in: report)
        expectAbsent(Array(passphrase.utf8), "passphrase", in: report)
        expectAbsent(invitation.token, "token", in: report)
        expectAbsent(invitation.0.key, "invitation key", in: report)
        for id in try scratch.read("alice.known").matches(of: /[0-9a-f]{64}/).map(\.output) {
            #expect(!report.contains(id.prefix(8)))
        }
        for private_ in [
            "198.51.100.77", "2001:db8:77", "203.0.113.61", "10.201.3", "fd12:3456", "home.example.org", "corp.example",
            "mallory", "grandmother", "uncle", "alice\"", "\"bob\"", "'bob'",
        ] { #expect(!report.contains(private_), "\(private_)") }
        // What helps.
        for useful in [
            "pqvpn \(VersionReport.current)", "kernel: Linux", "network.listen_port: 9123",
            "keys.passphrase_file: (set)",
            "pqvpn.doctor/1", "pqvpn.status/1", "pqvpn_build_info", "session.established", "preshared key",
            "== rules ==", "== filters ==",
        ] { #expect(report.contains(useful), "\(useful) is missing") }
        for daemon in [pair.alice, pair.bob] { #expect(daemon.end(with: SIGTERM) == 0) }
    }

    /// Guards tell where a node enters: who has the report must not learn them from a circuit or a line of the log.
    @Test func hopsAndGuardsAreNotInIt() {
        let ids = ["1a", "2b", "3c", "4d"].map { String(repeating: $0, count: 32) }
        func hop(_ name: String, _ number: Int) -> CircuitsReport.Hop { .init(name: name, peerID: ids[number]) }
        let circuit = CircuitsReport.Own(
            name: "office", origin: "command", state: "ready", hops: [hop("entrance", 0), hop("doorway", 1)],
            networks: [], shared: nil, paths: [[hop("sidegate", 2)]], wantedPaths: 2, isRelaxed: nil, since: nil,
            ageSeconds: nil, replacesInSeconds: nil, replaced: 0, mtu: nil, session: nil, failures: 1,
            retryInSeconds: nil, lastFailure: .init(code: "busy", node: "backstairs", text: "", fix: ""))
        var report = StatusReport(
            verdict: .idle, version: "0", pid: 1, nickname: "n", peerID: ids[3], isTemporary: false,
            configuration: "c.yaml", uptimeSeconds: 1, listening: "[::]:9000", tunnel: nil,
            traffic: StatusReport.Traffic(
                packetsOut: 0, bytesOut: 0, packetsIn: 0, bytesIn: 0, wireBytesOut: 0, wireBytesIn: 0), peers: [],
            drops: [:], health: [])
        report.circuits = [circuit]
        var collection = BugReportCollection(BugReport.Source())
        collection.learn(report)
        let log = collection.log([
            #"{"event":"relay.guards","guards":["aaaa0001","aaaa0002"],"msg":"x"}"#,
            #"{"event":"relay.expired","relays":["aaaa0003"],"msg":"x"}"#,
            #"{"event":"relay.learned","peer":"aaaa0004","from":"aaaa0005","msg":"x"}"#,
            #"{"event":"relay.known","relays":"12","msg":"12 relays"}"#,
        ])
        var redaction = collection.redaction
        let text = redaction.redacted(
            log + "\noffice by entrance, doorway, sidegate; backstairs is busy; 1a1a1a1a 2b2b2b2b 3c3c3c3c 4d4d4d4d")
        for secret in [
            "aaaa000", "office", "entrance", "doorway", "sidegate", "backstairs", "1a1a", "2b2b", "3c3c", "4d4d",
        ] { #expect(!text.contains(secret), "\(secret): \(text)") }
        #expect(text.contains("12 relays") && text.contains("relay.guards"), "\(text)")
    }

    @Test func itIsShownBeforeItIsMade() throws {
        let scratch = try Scratch()
        try scratch.write("peer: { nickname: lonely }\n", to: "c.yaml")
        let arguments = ["bugreport", "--config", "c.yaml", "--socket", "none.sock"]
        let refused = try Program.run(arguments, in: scratch)
        #expect(refused.status == 2 && refused.errors.contains("--yes"), "\(refused.errors)")
        #expect(refused.output.contains("doctor") && refused.output.contains("Taken out"))
        let shown = try Program.run(arguments + ["--show"], in: scratch)
        #expect(shown.status == 0 && shown.output.contains("== doctor ==") && shown.output.contains("no node serves"))
        #expect(scratch.names == ["c.yaml"])
        #expect(try Program.run(arguments + ["--yes"], in: scratch).status == 0)
        let name = try #require(scratch.names.first { $0.hasPrefix("pqvpn-bugreport-20") && $0.hasSuffix(".txt") })
        // What is there already stays.
        let again = try Program.run(arguments + ["--yes", "--out", name], in: scratch)
        #expect(again.status == 1 && again.errors.contains("exists"))
        #expect(try Program.run(arguments + ["--yes", "--out", "no/dir.txt"], in: scratch).status != 0)
    }

    @Test func aTerminalIsAsked() throws {
        let scratch = try Scratch()
        try scratch.write("peer: { nickname: lonely }\n", to: "c.yaml")
        let command = "bugreport --config c.yaml --socket none.sock --out r.txt"
        let no = try Typist.run("\(Program.path) \(command)", answering: [("to see all of it]: ", "n")], in: scratch)
        #expect(no?.status == 1 && !scratch.names.contains("r.txt"))
        guard no != nil else { return }
        let yes = try Typist.run(
            "\(Program.path) \(command)",
            answering: [("to see all of it]: ", "s"), ("== doctor ==", nil), ("to see all of it]: ", "y")], in: scratch)
        #expect(yes?.status == 0 && scratch.names.contains("r.txt"), "\(yes?.output ?? "")")
    }

    @Test func aFaultyFileTellsNoSecret() throws {
        let scratch = try Scratch()
        try scratch.write(
            "peer: { nickname: x }\nlogging: { level: swordfish }\nnetwork: { listen_port: opensesame }\n", to: "c.yaml"
        )
        let shown = try Program.run(
            ["bugreport", "--config", "c.yaml", "--socket", "none.sock", "--show"], in: scratch)
        #expect(shown.status == 0 && shown.output.contains("logging.level"), "\(shown.output)")
        #expect(!shown.output.contains("swordfish") && !shown.output.contains("opensesame"), "\(shown.output)")
    }
}
