// SPDX-License-Identifier: Apache-2.0
// Trust that changes under running daemons, on the loopback interface: revocation, rotation, a trusted new identity, and what
// is left of it after a restart.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite(.serialized, .threads(.programs))
struct TrustDaemonTests {
    private static let quiet = "network: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n"

    /// Two nodes with persistent keys that have pinned each other; bob runs first, alice calls him.
    private final class Pair {
        let scratch: Scratch
        var alice: RunningDaemon?
        var bob: RunningDaemon?
        private let settings: String
        private var runs = 0

        init(settings: String = "", pinned: Bool = true) throws {
            scratch = try Scratch()
            self.settings = settings
            for name in ["alice", "bob"] {
                try FileManager.default.createDirectory(
                    atPath: scratch.file(name), withIntermediateDirectories: true,
                    attributes: [.posixPermissions: 0o700])
                #expect(try run("keygen", "--out", "\(name)/keys", "--nickname", name).status == 0)
                try scratch.write("", to: "\(name)/c.yaml")
            }
            guard pinned else { return }
            for (name, other) in [("alice", "bob"), ("bob", "alice")] {
                #expect(try run("peers", "add", "\(other)/keys/identity.pub", "--config", "\(name)/c.yaml").status == 0)
            }
        }

        func run(_ arguments: String...) throws -> Program.Outcome { try Program.run(arguments, in: scratch) }

        private func start(_ name: String, _ text: String) throws -> RunningDaemon {
            let common = TrustDaemonTests.quiet + "keys: { runtime_temp_keys: false }\n" + settings
            try scratch.write(common + text, to: "\(name)/c.yaml")
            runs += 1
            return try RunningDaemon(["--config", "\(name)/c.yaml"], in: scratch, log: "\(name)-\(runs).log")
        }

        func startBob() throws {
            // An entry for her needs a place to look for her; she is not there, and calls.
            bob = try start("bob", "peers: [{ name: alice, endpoint: \"127.0.0.1:9\" }]\n")
        }

        /// Nobody's id in it: the pin of that name decides.
        func startAlice() throws {
            let address = try #require(bob?.event("node.listening")?["address"] as? String)
            alice = try start("alice", "peers: [{ name: bob, endpoint: \"\(address)\" }]\n")
        }
    }

    private static let firstUse = "security: { tofu: true }\n"

    @Test func aRevokedIdentityLosesItsSessionWithinAMinute() throws {
        let pair = try Pair(settings: Self.firstUse)
        try pair.startBob()
        try pair.startAlice()
        #expect(pair.bob?.event("session.confirmed") != nil, "\(pair.bob?.text ?? "")")
        let statement = try pair.run("identity", "revoke", "--keys", "alice/keys", "--out", "alice.rev")
        #expect(statement.status == 0, "\(statement.errors)")
        let started = Date()
        let revoked = try pair.run("peers", "revoke", "alice.rev", "--config", "bob/c.yaml", "--json")
        #expect(revoked.status == 0 && revoked.json?["schema"] as? String == "pqvpn.revoked/1", "\(revoked.errors)")
        let ended = pair.bob?.event("session.ended", seconds: 60)
        #expect(ended?["reason"] as? String == "revoked", "\(pair.bob?.text ?? "")")
        #expect(pair.bob?.event("identity.revoked") != nil)
        print("a session ended \(String(format: "%.1f", Date().timeIntervalSince(started))) s after its revocation")
        // It does not come back, and knows no way to: its own node refuses to be what nobody believes.
        #expect(
            try pair.run("peers", "restore", revoked.json?["peer_id"] as? String ?? "", "--config", "bob/c.yaml").status
                == 7)
        #expect(pair.alice?.end(with: SIGTERM) == 0)
        try pair.startAlice()
        #expect(pair.bob?.event("identity.refused", seconds: 20)?["reason"] as? String == "revoked")
        #expect(pair.alice?.event("session.established", seconds: 1) == nil)
        #expect(pair.alice?.end(with: SIGTERM) == 0)
        #expect(try pair.run("peers", "revoke", "alice.rev", "--config", "alice/c.yaml").status == 0)
        let own = try pair.run("run", "--config", "alice/c.yaml")
        #expect(own.status == 7 && own.errors.contains("own identity"), "\(own.errors)")
    }

    /// Bad files under a running node: told by name, and neither a session nor the old state is lost.
    @Test func spoiltFilesChangeNothing() throws {
        let pair = try Pair(settings: Self.firstUse)
        try pair.startBob()
        try pair.startAlice()
        #expect(pair.bob?.event("session.confirmed") != nil)
        let good = try pair.scratch.read("bob/known_peers.yaml")
        try pair.scratch.write(good.replacingOccurrences(of: "alice", with: "mallo"), to: "bob/known_peers.yaml")
        let told = try #require(pair.bob?.event("trust.not_read", seconds: 60)?["msg"] as? String)
        #expect(told.contains("bob/known_peers.yaml") && told.contains("checksum") && told.contains("stays in force"))
        try pair.scratch.write("version: 1\n", to: "bob/revoked.yaml")
        for _ in 0..<1500 where pair.bob?.text.contains("bob/revoked.yaml") == false { usleep(20_000) }
        #expect(pair.bob?.text.contains("bob/revoked.yaml: the file is truncated") == true)
        // On a slow machine both ends may have begun one at first; then the files are not why one of them ends.
        let reason = pair.bob?.event("session.ended", seconds: 0.1)?["reason"] as? String
        #expect(reason == nil || reason == "replaced", "\(pair.bob?.text ?? "")")
        // The next start, which has no old state, says so and does not start.
        #expect(pair.bob?.end(with: SIGTERM) == 0)
        let refused = try pair.run("run", "--config", "bob/c.yaml")
        #expect(refused.status == 2 && refused.errors.contains("bob/known_peers.yaml"), "\(refused.errors)")
    }

    @Test func aRotatedPeerIsFollowedByARunningNode() throws {
        let pair = try Pair(settings: Self.firstUse)
        try pair.startBob()
        try pair.startAlice()
        #expect(pair.alice?.event("session.confirmed") != nil)
        #expect(pair.alice?.end(with: SIGTERM) == 0)
        let rotated = try pair.run("identity", "rotate", "--config", "alice/c.yaml", "--json")
        #expect(rotated.status == 0 && rotated.json?["schema"] as? String == "pqvpn.rotation/1", "\(rotated.errors)")
        let (old, new) = (rotated.json?["old_peer_id"] as? String, rotated.json?["peer_id"] as? String)
        let file = try #require(rotated.json?["statement_file"] as? String)
        #expect(
            try pair.run("peers", "rotate", "alice", "alice/keys/identity.pub", "--config", "bob/c.yaml").status == 2)
        let followed = try pair.run("peers", "rotate", "alice", file, "--config", "bob/c.yaml", "--json")
        #expect(followed.status == 0 && followed.json?["replaced"] as? String == old, "\(followed.errors)")
        let again = try pair.run("peers", "rotate", "alice", file, "--config", "bob/c.yaml")
        #expect(again.status == 7 && again.errors.contains("applied already"))
        let replaced = pair.bob?.event("identity.replaced", seconds: 60)
        #expect(replaced?["peer_id"] as? String == new && replaced?["old_peer_id"] as? String == old)
        try pair.startAlice()
        let session = try #require(pair.alice?.event("session.confirmed"), "\(pair.alice?.text ?? "")")
        #expect(pair.alice?.event("identity.loaded")?["peer_id"] as? String == new)
        #expect(pair.bob?.text.contains(session["sid"] as? String ?? "?") == true)
        #expect(pair.bob?.event("identity.refused", seconds: 0.1) == nil)
    }

    /// Every form of a bootstrap entry leads to a node of which nothing but its place is known.
    @Test func bootstrapEntriesOfEveryFormLead() throws {
        let scratch = try Scratch()
        for name in ["alice", "bob"] {
            try FileManager.default.createDirectory(
                atPath: scratch.file(name), withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700])
        }
        let common = "tunnel: { enabled: false }\n" + Self.firstUse
        try scratch.write(common + "network: { listen_port: 0 }\n", to: "bob/c.yaml")
        let bob = try RunningDaemon(["--config", "bob/c.yaml"], in: scratch, log: "bob.log")
        let address = try #require(bob.event("node.listening")?["address"] as? String)
        let id = try #require(bob.event("identity.loaded")?["peer_id"] as? String)
        let port = try #require(address.split(separator: ":").last)
        var forms = ["\"127.0.0.1:\(port)\"", "\"localhost:\(port)\"", "{ host: 127.0.0.1, port: \(port) }"]
        if address.hasPrefix("[") {
            forms.append("\"[::1]:\(port)\"")
        } else {
            print("SKIPPED: a bootstrap entry of IPv6, which this machine does not have")
        }
        for (number, form) in forms.enumerated() {
            try scratch.write(
                common + "network: { listen_port: 0 }\nbootstrap: { peers: [\(form)] }\n", to: "alice/c.yaml")
            let alice = try RunningDaemon(["--config", "alice/c.yaml"], in: scratch, log: "alice-\(number).log")
            #expect(alice.event("identity.pinned")?["peer_id"] as? String == id, "\(form): \(alice.text)")
            #expect(alice.end(with: SIGTERM) == 0)
            let pins = try KnownPeersStore(path: scratch.file("alice/known_peers.yaml")).pins
            #expect(pins.map(\.peerID.hex) == [id] && pins.first?.name.hasPrefix("bootstrap ") == true)
            try FileManager.default.removeItem(atPath: scratch.file("alice/known_peers.yaml"))
        }
        for bad in ["\"127.0.0.1\"", "\"::1:9000\"", "\"host name:9000\"", "{ host: a.example }", "9000"] {
            try scratch.write(common + "bootstrap: { peers: [\(bad)] }\n", to: "alice/c.yaml")
            let refused = try Program.run(["run", "--config", "alice/c.yaml"], in: scratch)
            #expect(refused.status == 2 && refused.errors.contains("bootstrap.peers[0]"), "\(bad): \(refused.errors)")
        }
    }

    /// First use, restart, change, `peers trust` under a running daemon, restart.
    @Test func firstUseLastsAndAChangeNeedsTheOperator() throws {
        let pair = try Pair(settings: Self.firstUse, pinned: false)
        func pins() throws -> [String] {
            try KnownPeersStore(path: pair.scratch.file("alice/known_peers.yaml")).pins.map(\.peerID.hex)
        }
        func bobsID() throws -> String { try pair.run("peerid", "bob/keys").output.trimmingCharacters(in: .newlines) }
        try pair.startBob()
        try pair.startAlice()
        #expect(pair.alice?.event("identity.pinned") != nil, "\(pair.alice?.text ?? "")")
        let old = try bobsID()
        #expect(try pins() == [old])
        // Both restart: no second first contact.
        #expect(pair.alice?.end(with: SIGTERM) == 0 && pair.bob?.end(with: SIGTERM) == 0)
        try pair.startBob()
        try pair.startAlice()
        #expect(pair.alice?.event("session.confirmed") != nil)
        #expect(pair.alice?.event("identity.pinned", seconds: 0.1) == nil)
        #expect(pair.bob?.event("identity.pinned", seconds: 0.1) == nil)

        // Bob comes back with keys that nobody vouches for.
        #expect(pair.alice?.end(with: SIGTERM) == 0 && pair.bob?.end(with: SIGTERM) == 0)
        try FileManager.default.removeItem(atPath: pair.scratch.file("bob/keys"))
        #expect(try pair.run("keygen", "--out", "bob/keys", "--nickname", "bob").status == 0)
        try pair.startBob()
        try pair.startAlice()
        let refused = pair.alice?.event("identity.refused", seconds: 60)
        #expect(refused?["reason"] as? String == "identity_changed" && refused?["level"] as? String == "error")
        #expect(try pins() == [old])
        #expect(
            try pair.run("peers", "trust", "bob", "bob/keys/identity.pub", "--config", "alice/c.yaml").status == 0)
        #expect(pair.alice?.event("session.confirmed", seconds: 60) != nil, "\(pair.alice?.text ?? "")")
        #expect(pair.alice?.event("identity.replaced")?["peer_id"] as? String == (try bobsID()))
        #expect(pair.alice?.end(with: SIGTERM) == 0)
        try pair.startAlice()
        #expect(pair.alice?.event("session.confirmed") != nil)
        #expect(try pins() == [bobsID()])
    }
}
