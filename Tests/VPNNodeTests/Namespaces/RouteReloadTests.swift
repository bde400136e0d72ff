// SPDX-License-Identifier: Apache-2.0
// SIGHUP where there are interfaces and routes: a running tunnel gets another network, and loses it.
//
//     host a: pqvpn0, its routes ══ outer0 ───── outer0 ══ pqvpn0: host b; SIGHUP at either
import Foundation
import Glibc
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Reload")
    struct Reload {
        private func kernelRoutes(_ node: StageNode) throws -> String {
            try node.host.ip("-n", node.host.namespace, "route", "show", "dev", DemoHost.interface)
                + node.host.ip("-n", node.host.namespace, "-6", "route", "show", "dev", DemoHost.interface)
        }

        @Test("Routes follow allowed_ips while the session goes on, and go with their peer")
        func routes() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                let sessions = a.events("session.established").count
                let before = a.configuration.peers
                a.configuration.peers[0].allowedIPs += ["10.88.0.0/16", "fd88::/32"]
                try a.reload()
                #expect(try kernelRoutes(a).contains("10.88.0.0/16") && kernelRoutes(a).contains("fd88::/32"))
                #expect(try stage.answers(b.host.innerIPv4, from: a.host))
                a.configuration.peers = before
                try a.reload()
                #expect(try !kernelRoutes(a).contains("10.88.0.0/16") && !kernelRoutes(a).contains("fd88::/32"))
                #expect(try stage.answers(b.host.innerIPv4, from: a.host))
                #expect(a.events("session.established").count == sessions)
                a.configuration.peers = []
                try a.reload()
                try b.event("session.ended") { $0["reason"] == "closed_by_peer" }
                #expect(try stage.ping(b.host.innerIPv4, from: a.host)?.received == 0)
                a.configuration.peers = before
                try a.reload()
                try stage.reach(b.host.innerIPv4, from: a.host)
            }
        }

        @Test("A route that cannot be had refuses the whole file")
        func taken() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                try a.host.ip("-n", a.host.namespace, "route", "add", "10.88.0.0/16", "dev", DemoHost.cable)
                a.configuration.peers[0].allowedIPs += ["10.87.0.0/16", "10.88.0.0/16", "10.89.0.0/16"]
                try a.writeConfiguration()
                a.daemon?.send(SIGHUP)
                let refused = try a.event("config.refused")
                #expect(refused["msg"]?.contains("10.88.0.0/16") == true)
                #expect(try !kernelRoutes(a).contains("10.87.") && !kernelRoutes(a).contains("10.89."))
                #expect(try stage.answers(b.host.innerIPv4, from: a.host))
                #expect(a.events("config.reloaded").isEmpty)
            }
        }
    }
}
