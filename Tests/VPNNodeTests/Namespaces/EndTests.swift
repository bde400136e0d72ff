// SPDX-License-Identifier: Apache-2.0
// What a run leaves behind: nothing after SIGTERM, and after SIGKILL nothing that stands in the way of the next one.
//
//     host a: pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b
import Foundation
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("What a run leaves behind")
    struct Leftovers {
        /// Those that a daemon may have made: into its interface, or with its mark. The kernel adds others in its own time.
        private func routes(_ host: DemoHost) throws -> [String] {
            let all =
                try host.ip("-n", host.namespace, "route", "show", "table", "all")
                + host.ip("-n", host.namespace, "-6", "route", "show", "table", "all")
            return all.split(separator: "\n").map(String.init).filter {
                $0.contains(DemoHost.interface) || $0.contains("proto static")
            }
        }

        private func rules(_ host: DemoHost) throws -> String {
            try host.ip("-n", host.namespace, "rule", "show") + host.ip("-n", host.namespace, "-6", "rule", "show")
        }

        private func sockets(_ node: StageNode) -> [String] {
            let names = try? FileManager.default.contentsOfDirectory(atPath: "\(node.directory)/runtime/pqvpn")
            return (names ?? []).filter { $0.hasSuffix(".sock") }
        }

        private func peerState(of node: StageNode, in stage: Stage) throws -> String? {
            let outcome = try stage.run(
                "status", on: node.host, [stage.pqvpn, "status", "--json"], environment: node.environment)
            return try StatusReport(answer: outcome.output).peers.first?.state
        }

        @Test("SIGTERM: the peer knows at once, and interface, routes, pid file and socket are gone")
        func orderly() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try b.end(SIGTERM)
                let before = (try routes(b.host), try rules(b.host))
                b.arguments = ["--pid-file", "\(b.directory)/b.pid"]
                try b.start()
                try stage.reach(b.host.innerIPv4, from: a.host)
                #expect(try peerState(of: a, in: stage) == "connected")
                #expect(sockets(b).count == 1 && FileManager.default.fileExists(atPath: "\(b.directory)/b.pid"))
                #expect(try routes(b.host) != before.0, "there is something to remove")
                let ended = a.events("session.ended").count
                #expect(try b.end(SIGTERM) == 0)
                // Long before a silence would be noticed.
                try a.event("session.ended", within: 5) { event in
                    event["reason"] == "closed_by_peer" && a.events("session.ended").count > ended
                }
                #expect(try peerState(of: a, in: stage) != "connected")
                #expect(!b.host.hasInterface)
                #expect(try routes(b.host) == before.0 && rules(b.host) == before.1)
                #expect(sockets(b) == [] && b.runtimeDirectories == [])
                #expect(!FileManager.default.fileExists(atPath: "\(b.directory)/b.pid"))
            }
        }

        @Test("SIGKILL: what stays is no obstacle, and the next orderly end removes that, too")
        func killed() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try b.end(SIGTERM)
                let before = (try routes(b.host), try rules(b.host))
                b.arguments = ["--pid-file", "\(b.directory)/b.pid"]
                try b.start()
                try stage.reach(b.host.innerIPv4, from: a.host, within: 60)
                #expect(try b.end(SIGKILL) == 128 + SIGKILL)
                #expect(!b.host.hasInterface, "the kernel's part")
                #expect(sockets(b).count == 1 && FileManager.default.fileExists(atPath: "\(b.directory)/b.pid"))
                try b.start()
                try stage.reach(b.host.innerIPv4, from: a.host, within: 60)
                #expect(b.events("control.absent").isEmpty && sockets(b).count == 1)
                #expect(try b.end(SIGTERM) == 0)
                #expect(!b.host.hasInterface && sockets(b) == [])
                #expect(try routes(b.host) == before.0 && rules(b.host) == before.1)
                #expect(!FileManager.default.fileExists(atPath: "\(b.directory)/b.pid"))
            }
        }
    }
}
