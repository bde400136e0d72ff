// SPDX-License-Identifier: Apache-2.0
// A tunnel through a tunnel between the same two hosts: each of the four daemons knows only its own.
//
//     host a: pqvpn1 ══ pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0 ══ pqvpn1: host b
import Foundation
import Testing
import VPNCore

@testable import VPNNode

extension NamespaceTests {
    @Suite("Nested tunnels")
    struct NestedTunnels {
        private static let port = 9001
        /// So near the search for what fits comes.
        private static let step = 16

        @Test("A tunnel through a tunnel carries what fits, and everything of TCP")
        func nested() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                let inner = try stage.hosts.map { host in
                    let node = try stage.node(on: host)
                    node.configuration.addresses = ["10.78.0.\(host.number)/24", "fd78::\(host.number)/64"]
                    node.configuration.extraTunnelKeys = "interface: pqvpn1"
                    node.configuration.port = Self.port
                    return node
                }
                func allowed(_ node: StageNode) -> [String] {
                    ["10.78.0.\(node.host.number)/32", "fd78::\(node.host.number)/128"]
                }
                let endpoint = "\(b.host.innerIPv4):\(Self.port)"
                try inner[0].befriend(inner[1], endpoint: endpoint, allowedIPs: allowed(inner[1]))
                try inner[1].befriend(inner[0], allowedIPs: allowed(inner[0]))
                for node in inner.reversed() { try node.start() }
                try stage.reach("10.78.0.2", from: a.host)
                let session = try inner[0].event("session.established")
                #expect(session["endpoint"] == endpoint)

                // What the outer tunnel takes is what both of its ends say, and a layer less is left.
                let outer = try [a, b].map { try #require($0.event("node.listening")["mtu"].flatMap { Int($0) }) }
                let limit = Limits.innerMTU(path: try #require(outer.min()), isV4: true)
                var fits = 0
                try DemoProcess.wait(30, for: "both ends that know what fits") {
                    let found = inner.map { $0.events("path.mtu").last?["mtu"].flatMap { Int($0) } ?? 0 }
                    fits = try #require(found.min())
                    return found.allSatisfy { (limit - Self.step...limit).contains($0) }
                }
                let before = try stage.counts(of: a.host).tx
                for address in ["10.78.0.2", "fd78::2"] {
                    #expect(try stage.passes(fits, to: address, from: a.host), "\(fits) to \(address)")
                    #expect(try !stage.passes(limit + 1, to: address, from: a.host), "\(address)")
                    #expect(try stage.transfer(to: address, of: b.host, from: a.host) > 1e6, "TCP to \(address)")
                }
                // What may be fragmented is, and arrives.
                let large = [stage.tools.ping, "-n", "-c", "3", "-i", "0.2", "-W", "2", "-s", "4000", "10.78.0.2"]
                #expect(PingResult(try stage.run("large", on: a.host, large).output)?.received == 3)
                let after = try stage.counts(of: a.host).tx
                #expect(after.bytes - before.bytes > 2_000_000, "all of it went by the outer tunnel")

                // The outer one is made anew under the inner one, which keeps its session.
                #expect(try a.end() == 0)
                try a.start()
                try stage.reach("10.78.0.2", from: a.host, within: 60)
                #expect(inner[0].events("session.established").count == 1)
            }
        }
    }
}
