// SPDX-License-Identifier: Apache-2.0
// Keys that nobody needs any more, looked for in the memory of running daemons. Which bytes those are the daemons tell themselves: what both
// have among their secrets at one moment are the keys of the session between them, and what one has while it waits for an answer and had
// not before are the secrets of its handshake.
//
//     host a: pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b; /proc/PID/mem of both
import Foundation
import Glibc
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Retired keys")
    struct RetiredKeys {
        /// By each end, which takes ten handshakes a minute from the other. Together so many that every pair that was made ahead is used, and
        /// with it gone: the pool has 16.
        private static let renewals = 9

        private func image(_ node: StageNode) throws -> ProcessMemoryImage {
            let image = try ProcessMemoryImage(of: try #require(node.daemon).identifier)
            #expect(image.size > 1 << 20 && image.isWhole, "\(node.name): \(image.size) bytes")
            return image
        }

        /// What of the pieces is anywhere in the memory of a node.
        private func left(_ pieces: Set<[UInt8]>, of node: StageNode) throws -> [[UInt8]: String] {
            try image(node).holding(pieces)
        }

        private func wait(
            _ seconds: Double, until limit: Int, of pieces: Set<[UInt8]>, areLeftAt nodes: [StageNode], _ what: String
        ) throws {
            for node in nodes {
                var found: [[UInt8]: String] = [:]
                try? DemoProcess.wait(seconds, for: what) {
                    found = try left(pieces, of: node)
                    return found.count <= limit
                }
                #expect(
                    found.count <= limit,
                    "\(node.name) still has \(found.count) of \(pieces.count) pieces: \(what), in \(found.values.sorted())"
                )
            }
        }

        private func nft(_ stage: Stage, _ host: DemoHost, _ words: String...) throws {
            let outcome = try stage.run("nft", on: host, ["/usr/sbin/nft"] + words)
            try #require(outcome.status == 0, "\(words): \(outcome.errors)")
        }

        @Test("Nothing of a handshake, of a session that was replaced, or of one that has ended is in any memory")
        func gone() throws {
            try Stage.perform { stage in
                let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                try a.befriend(b, endpoint: b.host.endpoint(.ipv4))
                try b.befriend(a)
                try a.start()
                let before = try image(a).secrets

                // S2 does not arrive: one waits with all the secrets of its handshake.
                for words in [
                    "add table ip hold", "add chain ip hold out { type filter hook output priority 0 ; }",
                    "add rule ip hold out udp sport \(StageConfiguration.port) @th,72,8 2 drop",
                ] { try nft(stage, b.host, words) }
                try b.start()
                try b.event("session.established")
                let handshake = try image(a).secrets.subtracting(before)
                // An expanded key of ML-KEM-1024 alone is a hundred.
                try #require(handshake.count > 100, "\(handshake.count) pieces")
                #expect(Set(try left(handshake, of: a).keys) == handshake)
                try nft(stage, b.host, "delete table ip hold")
                try stage.reach(b.host.innerIPv4, from: a.host)

                func shared() throws -> Set<[UInt8]> { try image(a).secrets.intersection(image(b).secrets) }
                let first = try shared()
                // Two key schedules.
                try #require(first.count > 2 * 8, "\(first.count) pieces")
                for node in [a, b] { #expect(Set(try left(first, of: node).keys) == first, "\(node.name)") }

                for (node, other) in [(a, b), (b, a)] {
                    for number in 1...Self.renewals {
                        let sessions = node.events("session.established").count
                        try stage.run(
                            "rekey", on: node.host, [stage.pqvpn, "rekey", other.name, "--node", node.name],
                            environment: node.environment)
                        try DemoProcess.wait(20, for: "renewal \(number) of \(node.name)") {
                            node.events("session.established").count > sessions
                        }
                    }
                }
                try stage.reach(b.host.innerIPv4, from: a.host)
                // Those that were replaced receive for 5 s.
                try wait(30, until: 0, of: handshake, areLeftAt: [a], "the first handshake")
                try wait(30, until: 0, of: first, areLeftAt: [a, b], "the first session")

                let last = try shared()
                try #require(last.count > 2 * 8 && last.isDisjoint(with: first), "\(last.count) pieces")
                for node in [a, b] { #expect(Set(try left(last, of: node).keys) == last, "\(node.name)") }
                #expect(try a.end() == 0)
                try b.event("session.ended")
                // But one: what the next handshake mixes.
                try wait(30, until: 1, of: last, areLeftAt: [b], "the session that has ended")
                #expect(try b.end() == 0)
            }
        }
    }
}
