// SPDX-License-Identifier: Apache-2.0
// A server with several addresses answers from the one that was called.
//
//     host a: pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b, the server
//             10.99.0.1               10.99.0.2, 10.99.0.42
//             fd99::1                 fd99::2, fd99::42
import Foundation
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("The address that is answered from")
    struct SourceAddress {
        private func giveMore(_ host: DemoHost) throws {
            try host.ip("-n", host.namespace, "address", "add", "10.99.0.42/24", "dev", DemoHost.cable)
            try host.ip("-n", host.namespace, "address", "add", "fd99::42/64", "dev", DemoHost.cable, "nodad")
        }

        /// Routes prefer one address of each family. An answer from that one alone is none to who called the other.
        @Test(
            "Whichever address is called is spoken from",
            arguments: ["10.99.0.2:9000", "10.99.0.42:9000", "[fd99::2]:9000", "[fd99::42]:9000"])
        func answered(endpoint: String) throws {
            try Stage.perform { stage in
                try giveMore(stage.hosts[1])
                let (a, b) = try stage.pair { _ in endpoint }
                try stage.reach(b.host.innerIPv4, from: a.host)
                #expect(try stage.answers(a.host.innerIPv6, from: b.host))
                #expect(try #require(a.events("session.established").first)["endpoint"] == endpoint)
                #expect(a.events("path.moved").isEmpty && b.events("path.moved").isEmpty)
                #expect(try a.end() == 0 && b.end() == 0)
            }
        }

        @Test("An address that the server has no more is no reason to fall silent")
        func lost() throws {
            try Stage.perform { stage in
                let server = stage.hosts[1]
                try giveMore(server)
                let (a, b) = try stage.pair { _ in "10.99.0.42:9000" }
                try stage.reach(server.innerIPv4, from: a.host)
                let sessions = a.events("session.established").count
                try server.ip("-n", server.namespace, "address", "del", "10.99.0.42/24", "dev", DemoHost.cable)
                try stage.reach(a.host.innerIPv4, from: server)
                try a.event("path.moved") { $0["endpoint"] == "10.99.0.2:9000" }
                #expect(try stage.answers(server.innerIPv4, from: a.host))
                #expect(a.events("session.established").count == sessions)
                #expect(try a.end() == 0 && b.end() == 0)
            }
        }
    }
}
