// SPDX-License-Identifier: Apache-2.0
// An interface that somebody sets down while the node runs. The kernel takes its routes and IPv6 addresses away, for
// good: what should go through the tunnel leaves by other routes, in clear, also when the interface is up again.
//
//     host a: pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b, which is set down
import Foundation
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("An interface that is set down")
    struct BouncedInterface {
        private func bring(_ host: DemoHost, _ state: String) throws {
            try host.ip("-n", host.namespace, "link", "set", "dev", DemoHost.interface, state)
        }

        /// Addresses and routes, as the kernel has them; nil while there is no interface.
        private func facts(_ host: DemoHost) -> String? {
            let name = DemoHost.interface
            guard let addresses = try? host.ip("-n", host.namespace, "-br", "address", "show", "dev", name),
                let v4 = try? host.ip("-n", host.namespace, "route", "show", "dev", name),
                let v6 = try? host.ip("-n", host.namespace, "-6", "route", "show", "dev", name)
            else { return nil }
            return addresses + v4 + v6
        }

        @Test("What it had is there again soon after it is up again")
        func bounced() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                let before = try #require(facts(b.host))
                #expect(before.contains(a.host.innerIPv4) && before.contains(b.host.innerIPv6))
                let sessions = b.events("session.established").count
                try bring(b.host, "down")
                try bring(b.host, "up")
                try DemoProcess.wait(30, for: "addresses and routes as before") { facts(b.host) == before }
                try stage.reach(b.host.innerIPv4, from: a.host)
                #expect(try stage.answers(a.host.innerIPv6, from: b.host))
                #expect(b.events("session.established").count == sessions, "sessions know nothing of it")
            }
        }

        @Test("While it is down nobody is told that traffic is protected")
        func down() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                let before = try #require(facts(b.host))
                let report = try stage.report(of: b)
                #expect(report.verdict == .protected && report.tunnel?.isUp == true)
                try bring(b.host, "down")
                // Either it says so, or it has mended it.
                try DemoProcess.wait(30, for: "a word of the node's") {
                    let report = try stage.report(of: b)
                    let isTold = report.verdict != .protected && report.tunnel?.isUp == false
                    return isTold || facts(b.host) == before
                }
            }
        }
    }
}
