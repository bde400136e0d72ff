// SPDX-License-Identifier: Apache-2.0
// A tunnel whose own datagrams are led into it: nothing comes of it but some laps of each packet, and all is well when the cause is gone.
//
//     host a: pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b, with a route for its outer address into a's own pqvpn0
import Foundation
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Loops")
    struct Loops {
        /// Each lap makes a packet longer by 64 bytes, until it is too long for the interface.
        private static let laps = 1500 / 64
        private static let pings = 200

        @Test(
            "An endpoint among the peer's own addresses is reached outside, and a route that loops makes a bounded number of laps"
        )
        func amongAllowed() throws {
            try Stage.perform { stage in
                let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                let allowed = ["\(b.host.innerIPv4)/32", "10.99.0.0/24"]
                try a.befriend(b, endpoint: b.host.endpoint(.ipv4), allowedIPs: allowed)
                try b.befriend(a)
                try b.start()
                try a.start()
                let word = try a.event("config.warning") { $0["msg"]?.contains("10.99.0.0/24") == true }
                #expect(word["msg"]?.contains("into the tunnel") == true)
                try stage.reach(b.host.innerIPv4, from: a.host)
                #expect(try a.host.ip("-n", a.host.namespace, "route", "get", b.host.outerIPv4).contains("dev outer0"))

                let route = ["\(b.host.outerIPv4)/32", "dev", DemoHost.interface]
                try a.host.ip(["-n", a.host.namespace, "route", "add"] + route)
                let before = try stage.counts(of: a.host).tx.packets
                let began = try #require(a.daemon?.processorSeconds)
                let flood = ["-n", "-q", "-f", "-c", "\(Self.pings)", "-W", "1", b.host.innerIPv4]
                let result = PingResult(try stage.run("flood", on: a.host, [stage.tools.ping] + flood).output)
                #expect(result.map { $0.received == 0 } == true, "the route takes everything")
                let laps = try stage.counts(of: a.host).tx.packets - before
                let took = try #require(a.daemon?.processorSeconds) - began
                print("MEASURED: \(laps) laps of \(result?.sent ?? 0) pings, \(took) s of a core")
                #expect(laps > result?.sent ?? 0, "it does loop")
                // What the daemon says itself, a handshake with luck, is among them.
                #expect(laps <= (Self.pings + 100) * Self.laps)
                #expect(try a.load(over: 2) < 0.3, "silence follows")
                try a.host.ip(["-n", a.host.namespace, "route", "delete"] + route)
                try stage.reach(b.host.innerIPv4, from: a.host, within: 60)
                #expect(try stage.answers(a.host.innerIPv4, from: b.host))
            }
        }

        @Test("An endpoint in the tunnel's own network is told, costs nothing, and is mended by a reload")
        func amongOwn() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair { "\($0.innerIPv4):\(StageConfiguration.port)" }
                let word = try a.event("config.warning") {
                    $0["msg"]?.contains("10.77.0.2:9000 is in 10.77.0.0/24") == true
                }
                #expect(word["msg"]?.contains("outside") == true)
                let before = try stage.counts(of: a.host).tx.packets
                #expect(try stage.ping(b.host.innerIPv4, from: a.host)?.received == 0)
                #expect(try a.load(over: 3) < 0.3)
                #expect(try stage.counts(of: a.host).tx.packets - before < 300)
                a.configuration.peers[0].endpoint = b.host.endpoint(.ipv4)
                try a.reload()
                try stage.reach(b.host.innerIPv4, from: a.host, within: 60)
                #expect(try stage.answers(a.host.innerIPv6, from: b.host))
            }
        }
    }
}
