// SPDX-License-Identifier: Apache-2.0
// Daemons whose peers stand still, change their address, are rebound by a NAT, or live behind a name that leads elsewhere by now.
//
//     host a, the router ─┬─ outer0 ── host b: client
//                          └─ outer1 ── host c: server
//     Where there is no router: host a: pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b
import Foundation
import Glibc
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Moves and stops")
    struct Moves {
        @Test("A daemon that was stopped is called anew, and answers when it goes on")
        func stopped() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair(keepalive: 1)
                try stage.reach(b.host.innerIPv4, from: a.host)
                for (stopped, other) in [(b, a), (a, b)] {
                    stopped.daemon?.send(SIGSTOP)
                    // Somebody must want an answer: b has no keepalive of its own.
                    _ = try stage.ping(stopped.host.innerIPv4, from: other.host, count: 1)
                    try other.event("peer.silent", within: 60)
                    stopped.daemon?.send(SIGCONT)
                    try stage.reach(stopped.host.innerIPv4, from: other.host)
                    #expect(try stage.answers(other.host.innerIPv6, from: stopped.host))
                }
                #expect(try a.end() == 0 && b.end() == 0)
            }
        }

        @Test("A peer that got another address is followed as soon as it speaks, without a handshake")
        func anotherAddress() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                let sessions = a.events("session.established").count
                // The one that was called, which has no address to call back; then the one that called.
                for (moving, other) in [(b, a), (a, b)] {
                    let address = "10.99.0.2\(moving.host.number)"
                    try moving.host.change(to: address)
                    try stage.reach(other.host.innerIPv4, from: moving.host)
                    try other.event("path.moved") { $0["endpoint"] == "\(address):9000" }
                    #expect(try stage.answers(moving.host.innerIPv4, from: other.host))
                    #expect(try stage.answers(moving.host.innerIPv6, from: other.host))
                }
                #expect(a.events("session.established").count == sessions)
                #expect(a.events("path.kept").isEmpty && b.events("path.kept").isEmpty)
            }
        }

        @Test(
            "Over IPv6 a peer that got another address is followed as well, and so is one that comes by the other family"
        )
        func anotherIPv6Address() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair { $0.endpoint(.ipv6) }
                try stage.reach(b.host.innerIPv4, from: a.host)
                for (moving, other) in [(b, a), (a, b)] {
                    let address = "fd99::2\(moving.host.number)"
                    try moving.host.change(to: address)
                    try stage.reach(other.host.innerIPv4, from: moving.host)
                    try other.event("path.moved") { $0["endpoint"] == "[\(address)]:9000" }
                    #expect(try stage.answers(moving.host.innerIPv4, from: other.host))
                    #expect(try stage.answers(moving.host.innerIPv6, from: other.host))
                }
                #expect(a.events("session.established").count == 1 && a.events("session.ended").isEmpty)
                // A network that loses IPv6, and an operator who says where else the peer is. While the old way answers it is kept.
                a.configuration.peers[0].endpoint = b.host.endpoint(.ipv4)
                try a.reload()
                try a.host.ip(
                    "-n", a.host.namespace, "-6", "address", "flush", "dev", DemoHost.cable, "scope", "global")
                try stage.reach(b.host.innerIPv4, from: a.host, within: 60)
                try DemoProcess.wait(60, for: "the way by IPv4") {
                    _ = try stage.ping(a.host.innerIPv6, from: b.host, count: 1)
                    return try stage.report(of: b).peers.first?.endpoint == "10.99.0.1:9000"
                }
                #expect(try stage.answers(a.host.innerIPv6, from: b.host))
                #expect(try stage.answers(b.host.innerIPv6, from: a.host))
            }
        }

        @Test("Both ends that change their addresses at once meet again where a name leads")
        func aName() throws {
            try Stage.perform { stage in
                let (a, b) = (stage.hosts[0], stage.hosts[1])
                let hosts = try HostsFile(of: a)
                defer { hosts.remove() }
                try hosts.write("10.99.0.2 b.test")
                let nodes = try stage.pair(keepalive: 1) { _ in "b.test:9000" }
                try stage.reach(b.innerIPv4, from: a)
                try a.change(to: "10.99.0.21")
                try b.change(to: "10.99.0.22")
                try hosts.write("10.99.0.22 b.test")
                try nodes.0.event("peer.silent", within: 60)
                try nodes.0.event("handshake.started", within: 60) { $0["endpoint"] == "10.99.0.22:9000" }
                try stage.reach(b.innerIPv4, from: a, within: 60)
                #expect(try stage.answers(a.innerIPv6, from: b))
            }
        }

        @Test("A NAT that gives another port is followed")
        func rebindingNAT() throws {
            guard let nft = ["/usr/sbin/nft", "/sbin/nft"].first(where: FileManager.default.isExecutableFile) else {
                return print("SKIPPED: \(Test.current?.name ?? ""): there is no nft")
            }
            try Stage.perform(hosts: 3) { stage in
                let (router, inside, outside) = (stage.hosts[0], stage.hosts[1], stage.hosts[2])
                func write(_ value: Int, to setting: String) throws {
                    let outcome = try stage.run(
                        "sysctl", on: router, ["/bin/sh", "-c", "echo \(value) > /proc/sys/net/\(setting)"])
                    try #require(outcome.status == 0, "\(setting): \(outcome.errors)")
                }
                func translate(toPort port: Int) throws {
                    let rules = """
                        table ip moves
                        delete table ip moves
                        table ip moves {
                          chain out {
                            type nat hook postrouting priority 100;
                            oifname "outer1" udp dport 9000 snat to 10.98.0.1:\(port)
                          }
                        }
                        """
                    let outcome = try stage.run("nft", on: router, [nft, rules])
                    try #require(outcome.status == 0, "\(outcome.errors)")
                }
                try write(1, to: "ipv4/ip_forward")
                try translate(toPort: 40_000)
                // A mapping that nobody uses is forgotten at once.
                for name in ["nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"] {
                    try write(1, to: "netfilter/\(name)")
                }
                try inside.ip("-n", inside.namespace, "route", "add", "10.98.0.0/24", "via", "10.99.0.1")
                let (client, server) = (try stage.node(on: inside), try stage.node(on: outside))
                try client.befriend(server, endpoint: "10.98.0.3:9000")
                try server.befriend(client)
                try server.start()
                try client.start()
                try stage.reach(outside.innerIPv4, from: inside)
                #expect(try #require(server.events("session.established").first)["endpoint"] == "10.98.0.1:40000")
                for port in [41_000, 42_000] {
                    try translate(toPort: port)
                    // Longer than the mapping lives; nothing is sent meanwhile.
                    Thread.sleep(forTimeInterval: 5)
                    try stage.reach(outside.innerIPv4, from: inside)
                    try server.event("path.moved") { $0["endpoint"] == "10.98.0.1:\(port)" }
                    #expect(try stage.answers(inside.innerIPv4, from: outside))
                }
                #expect(server.events("session.established").count == 1)
            }
        }
    }
}

extension DemoHost {
    /// Another outer address instead of the one of its family.
    fileprivate func change(to address: String) throws {
        let isV4 = !address.contains(":")
        try ip("-n", namespace, isV4 ? "-4" : "-6", "address", "flush", "dev", Self.cable, "scope", "global")
        let words = isV4 ? ["\(address)/24"] : ["\(address)/64", "nodad"]
        try ip(["-n", namespace, "address", "add"] + words + ["dev", Self.cable])
    }
}

/// The hosts file of one namespace: `ip netns exec` shows it to the programs that it starts.
private struct HostsFile {
    private static let root = "/etc/netns"
    private let directory: String
    private let madeRoot: Bool

    init(of host: DemoHost) throws {
        directory = "\(Self.root)/\(host.namespace)"
        madeRoot = !FileManager.default.fileExists(atPath: Self.root)
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    /// In place: a program that runs sees the file that was there when it was started.
    func write(_ line: String) throws {
        let path = "\(directory)/hosts"
        if !FileManager.default.fileExists(atPath: path) {
            _ = FileManager.default.createFile(atPath: path, contents: nil, attributes: [.posixPermissions: 0o644])
        }
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.truncate(atOffset: 0)
        try file.write(contentsOf: Data("127.0.0.1 localhost\n\(line)\n".utf8))
        try file.close()
    }

    func remove() {
        try? FileManager.default.removeItem(atPath: directory)
        // Only if nobody else has put something there.
        if madeRoot { _ = unsafe rmdir(Self.root) }
    }
}
