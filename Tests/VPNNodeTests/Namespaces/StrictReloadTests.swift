// SPDX-License-Identifier: Apache-2.0
// A host whose reverse path filter is strict, and a reload that leads everything into the tunnel: the peers' answers
// come in as before.
//
//     host a: pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b
import Foundation
import Glibc
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("A strict filter")
    struct StrictReload {
        @Test("A route for everything that comes with a reload does not keep the peers' answers out")
        func everything() throws {
            guard DemoTools.path(of: "nft") != nil else {
                return print("SKIPPED: \(Test.current?.name ?? ""): there is no nft")
            }
            try Stage.perform { stage in
                let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                try a.befriend(b, endpoint: b.host.endpoint(.ipv4), allowedIPs: ["\(b.host.innerIPv4)/32"])
                try b.befriend(a)
                try b.start()
                try a.host.ip("-n", a.host.namespace, "route", "add", "default", "via", b.host.outerIPv4)
                let client = try StageClient(a, on: stage)
                defer { client.clear() }
                for name in ["all", DemoHost.cable] {
                    try client.tool(["sysctl", "-qw", "net.ipv4.conf.\(name).rp_filter=1"])
                }
                try client.up()
                #expect(try stage.answers(b.host.innerIPv4, from: a.host))
                a.configuration.peers[0].allowedIPs = ["0.0.0.0/0"]
                try a.writeConfiguration()
                try client.signal(SIGHUP)
                try DemoProcess.wait(10, for: "the route of the reload") {
                    try client.tool(["ip", "route", "get", "203.0.113.7"]).contains("dev \(DemoHost.interface) ")
                }
                #expect(try stage.answers(b.host.innerIPv4, from: a.host))
                try client.run("down")
            }
        }
    }
}
