// SPDX-License-Identifier: Apache-2.0
// Two guests of one exit. Neither reaches the other; and they share its address, on which one would like to get what is the other's
// by taking its ports (port shadow, CVE-2021-3773).
//
//     host b, the victim ── host a, the relay ── host c, the exit ── host d, the server
//     host e, its neighbour ──┘
import Foundation
import Glibc
import Testing
import VPNCore

@testable import VPNNode

extension NamespaceTests {
    @Suite("Guests of one exit")
    struct ExitGuests {
        private static let policy = "[\"accept icmp/*\", \"accept *:5201\"]"

        /// Sends a text so often from a port of its own choice, then prints each text that came, and listens for a while longer.
        private static let conversation = """
            import select, socket, sys, time
            source, port, target, text, count, rest = sys.argv[1:]
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((source, int(port)))
            end = time.time() + int(count) * 0.05 + float(rest)
            for _ in range(int(count)):
                s.sendto(text.encode(), (target, 5201))
                time.sleep(0.05)
            while time.time() < end:
                if select.select([s], [], [], 0.1)[0]:
                    print(s.recv(2000).decode(), flush=True)
            """

        /// Answers each datagram twice; prints the port that it came from, and what it said.
        private static let server = """
            import socket, sys
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((sys.argv[1], 5201))
            print("ready", flush=True)
            while True:
                text, source = s.recvfrom(2000)
                print(source[1], text.decode(), flush=True)
                for _ in range(2):
                    s.sendto(text, source)
            """

        @Test("A guest reaches no other guest, by no protocol, either way")
        func neighbours() throws {
            try Stage.perform(hosts: 5) { stage in
                let scene = try Exit.Scene(stage, policy: Self.policy)
                let guests = [scene.client, scene.others[0]]
                for guest in guests {
                    try stage.reach(Exit.server4, from: guest.host)
                    try stage.reach(Exit.server6, from: guest.host)
                    try scene.listen(on: guest.host, port: 5201)
                }
                for (from, to) in [(guests[0], guests[1]), (guests[1], guests[0])] {
                    let own = [try scene.guestAddress(of: from), try scene.guestAddress(of: from, family: 6)]
                    let targets = [try scene.guestAddress(of: to), try scene.guestAddress(of: to, family: 6)]
                    #expect(own[0] != targets[0] && own[1] != targets[1])
                    let capture = try DemoCapture(
                        "capture-\(to.name)", on: DemoHost.interface, of: to.host, tools: stage.tools, limit: 10_000)
                    defer { capture.stop() }
                    for target in targets {
                        // Who may, finds somebody there.
                        #expect(try scene.connect(target, 5201, from: to.host) == "open", "\(target)")
                        #expect(try stage.ping(target, from: from.host)?.received == 0, "\(target)")
                        let words = target.contains(":") ? "Permission denied" : "No route to host"
                        #expect(try scene.connect(target, 5201, from: from.host).contains(words), "\(target)")
                        let script = "for i in 1 2 3; do echo sent-to-a-guest > /dev/udp/\(target)/5201; done"
                        try stage.run("udp", on: from.host, ["/bin/bash", "-c", script])
                    }
                    // The capture sees what does come.
                    try stage.reach(Exit.server4, from: to.host)
                    let seen = try capture.finish()
                    #expect(seen.count(containing: IPAddress(targets[0])!.bytes) > 0)
                    #expect(seen.count(containing: Array("sent-to-a-guest".utf8)) == 0)
                    for address in own { #expect(seen.count(containing: IPAddress(address)!.bytes) == 0, "\(address)") }
                }
            }
        }

        @Test(
            "Of a guest who has gone the kernel keeps no connection, and of another one all of them until the exit starts anew"
        )
        func leavers() throws {
            try Stage.perform(hosts: 5) { stage in
                let scene = try Exit.Scene(stage, policy: Self.policy)
                let exit = scene.exit
                /// Of the exit's kernel, a line each.
                func connections(_ address: String) throws -> Int {
                    let text = try stage.run("conntrack", on: exit.host, ["/bin/cat", "/proc/net/nf_conntrack"]).output
                    return text.split(separator: "\n").count { $0.split(separator: " ").contains("src=\(address)") }
                }
                guard try stage.run("conntrack", on: exit.host, ["/bin/cat", "/proc/net/nf_conntrack"]).status == 0
                else {
                    print("SKIPPED: \(Test.current?.name ?? ""): this kernel does not list connections in /proc")
                    return
                }
                try scene.listen(on: scene.server, port: 5201)
                let guests = [scene.client, scene.others[0]]
                let addresses = try guests.map { guest in
                    try stage.reach(Exit.server4, from: guest.host)
                    // Stays established for days where nobody says that it is over.
                    let script = "exec 3<>/dev/tcp/\(Exit.server4)/5201 && echo open && sleep 120"
                    let program = try stage.start("flow-\(guest.name)", on: guest.host, ["/bin/bash", "-c", script])
                    try DemoProcess.wait(10, for: "a connection") { program.output.contains("open") }
                    return try scene.guestAddress(of: guest)
                }
                for address in addresses { #expect(try connections(address) > 0, "\(address)") }
                try guests[0].end()
                try DemoProcess.wait(30, for: "the end of its connections") { try connections(addresses[0]) == 0 }
                #expect(try connections(addresses[1]) > 0)
                #expect(exit.events("exit.connections_kept").isEmpty)
                try guests[1].end(SIGKILL)
                try exit.end(SIGKILL)
                #expect(try connections(addresses[1]) > 0)
                try exit.start()
                #expect(try connections(addresses[1]) == 0)
            }
        }

        @Test("A guest that takes another's ports gets nothing of its packets (port shadow)")
        func portShadow() throws {
            guard let python = HostTools(scratch: "/").find("python3") else {
                print("SKIPPED: \(Test.current?.name ?? ""): there is no python3 to choose ports")
                return
            }
            try Stage.perform(hosts: 5) { stage in
                let scene = try Exit.Scene(stage, policy: Self.policy)
                let (victim, other) = (scene.client, scene.others[0])
                for guest in [victim, other] { try stage.reach(Exit.server4, from: guest.host) }
                let server = try stage.start("server", on: scene.server, [python, "-c", Self.server, Exit.server4])
                try DemoProcess.wait(10, for: "the server") { server.output.contains("ready") }

                func talk(_ node: StageNode, port: Int, _ text: String, count: Int, rest: Double) throws -> DemoProcess
                {
                    try stage.start(
                        text, on: node.host,
                        [
                            python, "-c", Self.conversation, try scene.guestAddress(of: node), "\(port)", Exit.server4,
                            text,
                        ]
                            + ["\(count)", "\(rest)"])
                }
                /// The port of the exit's from which the server heard a text.
                func port(_ text: String) -> Int? {
                    let line = server.output.split(separator: "\n").first { $0.hasSuffix(" \(text)") }
                    return line.flatMap { Int($0.prefix { $0 != " " }) }
                }

                let capture = try DemoCapture(
                    "capture-other", on: DemoHost.interface, of: other.host, tools: stage.tools, limit: 20_000)
                defer { capture.stop() }
                let flow = try talk(victim, port: 40_000, "victim", count: 120, rest: 3)
                try DemoProcess.wait(10, for: "the victim's port") { port("victim") != nil }
                let shared = try #require(port("victim"))
                // The victim's own port, the exit's for the victim, and the daemon's.
                let wanted = [40_000, shared, StageConfiguration.port]
                let probes = try wanted.enumerated().map {
                    try talk(other, port: $0.element, "probe-\($0.offset)", count: 40, rest: 3)
                }
                for (place, probe) in probes.enumerated() {
                    let heard = try probe.finish(within: 30).output.split(separator: "\n")
                    #expect(heard.count == 80 && heard.allSatisfy { $0 == "probe-\(place)" }, "\(wanted[place])")
                    // Drawn at random: nobody chooses the exit's ports. One in 64,000 is the wanted one all the same.
                    let drawn = try #require(port("probe-\(place)"))
                    #expect(drawn != wanted[place] && drawn != shared, "\(wanted[place])")
                }
                let heard = try flow.finish(within: 30).output.split(separator: "\n")
                #expect(heard.count == 240 && heard.allSatisfy { $0 == "victim" }, "\(heard.count)")
                let seen = try capture.finish()
                #expect(seen.count(containing: Array("probe-0".utf8)) > 0)
                #expect(seen.count(containing: Array("victim".utf8)) == 0)
            }
        }
    }
}
