// SPDX-License-Identifier: Apache-2.0
// What relays of a circuit could know, looked for where it would be: in their logs at the level debug, in what they say of themselves,
// in their memory, and on the cables between them. And that nothing of it is left when it has ended.
//
//     client ── outer0 ── relay 1 ── outer1 ── relay 2 ── outer2 ── the exit
import Foundation
import Glibc
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

extension NamespaceTests {
    @Suite("Traces of circuits")
    struct CircuitTraces {
        /// What must not be found where.
        private struct Needle {
            let name: String
            let forms: [[UInt8]]

            static func text(_ name: String, _ text: String) -> Needle { Needle(name: name, forms: [Array(text.utf8)]) }
        }

        /// Of a peer_id: as it is sent, and in words as this machine has them.
        private static func identity(_ bytes: [UInt8]) -> Needle {
            let words = stride(from: 0, to: bytes.count, by: 8).flatMap { bytes[$0..<$0 + 8].reversed() }
            return Needle(name: "the client's peer_id", forms: [bytes, words])
        }

        /// Of an IPv4 address: as people write it, and as sockets and tables have it, with a port beside it or mapped into IPv6.
        private static func address(_ bytes: [UInt8]) -> Needle {
            let mapped = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF] + bytes
            return Needle(
                name: "the client's address",
                forms: [
                    Array(bytes.map { "\($0)" }.joined(separator: ".").utf8), mapped, mapped.reversed(),
                ])
        }

        /// As a collector beside the node would get them.
        private func metrics(_ node: StageNode, on stage: Stage) throws -> String {
            let script =
                "exec 3<>/dev/tcp/127.0.0.1/9001; printf 'GET /metrics HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"
            return try stage.run("metrics", on: node.host, ["/usr/bin/timeout", "10", "/bin/bash", "-c", script]).output
                .replacing("\r\n", with: "\n")
        }

        @Test("No relay past the first has anything of the client, none the packets' words, and nothing is left of it")
        func nothing() throws {
            try Stage.perform(hosts: 4, isRow: true) { stage in
                let marker =
                    "marker-" + (0..<20).map { _ in String("abcdefghijklmnopqrstuvwxyz".randomElement()!) }.joined()
                let nodes = try stage.row { node, place in
                    node.configuration.extraLines += ["logging: { level: debug }", "metrics: { prometheus: true }"]
                    if place == 0 {
                        node.configuration.addresses = []
                        let last = node.configuration.peers.count - 1
                        node.configuration.peers[last].isExit = true
                        node.configuration.peers[last].allowedIPs = ["10.66.0.0/16", "fd66:7071::/64"]
                    } else if place == 3 {
                        node.configuration.hasTunnel = true
                        node.configuration.extraLines.removeAll { $0.hasPrefix("relay") }
                        node.configuration.extraLines += [
                            "relay: { enabled: true, exit_policy: [\"accept udp/self\", \"accept icmp/self\"] }",
                            "exit: { networks: [10.66.0.0/16, \"fd66:7071::/64\"] }",
                        ]
                    }
                }
                let (client, first, middle, exit) = (nodes[0], nodes[1], nodes[2], nodes[3])
                try client.event("circuit.leased", within: 60)
                try stage.reach("10.66.0.1", from: client.host)

                let cables = ["outer0", "outer1", "outer2"]
                let captures = try zip(cables, nodes).map { cable, node in
                    try DemoCapture("capture-\(cable)", on: cable, of: node.host, tools: stage.tools, limit: 20_000)
                }
                let inside = try DemoCapture(
                    "capture-inside", on: DemoHost.interface, of: exit.host, tools: stage.tools, limit: 20_000)
                let script =
                    "exec 9<> <(:); for i in {1..100}; do echo \(marker) > /dev/udp/10.66.0.1/7777; read -rt 0.01 -u 9; done"
                try stage.run("send", on: client.host, ["/bin/bash", "-c", script])
                // The same by IPv6: other words around the marker.
                let script6 = script.replacing("10.66.0.1", with: "fd66:7071::1").replacing(
                    marker, with: "six-\(marker)")
                try stage.run("send6", on: client.host, ["/bin/bash", "-c", script6])
                try stage.reach("10.66.0.1", from: client.host)

                let identity = try #require(client.descriptor).keys.peerID.bytes
                let outer: [UInt8] = [10, 99, 0, 1]
                let ofClient = [
                    Self.identity(identity),
                    .text("the client's peer_id in digits", client.hexPeerID!), Self.address(outer),
                    .text("the client's name", client.name),
                ]
                let words = Needle.text("the packets' words", marker)

                // On the cables. What came out at the exit shows that it was under way.
                let seen = try captures.map { try $0.finish() }
                let arrived = try inside.finish()
                let arrivedBySix = arrived.count(containing: Array("six-\(marker)".utf8))
                #expect(arrivedBySix >= 50)
                #expect(arrived.count(containing: Array(marker.utf8)) >= arrivedBySix + 50)
                for (cable, capture) in zip(cables, seen) {
                    #expect(capture.packets.count > 100, "\(cable)")
                    for needle in ofClient.prefix(2) + [words] {
                        for form in needle.forms {
                            #expect(capture.count(containing: form) == 0, "\(cable): \(needle.name)")
                        }
                    }
                    #expect(
                        (capture.count(containing: outer) > 0) == (cable == "outer0"), "\(cable): the client's address")
                }

                // In their memory. The first relay knows the client, so that what is not found elsewhere means something.
                func memory(_ node: StageNode) throws -> ProcessMemoryImage {
                    let image = try ProcessMemoryImage(of: try #require(node.daemon).identifier)
                    #expect(image.size > 1 << 20 && image.isWhole, "\(node.name): \(image.size) bytes")
                    return image
                }
                let known = try memory(first)
                for needle in ofClient { #expect(needle.forms.contains(where: known.contains), "\(needle.name)") }
                for form in words.forms { #expect(!known.contains(form), "the first relay: \(words.name)") }
                for (node, needles) in [(middle, ofClient + [words]), (exit, ofClient)] {
                    let image = try memory(node)
                    for needle in needles {
                        for form in needle.forms {
                            #expect(!image.contains(form), "\(node.name)'s memory: \(needle.name)")
                        }
                    }
                }

                // In what they say.
                for node in [middle, exit] {
                    var said = node.log
                    for command in [
                        ["status"], ["status", "--json"], ["circuits", "--json"], ["sessions", "--json"],
                    ] {
                        said += try stage.run(
                            "ask", on: node.host, [stage.pqvpn] + command, environment: node.environment
                        ).output
                    }
                    #expect(said.count > 2000)
                    for text in [
                        client.hexPeerID!, String(client.hexPeerID!.prefix(8)), "10.99.0.1", client.name, marker,
                    ] {
                        #expect(!said.contains(text), "\(node.name) says \(text)")
                    }
                }

                // It ends with the client: told by END, and so at once.
                #expect(try client.end() == 0)
                for node in nodes.dropFirst() {
                    try DemoProcess.wait(30, for: "the end of the circuit at \(node.name)") {
                        try stage.relayed(node) == [0, 0]
                    }
                    let metrics = try metrics(node, on: stage)
                    for role in ["relayed", "guest"] {
                        #expect(metrics.contains("pqvpn_circuits{role=\"\(role)\"} 0\n"), "\(node.name): \(metrics)")
                    }
                    let status = try stage.run(
                        "status", on: node.host, [stage.pqvpn, "status", "--json"], environment: node.environment
                    ).output
                    let report = try StatusReport(answer: status)
                    #expect(report.relay?.circuits == 0 && report.relay?.guests == 0)
                }
            }
        }
    }
}
