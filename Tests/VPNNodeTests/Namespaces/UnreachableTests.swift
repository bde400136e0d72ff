// SPDX-License-Identifier: Apache-2.0
// A destination of no peer: whoever sends there is told at once, on the host itself and behind it, and nothing of it leaves.
//
//     host c, a client ── outer1 ── host a: pqvpn0 ══ outer0 ══ pqvpn0: host b
import Foundation
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Unreachable destinations")
    struct Unreachable {
        private func complaint(_ address: String, from host: DemoHost, _ stage: Stage) throws -> String {
            // It would wait so long for an answer; a complaint ends it.
            let command = [stage.tools.ping, "-n", "-c", "1", "-W", "20", address]
            let (began, outcome) = (Date(), try stage.run("ping", on: host, command))
            #expect(Date().timeIntervalSince(began) < 10, "\(address): \(outcome.output)")
            return outcome.output
        }

        @Test("The sender of a packet for nobody is told at once, wherever it is")
        func told() throws {
            try Stage.perform(hosts: 3) { stage in
                let (a, b) = try stage.pair()
                let client = stage.hosts[2]
                try stage.reach(b.host.innerIPv4, from: a.host)
                for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                    try stage.tool("sh", "-c", "echo 1 > /proc/sys/net/\(setting)", on: a.host)
                }
                try client.ip("-n", client.namespace, "route", "add", "10.77.0.0/24", "via", "10.98.0.1")
                try client.ip("-n", client.namespace, "-6", "route", "add", "fd77::/64", "via", "fd98::1")
                let sight = try DemoCapture(
                    "unreachable", on: DemoHost.cable, of: b.host, tools: stage.tools, limit: 1000)
                defer { sight.stop() }
                for host in [a.host, client] {
                    let words = try complaint("10.77.0.99", from: host, stage)
                    #expect(
                        words.contains("From 10.77.0.99") && words.contains("Destination Host Unreachable"), "\(words)")
                    let words6 = try complaint("fd77::99", from: host, stage)
                    #expect(
                        words6.contains("From fd77::99")
                            && words6.contains("Destination unreachable: Address unreachable"),
                        "\(words6)")
                }
                // Which a program that waits for a connection hears of: it would wait for two minutes.
                let connection = try stage.run(
                    "connect", on: a.host, ["/bin/bash", "-c", "exec 3<> /dev/tcp/10.77.0.99/80"], within: 20)
                #expect(connection.errors.contains("No route to host"), "\(connection.errors)")
                #expect(try sight.finish().count(containing: [10, 77, 0, 99]) == 0)
                // Nobody is told anything of what does arrive.
                #expect(
                    try stage.answers(b.host.innerIPv4, from: a.host) && stage.answers(b.host.innerIPv6, from: a.host))
            }
        }
    }
}
