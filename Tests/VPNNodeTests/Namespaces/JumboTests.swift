// SPDX-License-Identifier: Apache-2.0
// Cables that are wider than Ethernet, and routes that are narrower than their cable.
//
//     host a: pqvpn0 ══ outer0 ── 9000 bytes ── outer0 ══ pqvpn0: host b
import Foundation
import Testing
import VPNCore

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Wide cables")
    struct WideCables {
        private static let wide = 9000
        private static let narrow = 1400
        /// So near the search comes.
        private static let step = 24

        private func inner(_ path: Int) -> Int { Limits.innerMTU(path: path, isV4: true) }

        private func pair(_ stage: Stage, narrowed: Bool = false) throws -> (StageNode, StageNode) {
            for host in stage.hosts {
                try host.ip("-n", host.namespace, "link", "set", DemoHost.cable, "mtu", "\(Self.wide)")
            }
            if narrowed { try narrow(stage.hosts[0]) }
            let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
            try a.befriend(b, endpoint: b.host.endpoint(.ipv4))
            try b.befriend(a)
            // Nobody's address is known to it beforehand.
            b.configuration.extraTunnelKeys = "mtu: \(inner(Self.wide))"
            try b.start()
            try a.start()
            try stage.reach(b.host.innerIPv4, from: a.host)
            return (a, b)
        }

        /// What the host's operator says that the way to the other one is.
        private func narrow(_ host: DemoHost) throws {
            try host.ip(
                "-n", host.namespace, "route", "replace", "10.99.0.2/32", "dev", DemoHost.cable, "mtu", "\(Self.narrow)"
            )
        }

        private func mtu(_ node: StageNode) throws -> String? { try node.event("node.listening")["mtu"] }

        @Test("A wide cable carries long packets whole, and is found out about when it becomes narrow")
        func jumbo() throws {
            try Stage.perform { stage in
                let (a, b) = try pair(stage)
                #expect(try mtu(a) == "\(inner(Self.wide))")
                for (from, to) in [(a, b), (b, a)] {
                    try DemoProcess.wait(30, for: "long packets of \(from.name)") {
                        try stage.passes(inner(Self.wide), to: to.host.innerIPv4, from: from.host)
                    }
                    #expect(try !stage.passes(inner(Self.wide) + 1, to: to.host.innerIPv4, from: from.host))
                    #expect(try stage.passes(inner(Self.wide), to: to.host.innerIPv6, from: from.host))
                }
                #expect(try stage.transfer(to: b.host.innerIPv4, of: b.host, from: a.host) > 1e6)
                // The cable shrinks, at both ends; nobody says so but the errors of sockets, and probes that do not come back.
                for host in stage.hosts {
                    try host.ip("-n", host.namespace, "link", "set", DemoHost.cable, "mtu", "\(Self.narrow)")
                }
                try DemoProcess.wait(60, for: "a path that is found to be narrow") {
                    _ = try stage.passes(inner(Self.narrow) - Self.step, to: b.host.innerIPv4, from: a.host)
                    let mtu = a.events("path.mtu").last?["mtu"].flatMap { Int($0) } ?? 0
                    return (inner(Self.narrow) - Self.step...inner(Self.narrow)).contains(mtu)
                }
                #expect(try stage.passes(inner(Self.narrow) - Self.step, to: b.host.innerIPv4, from: a.host))
                #expect(try stage.transfer(to: b.host.innerIPv4, of: b.host, from: a.host) > 1e6)
                #expect(a.events("session.established").count == 1)
            }
        }

        @Test("A route that is narrower than its cable at the start makes the interface as narrow")
        func clamped() throws {
            try Stage.perform { stage in
                let (a, b) = try pair(stage, narrowed: true)
                #expect(try mtu(a) == "\(inner(Self.narrow))")
                let fits = inner(Self.narrow)
                #expect(try stage.passes(fits, to: b.host.innerIPv4, from: a.host))
                #expect(try !stage.passes(fits + 1, to: b.host.innerIPv4, from: a.host))
                #expect(try stage.transfer(to: b.host.innerIPv4, of: b.host, from: a.host) > 1e6)
                let sent = try stage.report(of: a)
                #expect(sent.peers.first?.pathMTU ?? 0 <= fits, "\(sent.peers)")
            }
        }
    }
}
