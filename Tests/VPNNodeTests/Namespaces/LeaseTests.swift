// SPDX-License-Identifier: Apache-2.0
// What an exit gives its guest, on the guest's host: name servers, MTU, addresses and sources of routes, through a whole life with
// `pqvpn up`, beside a network that would like to be asked instead.
//
//     host d, the neighbour ── uplink0 ── host b, the guest ══ host a, the relay ══ host c, the exit
import Foundation
import Glibc
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Lease")
    struct Lease {
        private static let network = 96

        private struct Scene {
            let stage: Stage
            let relay: StageNode
            let exit: StageNode
            let client: StageClient
            var host: DemoHost { client.node.host }
            var neighbour: DemoHost { stage.hosts[3] }

            init(_ stage: Stage) throws {
                self.stage = stage
                relay = try stage.node(on: stage.hosts[0])
                let guest = try stage.node(on: stage.hosts[1])
                exit = try stage.node(on: stage.hosts[2])
                try DemoHost.connect(stage.hosts[1], stage.hosts[3], by: "uplink0", network: Lease.network)
                try relay.befriend(
                    exit, endpoint: "10.\(Stage.outerNetworks[1]).0.3:\(StageConfiguration.port)", allowedIPs: [])
                try relay.befriend(guest, allowedIPs: [])
                try exit.befriend(relay, allowedIPs: [])
                try guest.befriend(
                    relay, endpoint: "10.\(Stage.outerNetworks[0]).0.1:\(StageConfiguration.port)", allowedIPs: [])
                try guest.pin(exit)
                relay.configuration.extraLines = ["relay: true"]
                exit.configuration.addresses = []
                // It has an address of its own as well, which the exit would not take for a source.
                guest.configuration.extraTunnelKeys =
                    "allow_lan: [10.64.0.0/10, \"fd\(Lease.network)::/64\"]"
                guest.configuration.extraLines = [
                    "  - name: \(exit.name)", "    peer_id: \"\(exit.hexPeerID!)\"", "    via: [\(relay.name)]",
                    "    exit: true", "    allowed_ips: [0.0.0.0/0, \"::/0\"]",
                    "dns: { mode: file }",
                ]
                client = try StageClient(guest, on: stage)
                // A network that says that the exit's is here.
                for network in ["10.66.0.0/16", "10.67.0.0/16"] {
                    try host.ip([
                        "-n", host.namespace, "route", "add", network, "via", "10.\(Lease.network).0.4",
                    ])
                }
                try relay.start()
            }

            func startExit(_ number: Int, mtu: Int) throws {
                exit.configuration.extraTunnelKeys = "mtu: \(mtu)"
                exit.configuration.extraLines = [
                    "relay: { enabled: true, exit_policy: [\"accept self:53\", \"accept icmp/self\"] }",
                    "exit: { networks: [10.\(number).0.0/16, \"fd\(number):7071::/64\"], dns: [10.\(number).0.1] }",
                ]
                try exit.start()
                // Whoever asks it for names is answered by the same words.
                _ = try stage.start(
                    "names-\(number)", on: exit.host,
                    [
                        "python3", "-c",
                        """
                        import socket
                        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        s.bind(("10.\(number).0.1", 53))
                        while True: s.sendto(*s.recvfrom(2000))
                        """,
                    ])
            }

            /// Waits until the exit answers a question for a name.
            func ask(_ server: String) throws {
                try DemoProcess.wait(30, for: "a name server's answer, \(server)") {
                    let outcome = try stage.run(
                        "ask", on: host,
                        [
                            "python3", "-c",
                            """
                            import socket
                            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                            s.settimeout(1)
                            s.connect(("\(server)", 53))
                            s.send(b"who")
                            assert s.recv(9) == b"who"
                            """,
                        ])
                    return outcome.status == 0
                }
            }

            var resolver: String { (try? String(contentsOfFile: client.resolverFile, encoding: .utf8)) ?? "" }

            func waitForNames(_ text: String) throws {
                try DemoProcess.wait(60, for: "\(text) in resolv.conf") { resolver.contains(text) }
            }

            /// Where a packet of a program's goes that has chosen no source.
            func route(_ address: String) throws -> String { try client.tool(["ip", "route", "get", address]) }

            /// The same of a question for a name.
            func way(_ server: String) throws -> String {
                try client.tool(["ip", "route", "get", server, "ipproto", "udp", "dport", "53"])
            }

            /// The addresses that the exit gave.
            func leased() throws -> [String] {
                try ["-4", "-6"].flatMap { family in
                    try client.tool(["ip", family, "-o", "address", "show", "dev", DemoHost.interface])
                        .split(separator: "\n").compactMap { line in
                            let words = line.split(separator: " ").map(String.init)
                            guard let place = words.firstIndex(where: { $0 == "inet" || $0 == "inet6" }) else {
                                return nil
                            }
                            let address = String(words[place + 1].prefix { $0 != "/" })
                            return address.hasPrefix("10.77.") || address.hasPrefix("fd77:") ? nil : address
                        }
                }
            }

            /// All that an exit gave is there, and no neighbour may ask for it.
            func expectSettled(_ number: Int, mtu: Int, _ phase: String, servers: Bool = true) throws {
                var addresses: [String] = []
                try DemoProcess.wait(10, for: "both addresses, \(phase)") {
                    addresses = try leased()
                    return addresses.count == 2
                }
                #expect(addresses[0].hasPrefix("10.\(number).") && addresses[1].hasPrefix("fd\(number):"), "\(phase)")
                for (address, source) in [
                    (servers ? "10.\(number).0.1" : "203.0.113.8", addresses[0]), ("203.0.113.7", addresses[0]),
                    ("2001:db8::7", addresses[1]),
                ] {
                    let route = try address.hasPrefix("10.") ? way(address) : route(address)
                    #expect(
                        route.contains("dev \(DemoHost.interface) ") && route.contains("src \(source) "),
                        "\(phase): \(route)")
                }
                let link = try client.tool(["ip", "link", "show", DemoHost.interface])
                #expect(link.contains("mtu \(mtu) "), "\(phase): \(link)")
                let table = try client.tool(["nft", "list", "table", "inet", InnerFence.table(DemoHost.interface)])
                for address in addresses { #expect(table.contains(address), "\(phase): \(table)") }
            }

            func circuit(_ words: String...) throws {
                let outcome = try stage.run(
                    "circuit", on: host, [stage.pqvpn, "circuit"] + words, environment: client.node.environment)
                guard outcome.status == 0 else { throw NodeFailure(.failure, outcome.errors) }
            }
        }

        @Test("Names, MTU, addresses and sources follow the exit's word, and nothing goes elsewhere in between")
        func life() throws {
            try Stage.perform(hosts: 4) { stage in
                let scene = try Scene(stage)
                let client = scene.client
                defer { client.clear() }
                try scene.startExit(66, mtu: 1300)
                try DemoProcess.wait(10, for: "all addresses") {
                    try client.tool(["ip", "-6", "address", "show", "tentative"]).isEmpty
                }
                let before = try client.snapshot()
                try client.up()
                try scene.waitForNames("nameserver 10.66.0.1\n")
                try scene.expectSettled(66, mtu: 1300, "first")
                // With the address of its own for a source it would get none.
                try scene.ask("10.66.0.1")
                // Questions alone: whatever else has that address here stays here.
                #expect(try !scene.route("10.66.0.1").contains("dev \(DemoHost.interface) "))

                // CVE-2019-14899, at an address that came later than the table.
                let (neighbour, network) = (scene.neighbour, Lease.network)
                let addresses = try scene.leased()
                for (address, gateway) in zip(addresses, ["10.\(network).0.2", "fd\(network)::2"]) {
                    try neighbour.ip(["-n", neighbour.namespace, "route", "add", address, "via", gateway])
                    #expect(try stage.ping(address, from: neighbour)?.received == 0)
                    let element = [
                        "element", "inet", InnerFence.table(DemoHost.interface),
                        address.contains(":") ? "inner6" : "inner4", "{ \(address) }",
                    ]
                    try client.tool(["nft", "delete"] + element)
                    #expect(try stage.answers(address, from: neighbour), "without its element")
                    try client.tool(["nft", "add"] + element)
                }

                // Another path: nothing changes.
                try scene.circuit("renew", scene.exit.name)
                try DemoProcess.wait(30, for: "another path") {
                    let report = try stage.run(
                        "circuits", on: scene.host, [stage.pqvpn, "circuits", "--json"],
                        environment: client.node.environment
                    ).output
                    #expect(scene.resolver.contains("nameserver 10.66.0.1\n"))
                    let circuits = try JSONDecoder().decode(CircuitsReport.self, from: Data(report.utf8)).circuits
                    return circuits.first { $0.name == scene.exit.name }?.replaced == 1
                }
                #expect(try scene.leased() == addresses)
                try scene.ask("10.66.0.1")

                // Somebody takes the address away: Linux takes the route with it whose source it was.
                try scene.host.ip(
                    "-n", scene.host.namespace, "address", "delete", "\(addresses[0])/32", "dev", DemoHost.interface)
                #expect(try scene.route("203.0.113.7").contains("dev \(DemoHost.interface) "))

                // The exit is gone: nobody else is asked for names, and packets go nowhere else.
                #expect(try scene.exit.end(SIGKILL) == 128 + SIGKILL)
                try DemoProcess.wait(30, for: "the end of the lease") { try scene.leased().isEmpty }
                for address in ["10.66.0.1", "203.0.113.7", "2001:db8::7"] {
                    let route = try address.hasPrefix("10.") ? scene.way(address) : scene.route(address)
                    #expect(route.contains("dev \(DemoHost.interface) "), "\(route)")
                }
                #expect(scene.resolver.contains("nameserver 10.66.0.1\n"))
                #expect(
                    try !client.tool(["nft", "list", "table", "inet", InnerFence.table(DemoHost.interface)])
                        .contains(addresses[0]))

                // It is back with other words.
                try scene.startExit(67, mtu: 1290)
                try scene.waitForNames("nameserver 10.67.0.1\n")
                try scene.expectSettled(67, mtu: 1290, "the exit's other words")
                #expect(try !client.tool(["ip", "rule"]).contains("10.66.0.1"))
                try scene.ask("10.67.0.1")

                // Another interface has all of it again.
                try scene.host.ip("-n", scene.host.namespace, "link", "delete", DemoHost.interface)
                try DemoProcess.wait(30, for: "another interface") { scene.host.hasInterface }
                try scene.expectSettled(67, mtu: 1290, "another interface")
                try scene.ask("10.67.0.1")

                // Nobody wants the circuit any more.
                try scene.circuit("close", scene.exit.name)
                try DemoProcess.wait(30, for: "the host's own names") { scene.resolver == "nameserver 192.0.2.1\n" }
                #expect(try scene.leased().isEmpty)
                #expect(try !client.tool(["ip", "link", "show", DemoHost.interface]).contains("mtu 1290 "))
                try client.run("down")
                #expect(try client.snapshot() == before)
            }
        }

        @Test("What was told is taken back after a crash, and what the operator named goes before")
        func crash() throws {
            try Stage.perform(hosts: 4) { stage in
                let scene = try Scene(stage)
                defer { scene.client.clear() }
                try scene.startExit(66, mtu: 1300)
                try DemoProcess.wait(10, for: "all addresses") {
                    try scene.client.tool(["ip", "-6", "address", "show", "tentative"]).isEmpty
                }
                let before = try scene.client.snapshot()
                try scene.client.up()
                try scene.waitForNames("nameserver 10.66.0.1\n")
                try scene.client.signal(SIGKILL)
                #expect(scene.resolver.contains("nameserver 10.66.0.1\n"))
                try scene.client.run("down")
                #expect(try scene.client.snapshot() == before)

                scene.client.node.configuration.extraLines.removeLast()
                scene.client.node.configuration.extraLines.append("dns: { mode: file, servers: [10.77.0.9] }")
                try scene.client.up()
                try scene.expectSettled(66, mtu: 1300, "with servers of the operator's", servers: false)
                // A whole round of looking again.
                sleep(6)
                #expect(scene.resolver.contains("nameserver 10.77.0.9\n") && !scene.resolver.contains("10.66.0.1"))
                try scene.client.run("down")
                let after = try scene.client.snapshot()
                #expect(after == before)
            }
        }
    }
}
