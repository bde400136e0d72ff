// SPDX-License-Identifier: Apache-2.0
// Circuits through daemons on hosts of their own, each of which reaches only its neighbours: what is left of one whose relay was
// killed, and of one that was closed.
import Foundation
import Glibc
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Circuits")
    struct Circuits {
        @Test(
            "A circuit whose middle relay was killed is built anew when the relay is back, and its end leaves nothing")
        func death() throws {
            try Stage.perform(hosts: 4, isRow: true) { stage in
                let nodes = try stage.row()
                let client = nodes[0]
                try client.event("circuit.ready")
                try DemoProcess.wait(30, for: "the circuit at its relays") {
                    try stage.relayed(nodes[1]) == [1, 0] && stage.relayed(nodes[3]) == [0, 1]
                }
                #expect(try nodes[2].end(SIGKILL) == 128 + SIGKILL)
                try client.event("circuit.failed") { $0["reason"] == "silent" }
                try nodes[2].start()
                try DemoProcess.wait(120, for: "another circuit") { client.events("circuit.ready").count > 1 }
                // The relay in the middle has a circuit that goes on, and the client's session with it by the first.
                try DemoProcess.wait(30, for: "what was left at the relays to go") {
                    try stage.relayed(nodes[1]) == [1, 0] && stage.relayed(nodes[2]) == [1, 1]
                }
                try stage.run(
                    "close", on: client.host, [stage.pqvpn, "circuit", "close", nodes[3].name],
                    environment: client.environment)
                // The last hop keeps its guest of the first circuit until that has said nothing for 90 s, since the relay that died told
                // nobody: `RelayStateTests.silenceTakesAllWithIt`, in virtual time.
                for node in nodes[1...2] {
                    try DemoProcess.wait(30, for: "the end of the circuit at \(node.name)") {
                        try stage.relayed(node) == [0, 0]
                    }
                }
            }
        }
    }
}

extension Stage {
    /// A client, relays and a last hop, one on each host of a row; the client wants a circuit to the last. Each knows its neighbours,
    /// and the client all of them.
    func row(configure: (StageNode, Int) throws -> Void = { _, _ in }) throws -> [StageNode] {
        let nodes = try hosts.map { try node(on: $0) }
        for (place, node) in nodes.enumerated() {
            let isClient = place == 0
            if isClient {
                for other in nodes.dropFirst() {
                    let isLast = other === nodes.last
                    try node.befriend(
                        other,
                        endpoint: other === nodes[1] ? "10.\(Self.outerNetworks[0]).0.\(other.host.number):9000" : nil,
                        allowedIPs: isLast ? ["10.88.0.0/24", "fd88::/64"] : [], keepalive: other === nodes[1] ? 5 : 0,
                        via: isLast ? nodes[1..<nodes.count - 1].map(\.name) : [])
                }
            } else {
                node.configuration.hasTunnel = false
                node.configuration.addresses = []
                node.configuration.extraLines.append("relay: true")
                try node.befriend(nodes[place - 1], allowedIPs: [])
                if place + 1 < nodes.count {
                    let next = nodes[place + 1]
                    try node.befriend(
                        next, endpoint: "10.\(Self.outerNetworks[place]).0.\(next.host.number):9000", allowedIPs: [])
                }
            }
            try configure(node, place)
        }
        for node in nodes.reversed() { try node.start() }
        return nodes
    }

    /// Circuits that pass a node, and those that end there.
    func relayed(_ node: StageNode) throws -> [Int] {
        let outcome = try run(
            "circuits", on: node.host, [pqvpn, "circuits", "--json"], environment: node.environment)
        let report = try JSONDecoder().decode(CircuitsReport.self, from: Data(outcome.output.utf8))
        return [report.relay.circuits, report.relay.guests]
    }
}
