// SPDX-License-Identifier: Apache-2.0
// Commands that ask and steer running daemons, and what the local socket does with callers that mean no good.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

@Suite(.serialized, .threads(.programs))
struct ControlTests {
    @Test func aPairIsSeenAndSteered() throws {
        let pair = try DaemonPair()
        let first = try #require(try pair.status { $0.verdict == .protected }, "\(pair.alice.text)")
        let peer = try #require(first.peers.first)
        #expect(peer.name == "bob" && peer.state == "connected" && first.nickname == "alice" && first.health.isEmpty)
        let session = try #require(peer.session)
        #expect(session.signatures == "Ed25519+ML-DSA-87" && session.role == "initiator")
        let other = try #require(try pair.status("bob") { $0.verdict == .protected })
        #expect(other.peers.first?.session?.id == session.id && other.peers.first?.session?.role == "responder")
        // Every reading command keeps to its schema.
        for (arguments, schema) in [
            (["status"], "status"), (["sessions"], "sessions"), (["ping", "bob", "-c", "2", "-i", "0.2"], "pings"),
        ] {
            let outcome = try pair.run(arguments + ["--json"])
            #expect(outcome.status == 0, "\(arguments) \(outcome.errors)")
            #expect(try JSONSchema(schema).faults(in: outcome.output) == [], "\(outcome.output)")
        }
        let words = try pair.run(["status", "-v"])
        #expect(words.output.hasPrefix("PROTECTED: traffic to 'bob' is encrypted"), "\(words.output)")
        #expect(words.output.contains("ML-KEM-1024 + brainpoolP512r1 | Ed25519+ML-DSA-87"))
        #expect(try pair.run(["status", "--check"]).status == 0)

        // By name, by the start of the id; a new session with other keys, and the old one goes by itself.
        let rekey = try pair.run(["rekey", String(try #require(peer.peerID).prefix(8)), "--json"])
        #expect(rekey.status == 0, "\(rekey.errors)")
        #expect(try JSONSchema("control").faults(in: rekey.output) == [])
        let second = try pair.status { $0.verdict == .protected && $0.peers[0].session?.id != session.id }
        #expect(second?.peers[0].session?.isChained == true)

        let drop = try pair.run(["drop", "bob"])
        #expect(drop.status == 0 && drop.output.contains("called again"), "\(drop.errors)")
        let down = try #require(try pair.status())
        #expect(down.verdict == .disconnected)
        #expect(try pair.run(["status", "--check"]).status == 6)
        #expect(try pair.run(["ping", "bob"]).errors.contains("there is no session with 'bob' (waiting)"))
        #expect(try pair.run(["sessions"]).output == "no sessions\n")
        #expect(try pair.status { $0.verdict == .protected } != nil)
        // Who did that is on record.
        #expect(pair.alice.event("control.command")?["uid"] as? String == "\(getuid())")
        // The other end of a stopped node says so at once; its socket is gone.
        #expect(pair.alice.end(with: SIGTERM) == 0)
        #expect(!pair.scratch.names.contains("alice.sock"))
        let gone = try pair.run(["status"])
        #expect(gone.status == 3 && gone.errors.contains("no node 'alice' runs here; there are bob"), "\(gone.errors)")
        #expect(try pair.status("bob") { $0.verdict == .disconnected } != nil)
    }

    @Test func aNodeThatNobodyAnswersIsNotCalledProtected() throws {
        let scratch = try Scratch()
        // A port of ours that is silent: nobody reads it.
        let id = String(repeating: "5a", count: 32)
        try scratch.write(
            """
            peer: { nickname: lonely }
            security: { tofu: true }
            network: { bind_host: 127.0.0.1, listen_port: 0 }
            tunnel: { enabled: false }
            peers: [{ name: bob, peer_id: "\(id)", endpoint: "127.0.0.1:9", allowed_ips: [] }]

            """, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(daemon.event("control.listening") != nil, "\(daemon.text)")
        let outcome = try Program.run(["status"], in: scratch)
        #expect(outcome.output.hasPrefix("NOT CONNECTED: no peer has a session"), "\(outcome.output)\(outcome.errors)")
        for code in ["STRANGERS_ARE_PINNED", "TEMPORARY_IDENTITY"] { #expect(outcome.output.contains(code)) }
        #expect(try Program.run(["status", "--check"], in: scratch).status == 6)
    }

    @Test func hostileCallersGetNowhere() throws {
        let scratch = try Scratch()
        try scratch.write(
            "peer: { nickname: n }\nnetwork: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n",
            to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        let path = try #require(daemon.event("control.listening")?["path"] as? String, "\(daemon.text)")
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o660)
        func ask(_ line: String) throws -> String {
            var connection = try LocalConnection(path: path)
            // One that is refused may be told so before it has spoken.
            try? connection.write(line: line)
            return String(decoding: try connection.readLine(limit: 1 << 20) ?? [], as: UTF8.self)
        }
        for line in [
            "", "status", "{}", "[]", "null", "{\"verb\":\"status\"}", "{\"version\":1,\"verb\":\"shutdown\"}",
            "{\"version\":1,\"verb\":7}", "\u{0}\u{1}", "{\"version\":1e99,\"verb\":\"status\"}",
            String(repeating: "[", count: 10_000),
        ] {
            let answer = try ask(line)
            #expect(
                try JSONSchema("error").faults(in: answer) == [] && answer.contains("\"status\":2"),
                "\(line.prefix(40)) \(answer)")
        }
        #expect(try ask("{\"version\":2,\"verb\":\"status\"}").contains("version 1 of the control protocol, not 2"))
        #expect(try ask("{\"version\":1,\"verb\":\"rekey\"}").contains("rekey needs a peer"))
        #expect(try ask("{\"version\":1,\"verb\":\"drop\",\"peer\":\"x\"}").contains("there is no peer 'x'"))
        // Too long: the connection ends, the node does not.
        var long = try LocalConnection(path: path)
        try? long.write(line: String(repeating: "x", count: 1 << 20))
        #expect((try? long.readLine(limit: 1 << 20)) == nil)
        // More callers than there is room for are told so; those who leave make room, as soon as the node has seen it.
        usleep(300_000)
        do {
            var held: [Held] = []
            for _ in 0..<ControlServer.mostConnections { held.append(try Held(path)) }
            for one in held { #expect(try one.status().contains("pqvpn.status/1")) }
            let refused = try ask("{\"version\":1,\"verb\":\"status\"}")
            #expect(refused.contains("too many connections"), "\(refused)")
        }
        var answer = ""
        for _ in 0..<100 where !answer.contains("pqvpn.status/1") {
            usleep(20_000)
            answer = try ask("{\"version\":1,\"verb\":\"status\"}")
        }
        #expect(answer.contains("\"verdict\":\"idle\""))
        #expect(daemon.end(with: SIGTERM) == 0 && !FileManager.default.fileExists(atPath: path))
    }

    /// A connection that stays.
    private final class Held {
        private var connection: LocalConnection
        init(_ path: String) throws { connection = try LocalConnection(path: path) }

        func status() throws -> String {
            try connection.write(line: "{\"version\":1,\"verb\":\"status\"}")
            return String(decoding: try connection.readLine(limit: 1 << 20) ?? [], as: UTF8.self)
        }
    }

    @Test func socketsOfDeadNodesAreReplacedAndOfLivingOnesKept() throws {
        let scratch = try Scratch()
        let text =
            "peer: { nickname: n }\nnetwork: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n"
        try scratch.write(text, to: "c.yaml")
        try scratch.write(text + "control: { socket: pqvpn/n.sock }\n", to: "named.yaml")
        let killed = try RunningDaemon(["--config", "c.yaml"], in: scratch, log: "1.log")
        let path = try #require(killed.event("control.listening")?["path"] as? String)
        _ = killed.end(with: SIGKILL)
        #expect(FileManager.default.fileExists(atPath: path))
        #expect(try Program.run(["status"], in: scratch).status == 3)
        let next = try RunningDaemon(["--config", "c.yaml"], in: scratch, log: "2.log")
        #expect(next.event("control.listening")?["path"] as? String == path, "\(next.text)")
        // A second node of that name goes on under another one; one that was given the name does not start.
        let second = try RunningDaemon(["--config", "c.yaml"], in: scratch, log: "3.log")
        let other = try #require(second.event("control.listening")?["path"] as? String)
        #expect(other != path && other.hasSuffix("n-\(second.process.processIdentifier).sock"))
        let named = try Program.run(["run", "--config", "named.yaml"], in: scratch)
        #expect(named.status == 1 && named.errors.contains("is served by a running node"), "\(named.errors)")
        let ambiguous = try Program.run(["status"], in: scratch)
        #expect(
            ambiguous.status == 2 && ambiguous.errors.contains("choose with --node NAME; there are n-"),
            "\(ambiguous.errors)")
        #expect(try Program.run(["status", "--socket", other], in: scratch).status == 0)
        #expect(try Program.run(["status", "--socket", "nowhere.sock"], in: scratch).status == 3)
        // What is no socket is nobody's to remove.
        try scratch.write("precious", to: "file")
        try scratch.write(text + "control: { socket: file }\n", to: "file.yaml")
        let file = try Program.run(["run", "--config", "file.yaml"], in: scratch)
        #expect(file.status == 1 && file.errors.contains("is another kind of file"), "\(file.errors)")
        #expect(try scratch.read("file") == "precious")
        try scratch.write(text + "control: { enabled: false }\n", to: "off.yaml")
        let off = try RunningDaemon(["--config", "off.yaml"], in: scratch, log: "4.log")
        #expect(off.event("node.ready") != nil && !off.text.contains("control.listening"))
    }

    @Test func commandsWithoutANodeSaySo() throws {
        let scratch = try Scratch()
        for arguments in [["status"], ["sessions"], ["top"], ["rekey", "x"], ["drop", "x"], ["ping", "x"]] {
            let outcome = try Program.run(arguments, in: scratch)
            #expect(
                outcome.status == 3 && outcome.errors.contains("no node runs here"), "\(arguments) \(outcome.errors)")
        }
        let json = try Program.run(["status", "--json"], in: scratch)
        #expect(try JSONSchema("error").faults(in: json.output) == [], "\(json.output)")
        #expect(try Program.run(["ping", "x", "-c", "0"], in: scratch).status == 2)
    }

    @Test func otherReadingCommandsKeepToTheirSchemas() throws {
        let scratch = try Scratch()
        #expect(try Program.run(["keygen", "--out", "keys", "--nickname", "n"], in: scratch).status == 0)
        try scratch.write("keys: { runtime_temp_keys: false }\n", to: "c.yaml")
        try scratch.write("network: { listen_prt: 1 }\n", to: "bad.yaml")
        #expect(try Program.run(["peers", "add", "keys/identity.pub", "--name", "n"], in: scratch).status == 0)
        #expect(try Program.run(["peers", "revoke", String(repeating: "ab", count: 32)], in: scratch).status == 0)
        for (arguments, schema) in [
            (["peers", "list"], "peers"), (["peers", "revoked"], "revoked"), (["peerid", "keys"], "peerid"),
            (["identity", "export", "--keys", "keys"], "identity"), (["config", "check", "c.yaml"], "config-check"),
            (["config", "check", "bad.yaml"], "config-check"), (["config", "show", "c.yaml"], "config"),
            (["version"], "version"), (["selftest"], "selftest"), (["keygen", "--out", "more"], "keygen"),
        ] {
            let outcome = try Program.run(arguments + ["--json"], in: scratch)
            #expect(
                try JSONSchema(schema).faults(in: outcome.output) == [], "\(arguments): \(outcome.output.prefix(300))")
        }
    }

    @Test func theSchemaCheckerFindsFaults() throws {
        let schema = try JSONSchema("ping")
        #expect(
            schema.faults(in: "{\"schema\":\"pqvpn.ping/1\",\"peer\":\"b\",\"path\":\"p\",\"rtt_seconds\":0.1}") == [])
        for bad in [
            "", "[]", "{}", "{\"schema\":\"pqvpn.ping/2\",\"peer\":\"b\",\"path\":\"p\"}",
            "{\"schema\":\"pqvpn.ping/1\",\"peer\":7,\"path\":\"p\"}",
            "{\"schema\":\"pqvpn.ping/1\",\"peer\":\"b\",\"path\":\"p\",\"more\":1}",
            "{\"schema\":\"pqvpn.ping/1\",\"peer\":\"b\",\"path\":\"p\",\"rtt_seconds\":-1}",
            "{\"schema\":\"pqvpn.ping/1\",\"peer\":\"b\",\"path\":\"p\",\"mtu\":1.5}",
            "{\"schema\":\"pqvpn.ping/1\",\"peer\":\"b\",\"path\":\"p\",\"mtu\":true}",
        ] {
            #expect(schema.faults(in: bad) != [], "\(bad)")
        }
        #expect(try JSONSchema(text: "{\"type\":\"string\",\"format\":\"date\"}").faults(in: "\"x\"") != [])
    }
}
