// SPDX-License-Identifier: Apache-2.0
// Floods both ways at once, of which every packet arrives and is counted once, by the daemons as by the kernels.
//
//     host a: pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b, both flooding
import Foundation
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Counted packets")
    struct CountedPackets {
        private static let pings = 2000

        @Test("Four floods at once, of both families and both ways, are counted to the packet and the byte")
        func floods() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                for address in [b.host.innerIPv4, b.host.innerIPv6] { try stage.reach(address, from: a.host) }
                let nodes = [a, b]
                let before = try nodes.map { try stage.report(of: $0).traffic }
                let floods = try [
                    (a, b.host.innerIPv4), (a, b.host.innerIPv6), (b, a.host.innerIPv4), (b, a.host.innerIPv6),
                ]
                .map { node, address in
                    let shape = ["-n", "-q", "-f", "-c", "\(Self.pings)", "-w", "60"]
                    return try stage.start("flood", on: node.host, [stage.tools.ping] + shape + [address])
                }
                for flood in floods {
                    let result = PingResult(try flood.finish(within: 90).output)
                    #expect(result?.sent == Self.pings && result?.received == Self.pings, "\(flood.output)")
                }
                // Questions of this end's two floods and answers to the other's: 84 bytes by IPv4, 104 by IPv6.
                let packets = UInt64(Self.pings * 4)
                let bytes = UInt64(Self.pings * 2 * (84 + 104))
                for (node, before) in zip(nodes, before) {
                    // The kernel says things of its own now and then, into the interface, for no peer.
                    try DemoProcess.wait(20, for: "counts that agree with the kernel's") {
                        let (now, kernel) = (try stage.report(of: node).traffic, try stage.counts(of: node.host))
                        return now.packetsOut == UInt64(kernel.tx.packets) && now.packetsIn == UInt64(kernel.rx.packets)
                    }
                    let now = try stage.report(of: node).traffic
                    #expect(now.packetsIn - before.packetsIn == packets && now.bytesIn - before.bytesIn == bytes)
                    #expect(now.packetsOut - before.packetsOut >= packets && now.bytesOut - before.bytesOut >= bytes)
                    #expect(try node.end() == 0)
                    let totals = try node.event("node.totals")
                    #expect(
                        totals["packets_to_tunnel"] == "\(now.packetsIn)"
                            && totals["bytes_to_tunnel"] == "\(now.bytesIn)")
                }
            }
        }
    }
}
