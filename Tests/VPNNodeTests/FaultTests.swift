// SPDX-License-Identifier: Apache-2.0
// Daemons among faults of their machine: few descriptors, a full disk for the log, a directory that cannot be written.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite(.serialized, .threads(.programs)) struct FaultTests {
    private static let quiet =
        "network: { listen_port: 0, bind_host: 127.0.0.1, workers: 1 }\ntunnel: { enabled: false }\n"

    @Test(arguments: [8, 12, 16, 24, 32, 64])
    func fewDescriptors(_ limit: Int) throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let process = try Program.start(
            ["/bin/sh", "-c", "ulimit -n \(limit) && exec \"$0\" run --config c.yaml", Program.path], in: scratch,
            output: "out", errors: "err")
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        for _ in 0..<1500 where process.isRunning {
            if try scratch.read("err").contains("\"event\":\"node.ready\"") { break }
            usleep(20_000)
        }
        if process.isRunning { kill(process.processIdentifier, SIGTERM) }
        process.waitUntilExit()
        // It runs, or it says why not; no signal of the kernel ends it.
        #expect(process.terminationReason == .exit, "\((try? scratch.read("err")) ?? "")")
        if process.terminationStatus != 0 {
            #expect(process.terminationStatus == 1, "\((try? scratch.read("err")) ?? "")")
            #expect(try scratch.read("err").contains("pqvpn: "), "\((try? scratch.read("err")) ?? "")")
        }
        #expect((process.terminationStatus == 0) == (limit >= 32), "\((try? scratch.read("err")) ?? "")")
    }

    /// A mount of our own, which ends with the process; nil, and said, where there are no mount namespaces.
    private func mounted(_ script: String, _ name: String, in scratch: Scratch) throws -> Process? {
        let probe = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", "mount -t tmpfs tmpfs /mnt"]
        guard isRoot, try Program.launch(probe, in: scratch).status == 0 else {
            print("SKIPPED: \(name) needs root and mount namespaces")
            return nil
        }
        return try Program.start(
            ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, Program.path], in: scratch, output: "out",
            errors: "err")
    }

    @Test func aFullDiskStopsNoNode() throws {
        let scratch = try Scratch()
        try FileManager.default.createDirectory(atPath: scratch.file("full"), withIntermediateDirectories: true)
        try scratch.write(Self.quiet + "logging: { file: full/node.log, level: TRACE }\n", to: "c.yaml")
        let script = """
            mount -t tmpfs -o size=4k tmpfs full && head -c 1000000 /dev/zero > full/waste
            rm full/waste; : > full/node.log; chmod 600 full/node.log; head -c 1000000 /dev/zero > full/waste
            exec "$0" run --config c.yaml --pid-file d.pid
            """
        guard let process = try mounted(script, "aFullDiskStopsNoNode", in: scratch) else { return }
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        for _ in 0..<1500 where process.isRunning && !scratch.names.contains("d.pid") { usleep(20_000) }
        kill(process.processIdentifier, SIGHUP)
        usleep(500_000)
        #expect(process.isRunning, "\((try? scratch.read("err")) ?? "")")
        kill(process.processIdentifier, SIGTERM)
        process.waitUntilExit()
        #expect(
            process.terminationReason == .exit && process.terminationStatus == 0, "\((try? scratch.read("err")) ?? "")")
        #expect(!scratch.names.contains("d.pid"))
    }

    /// Pins by first use are kept in memory while their file cannot be written, and in the file once it can.
    @Test func pinsThatCannotBeKeptAreKeptLater() throws {
        let scratch = try Scratch()
        for name in ["alice", "bob"] {
            try FileManager.default.createDirectory(
                atPath: scratch.file(name), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
        let common = Self.quiet + "security: { tofu: true }\n"
        try scratch.write(common, to: "bob/c.yaml")
        let bob = try RunningDaemon(["--config", "bob/c.yaml"], in: scratch, log: "bob.log")
        let address = try #require(bob.event("node.listening")?["address"] as? String)
        try scratch.write(
            common + "peers: [{ name: bob, endpoint: \"\(address)\" }]\n", to: "alice/c.yaml")
        // Until the file "now" appears, alice's directory cannot be written.
        let script = """
            mount --bind alice alice && mount -o remount,bind,ro alice
            ( while [ ! -e now ]; do sleep 0.1; done; mount -o remount,bind,rw alice ) &
            exec "$0" run --config alice/c.yaml
            """
        guard let process = try mounted(script, "pinsThatCannotBeKeptAreKeptLater", in: scratch) else { return }
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        func waits(for event: String) throws -> Bool {
            for _ in 0..<1500 where process.isRunning {
                if try scratch.read("err").contains("\"event\":\"\(event)\"") { return true }
                usleep(20_000)
            }
            return false
        }
        #expect(try waits(for: "peers.not_kept"), "\((try? scratch.read("err")) ?? "")")
        #expect(try waits(for: "session.confirmed"), "\((try? scratch.read("err")) ?? "")")
        try scratch.write("", to: "now")
        #expect(try waits(for: "peers.kept"), "\((try? scratch.read("err")) ?? "")")
        kill(process.processIdentifier, SIGTERM)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        let bobsID = try #require(bob.event("identity.loaded")?["peer_id"] as? String)
        #expect(try KnownPeersStore(path: scratch.file("alice/known_peers.yaml")).pins.map(\.peerID.hex) == [bobsID])
    }
}
