// SPDX-License-Identifier: Apache-2.0
// What running daemons may do, as the kernel says of each of their threads: with a tunnel CAP_NET_ADMIN, as a relay nothing; and that
// what they need later works without the rest.
//
//     host a: node, relay ══ outer0 ───── outer0 ══ host b: node; /proc of each of them
import Foundation
import Glibc
import Testing
import VPNEngine

@testable import VPNNode

extension NamespaceTests {
    @Suite("Privileges")
    struct Privileges {
        /// Of each thread, by the names of proc(5).
        private func threads(_ node: StageNode) throws -> [[String: String]] {
            let process = try #require(node.daemon).identifier
            return try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task").map { thread in
                let text = try String(contentsOfFile: "/proc/\(process)/task/\(thread)/status", encoding: .utf8)
                return Dictionary(
                    text.split(separator: "\n").compactMap { line in
                        let parts = line.split(separator: "\t", maxSplits: 1)
                        return parts.count == 2 ? (String(parts[0].dropLast()), String(parts[1])) : nil
                    }
                ) { first, _ in first }
            }
        }

        private func expectOnly(_ capabilities: String, _ node: StageNode) throws {
            try node.event("privileges.kept")
            let threads = try threads(node)
            #expect(threads.count > 4)
            for thread in threads {
                for set in ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"] {
                    #expect(thread[set] == capabilities, "\(node.name), \(thread["Name"] ?? ""): \(set)")
                }
                #expect(thread["NoNewPrivs"] == "1", "\(node.name), \(thread["Name"] ?? "")")
                #expect(thread["Seccomp"] == "2", "\(node.name), \(thread["Name"] ?? "")")
            }
            // Secrets are in memory that never goes to a disk.
            let locked = threads.first?["VmLck"]?.split(separator: " ").first.flatMap { Int($0) }
            #expect((locked ?? 0) > 0, "\(node.name): \(locked ?? -1) kB are locked")
            let process = try #require(node.daemon).identifier
            let limits = try String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)
            let core = limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") }
            #expect(core?.split(separator: " ").suffix(3).first == "0", "\(core ?? "")")
        }

        @Test(
            "A daemon with a tunnel keeps CAP_NET_ADMIN, a relay nothing, in every thread; what comes later works all the same"
        )
        func kept() throws {
            try Stage.perform { stage in
                let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                try a.befriend(b, endpoint: b.host.endpoint(.ipv4))
                try b.befriend(a)
                b.configuration.extraLines = ["metrics: { prometheus: true }"]
                let relay = try stage.node(on: stage.hosts[0])
                relay.configuration.port = 9100
                relay.configuration.hasTunnel = false
                relay.configuration.addresses = []
                relay.configuration.extraLines = ["relay: true"]
                for node in [b, a, relay] { try node.start() }
                try stage.reach(b.host.innerIPv4, from: a.host)
                let network = "0000000000001000"
                for node in [a, b] { try expectOnly(network, node) }
                try expectOnly("0000000000000000", relay)

                // Another interface, other routes, a command, a page: each takes what was kept.
                try a.host.ip("-n", a.host.namespace, "link", "delete", DemoHost.interface)
                try a.event("tunnel.restored")
                try stage.reach(b.host.innerIPv4, from: a.host)
                a.configuration.peers[0].allowedIPs.append("203.0.113.0/24")
                try a.writeConfiguration()
                kill(try #require(a.daemon).identifier, SIGHUP)
                try DemoProcess.wait(20, for: "the route of the reload") {
                    (try? a.host.ip("-n", a.host.namespace, "route", "get", "203.0.113.7").contains(DemoHost.interface))
                        ?? false
                }
                let status = try stage.run(
                    "status", on: a.host, [stage.pqvpn, "status", "--json", "--node", a.name],
                    environment: a.environment)
                #expect(try StatusReport(answer: status.output).nickname == a.name)
                let page = try stage.run(
                    "metrics", on: b.host,
                    [
                        "/usr/bin/timeout", "10", "/bin/bash", "-c",
                        "exec 3<>/dev/tcp/127.0.0.1/9001; printf 'GET /livez HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3",
                    ])
                #expect(page.output.contains("200 OK"))
                // Threads that came since have no more.
                for node in [a, b] { try expectOnly(network, node) }
                for node in [a, b, relay] { #expect(try node.end() == 0) }
            }
        }

        @Test("Behind its fence a daemon reads what its directories have, and nothing of the same user's beside them")
        func fenced() throws {
            try Stage.perform { stage in
                let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                try a.befriend(b, endpoint: b.host.endpoint(.ipv4))
                try b.befriend(a)
                for node in [b, a] { try node.start() }
                try stage.reach(b.host.innerIPv4, from: a.host)
                let kept = try a.event("privileges.kept")
                guard FileFence.version != nil else {
                    return print("SKIPPED: \(Test.current?.name ?? ""): this kernel has no Landlock")
                }
                #expect(kept["landlock"] == "\(FileFence.version ?? 0)")
                // A key of the same user, of a mode that any daemon takes, in the configuration's directory and elsewhere.
                let scratch = try Scratch()
                let key = Data(repeating: 0x5a, count: 32).base64EncodedString()
                let inside = "\(a.directory)/psk"
                for path in [scratch.file("psk"), inside] {
                    try ProtectedFile.replace(path, with: [UInt8](key.utf8))
                }
                for (path, isTaken) in [(scratch.file("psk"), false), (inside, true)] {
                    a.configuration.peers[0].presharedKeyFile = path
                    try a.writeConfiguration()
                    let outcome = try stage.run(
                        "reload", on: a.host, [stage.pqvpn, "reload", "--node", a.name], environment: a.environment)
                    #expect((outcome.status == 0) == isTaken, "\(path): \(outcome.output)\(outcome.errors)")
                    #expect(isTaken || outcome.errors.contains("cannot be read"), "\(outcome.errors)")
                }
                for node in [a, b] { #expect(try node.end() == 0) }
            }
        }
    }
}
