// SPDX-License-Identifier: Apache-2.0
// Whose packets go where, and whose are dropped, on real kernels. What is dropped must not reach the TUN interface of the
// other side at all, so that is where we look.
//
//     host a: pqvpn0 ─┬─ outer0 ══ host b: pqvpn0
//                     └─ outer1 ══ host c: pqvpn0
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Inner addresses")
    struct Routing {
        @Test("A source address that is not the sender's never arrives, and a destination of nobody goes nowhere")
        func spoofing() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                let addition = ["-n", a.host.namespace, "address", "add"]
                try a.host.ip(addition + ["10.77.0.66/32", "dev", DemoHost.interface])
                try a.host.ip(addition + ["fd77::66/128", "dev", DemoHost.interface, "nodad"])
                let sight = try DemoCapture(
                    "spoofing", on: DemoHost.interface, of: b.host, tools: stage.tools, limit: 1000)
                defer { sight.stop() }
                let forged4 = try stage.ping(b.host.innerIPv4, from: a.host, source: "10.77.0.66")
                let forged6 = try stage.ping(b.host.innerIPv6, from: a.host, source: "fd77::66")
                let lost = try stage.ping("10.77.0.99", from: a.host)
                for result in [forged4, forged6, lost] {
                    #expect(result?.sent == 3)
                    #expect(result?.received == 0)
                }
                // The same two hosts, as they should be: what makes the silence above mean something.
                let honest4 = try stage.ping(b.host.innerIPv4, from: a.host, source: a.host.innerIPv4)
                let honest6 = try stage.ping(b.host.innerIPv6, from: a.host, source: a.host.innerIPv6)
                #expect(honest4?.received == 3)
                #expect(honest6?.received == 3)
                let seen = try sight.finish()
                #expect(seen.count(containing: [10, 77, 0, 1, 10, 77, 0, 2]) >= 3)
                #expect(seen.count(containing: Self.fd77(1) + Self.fd77(2)) >= 3)
                #expect(seen.count(containing: [10, 77, 0, 66]) == 0)
                #expect(seen.count(containing: [10, 77, 0, 99]) == 0)
                #expect(seen.count(containing: Self.fd77(0x66)) == 0)
                #expect(b.events("session.ended").isEmpty)
            }
        }

        @Test("Of two peers' nested networks the longer prefix wins, on the way out and on the way in")
        func nested() throws {
            try Stage.perform(hosts: 3) { stage in
                let nodes = try stage.hosts.map { try stage.node(on: $0) }
                let (a, wide, narrow) = (nodes[0], nodes[1], nodes[2])
                try a.befriend(wide, allowedIPs: ["10.77.0.2/32", "10.88.0.0/16", "fd77::2/128", "fd88::/32"])
                try a.befriend(narrow, allowedIPs: ["10.77.0.3/32", "10.88.1.0/24", "fd77::3/128", "fd88:0:1::/48"])
                for (position, node) in [wide, narrow].enumerated() {
                    let address = "10.\(Stage.outerNetworks[position]).0.1"
                    try node.befriend(a, endpoint: "\(address):\(StageConfiguration.port)")
                }
                // Only the owner of the longer prefix has a right to 10.88.1.1; the other has the address as well.
                wide.configuration.addresses += ["10.88.2.1/32", "10.88.1.1/32", "fd88:0:2::1/128", "fd88:0:1::1/128"]
                narrow.configuration.addresses += ["10.88.1.1/32", "fd88:0:1::1/128"]
                for node in nodes { try node.start() }
                try stage.reach(a.host.innerIPv4, from: wide.host)
                try stage.reach(a.host.innerIPv4, from: narrow.host)

                let sights = try nodes.map { node in
                    try DemoCapture(
                        "nested-\(node.host.letter)", on: DemoHost.interface, of: node.host, tools: stage.tools,
                        limit: 1000)
                }
                defer { for sight in sights { sight.stop() } }
                for address in ["10.88.1.1", "10.88.2.1", "fd88:0:1::1", "fd88:0:2::1"] {
                    #expect(try stage.answers(address, from: a.host), "\(address)")
                }
                // From the side of the shorter prefix, with an address of the longer one. The echoes must not get to a.
                let forged = try stage.ping(a.host.innerIPv4, from: wide.host, source: "10.88.1.1")
                #expect(forged?.sent == 3)
                #expect(forged?.received == 0)
                let seen = try sights.map { try $0.finish() }
                let (toLonger, toShorter) = (Self.echoes(1), Self.echoes(2))
                #expect(seen[1].count(containing: toLonger) == 0)
                #expect(seen[1].count(containing: toShorter) == 3)
                #expect(seen[2].count(containing: toLonger) == 3)
                #expect(seen[2].count(containing: toShorter) == 0)
                // Source 10.88.1.1: the three answers of the peer whose it is, and no forged echo.
                #expect(seen[0].count(containing: [10, 88, 1, 1, 10, 77, 0, 1]) == 3)
            }
        }

        /// Source and destination of a's pings to 10.88.`network`.1, as an IPv4 header has them.
        private static func echoes(_ network: UInt8) -> [UInt8] { [10, 77, 0, 1, 10, 88, network, 1] }

        /// fd77::`number`
        private static func fd77(_ number: UInt8) -> [UInt8] {
            [0xFD, 0x77] + [UInt8](repeating: 0, count: 13) + [number]
        }
    }
}
