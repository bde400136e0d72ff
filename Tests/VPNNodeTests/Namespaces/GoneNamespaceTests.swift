// SPDX-License-Identifier: Apache-2.0
// What a daemon stands on is taken away while it runs: the namespace that its interface was moved to, its cable, the name of its own
// namespace. It does not spin, goes on where it can, and leaves nothing.
//
//     host a: pqvpn0 ══ outer0 ───── outer0 ══ daemon of host b ══ pqvpn0, moved to host c
import Foundation
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Gone namespaces")
    struct GoneNamespaces {
        /// Of one core; a loop that waits for nothing takes all of it.
        private static let quiet = 0.3

        @Test("An interface that was moved to another namespace serves that one, and comes back when it is deleted")
        func moved() throws {
            try Stage.perform(hosts: 3) { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                let other = stage.hosts[2]
                try b.host.ip("-n", b.host.namespace, "link", "set", DemoHost.interface, "netns", other.namespace)
                #expect(try b.load(over: 1) < Self.quiet)
                for words in [["address", "add", "\(b.host.innerIPv4)/24"], ["link", "set", "up"]] {
                    try other.ip(["-n", other.namespace] + words + ["dev", DemoHost.interface])
                }
                // A program there has this network and no other: the daemon's is out of its sight.
                try stage.reach(a.host.innerIPv4, from: other)
                #expect(try stage.answers(b.host.innerIPv4, from: a.host))
                #expect(try !stage.answers(a.host.innerIPv4, from: b.host))

                other.remove()
                try b.event("tunnel.gone")
                try b.event("tunnel.restored")
                try stage.reach(b.host.innerIPv4, from: a.host)
                #expect(try stage.answers(a.host.innerIPv6, from: b.host))
                #expect(b.events("session.established").count == 1 && b.events("session.ended").isEmpty)
                #expect(try b.load(over: 1) < Self.quiet)
            }
        }

        @Test("Without its cable a daemon waits, and goes on with the next one")
        func cable() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair(keepalive: 1)
                try stage.reach(b.host.innerIPv4, from: a.host)
                try b.host.ip("-n", b.host.namespace, "link", "delete", DemoHost.cable)
                #expect(try stage.ping(b.host.innerIPv4, from: a.host, count: 1)?.received == 0)
                for node in [a, b] { #expect(try node.load(over: 2) < Self.quiet, "\(node.name)") }
                try DemoHost.connect(a.host, b.host)
                try stage.reach(b.host.innerIPv4, from: a.host, within: 60)
                #expect(try stage.answers(a.host.innerIPv6, from: b.host))
            }
        }

        @Test("A namespace whose name is gone lives as long as its daemon, and goes with it")
        func name() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                b.host.remove()
                #expect(!FileManager.default.fileExists(atPath: "/run/netns/\(b.host.namespace)"))
                #expect(try stage.answers(b.host.innerIPv4, from: a.host))
                #expect(try b.end(SIGTERM) == 0)
                try a.event("session.ended") { $0["reason"] == "closed_by_peer" }
                // The other end of the cable goes when nobody holds the namespace any more.
                try DemoProcess.wait(20, for: "the end of the namespace") {
                    (try? a.host.ip("-n", a.host.namespace, "link", "show", "dev", DemoHost.cable)) == nil
                }
                #expect(try a.load(over: 1) < Self.quiet)
            }
        }
    }
}
