// SPDX-License-Identifier: Apache-2.0
// The kill switch through a whole life: an application sends numbered packets for IPv4, IPv6 and names all the time, and the
// other end of the cable counts what comes in clear.
//
//     host a: application ── pqvpn0 ══ outer0 ───── outer0: host b, the gateway and the peer, counts at its door
import Foundation
import Glibc
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Lockdown")
    struct LockdownLife {
        /// Three destinations on the Internet, all behind the gateway: numbered packets, as fast as a shell makes them.
        private static let application = """
            exec 9<> <(:); number=0
            while :; do
                number=$((number + 1))
                { echo "packet $number" > /dev/udp/203.0.113.7/7777; } 2>/dev/null
                { echo "packet $number" > /dev/udp/2001:db8::7/7777; } 2>/dev/null
                { echo "packet $number" > /dev/udp/203.0.113.53/53; } 2>/dev/null
                read -rt 0.005 -u 9
            done
            """
        private static let kinds = ["four", "six", "names"]

        /// Counters of the three at a hook, and of everything else that is neither the tunnel's nor a neighbour's.
        private static func counters(_ hook: String, _ match: String) -> String {
            """
            table inet watch {
              counter four {}
              counter six {}
              counter names {}
              counter rest {}
              chain watch {
                type filter hook \(hook) priority -310; policy accept;
                \(match) ip daddr 203.0.113.7 udp dport 7777 counter name four accept
                \(match) ip6 daddr 2001:db8::7 udp dport 7777 counter name six accept
                \(match) udp dport 53 counter name names accept
                \(match) udp sport 9000 accept
                \(match) icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } accept
                \(match) counter name rest
              }
            }

            """
        }

        private final class Watch {
            let client: StageClient
            let host: DemoHost

            init(_ client: StageClient, _ host: DemoHost, hook: String, match: String, directory: String) throws {
                (self.client, self.host) = (client, host)
                let file = "\(directory)/watch-\(hook).nft"
                try Data(counters(hook, match).utf8).write(to: URL(filePath: file))
                try client.tool(["nft", "-f", file], on: host)
            }

            func packets() throws -> [String: Int] {
                let text = try client.tool(["nft", "list", "counters", "table", "inet", "watch"], on: host)
                var counts: [String: Int] = [:]
                var name = ""
                for line in text.split(separator: "\n") {
                    let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
                    if words.first == "counter" { name = words[1] }
                    if words.first == "packets" { counts[name] = Int(words[1]) }
                }
                return counts
            }

            func reset() throws { try client.tool(["nft", "reset", "counters", "table", "inet", "watch"], on: host) }
        }

        @Test("Through start, reload, crash, restart, stop and rogue routes not one packet leaves in clear")
        func life() throws {
            try Stage.perform { stage in
                let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                try a.befriend(b, endpoint: b.host.endpoint(.ipv4), allowedIPs: ["0.0.0.0/0", "::/0"])
                try b.befriend(a)
                try b.start()
                let client = try StageClient(a, on: stage)
                defer { client.clear() }
                try a.host.ip("-n", a.host.namespace, "route", "add", "default", "via", b.host.outerIPv4)
                try a.host.ip("-n", a.host.namespace, "-6", "route", "add", "default", "via", b.host.outerIPv6)

                let door = try Watch(
                    client, b.host, hook: "prerouting", match: "iifname \"\(DemoHost.cable)\"", directory: stage.scratch
                )
                let tried = try Watch(client, a.host, hook: "output", match: "", directory: stage.scratch)
                let script = "\(stage.scratch)/application"
                try Data(Self.application.utf8).write(to: URL(filePath: script))
                let application = try stage.start("application", on: a.host, ["/bin/bash", script])

                /// The application is at it: so many more packets of each kind.
                func more(_ count: Int = 20) throws {
                    let before = try tried.packets()
                    try DemoProcess.wait(20, for: "\(count) packets of the application") {
                        #expect(application.isRunning)
                        let now = try tried.packets()
                        return Self.kinds.allSatisfy { now[$0, default: 0] >= before[$0, default: 0] + count }
                    }
                }
                func expectSilence(_ phase: String) throws {
                    try more()
                    let seen = try door.packets()
                    #expect(seen == ["four": 0, "six": 0, "names": 0, "rest": 0], "\(phase): \(seen)")
                }

                // What the silence below is worth. Packets that wait for a neighbour have passed all filters by then.
                try DemoProcess.wait(20, for: "packets in clear") {
                    let clear = try door.packets()
                    return Self.kinds.allSatisfy { clear[$0, default: 0] >= 20 }
                }

                try client.run("lockdown", "on")
                try door.reset()
                try expectSilence("before the tunnel")

                try client.up()
                try expectSilence("start")
                #expect(try stage.answers(b.host.innerIPv4, from: a.host))

                a.configuration.peers[0].keepaliveSeconds = 1
                try a.writeConfiguration()
                try client.signal(SIGHUP)
                try expectSilence("reload")

                // What a hostile network may hand out: more specific than a default route, down to the very host.
                for route in ["0.0.0.0/1", "128.0.0.0/1", "192.0.0.0/2", "203.0.113.7/32", "203.0.113.53/32"] {
                    try a.host.ip("-n", a.host.namespace, "route", "add", route, "via", b.host.outerIPv4)
                }
                for route in ["::/1", "2000::/3", "2001:db8::7/128"] {
                    try a.host.ip("-n", a.host.namespace, "-6", "route", "add", route, "via", b.host.outerIPv6)
                }
                try expectSilence("rogue routes with the tunnel")
                #expect(try stage.answers(b.host.innerIPv4, from: a.host))

                try client.signal(SIGKILL)
                try expectSilence("crash")
                #expect(!a.host.hasInterface)

                try client.up()
                try expectSilence("restart")
                #expect(try stage.answers(b.host.innerIPv4, from: a.host))

                try client.run("down")
                try expectSilence("stop")

                // A way out that needs nothing of ours.
                try FileManager.default.removeItem(atPath: a.configurationPath)
                let gone = try client.run("lockdown", "off", "--emergency", "--json").output
                #expect(try JSONSchema("lockdown").faults(in: gone) == [] && gone.contains("\"state\":\"off\""))
                try DemoProcess.wait(20, for: "packets in clear again") {
                    let clear = try door.packets()
                    return Self.kinds.allSatisfy { clear[$0, default: 0] >= 20 }
                }
            }
        }

        @Test("With tunnel.lockdown the table comes first and goes last, and is compared and not just looked for")
        func configured() throws {
            try Stage.perform { stage in
                let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                try a.befriend(b, endpoint: b.host.endpoint(.ipv6), allowedIPs: ["0.0.0.0/0", "::/0"])
                try b.befriend(a)
                try b.start()
                a.configuration.extraTunnelKeys =
                    "lockdown: true, exclude_routes: [10.\(Stage.outerNetworks[0]).0.2/32]"
                let client = try StageClient(a, on: stage)
                defer { client.clear() }
                #expect(try client.run("lockdown", "status").output == "lockdown is off\n")
                try client.up()
                #expect(try client.run("lockdown", "status").output.contains("lockdown is on for config"))
                #expect(try stage.answers(b.host.innerIPv6, from: a.host))
                // Excluded on purpose, and the rest of the cable is not, whatever device an application asks for.
                func direct(_ address: String) throws -> Int {
                    try stage.ping(address, from: a.host, source: DemoHost.cable)?.received ?? 0
                }
                #expect(try direct(b.host.outerIPv4) == 3 && direct(b.host.outerIPv6) == 0)

                try client.tool(["nft", "add", "rule", "inet", "pqvpn_lockdown", "output", "accept"])
                #expect(try client.run("lockdown", "status", status: 6).output.contains("DIFFERENT"))
                try client.tool(["nft", "delete", "table", "inet", "pqvpn_lockdown"])
                #expect(try client.run("lockdown", "status", status: 6).output.contains("MISSING"))
                let status = try stage.run(
                    "status", on: a.host, [stage.pqvpn, "status", "--node", a.name], environment: a.environment)
                #expect(status.output.contains("LOCKDOWN_MISSING"), "\(status.output)\(status.errors)")
                let report = try client.run("lockdown", "on", a.configurationPath, "--json").output
                #expect(try JSONSchema("lockdown").faults(in: report) == [])
                #expect(report.contains("\"state\":\"on\"") && report.contains("\"holders\":[\"by hand\",\"config\"]"))
                try client.run("down")
                #expect(try client.run("lockdown", "status").output.contains("lockdown is on for by hand"))
                try client.run("lockdown", "off")
                #expect(try client.run("lockdown", "status").output == "lockdown is off\n")
                #expect(try !client.tool(["nft", "list", "ruleset"]).contains("pqvpn"))
            }
        }
    }
}
