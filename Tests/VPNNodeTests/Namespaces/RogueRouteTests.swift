// SPDX-License-Identifier: Apache-2.0
// A network that hands out routes to get at what is in the tunnel, and no lockdown: routes more specific than the tunnel's (TunnelVision),
// networks that it calls its own (LocalNet), and one for the server's own address (ServerIP).
//
//     host a: pqvpn0 ══ outer0 ══ host b, the gateway, the server, and who counts what comes in clear
import Foundation
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Rogue routes")
    struct RogueRoutes {
        private static let hosts4 = ["203.0.113.7", "10.99.0.2", "198.51.100.9"]
        private static let hosts6 = ["2001:db8::7", "fd99::2"]

        @Test("Without a lockdown no route that the network hands out brings a packet past the tunnel")
        func vision() throws {
            guard DemoTools.path(of: "nft") != nil else {
                return print("SKIPPED: \(Test.current?.name ?? ""): there is no nft")
            }
            try Stage.perform { stage in
                let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                try a.befriend(b, endpoint: b.host.endpoint(.ipv4), allowedIPs: ["0.0.0.0/0", "::/0"])
                try b.befriend(a)
                try b.start()
                try a.host.ip("-n", a.host.namespace, "route", "add", "default", "via", b.host.outerIPv4)
                try a.host.ip("-n", a.host.namespace, "-6", "route", "add", "default", "via", b.host.outerIPv6)
                let client = try StageClient(a, on: stage)
                defer { client.clear() }
                try client.up()
                // TunnelVision; ServerIP; LocalNet: an address of the network's on the cable itself.
                for route in ["0.0.0.0/1", "128.0.0.0/1", "203.0.113.7/32"] {
                    try a.host.ip("-n", a.host.namespace, "route", "add", route, "via", b.host.outerIPv4)
                }
                try a.host.ip("-n", a.host.namespace, "route", "add", "\(b.host.outerIPv4)/32", "dev", DemoHost.cable)
                for route in ["2000::/3", "2001:db8::7/128"] {
                    try a.host.ip("-n", a.host.namespace, "-6", "route", "add", route, "via", b.host.outerIPv6)
                }
                try a.host.ip("-n", a.host.namespace, "address", "add", "198.51.100.1/24", "dev", DemoHost.cable)

                let chain = "type filter hook prerouting priority -310; iifname \"\(DemoHost.cable)\""
                let echoes = [
                    "add table inet door { counter four {} ; counter six {} ; chain watch { \(chain) icmp type echo-request "
                        + "counter name four; iifname \"\(DemoHost.cable)\" icmpv6 type echo-request counter name six; } ; }"
                ]
                try stage.tool("nft", echoes[0], on: b.host)
                for address in Self.hosts4 + Self.hosts6 {
                    let way = try a.host.ip("-n", a.host.namespace, "route", "get", address)
                    #expect(way.contains("dev \(DemoHost.interface) "), "\(way)")
                    _ = try stage.ping(address, from: a.host, count: 2)
                }
                // The tunnel's own datagrams do go there, and nothing else does.
                #expect(
                    try stage.answers(b.host.innerIPv4, from: a.host) && stage.answers(b.host.innerIPv6, from: a.host))
                let clear = try stage.tool("nft", "list counters table inet door", on: b.host)
                #expect(clear.components(separatedBy: "packets 0 bytes 0").count == 3, "\(clear)")
                // What counts does count.
                _ = try stage.ping(b.host.outerIPv4, from: a.host, source: DemoHost.cable, count: 1)
                let seen = try stage.tool("nft", "list counters table inet door", on: b.host)
                #expect(seen.contains("packets 1 bytes"), "\(seen)")
                try client.run("down")
            }
        }
    }
}
