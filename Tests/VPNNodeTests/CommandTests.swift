// SPDX-License-Identifier: Apache-2.0
// The program from outside: its arguments, its answers, its statuses.
import Foundation
import Testing

@testable import VPNNode

@Suite(.serialized, .threads(.programs))
struct CommandTests {
    private func run(_ arguments: String..., in scratch: Scratch) throws -> Program.Outcome {
        try Program.run(arguments, in: scratch)
    }

    @Test func wrongUsageEndsWithTwo() throws {
        let scratch = try Scratch()
        for arguments in [["--bogus"], ["run", "--bogus"], ["nonsense"], [], ["keygen", "--out"], ["peers", "add"]] {
            #expect(try Program.run(arguments, in: scratch).status == 2, "\(arguments)")
        }
        #expect(try run("config", "check", "absent.yaml", in: scratch).status == 2)
        #expect(try run("--config", "absent.yaml", in: scratch).status == 2)
        #expect(try run("run", "--config", "absent.yaml", "--loglevel", "x", in: scratch).status == 2)
    }

    @Test func helpAndVersionEndWithZero() throws {
        let scratch = try Scratch()
        let help = try run("help", in: scratch)
        #expect(help.status == 0 && help.output.contains("7 untrusted identity"))
        #expect(try run("--help", in: scratch).status == 0)
        let version = try run("version", "--json", in: scratch)
        #expect(version.status == 0 && version.json?["schema"] as? String == "pqvpn.version/1")
        #expect(try run("--version", in: scratch).output.hasPrefix("pqvpn "))
    }

    @Test func configurationsAreCheckedAndShown() throws {
        let scratch = try Scratch()
        try scratch.write(try run("config", "default", in: scratch).output, to: "d.yaml")
        let good = try run("config", "check", "d.yaml", "--json", in: scratch)
        #expect(good.status == 0 && good.json?["ok"] as? Bool == true)
        #expect(good.json?["schema"] as? String == "pqvpn.config-check/1")

        try scratch.write("network:\n  listen_prt: 1\n  bind_host: x\n", to: "b.yaml")
        let bad = try run("config", "check", "b.yaml", in: scratch)
        #expect(bad.status == 2)
        #expect(bad.output.contains("b.yaml:2:3: error: network.listen_prt: unknown key; did you mean 'listen_port'?"))
        let issues = try run("config", "check", "b.yaml", "--json", in: scratch).json?["issues"] as? [[String: Any]]
        #expect(issues?.count == 2 && issues?.first?["line"] as? Int == 2)

        try scratch.write("network: { listen_port: 7 }\n", to: "s.yaml")
        let values = try run("config", "show", "s.yaml", "--json", in: scratch).json?["values"] as? [[String: Any]]
        let port = values?.first { $0["key"] as? String == "network.listen_port" }
        #expect(port?["value"] as? String == "7" && port?["origin"] as? String == "file" && port?["line"] as? Int == 1)
        let host = values?.first { $0["key"] as? String == "network.bind_host" }
        #expect(host?["origin"] as? String == "default")
    }

    @Test func peersAreMadeKnown() throws {
        let scratch = try Scratch()
        let made = try run("keygen", "--out", "a", "--nickname", "alice", "--json", in: scratch)
        #expect(made.status == 0 && made.json?["schema"] as? String == "pqvpn.keygen/1")
        let id = try #require(made.json?["peer_id"] as? String)
        let again = try run("keygen", "--out", "a", in: scratch)
        #expect(again.status == 1 && again.errors.contains("not overwritten"))
        #expect(try run("peerid", "a/identity.pub", in: scratch).output == "\(id)\n")
        #expect(try run("peerid", "a", in: scratch).output == "\(id)\n")
        #expect(try run("peerid", "a/ed25519.key", "--json", in: scratch).json?["usable"] as? Bool == false)

        let exported = try run("identity", "export", "--keys", "a", "--nickname", "al", "--out", "al.pub", in: scratch)
        #expect(exported.status == 0)
        #expect(try run("identity", "export", "--keys", "a", "--out", "al.pub", in: scratch).status == 1)
        #expect(try run("peers", "add", "al.pub", in: scratch).status == 0)
        #expect(try run("peers", "add", "al.pub", in: scratch).output.contains("pinned already"))
        let listed = try run("peers", "list", "--json", in: scratch).json?["peers"] as? [[String: Any]]
        #expect(listed?.count == 1 && listed?.first?["peer_id"] as? String == id)

        _ = try run("keygen", "--out", "b", "--nickname", "al", in: scratch)
        let taken = try run("peers", "add", "b/identity.pub", "--json", in: scratch)
        #expect(taken.status == 7 && taken.json?["schema"] as? String == "pqvpn.error/1")
        #expect(try run("peers", "trust", "al", "b/identity.pub", in: scratch).status == 0)
        #expect(try run("peers", "list", in: scratch).output.contains(id) == false)
        #expect(try run("peers", "remove", "nobody", in: scratch).status == 2)
        #expect(try run("peers", "remove", "al", in: scratch).status == 0)
        #expect(try run("peers", "list", in: scratch).output.contains("no peers are pinned"))

        // A descriptor whose signature does not hold.
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: scratch.file("al.pub"))))
        let place = bytes.count - 600
        bytes[place] = bytes[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
        try Data(bytes).write(to: URL(fileURLWithPath: scratch.file("bad.pub")))
        #expect(try run("peers", "add", "bad.pub", in: scratch).status == 7)
    }

    @Test func startsThatCannotBeAreExplained() throws {
        let scratch = try Scratch()
        try scratch.write("keys: { runtime_temp_keys: false }\n", to: "c.yaml")
        let none = try run("run", "--config", "c.yaml", in: scratch)
        #expect(none.status == 2 && none.errors.contains("pqvpn keygen"))
        let daemon = try run("run", "--config", "c.yaml", "--daemonize", in: scratch)
        #expect(daemon.status == 2 && daemon.errors.contains("pqvpn keygen"), "the child's words and status")

        _ = try run("keygen", "--out", "keys", in: scratch)
        try scratch.setMode(0o644, of: "keys/mldsa87.key")
        let open = try run("--config", "c.yaml", in: scratch)
        #expect(open.status == 4 && open.errors.contains("mldsa87.key has mode 644"))
        try scratch.setMode(0o600, of: "keys/mldsa87.key")

        let id = try run("peerid", "keys", in: scratch).output.trimmingCharacters(in: .newlines)
        try scratch.write(
            "keys: { runtime_temp_keys: false }\npeers:\n  - { name: me, peer_id: \(id) }\n", to: "own.yaml")
        let own = try run("--config", "own.yaml", in: scratch)
        #expect(own.status == 2 && own.errors.contains("is this node's own identity"))
        try scratch.write("peers:\n  - { name: x, peer_id: \(String(repeating: "ab", count: 32)) }\n", to: "u.yaml")
        let unknown = try run("--config", "u.yaml", in: scratch)
        #expect(unknown.status == 2 && unknown.errors.contains("is not pinned"))
        #expect(try run("config", "check", "u.yaml", in: scratch).status == 2)
    }

    @Test func thePrimitivesAreTested() throws {
        let scratch = try Scratch()
        let result = try run("selftest", "--json", in: scratch)
        #expect(result.status == 0 && result.json?["ok"] as? Bool == true)
        #expect(result.json?["schema"] as? String == "pqvpn.selftest/1")
    }
}
