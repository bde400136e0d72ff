// SPDX-License-Identifier: Apache-2.0
// A path that is narrower than the cables at its ends, and says nothing about it: the daemons find out by themselves, and
// applications are told what fits.
//
//   host b ── 1500 ── host a, a router that drops all ICMP ── 1400 ── host c
import Foundation
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Paths")
    struct Paths {
        private static let nft = "/usr/sbin/nft"
        private static let narrow = 1400
        /// Of inner packets: without IPv4, UDP and what a layer adds.
        private static let inner = narrow - 20 - 8 - 36

        /// Nodes on the second and the third host, and the first one a router between them.
        private func cross(_ stage: Stage) throws -> (StageNode, StageNode) {
            let (router, near, far) = (stage.hosts[0], stage.hosts[1], stage.hosts[2])
            let networks = Stage.outerNetworks
            let setting = ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]
            #expect(try stage.run("forwarding", on: router, setting).status == 0)
            try near.ip(
                "-n", near.namespace, "route", "add", "10.\(networks[1]).0.0/24", "via", "10.\(networks[0]).0.1")
            try far.ip(
                "-n", far.namespace, "route", "add", "10.\(networks[0]).0.0/24", "via", "10.\(networks[1]).0.1")
            // The router's ends alone. Both, since a virtual cable passes trains whatever their datagrams' size, and only a
            // forwarding kernel looks at it.
            for cable in ["outer0", "outer1"] {
                try router.ip("-n", router.namespace, "link", "set", cable, "mtu", "\(Self.narrow)")
            }
            let rule = "chain outward { type filter hook output priority 0; meta l4proto icmp drop; } ;"
            let silence = try stage.run("silence", on: router, [Self.nft, "add table inet silent { \(rule) }"])
            #expect(silence.status == 0, "\(silence.errors)")
            let (a, b) = (try stage.node(on: near), try stage.node(on: far))
            let address = "10.\(networks[1]).0.\(far.number)"
            try a.befriend(b, endpoint: "\(address):\(StageConfiguration.port)")
            try b.befriend(a)
            try b.start()
            try a.start()
            return (a, b)
        }

        @Test("A router that is narrow and silent is found out about, and everything passes")
        func blackHole() throws {
            guard FileManager.default.isExecutableFile(atPath: Self.nft) else {
                return print("SKIPPED: a silent router: it needs nft")
            }
            try Stage.perform(hosts: 3) { stage in
                let (a, b) = try cross(stage)
                try stage.reach(b.host.innerIPv4, from: a.host)
                for node in [a, b] { try node.event("path.mtu") { $0["mtu"] == "\(Self.inner)" } }
                for (from, to) in [(a, b), (b, a)] {
                    for address in [to.host.innerIPv4, to.host.innerIPv6] {
                        #expect(try stage.passes(Self.inner, to: address, from: from.host), "\(address)")
                        #expect(try !stage.passes(Self.inner + 1, to: address, from: from.host), "\(address)")
                        #expect(try stage.passes(Self.inner - 1, to: address, from: from.host), "\(address)")
                    }
                    // What may be fragmented is, and arrives.
                    let large = [stage.tools.ping, "-n", "-c", "3", "-i", "0.2", "-W", "2", "-s", "4000"]
                    let pings = try stage.run("large", on: from.host, large + [to.host.innerIPv4])
                    #expect(PingResult(pings.output)?.received == 3)
                }
                for address in [b.host.innerIPv4, b.host.innerIPv6] {
                    #expect(try stage.transfer(to: address, of: b.host, from: a.host) > 1e6, "TCP to \(address)")
                }
                #expect(a.events("session.established").count == 1)
                for node in [a, b] { #expect(node.events("path.mtu").last?["mtu"] == "\(Self.inner)") }
            }
        }
    }
}
