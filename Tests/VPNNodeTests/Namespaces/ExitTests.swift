// SPDX-License-Identifier: Apache-2.0
// An exit on real kernels: a client, a relay, an exit and a server behind it. What the policy allows goes both ways under the exit's
// address; what it forbids is refused and said so; and the exit's host is as before when the exit has ended.
import Foundation
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Exit")
    struct Exit {
        static let (server4, server6) = ("198.41.1.4", "2606:4700:1::4")

        /// Host a relays, b is the client, c the exit, d what is behind it: a server, a neighbour, and a place of metadata. On e, where
        /// there is one, is another client.
        struct Scene {
            let stage: Stage
            let relay: StageNode
            let client: StageNode
            let exit: StageNode
            let others: [StageNode]
            var server: DemoHost { stage.hosts[3] }

            init(_ stage: Stage, policy: String) throws {
                self.stage = stage
                relay = try stage.node(on: stage.hosts[0])
                client = try stage.node(on: stage.hosts[1])
                exit = try stage.node(on: stage.hosts[2])
                others = try stage.hosts.dropFirst(4).map { try stage.node(on: $0) }
                try DemoHost.connect(stage.hosts[2], stage.hosts[3], by: "uplink0", network: 96)
                let server = stage.hosts[3]
                for address in ["\(Exit.server4)/32", "169.254.169.254/32", "10.50.0.4/32", "\(Exit.server6)/128"] {
                    try server.ip(["-n", server.namespace, "address", "add", address, "dev", "lo"])
                }
                let exitHost = exit.host
                for (network, way) in [
                    ("198.41.1.0/24", "10.96.0.4"), ("169.254.169.254/32", "10.96.0.4"), ("10.50.0.0/24", "10.96.0.4"),
                    ("2606:4700:1::/48", "fd96::4"),
                ] { try exitHost.ip(["-n", exitHost.namespace, "route", "add", network, "via", way]) }
                for (name, value) in [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")] {
                    try stage.run("sysctl", on: exitHost, ["/bin/sh", "-c", "echo \(value) > /proc/sys/net/\(name)"])
                }
                try relay.befriend(
                    exit, endpoint: "10.\(Stage.outerNetworks[1]).0.3:\(StageConfiguration.port)", allowedIPs: [])
                try exit.befriend(relay, allowedIPs: [])
                relay.configuration.extraLines = ["relay: { enabled: true }"]
                exit.configuration.addresses = []
                exit.configuration.extraLines = ["relay: { enabled: true, exit_policy: \(policy) }"]
                for (place, client) in ([client] + others).enumerated() {
                    try relay.befriend(client, allowedIPs: [])
                    let network = Stage.outerNetworks[place == 0 ? 0 : place + 2]
                    try client.befriend(
                        relay, endpoint: "10.\(network).0.1:\(StageConfiguration.port)", allowedIPs: [])
                    try client.pin(exit)
                    client.configuration.addresses = []
                    client.configuration.extraLines = [
                        "  - name: \(exit.name)", "    peer_id: \"\(exit.hexPeerID!)\"", "    via: [\(relay.name)]",
                        "    exit: true",
                        "    allowed_ips: [198.41.1.0/24, 198.41.2.0/24, 169.254.169.254/32, 10.50.0.0/24, 10.66.0.0/16, "
                            + "10.96.0.0/24, \"2606:4700:1::/48\", \"fd66:7071::/64\"]",
                    ]
                }
                // The exit's own port is free on their hosts, for who would like to have it.
                for node in others { node.configuration.port += 1 }
                for node in [exit, relay, client] + others { try node.start() }
                for client in [client] + others { try client.event("circuit.leased") }
            }

            /// What became of a TCP connection from a host, in bash's words; "open" where there is one.
            func connect(_ address: String, _ port: Int, from host: DemoHost? = nil) throws -> String {
                let script = "exec 3<>/dev/tcp/\(address)/\(port) && echo open"
                let outcome = try stage.run(
                    "connect", on: host ?? client.host, ["/usr/bin/timeout", "5", "/bin/bash", "-c", script])
                return outcome.status == 124 ? "silence" : outcome.output.contains("open") ? "open" : outcome.errors
            }

            /// - Parameter addresses: a server each, as an answer by UDP comes from the address that the socket has; none: one
            ///   server for all.
            func listen(on host: DemoHost, port: Int, at addresses: [String] = []) throws {
                for address in addresses.isEmpty ? [""] : addresses {
                    let place = address.isEmpty ? [] : ["-B", address]
                    let name = "iperf3-\(host.letter)-\(port)-\(address.replacing(":", with: "."))"
                    let program = try stage.start(
                        name, on: host, [stage.tools.iperf3, "-s", "-p", "\(port)", "--forceflush"] + place)
                    try DemoProcess.wait(10, for: name) { program.output.contains("listening") }
                }
            }

            func transfer(_ address: String, _ more: [String] = []) throws -> Double {
                let outcome = try stage.run(
                    "iperf3", on: client.host,
                    [stage.tools.iperf3, "-c", address, "-p", "5201", "-t", "1", "--json"] + more)
                return ThroughputResult([UInt8](outcome.output.utf8))?.megabitsPerSecond ?? 0
            }

            /// The address that the exit gave, as the client's interface has it.
            func guestAddress(of node: StageNode? = nil, family: Int = 4) throws -> String {
                let text = try stage.run(
                    "address", on: (node ?? client).host,
                    ["/bin/sh", "-c", "ip -\(family) -o address show dev \(DemoHost.interface) scope global"]
                ).output
                let words = text.split(separator: " ")
                guard let place = words.firstIndex(of: family == 4 ? "inet" : "inet6") else {
                    throw NodeFailure(.failure, "no lease: \(text)")
                }
                return String(words[place + 1].prefix { $0 != "/" })
            }

            func rules(on host: DemoHost) throws -> String {
                try stage.run("nft", on: host, ["/usr/sbin/nft", "list", "ruleset"]).output
            }
        }

        @Test("Pings, TCP and UDP of both families go through the exit, and what its policy forbids is refused")
        func traffic() throws {
            try Stage.perform(hosts: 4) { stage in
                let scene = try Scene(stage, policy: "[\"accept icmp/*\", \"accept *:5201\"]")
                let lease = try #require(scene.client.events("circuit.leased").first)
                #expect(lease["mtu"] != nil)
                try stage.reach(Exit.server4, from: scene.client.host)
                #expect(try stage.answers(Exit.server4, from: scene.client.host))
                #expect(try stage.answers(Exit.server6, from: scene.client.host))
                try scene.listen(
                    on: scene.server, port: 5201, at: [Exit.server4, Exit.server6, "169.254.169.254", "10.50.0.4"])
                try scene.listen(on: scene.server, port: 82)
                try scene.listen(on: scene.exit.host, port: 2222)
                try scene.listen(on: scene.exit.host, port: 5201)
                for address in [Exit.server4, Exit.server6] {
                    #expect(try scene.transfer(address) > 0, "\(address)")
                    #expect(try scene.transfer(address, ["-u", "-b", "1M"]) > 0, "UDP \(address)")
                }
                // Refused in words: by the fence that a packet meets first.
                #expect(try scene.connect(Exit.server4, 82).contains("No route to host"))
                #expect(try scene.connect(Exit.server6, 82).contains("Permission denied"))
                // Where nothing is to be had at any port: metadata, neighbours, the exit by each of its addresses, guests.
                for address in ["169.254.169.254", "10.50.0.4", "10.96.0.4", "10.96.0.3", "10.66.0.1", "10.66.77.77"] {
                    for port in [5201, 2222] {
                        #expect(try scene.connect(address, port).contains("No route to host"), "\(address) \(port)")
                    }
                }
                #expect(try scene.connect("fd66:7071::1", 5201).contains("Permission denied"))
                // They are there for those who may: the silence above means something.
                for address in ["169.254.169.254", "10.50.0.4"] {
                    #expect(try scene.connect(address, 5201, from: scene.exit.host) == "open", "\(address)")
                }
                #expect(try scene.connect("10.96.0.3", 2222, from: scene.server) == "open")
                // Nobody comes to a guest unasked.
                let server = scene.server
                try server.ip(["-n", server.namespace, "route", "add", "10.66.0.0/16", "via", "10.96.0.3"])
                let guest = try scene.guestAddress()
                #expect(try stage.ping(guest, from: server)?.received == 0)
                #expect(scene.client.events("session.ended").isEmpty)
            }
        }

        @Test("allow-all is everything public but mail; a foreign source does not leave the client")
        func everything() throws {
            try Stage.perform(hosts: 4) { stage in
                let scene = try Scene(stage, policy: "allow-all")
                try stage.reach(Exit.server4, from: scene.client.host)
                try scene.listen(on: scene.server, port: 25)
                try scene.listen(on: scene.server, port: 8080)
                #expect(try scene.connect(Exit.server4, 8080) == "open")
                #expect(try scene.connect(Exit.server6, 8080) == "open")
                #expect(try scene.connect(Exit.server4, 25).contains("No route to host"))
                #expect(try scene.connect("10.50.0.4", 8080).contains("No route to host"))
                let host = scene.client.host
                try host.ip(["-n", host.namespace, "address", "add", "10.66.200.200/32", "dev", DemoHost.interface])
                #expect(try stage.ping(Exit.server4, from: host, source: "10.66.200.200")?.received == 0)
                #expect(try stage.answers(Exit.server4, from: host))
            }
        }

        @Test("Neighbours of the exit are reached by name alone, whatever addresses they have")
        func neighbours() throws {
            try Stage.perform(hosts: 4) { stage in
                let scene = try Scene(stage, policy: "[\"accept 198.41.2.4:8080\", \"accept *\"]")
                try stage.reach(Exit.server4, from: scene.client.host)
                for port in [8080, 8081] { try scene.listen(on: scene.server, port: port) }
                for (host, address) in [(scene.server, "198.41.2.4/24"), (scene.exit.host, "198.41.2.3/24")] {
                    try host.ip(["-n", host.namespace, "address", "add", address, "dev", "uplink0"])
                }
                try scene.exit.event("exit.addresses") { $0["links"] == "1" }
                #expect(try scene.connect("198.41.2.4", 8080) == "open")
                #expect(try scene.connect("198.41.2.4", 8081).contains("No route to host"))
                #expect(try scene.connect("198.41.2.4", 8081, from: scene.exit.host) == "open")
                // Whoever is behind a gateway is no neighbour.
                #expect(try scene.connect(Exit.server4, 8081) == "open")
            }
        }

        @Test("What a reload puts behind a peer is closed to guests at once")
        func reloadedPeers() throws {
            try Stage.perform(hosts: 4) { stage in
                let scene = try Scene(stage, policy: "allow-all")
                try stage.reach(Exit.server4, from: scene.client.host)
                try scene.listen(on: scene.server, port: 8080)
                #expect(try scene.connect(Exit.server4, 8080) == "open")
                #expect(try !scene.rules(on: scene.exit.host).contains(Exit.server4))
                scene.exit.configuration.peers[0].allowedIPs = ["\(Exit.server4)/32"]
                try scene.exit.reload()
                #expect(try scene.rules(on: scene.exit.host).contains(Exit.server4))
                #expect(try scene.connect(Exit.server4, 8080).contains("No route to host"))
                scene.exit.configuration.peers[0].allowedIPs = []
                try scene.exit.reload()
                #expect(try scene.connect(Exit.server4, 8080) == "open")
            }
        }

        @Test("The table is replaced after a crash and gone after a stop, and nobody else's is touched")
        func table() throws {
            try Stage.perform(hosts: 4) { stage in
                let scene = try Scene(stage, policy: "allow-all")
                let host = scene.exit.host
                try stage.run("nft", on: host, ["/usr/sbin/nft", "add", "table", "inet", "foreign"])
                try stage.reach(Exit.server4, from: scene.client.host)
                #expect(try scene.rules(on: host).contains("table inet pqvpn_exit"))
                try scene.exit.end(SIGKILL)
                #expect(try scene.rules(on: host).contains("table inet pqvpn_exit"))
                scene.exit.configuration.extraLines = ["relay: { enabled: true, exit_policy: \"accept *:7777\" }"]
                try scene.exit.start()
                let rules = try scene.rules(on: host)
                #expect(rules.contains("7777") && rules.contains("table inet foreign"))
                #expect(rules.ranges(of: "table inet pqvpn_exit").count == 1)
                try scene.exit.end()
                let after = try scene.rules(on: host)
                #expect(!after.contains("pqvpn_exit") && after.contains("table inet foreign"))
            }
        }
    }
}
