// SPDX-License-Identifier: Apache-2.0
// Whole daemons: how they start, fail to start, meet on the loopback interface without any privilege, and end.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite(.serialized, .threads(.programs))
struct DaemonTests {
    private static let quiet = "network: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n"

    private func runtimeDirectories(_ scratch: Scratch) -> [String] { scratch.names.filter { $0.hasPrefix("pqvpn-") } }

    @Test(arguments: [SIGTERM, SIGINT])
    func theRuntimeDirectoryLivesAsLongAsTheRun(_ signal: Int32) throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(daemon.event("node.listening") != nil, "\(daemon.text)")
        let directory = try #require(runtimeDirectories(scratch).first)
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.file(directory))
        #expect(Set(names) == ["identity.pub", "pid", "pqvpn.lock"])
        usleep(100_000)
        #expect(daemon.end(with: signal) == 0)
        #expect(runtimeDirectories(scratch).isEmpty)
    }

    @Test func aKilledRunIsSweptByTheNext() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let killed = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(killed.event("node.listening") != nil)
        _ = killed.end(with: SIGKILL)
        let left = runtimeDirectories(scratch)
        #expect(left.count == 1)
        let next = try RunningDaemon(["--config", "c.yaml"], in: scratch, log: "next.log")
        #expect(next.event("node.listening") != nil)
        #expect(runtimeDirectories(scratch).count == 1 && runtimeDirectories(scratch) != left)
        usleep(100_000)
        #expect(next.end(with: SIGTERM) == 0)
    }

    @Test func daemonizeReturnsWhenTheNodeIsUp() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet + "logging: { file: d.log }\n", to: "c.yaml")
        let started = try Program.run(
            ["run", "--config", "c.yaml", "--daemonize", "--pidfile", "d.pid", "--loglevel", "debug"], in: scratch)
        #expect(started.status == 0, "\(started.errors)")
        let pid = try #require(Int32(try scratch.read("d.pid").trimmingCharacters(in: .newlines)))
        #expect(started.output == "pqvpn runs as process \(pid)\n")
        #expect(try scratch.read("d.log").contains("node.listening"))
        let session = getsid(pid)
        #expect(session == pid, "a session of its own")

        let second = try Program.run(["run", "--config", "c.yaml", "--daemonize", "--pid-file", "d.pid"], in: scratch)
        #expect(second.status == 1 && second.errors.contains("is held by a running pqvpn (process \(pid))"))
        kill(pid, SIGTERM)
        for _ in 0..<500 where kill(pid, 0) == 0 { usleep(10_000) }
        #expect(!scratch.names.contains("d.pid") && runtimeDirectories(scratch).isEmpty)
    }

    @Test func aPortInUseIsNamed() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let first = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        let address = try #require(first.event("node.listening")?["address"] as? String)
        let port = try #require(address.split(separator: ":").last)
        try scratch.write(
            Self.quiet.replacingOccurrences(of: "listen_port: 0", with: "listen_port: \(port)"), to: "d.yaml")
        let second = try Program.run(["run", "--config", "d.yaml"], in: scratch)
        #expect(second.status == 1 && second.errors.contains("is in use"), "\(second.errors)")
        #expect(runtimeDirectories(scratch).count == 1)
    }

    @Test func missingPrivilegesAndDevicesAreNamed() throws {
        let scratch = try Scratch()
        try scratch.write("network: { listen_port: 0, bind_host: 127.0.0.1 }\n", to: "c.yaml")
        let run = [Program.path, "run", "--config", "c.yaml"]
        guard isRoot else {
            let refused = try Program.launch(run, in: scratch)
            #expect(refused.status == 4, "\(refused.errors)")
            print("SKIPPED: the parts of missingPrivilegesAndDevicesAreNamed that need root")
            return
        }
        let noAdmin = try Program.launch(
            ["/usr/bin/setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"] + run, in: scratch)
        #expect(noAdmin.status == 4 && noAdmin.errors.contains("CAP_NET_ADMIN"), "\(noAdmin.errors)")
        let probe = ["/usr/bin/unshare", "--mount", "/usr/bin/mount", "-t", "tmpfs", "tmpfs", "/dev/net"]
        guard FileManager.default.fileExists(atPath: "/dev/net"), try Program.launch(probe, in: scratch).status == 0
        else {
            print("SKIPPED: no mount namespaces here, so that /dev/net/tun cannot be hidden")
            return
        }
        let hidden = "mount -t tmpfs tmpfs /dev/net && exec \"$@\""
        let noDevice = try Program.launch(
            ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", hidden, "sh"] + run, in: scratch)
        #expect(noDevice.status == 1 && noDevice.errors.contains("/dev/net/tun is missing"), "\(noDevice.errors)")
        #expect(runtimeDirectories(scratch).isEmpty)
    }

    /// A terminal that closed, a pipe whose reader ended: lines are lost, and nothing else.
    @Test func aReaderOfTheLogThatGoesAwayEndsNothing() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Program.path)
        process.arguments = ["run", "--config", "c.yaml"]
        process.currentDirectoryURL = URL(fileURLWithPath: scratch.path)
        process.environment = Program.environment(scratch)
        process.standardOutput = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        let log = Pipe()
        process.standardError = log
        try process.run()
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        var text = ""
        while !text.contains("node.ready") {
            let more = log.fileHandleForReading.availableData
            try #require(!more.isEmpty, "\(text)")
            text += String(decoding: more, as: UTF8.self)
        }
        try log.fileHandleForReading.close()
        // Each of them is a line at least.
        for _ in 0..<3 {
            kill(process.processIdentifier, SIGHUP)
            usleep(300_000)
        }
        #expect(process.isRunning)
        kill(process.processIdentifier, SIGTERM)
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 0, "\(process.terminationStatus)")
    }

    /// A pager that was stopped, or a journal that hangs: the node goes on, and says afterwards what is missing.
    @Test func aReaderOfTheLogThatReadsNothingHoldsNothingUp() throws {
        var ends: [Int32] = [-1, -1]
        let made = unsafe pipe(&ends)
        try #require(made == 0)
        defer { for end in ends { close(end) } }
        // F_SETPIPE_SZ, which is not in the module: two pages.
        let size = fcntl(ends[1], 1031, 8192)
        try #require(size == 8192)
        var log = LogPipe(try OpenFile(duplicating: ends[1], path: "log"))
        let line = String(repeating: "x", count: 999)
        for _ in 0..<5 { try log.write(line) }
        let start = ContinuousClock.now
        for _ in 0..<1000 {
            #expect(throws: SystemCallError(call: "write", path: "log", errno: EAGAIN)) { try log.write(line) }
        }
        // One of them was waited for.
        #expect(ContinuousClock.now - start < .seconds(10))
        var buffer = [UInt8](repeating: 0, count: 8192)
        func taken() -> Int { unsafe read(ends[0], &buffer, buffer.count) }
        #expect(taken() == 5000)
        // A line that is longer than a pipe is begun, and what comes next begins a line of its own.
        #expect(throws: SystemCallError.self) { try log.write(String(repeating: "y", count: 9000)) }
        #expect(taken() == 8192)
        try log.write("next")
        let count = taken()
        #expect(String(decoding: buffer[..<max(0, count)], as: UTF8.self) == "\nnext\n")
    }

    /// K12: what a node with the most talkative log says of its secrets is nothing, in no spelling.
    @Test func twoNodesMeetAndTheirLogsKeepTheirSecrets() throws {
        let scratch = try Scratch()
        for name in ["alice", "bob"] {
            try FileManager.default.createDirectory(
                atPath: scratch.file(name), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            let made = try Program.run(["keygen", "--out", "\(name)/keys", "--nickname", name], in: scratch)
            #expect(made.status == 0)
        }
        func id(_ name: String) throws -> String {
            try Program.run(["peerid", "\(name)/keys"], in: scratch).output.trimmingCharacters(in: .newlines)
        }
        func pin(_ other: String, by name: String) throws {
            let arguments = ["peers", "add", "\(other)/keys/identity.pub", "--config", "\(name)/c.yaml"]
            #expect(try Program.run(arguments, in: scratch).status == 0)
        }
        let common = Self.quiet + "keys: { runtime_temp_keys: false }\nlogging: { level: TRACE }\n"
        try scratch.write(common + "peers: [{ name: alice, peer_id: \(id("alice")) }]\n", to: "bob/c.yaml")
        try pin("alice", by: "bob")
        let bob = try RunningDaemon(["--config", "bob/c.yaml"], in: scratch, log: "bob.log")
        let address = try #require(bob.event("node.listening")?["address"] as? String)
        try scratch.write(
            common + "peers: [{ name: bob, peer_id: \(id("bob")), endpoint: \"\(address)\" }]\n", to: "alice/c.yaml")
        try pin("bob", by: "alice")
        let alice = try RunningDaemon(["--config", "alice/c.yaml"], in: scratch, log: "alice.log")

        let session = try #require(alice.event("session.established"), "\(alice.text)")
        #expect(bob.event("session.established")?["sid"] as? String == session["sid"] as? String)
        #expect(session["role"] as? String == "initiator" && session["s1_bytes"] as? Int ?? 0 > 8000)
        for field in ["dur_s", "s2_bytes", "kem", "signatures", "aead", "peer", "hs"] {
            #expect(session[field] != nil, "\(field)")
        }
        #expect(alice.end(with: SIGTERM) == 0 && bob.end(with: SIGTERM) == 0)

        let logs = alice.text + bob.text
        #expect(
            logs.split(separator: "\n").allSatisfy {
                ((try? JSONSerialization.jsonObject(with: Data($0.utf8))) as? [String: Any])?["event"] != nil
            }, "every line is JSON with an event")
        for name in ["alice", "bob"] {
            let identity = try PersistentIdentity.load(directory: scratch.file("\(name)/keys"))
            for seed in [
                identity.brainpoolScalar.exposedCopy(), identity.ed25519Seed.exposedCopy(),
                identity.mldsaSeed.exposedCopy(), identity.mlkemSeed.exposedCopy(),
            ] {
                let spellings = [
                    Hex.encode(seed), Hex.encode(seed).uppercased(), Data(seed).base64EncodedString(),
                    seed.map(String.init).joined(separator: ", "),
                ]
                #expect(spellings.allSatisfy { !logs.contains($0) })
                #expect(!Data(logs.utf8).contains(seed))
            }
        }
    }

    @Test func firstUseIsPinnedByBoth() throws {
        let scratch = try Scratch()
        for name in ["alice", "bob"] {
            try FileManager.default.createDirectory(
                atPath: scratch.file(name), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
        let common = Self.quiet + "security: { tofu: true }\n"
        try scratch.write(common, to: "bob/c.yaml")
        let bob = try RunningDaemon(["--config", "bob/c.yaml"], in: scratch, log: "bob.log")
        let address = try #require(bob.event("node.listening")?["address"] as? String)
        try scratch.write(common + "peers: [{ name: bob, endpoint: \"\(address)\" }]\n", to: "alice/c.yaml")
        let alice = try RunningDaemon(["--config", "alice/c.yaml"], in: scratch, log: "alice.log")
        let bobsID = try #require(bob.event("identity.loaded")?["peer_id"] as? String)
        let alicesID = try #require(alice.event("identity.loaded")?["peer_id"] as? String)
        #expect(alice.event("identity.pinned") != nil, "\(alice.text)")
        #expect(bob.event("identity.pinned") != nil, "\(bob.text)")
        let alices = try KnownPeersStore(path: scratch.file("alice/known_peers.yaml")).pins
        let bobs = try KnownPeersStore(path: scratch.file("bob/known_peers.yaml")).pins
        #expect(alices.map(\.peerID.hex) == [bobsID] && alices.first?.origin == .firstUse)
        #expect(bobs.map(\.peerID.hex) == [alicesID] && bobs.first?.origin == .firstUse)
    }

    @Test func aDaemonRotatesItsLogAndScrubsAddresses() throws {
        let scratch = try Scratch()
        for name in ["alice", "bob"] {
            try FileManager.default.createDirectory(
                atPath: scratch.file(name), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
        let common = Self.quiet + "security: { tofu: true }\n"
        let logging = "logging: { level: TRACE, scrub_addresses: true"
        try scratch.write(common + "\(logging) }\n", to: "bob/c.yaml")
        let bob = try RunningDaemon(["--config", "bob/c.yaml"], in: scratch, log: "bob.log")
        let address = try #require(bob.event("node.listening")?["address"] as? String)
        try scratch.write(
            common + "\(logging), file: a.log, max_size_bytes: 600, max_files: 2 }\n"
                + "peers: [{ name: bob, endpoint: \"\(address)\" }]\n", to: "alice/c.yaml")
        let alice = try RunningDaemon(["--config", "alice/c.yaml"], in: scratch, log: "alice.log")
        #expect(bob.event("session.established") != nil, "\(bob.text)")
        #expect(alice.end(with: SIGTERM) == 0 && bob.end(with: SIGTERM) == 0)
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.file("alice")).filter {
            $0.hasPrefix("a.log")
        }
        #expect(names.sorted() == ["a.log", "a.log.1", "a.log.2"])
        for name in names {
            let text = try scratch.read("alice/\(name)")
            #expect(
                text.split(separator: "\n").allSatisfy {
                    (try? JSONSerialization.jsonObject(with: Data($0.utf8))) != nil
                })
        }
        let told = bob.text.split(separator: "\n").filter { $0.contains("\"endpoint\"") }
        #expect(!told.isEmpty && told.allSatisfy { $0.contains(#""endpoint":"scrubbed""#) }, "\(told)")
    }
}

extension Data {
    fileprivate func contains(_ bytes: [UInt8]) -> Bool { range(of: Data(bytes)) != nil }
}
