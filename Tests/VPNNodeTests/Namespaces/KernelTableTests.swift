// SPDX-License-Identifier: Apache-2.0
// The table of an exit in a kernel, without the daemon that judges first: what a guest's packets come to, compared with what the
// gate in the core says of the same bytes; and what one guest may have of the host. A script writes them to a bare TUN interface.
//
//     guests ┄┄ pqvpn0 ── host a, the exit's kernel and its table ── outer0 ── host b, everybody else
import Foundation
import Glibc
import Testing

@testable import VPNCore
@testable import VPNNode

extension NamespaceTests {
    @Suite("The exit's table")
    struct KernelTable {
        private static let guests = (IPAddress("10.66.0.9")!, IPAddress("fd66:7071::9")!)
        private static let port: UInt16 = 9000

        private struct Scene {
            let stage: Stage
            let python: String
            var exit: DemoHost { stage.hosts[0] }
            var world: DemoHost { stage.hosts[1] }
            let surroundings = ExitSurroundings(
                addresses: [
                    "127.0.0.1", "::1", "10.66.0.1", "fd66:7071::1", "10.99.0.1", "fd99::1",
                ].map { IPAddress($0)! }, port: KernelTable.port,
                closed: ["10.66.0.0/16", "fd66:7071::/64", "10.50.0.0/24", "fd50::/16"].map { try! IPPrefix($0) })

            /// Opens the interface, writes packets, a line each, and leaves it time to think.
            static let injection = """
                import fcntl, os, struct, sys, time
                tun = os.open("/dev/net/tun", os.O_RDWR)
                fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", sys.argv[1].encode(), 0x1001))
                time.sleep(0.3)
                for line in open(sys.argv[2]):
                    os.write(tun, bytes.fromhex(line.strip()))
                    time.sleep(float(sys.argv[3]))
                time.sleep(0.5)
                """

            init(_ stage: Stage, python: String) throws {
                (self.stage, self.python) = (stage, python)
                let (name, interface) = (exit.namespace, DemoHost.interface)
                try exit.ip("-n", name, "tuntap", "add", "dev", interface, "mode", "tun")
                try exit.ip("-n", name, "address", "add", "10.66.0.1/16", "dev", interface)
                try exit.ip("-n", name, "address", "add", "fd66:7071::1/64", "dev", interface, "nodad")
                try exit.ip("-n", name, "link", "set", interface, "up")
                // Whatever the table lets through has a way, special or not.
                for way in ["10.99.0.2", "fd99::2"] {
                    try exit.ip("-n", name, "route", "add", "default", "via", way)
                }
                // Nobody is there to answer, nor to say so: complaints would quote what is counted.
                for family in ["-4", "-6"] {
                    try world.ip("-n", world.namespace, family, "route", "add", "blackhole", "default")
                }
                let settings = [
                    "ipv4/ip_forward=1", "ipv6/conf/all/forwarding=1", "ipv4/conf/all/rp_filter=0",
                    "ipv4/conf/\(interface)/rp_filter=0", "ipv4/conf/outer0/rp_filter=0",
                ]
                for setting in settings {
                    let (path, value) = (setting.split(separator: "=")[0], setting.split(separator: "=")[1])
                    try command(["/bin/sh", "-c", "echo \(value) > /proc/sys/net/\(path)"], on: exit)
                }
                for way in ["10.99.0.2", "fd99::2"] { try stage.reach(way, from: exit) }
                // What the host itself is given, after all filters: by source port and by id.
                try load(
                    """
                    table inet witness {
                      set ports { type inet_service; flags dynamic; size 65536; }
                      set echoes4 { typeof icmp id; flags dynamic; size 65536; }
                      set echoes6 { typeof icmpv6 id; flags dynamic; size 65536; }
                      chain seen {
                        type filter hook input priority 100; policy accept;
                        meta l4proto { tcp, udp } add @ports { th sport }
                        icmp type echo-request add @echoes4 { icmp id }
                        icmpv6 type echo-request add @echoes6 { icmpv6 id }
                      }
                    }

                    """)
            }

            @discardableResult
            func command(_ words: [String], on host: DemoHost) throws -> String {
                let outcome = try stage.run("tool", on: host, words)
                guard outcome.status == 0 else { throw NodeFailure(.failure, "\(words): \(outcome.errors)") }
                return outcome.output
            }

            func load(_ text: String) throws {
                let path = "\(stage.scratch)/table.nft"
                try Data(text.utf8).write(to: URL(filePath: path))
                try command(["/usr/sbin/nft", "-f", path], on: exit)
            }

            func table(_ policy: ExitPolicy, newConnectionsPerSecond: Int = 0, connections: Int = 0) -> ExitTable {
                ExitTable(
                    policy: policy, surroundings: surroundings, interface: DemoHost.interface,
                    networks: ["10.66.0.0/16", "fd66:7071::/64"].map { try! IPPrefix($0) }, masquerades: true,
                    newConnectionsPerSecond: newConnectionsPerSecond, connections: connections)
            }

            /// Has guests send packets. Returns what came out at the other host.
            func send(_ packets: [[UInt8]], pause: Double = 0.001) throws -> PacketCapture {
                let path = "\(stage.scratch)/packets"
                try Data(packets.map { $0.map { String(format: "%02x", $0) }.joined() + "\n" }.joined().utf8)
                    .write(to: URL(filePath: path))
                let capture = try DemoCapture(
                    "capture", on: DemoHost.cable, of: world, tools: stage.tools, limit: 20_000)
                defer { capture.stop() }
                try command([python, "-c", Self.injection, DemoHost.interface, path, "\(pause)"], on: exit)
                return try capture.finish()
            }

            /// Whether the host itself was given a packet.
            func isGiven(_ packet: GuestPacket) throws -> Bool {
                let name =
                    packet.content == .echo ? packet.destination.family == .v4 ? "echoes4" : "echoes6" : "ports"
                let text = try command(["/usr/sbin/nft", "list", "set", "inet", "witness", name], on: exit)
                let members = text.components(separatedBy: "elements = {").dropFirst().first ?? ""
                return members.split { !$0.isNumber }.contains { $0 == "\(packet.number)" }
            }

            /// Whether each packet arrived, at the host or behind it.
            func arrivals(_ packets: [GuestPacket]) throws -> [Bool] {
                let capture = try send(packets.flatMap(\.bytes))
                return try packets.map { packet in
                    if surroundings.addresses.contains(packet.destination) { return try isGiven(packet) }
                    return packet.marks.allSatisfy { capture.count(containing: $0) > 0 }
                }
            }
        }

        private static func perform(_ scenario: (Scene) throws -> Void) throws {
            guard let python = HostTools(scratch: "/").find("python3") else {
                print("SKIPPED: \(Test.current?.name ?? ""): there is no python3 to write packets")
                return
            }
            try Stage.perform { stage in try scenario(try Scene(stage, python: python)) }
        }

        /// Packets from now on have numbers that no connection had.
        private struct Numbers {
            private var next: UInt16 = 10_000

            mutating func packet(
                _ content: GuestPacket.Content, to address: String, _ form: GuestPacket.Form = .plain,
                from source: IPAddress? = nil
            ) -> GuestPacket {
                next += 1
                let destination = IPAddress(address)!
                let guest = destination.family == .v4 ? KernelTable.guests.0 : KernelTable.guests.1
                return GuestPacket(
                    source: source ?? guest, destination: destination, content: content, form: form, number: next,
                    marker: "marker-\(next)")
            }

            mutating func corners() -> [GuestPacket] {
                var packets: [GuestPacket] = []
                for address in ["1.1.1.1", "2606:4700::1"] {
                    for content in [
                        .tcp(443), .tcp(80), .tcp(25), .tcp(1023), .tcp(1024), .udp(53), .udp(54), .echo, .signal, .gre,
                    ] as [GuestPacket.Content] {
                        packets.append(packet(content, to: address))
                    }
                    for form in [.extended, .fragmented, .laterFragment] as [GuestPacket.Form] {
                        for content in [.tcp(443), .tcp(80), .udp(53), .udp(54)] as [GuestPacket.Content] {
                            packets.append(packet(content, to: address, form))
                        }
                    }
                }
                for content in [.tcp(443), .tcp(80)] as [GuestPacket.Content] {
                    packets.append(packet(content, to: "2606:4700::1", .chained))
                }
                // Networks by their edges; private, closed, and special ones; the neighbour; metadata; nobody's.
                for address in [
                    "7.255.255.255", "8.0.0.0", "15.255.255.255", "16.0.0.0", "10.9.0.0", "10.9.255.255", "10.10.0.0",
                    "10.50.0.7", "192.168.7.7", "172.31.255.255", "172.32.0.0", "100.64.0.1", "169.254.169.254",
                    "198.18.0.1", "203.0.113.9", "10.99.0.2", "fd99::2", "fd00::1", "fd50::7", "64:ff9b::101:101",
                    "2002:a00:1::1",
                    "2001:db8::1", "2607::1", "::ffff:1.1.1.1", "::ffff:10.9.0.1",
                ] {
                    for content in [.tcp(80), .udp(53), .echo] as [GuestPacket.Content] {
                        packets.append(packet(content, to: address))
                    }
                }
                // The exit itself, by each of its names; the port of its daemon; where connections to it are not wanted.
                for address in ["10.99.0.1", "10.66.0.1", "fd99::1", "fd66:7071::1"] {
                    for content in [.tcp(80), .tcp(9000), .udp(53), .udp(KernelTable.port), .echo]
                        as [GuestPacket.Content]
                    {
                        packets.append(packet(content, to: address))
                    }
                }
                return packets
            }
        }

        static let policies = [
            "allow-all", "deny-all", "accept tcp/*:80,443; accept udp/*:53; accept icmp/*",
            "accept self; reject private; accept 10.9.0.0/16; accept *",
            "accept 10.9.0.0/16; accept self:53,9000; reject 8.0.0.0/5; accept *:1-1023",
            "accept private; accept 169.254.169.254:80; accept [64:ff9b::/96]; accept icmp/self; reject *4",
        ]

        @Test("What comes of a guest's packets is what the core says of them, policy by policy")
        func verdicts() throws {
            try Self.perform { scene in
                var numbers = Numbers()
                // Everything arrives where there is no table, so that what does not arrive later is the table's doing.
                let open = numbers.corners()
                for (packet, isHere) in zip(open, try scene.arrivals(open)) {
                    #expect(isHere, "without a table: \(packet.destination) \(packet.content) \(packet.form)")
                }

                for text in Self.policies {
                    let policy = try ExitPolicy(text: text)
                    try scene.load(scene.table(policy).replacement)
                    let packets = numbers.corners()
                    let arrived = try scene.arrivals(packets)
                    var gate = ExitGate(ExitFence(policy, scene.surroundings), .outward)
                    for (packet, isHere) in zip(packets, arrived) {
                        let isAllowed = packet.bytes.map { bytes in
                            var bytes = bytes
                            let span = bytes.mutableSpan
                            return gate.judge(span, 0..<span.count, now: Instant.origin + .seconds(1000)) == .accept
                        }
                        #expect(
                            isAllowed.allSatisfy { $0 == isHere },
                            "\(text): \(packet.destination) \(packet.content) \(packet.form)")
                    }
                    #expect(arrived.contains(true) == policy.isOpen, "\(text)")
                }
            }
        }

        @Test("Guests are unknown outside, and nobody else is one")
        func sources() throws {
            try Self.perform { scene in
                var numbers = Numbers()
                let policy = try ExitPolicy(text: "accept *; accept self; accept private")
                // From outside, with a guest's address for a source, to the exit itself.
                func intrude(_ source: String, _ target: String) throws -> GuestPacket {
                    let packet = numbers.packet(.udp(53), to: target, from: IPAddress(source)!)
                    let script = """
                        import socket
                        s = socket.socket(socket.\(target.contains(":") ? "AF_INET6" : "AF_INET"), socket.SOCK_DGRAM)
                        s.bind(("\(source)", \(packet.number)))
                        s.sendto(b"here", ("\(target)", 53))
                        """
                    try scene.command([scene.python, "-c", script], on: scene.world)
                    usleep(200_000)
                    return packet
                }
                let world = scene.world
                for address in ["10.66.0.9/32", "fd66:7071::9/128"] {
                    try world.ip(
                        ["-n", world.namespace, "address", "add", address, "dev", "lo"]
                            + (address.contains(":") ? ["nodad"] : []))
                }
                let ways = [("10.66.0.9", "10.99.0.1"), ("fd66:7071::9", "fd99::1")]
                for (source, target) in ways { #expect(try scene.isGiven(intrude(source, target)), "\(source)") }
                let before = [numbers.packet(.tcp(80), to: "1.1.1.1"), numbers.packet(.tcp(80), to: "2606:4700::1")]
                let bare = try scene.send(before.flatMap(\.bytes))
                for address in [Self.guests.0, Self.guests.1] { #expect(bare.count(containing: address.bytes) > 0) }

                try scene.load(scene.table(policy).replacement)
                for (source, target) in ways { #expect(try !scene.isGiven(intrude(source, target)), "\(source)") }
                for (source, target) in [("10.99.0.2", "10.99.0.1"), ("fd99::2", "fd99::1")] {
                    #expect(try scene.isGiven(intrude(source, target)), "\(source)")
                }
                for address in ["10.66.0.9/32", "fd66:7071::9/128"] {
                    try world.ip("-n", world.namespace, "address", "delete", address, "dev", "lo")
                }
                let after = [numbers.packet(.tcp(80), to: "1.1.1.1"), numbers.packet(.tcp(80), to: "2606:4700::1")]
                let hidden = try scene.send(after.flatMap(\.bytes))
                for packet in after { #expect(hidden.count(containing: packet.mark(0)) == 1) }
                for address in [Self.guests.0, Self.guests.1] { #expect(hidden.count(containing: address.bytes) == 0) }
            }
        }

        @Test("One guest has so many connections and no more, and what flows in one of them is not counted again")
        func limits() throws {
            try Self.perform { scene in
                var numbers = Numbers()
                let policy = try ExitPolicy(text: "accept *")
                let other4 = IPAddress("10.66.0.10")!
                func passed(_ packets: [GuestPacket], _ capture: PacketCapture) -> [Bool] {
                    packets.map { capture.count(containing: $0.mark(0)) > 0 }
                }
                for (address, other) in [("1.1.1.1", other4), ("2606:4700::1", IPAddress("fd66:7071::10")!)] {
                    // Four at a time, whoever answers.
                    try scene.load(scene.table(policy, connections: 4).replacement)
                    var packets = (0..<7).map { _ in numbers.packet(.tcp(80), to: address) }
                    packets.append(numbers.packet(.tcp(80), to: address, from: other))
                    // The first again, as where nobody answers.
                    let first = packets[0]
                    var capture = try scene.send((packets + [first]).flatMap(\.bytes))
                    #expect(
                        passed(packets, capture) == [true, true, true, true, false, false, false, true], "\(address)")
                    #expect(capture.count(containing: first.mark(0)) == 2, "\(address)")

                    // One in a second, and four at once.
                    try scene.load(scene.table(policy, newConnectionsPerSecond: 1).replacement)
                    packets = (0..<8).map { _ in numbers.packet(.tcp(80), to: address) }
                    packets.append(numbers.packet(.tcp(80), to: address, from: other))
                    capture = try scene.send(packets.flatMap(\.bytes), pause: 0)
                    #expect(
                        passed(packets, capture) == [true, true, true, true, false, false, false, false, true],
                        "\(address)")

                    // A stream that nobody answers is one connection, however many packets it has.
                    let text = scene.table(policy, newConnectionsPerSecond: 1, connections: 4).replacement
                    func stream(_ table: String) throws -> Int {
                        try scene.load(table)
                        let packet = numbers.packet(.udp(53), to: address)
                        let bytes = packet.bytes[0]
                        return try scene.send((0..<300).map { _ in bytes }).count(containing: packet.mark(0))
                    }
                    #expect(try stream(text) == 300, "\(address)")
                    // Without the word for it, it would be cut off.
                    #expect(text.contains(" ct status ! confirmed"))
                    #expect(try stream(text.replacing(" ct status ! confirmed", with: "")) < 100, "\(address)")
                }
            }
        }
    }
}
