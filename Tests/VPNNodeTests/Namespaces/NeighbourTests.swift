// SPDX-License-Identifier: Apache-2.0
// CVE-2019-14899: a neighbour on a cable sends packets to the tunnel's inner address beside the tunnel. With the table of `pqvpn up`
// this host is silent; without it the same packets are answered, so that the silence means something.
//
//     host c, the neighbour ── outer1 ── host a: pqvpn0 ══ outer0 ── host b, the peer
import Foundation
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Neighbours")
    struct Neighbours {
        @Test("A neighbour's packets for inner addresses get no answer, while the peer's and the host's own do")
        func silence() throws {
            try Stage.perform(hosts: 3) { stage in
                let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                let neighbour = stage.hosts[2]
                try a.befriend(b, endpoint: b.host.endpoint(.ipv4))
                try b.befriend(a)
                try b.start()
                let client = try StageClient(a, on: stage)
                defer { client.clear() }
                let inner = [a.host.innerIPv4, a.host.innerIPv6]
                let network = Stage.outerNetworks[1]
                for (address, gateway) in zip(inner, ["10.\(network).0.1", "fd\(network)::1"]) {
                    try neighbour.ip(["-n", neighbour.namespace, "route", "add", address, "via", gateway])
                }
                try DemoProcess.wait(10, for: "all addresses") {
                    try client.tool(["ip", "-6", "address", "show", "tentative"]).isEmpty
                }
                let before = try client.snapshot()
                try client.up()
                let table = InnerFence.table(DemoHost.interface)
                for address in inner {
                    #expect(try stage.answers(address, from: b.host), "the peer")
                    #expect(try stage.answers(address, from: a.host), "this host")
                    #expect(try stage.ping(address, from: neighbour)?.received == 0, "\(address)")
                }
                let rules = try client.tool(["nft", "list", "table", "inet", table])
                #expect(rules.contains("packets 3"))
                // The neighbour is no stranger otherwise.
                #expect(try stage.answers("10.\(network).0.1", from: neighbour))

                try client.tool(["nft", "delete", "table", "inet", table])
                for address in inner { #expect(try stage.answers(address, from: neighbour), "\(address)") }
                try client.run("down")
                #expect(try client.snapshot() == before)
            }
        }

        @Test(
            "A neighbour that asks by ARP is not told of inner addresses, and is where the host's setting is taken back"
        )
        func questions() throws {
            try Stage.perform(hosts: 3) { stage in
                let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                let neighbour = stage.hosts[2]
                try a.befriend(b, endpoint: b.host.endpoint(.ipv4))
                try b.befriend(a)
                try b.start()
                let client = try StageClient(a, on: stage)
                defer { client.clear() }
                let inner = a.host.innerIPv4
                try neighbour.ip(["-n", neighbour.namespace, "route", "add", inner, "dev", "outer1"])
                func isTold() throws -> Bool {
                    try neighbour.ip(["-n", neighbour.namespace, "neigh", "flush", "dev", "outer1"])
                    _ = try stage.ping(inner, from: neighbour, count: 1)
                    return try neighbour.ip(["-n", neighbour.namespace, "neigh", "show", inner]).contains("lladdr")
                }
                func set(_ value: Int) throws {
                    try client.tool(["/bin/sh", "-c", "echo \(value) > \(HostPlaces().arpSetting)"])
                }
                try set(0)
                try DemoProcess.wait(10, for: "all addresses") {
                    try client.tool(["ip", "-6", "address", "show", "tentative"]).isEmpty
                }
                let before = try client.snapshot()
                try client.up()
                #expect(try !isTold())
                // The neighbour is no stranger otherwise, and the peer is reached.
                #expect(try stage.answers("10.\(Stage.outerNetworks[1]).0.1", from: neighbour))
                #expect(try stage.answers(b.host.innerIPv4, from: a.host))
                try set(0)
                #expect(try isTold())
                try set(1)
                try client.run("down")
                #expect(try client.snapshot() == before)
                #expect(try client.tool(["cat", HostPlaces().arpSetting]).hasPrefix("0"))
            }
        }
    }
}
