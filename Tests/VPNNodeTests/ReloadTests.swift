// SPDX-License-Identifier: Apache-2.0
// SIGHUP to whole daemons on the loopback interface, without any privilege: good files, bad files, and no file.
import Foundation
import Testing
import VPNCrypto

@testable import VPNNode

@Suite(.serialized, .threads(.programs)) struct ReloadTests {
    private static let quiet = "network: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n"
    private static let common = quiet + "keys: { runtime_temp_keys: false }\n"

    /// Sends SIGHUP and waits for the n-th event of a name.
    private func hangUp(_ daemon: RunningDaemon, _ name: String, _ number: Int = 1) -> [String: Any]? {
        kill(daemon.process.processIdentifier, SIGHUP)
        return daemon.event(name, number: number)
    }

    private func make(_ name: String, in scratch: Scratch) throws -> String {
        try FileManager.default.createDirectory(
            atPath: scratch.file(name), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        #expect(try Program.run(["keygen", "--out", "\(name)/keys", "--nickname", name], in: scratch).status == 0)
        return try Program.run(["peerid", "\(name)/keys"], in: scratch).output.trimmingCharacters(in: .newlines)
    }

    private func pin(_ other: String, by name: String, in scratch: Scratch) throws {
        let arguments = ["peers", "add", "\(other)/keys/identity.pub", "--config", "\(name)/c.yaml"]
        #expect(try Program.run(arguments, in: scratch).status == 0)
    }

    @Test func aLevelIsTakenAndAPortWaits() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(daemon.event("node.ready") != nil, "\(daemon.text)")
        try scratch.write(
            Self.quiet.replacingOccurrences(of: "listen_port: 0", with: "listen_port: 7")
                + "logging: { level: NOTICE }\n", to: "c.yaml")
        let done = try #require(hangUp(daemon, "config.reloaded"), "\(daemon.text)")
        #expect(done["applied"] as? [String] == ["logging.level"])
        #expect(done["pending"] as? [String] == ["network.listen_port"])
        #expect((daemon.event("config.pending")?["msg"] as? String)?.contains("network.listen_port") == true)
        #expect(daemon.end(with: SIGTERM) == 0)
        // INFO lines are no longer written.
        #expect(!daemon.text.contains("\"event\":\"node.stopped\""), "\(daemon.text)")
    }

    @Test func theCommandLineGoesBeforeTheFile() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml", "--log-level", "debug"], in: scratch)
        #expect(daemon.event("node.ready") != nil)
        try scratch.write(Self.quiet + "logging: { level: CRITICAL }\n", to: "c.yaml")
        let done = try #require(hangUp(daemon, "config.reloaded"))
        #expect(done["applied"] as? [String] == [] && done["pending"] as? [String] == ["logging.level"])
        #expect(daemon.end(with: SIGTERM) == 0)
        #expect(daemon.text.contains("\"event\":\"node.stopped\""))
    }

    @Test func whatIsNoGoodChangesNothing() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(daemon.event("node.ready") != nil)
        let stranger = String(repeating: "ab", count: 32)
        let refused: [(text: String?, words: String)] = [
            (Self.quiet + "logging: { level: ERROR, levl: 3 }\n", "levl"),
            ("peers: [", "YAML"),
            (Self.quiet + "logging: { level: ERROR }\npeers: [{ name: x, peer_id: \(stranger) }]\n", "not pinned"),
            // The key that would allow it needs a restart.
            (
                Self.quiet + "security: { tofu: true }\npeers: [{ name: x, endpoint: \"127.0.0.1:9\" }]\n",
                "needs a restart"
            ),
            (nil, "No such file"),
        ]
        for (number, (text, words)) in refused.enumerated() {
            if let text {
                try scratch.write(text, to: "c.yaml")
            } else {
                try FileManager.default.removeItem(atPath: scratch.file("c.yaml"))
            }
            let line = try #require(hangUp(daemon, "config.refused", number + 1), "\(number): \(daemon.text)")
            #expect((line["msg"] as? String ?? "").contains(words), "\(line)")
            #expect((line["errors"] as? [String])?.isEmpty == false)
        }
        #expect(daemon.event("config.reloaded", seconds: 0) == nil)
        // It is well, talks at the old level, and takes a good file.
        try scratch.write(Self.quiet, to: "c.yaml")
        let done = try #require(hangUp(daemon, "config.reloaded"))
        #expect(done["applied"] as? [String] == [] && done["pending"] as? [String] == [])
        #expect(daemon.end(with: SIGTERM) == 0)
    }

    @Test func peersComeAndGo() throws {
        let scratch = try Scratch()
        let (alicesID, bobsID) = (try make("alice", in: scratch), try make("bob", in: scratch))
        try scratch.write(Self.common + "peers: [{ name: alice, peer_id: \(alicesID) }]\n", to: "bob/c.yaml")
        try pin("alice", by: "bob", in: scratch)
        let bob = try RunningDaemon(["--config", "bob/c.yaml"], in: scratch, log: "bob.log")
        let address = try #require(bob.event("node.listening")?["address"] as? String)
        try scratch.write(Self.common, to: "alice/c.yaml")
        try pin("bob", by: "alice", in: scratch)
        let alice = try RunningDaemon(["--config", "alice/c.yaml"], in: scratch, log: "alice.log")
        #expect(alice.event("node.ready") != nil)

        let entry = "{ name: bob, peer_id: \(bobsID), endpoint: \"\(address)\", allowed_ips: [10.9.0.1/32] }"
        try scratch.write(Self.common + "peers: [\(entry)]\n", to: "alice/c.yaml")
        let added = try #require(hangUp(alice, "config.reloaded"), "\(alice.text)")
        #expect(added["applied"] as? [String] == ["peers.bob"])
        #expect(alice.event("session.confirmed") != nil, "\(alice.text)")

        let wider = entry.replacingOccurrences(of: "10.9.0.1/32", with: "10.9.0.0/24")
        try scratch.write(Self.common + "peers: [\(wider)]\n", to: "alice/c.yaml")
        let changed = try #require(hangUp(alice, "config.reloaded", 2))
        #expect(changed["applied"] as? [String] == ["peers.bob.allowed_ips"])
        #expect(alice.event("session.ended", seconds: 0) == nil)

        try scratch.write(Self.common, to: "alice/c.yaml")
        _ = try #require(hangUp(alice, "config.reloaded", 3))
        #expect(alice.event("session.ended")?["reason"] as? String == "peer_removed")
        #expect(bob.event("session.ended")?["reason"] as? String == "closed_by_peer", "\(bob.text)")
        #expect(alice.end(with: SIGTERM) == 0 && bob.end(with: SIGTERM) == 0)
    }

    /// A daemon leaves the directory that it was started in, and still finds its file.
    @Test func aDaemonInTheBackgroundFindsItsFile() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet + "logging: { file: d.log }\n", to: "c.yaml")
        let started = try Program.run(["run", "--config", "c.yaml", "--daemonize", "--pidfile", "d.pid"], in: scratch)
        #expect(started.status == 0, "\(started.errors)")
        let pid = try #require(Int32(try scratch.read("d.pid").trimmingCharacters(in: .newlines)))
        kill(pid, SIGHUP)
        for _ in 0..<1500 where (try? scratch.read("d.log"))?.contains("config.re") != true { usleep(20_000) }
        #expect(try scratch.read("d.log").contains("config.reloaded"), "\((try? scratch.read("d.log")) ?? "")")
        kill(pid, SIGTERM)
        for _ in 0..<1500 where kill(pid, 0) == 0 { usleep(20_000) }
        #expect(!scratch.names.contains("d.pid"))
    }
}
