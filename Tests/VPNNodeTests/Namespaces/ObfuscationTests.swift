// SPDX-License-Identifier: Apache-2.0
// `traffic_obfuscation`: the sizes that somebody sees who holds the cable between two hosts.
//
//     host a: pqvpn0 ══ outer0 ──┬── outer0 ══ pqvpn0: host b
//                                └ a capture of all that passes
import Foundation
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Obfuscation")
    struct Obfuscation {
        private static let buckets: Set = [64, 200, 512, 1000]
        /// Every handshake datagram (§3).
        private static let handshakes: Set = [128, 1232]
        /// A cable of 1500 bytes without IPv4 and UDP.
        private static let pathMTU = 1472
        /// What the search for the path's MTU asks for on its way there (§7).
        private static let surveyed: Set = [1252, 1312, 1352, 1372, 1392, 1412, 1432, 1452, 1464]

        private func pair(_ stage: Stage, settings: String) throws -> (StageNode, StageNode) {
            let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
            for node in [a, b] {
                node.configuration.extraLines = [settings]
                // A virtual cable carries a whole train as one packet unless it is told to have none.
                try node.host.ip(
                    "-n", node.host.namespace, "link", "set", DemoHost.cable, "gso_max_segs", "1")
            }
            try a.befriend(b, endpoint: b.host.endpoint(.ipv4), keepalive: 1)
            try b.befriend(a, endpoint: a.host.endpoint(.ipv4), keepalive: 1)
            return (a, b)
        }

        private func capture(_ name: String, _ stage: Stage, on host: DemoHost) throws -> DemoCapture {
            try DemoCapture(
                name, on: DemoHost.cable, of: host, tools: stage.tools, limit: 100_000)
        }

        private func traffic(_ capture: DemoCapture) throws -> OuterTraffic {
            OuterTraffic(try capture.finish(), port: UInt16(StageConfiguration.port))
        }

        /// Pings of many sizes and a TCP transfer, each way.
        private func talk(_ stage: Stage, _ a: StageNode, _ b: StageNode) throws {
            for (from, to) in [(a, b), (b, a)] {
                for size in stride(from: 8, through: 1400, by: 116) {
                    let result = try stage.run(
                        "ping", on: from.host,
                        [stage.tools.ping, "-n", "-c", "1", "-W", "2", "-s", "\(size)", to.host.innerIPv4])
                    #expect(result.status == 0, "\(size) bytes")
                }
                let listener = try stage.start(
                    "iperf3-server", on: to.host, [stage.tools.iperf3, "--server", "--one-off", "--forceflush"])
                try DemoProcess.wait(20, for: "the iperf3 server") { listener.output.contains("listening on") }
                let client = try stage.start(
                    "iperf3-client", on: from.host,
                    [stage.tools.iperf3, "--client", to.host.innerIPv4, "--bytes", "2M", "--json"])
                _ = try client.finish(within: 60)
                listener.stop()
                #expect((ThroughputResult(client.outputBytes)?.bytes ?? 0) > 0)
            }
        }

        @Test("The cable shows buckets, handshake sizes and the path's MTU, from the first datagram to the last")
        func theCableShowsBucketsAndThePathsMTU() throws {
            try Stage.perform { stage in
                let list = Self.buckets.sorted().map(String.init).joined(separator: ", ")
                let (a, b) = try pair(
                    stage,
                    settings: "traffic_obfuscation: { enabled: true, buckets: [\(list)], cover_bytes_per_second: 4000 }"
                )
                let whole = try capture("whole", stage, on: b.host)
                try b.start()
                try a.start()
                try stage.reach(b.host.innerIPv4, from: a.host)
                // The search for the path's MTU is over by then; one that is late would be seen below.
                Thread.sleep(forTimeInterval: 5)
                let settled = try capture("settled", stage, on: b.host)
                try talk(stage, a, b)
                let rekey = try stage.run(
                    "rekey", on: a.host, [stage.pqvpn, "rekey", b.name, "--node", a.name], environment: a.environment)
                #expect(rekey.status == 0, "\(rekey.errors)")
                try talk(stage, a, b)
                let late = try traffic(settled)
                #expect(try a.end() == 0)
                let all = try traffic(whole)
                let final = Self.buckets.union(Self.handshakes).union([Self.pathMTU])
                #expect(Set(all.tunnelSizes.keys).isSubset(of: final.union(Self.surveyed)), "\(all.tunnelSizes)")
                // A renewal may have a token, which needs no datagrams of 128 bytes. No IP packet fits the smallest bucket:
                // what it has is cover traffic, and chance may draw none in so short a time.
                let sizes = Set(late.tunnelSizes.keys)
                #expect(sizes.union([128, 64]) == final, "\(late.tunnelSizes)")
                #expect(all.tunnelSizes[64] != nil, "\(all.tunnelSizes)")
                #expect((late.tunnelSizes[Self.pathMTU] ?? 0) > 1000, "\(late.tunnelSizes)")
                #expect(late.foreign.isEmpty, "\(late.foreign)")
            }
        }

        @Test("Without it the same traffic shows its sizes")
        func withoutItSizesShow() throws {
            try Stage.perform { stage in
                let (a, b) = try pair(stage, settings: "traffic_obfuscation: { enabled: false }")
                let whole = try capture("whole", stage, on: b.host)
                try b.start()
                try a.start()
                try stage.reach(b.host.innerIPv4, from: a.host)
                try talk(stage, a, b)
                let all = try traffic(whole)
                #expect(all.tunnelSizes.count > 20, "\(all.tunnelSizes)")
            }
        }
    }
}
