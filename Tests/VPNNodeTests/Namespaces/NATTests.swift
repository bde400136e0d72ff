// SPDX-License-Identifier: Apache-2.0
// A NAT that forgets in two seconds: who sends keepalives can be spoken to whenever the other end likes, and who does not cannot, until
// it speaks itself.
//
//     host b, the client ── outer0 ── host a, a router that translates and forgets ── outer1 ── host c, the server
import Foundation
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Forgetful NATs")
    struct ForgetfulNATs {
        private static let life = 2
        /// Nobody says anything for so long, but for keepalives.
        private static let silence = 7.0

        @Test(
            "Keepalives hold a short mapping open; without them it goes, and comes back with the client's next packet",
            arguments: [1, 0])
        func silence(keepalive: Int) throws {
            guard DemoTools.path(of: "nft") != nil else {
                return print("SKIPPED: \(Test.current?.name ?? ""): there is no nft")
            }
            try Stage.perform(hosts: 3) { stage in
                let (router, inside, outside) = (stage.hosts[0], stage.hosts[1], stage.hosts[2])
                let chain = "type nat hook postrouting priority 100; oifname \"outer1\" masquerade fully-random;"
                try stage.tool("nft", "add table ip nat { chain out { \(chain) } ; }", on: router)
                for (setting, value) in [
                    ("ipv4/ip_forward", 1), ("netfilter/nf_conntrack_udp_timeout", Self.life),
                    ("netfilter/nf_conntrack_udp_timeout_stream", Self.life),
                ] { try stage.tool("sh", "-c", "echo \(value) > /proc/sys/net/\(setting)", on: router) }
                try inside.ip("-n", inside.namespace, "route", "add", "10.98.0.0/24", "via", "10.99.0.1")
                let (client, server) = (try stage.node(on: inside), try stage.node(on: outside))
                try client.befriend(server, endpoint: "10.98.0.3:9000", keepalive: keepalive)
                try server.befriend(client)
                try server.start()
                try client.start()
                try stage.reach(outside.innerIPv4, from: inside)
                let seen = try #require(server.events("session.established").first?["endpoint"])
                #expect(seen.hasPrefix("10.98.0.1:") && seen != "10.98.0.1:9000", "translated: \(seen)")
                Thread.sleep(forTimeInterval: Self.silence)
                if keepalive > 0 {
                    for address in [inside.innerIPv4, inside.innerIPv6] {
                        #expect(try stage.answers(address, from: outside), "\(address)")
                    }
                    #expect(server.events("path.moved").isEmpty, "it is the same mapping")
                } else {
                    #expect(try stage.ping(inside.innerIPv4, from: outside)?.received == 0)
                    try stage.reach(outside.innerIPv4, from: inside)
                    #expect(try stage.answers(inside.innerIPv4, from: outside))
                    try server.event("path.moved")
                }
                #expect(server.events("session.established").count == 1 && server.events("session.ended").isEmpty)
            }
        }
    }
}
