// SPDX-License-Identifier: Apache-2.0
// Trust on first use between nodes that begin without any knowledge of each other, and what a changed identity meets.
//
//     host a: pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b
import Foundation
import Glibc
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Trust on first use")
    struct FirstUse {
        /// Both nodes call each other; neither names the other's identity.
        private func strangers(_ stage: Stage, persistent: [Bool]) throws -> [StageNode] {
            let nodes = try zip(stage.hosts, persistent).map { try stage.node(on: $0, persistent: $1) }
            for (node, other) in [(nodes[0], nodes[1]), (nodes[1], nodes[0])] {
                node.configuration.trustsOnFirstUse = true
                node.configuration.peers = [
                    .init(
                        name: other.name, endpoint: other.host.endpoint(.ipv4),
                        allowedIPs: ["\(other.host.innerIPv4)/32", "\(other.host.innerIPv6)/128"])
                ]
            }
            return nodes
        }

        /// The peer_ids of a node's known_peers.yaml, which must be closed to others.
        private func pins(_ node: StageNode) throws -> [String] {
            let attributes = try FileManager.default.attributesOfItem(atPath: node.knownPeersPath)
            #expect(attributes[.posixPermissions] as? Int == 0o600)
            return try KnownPeersStore(path: node.knownPeersPath).pins.map(\.peerID.hex)
        }

        /// The identity of a node's present run, as its log tells it.
        private func identity(_ node: StageNode) throws -> String {
            try #require(node.event("identity.loaded")["peer_id"])
        }

        @Test("Strangers pin each other; after both changed, both refuse, until the pins are removed")
        func temporaryKeys() throws {
            try Stage.perform { stage in
                let nodes = try strangers(stage, persistent: [false, false])
                let (a, b) = (nodes[0], nodes[1])
                for node in nodes { try node.start() }
                try stage.reach(b.host.innerIPv4, from: a.host)
                #expect(try stage.answers(a.host.innerIPv6, from: b.host))
                for node in nodes { try node.event("identity.pinned") }
                let old = [try identity(a), try identity(b)]
                #expect(try pins(a) == [old[1]])
                #expect(try pins(b) == [old[0]])

                for node in nodes { #expect(try node.end() == 0) }
                for node in nodes { try node.start() }
                #expect(try identity(a) != old[0] && identity(b) != old[1])
                for (node, other, place) in [(a, b, 1), (b, a, 0)] {
                    let refusal = try node.event("identity.refused", within: 60)
                    #expect(refusal["reason"] == "identity_changed")
                    #expect(refusal["level"] == "error")
                    #expect(refusal["peer_name"] == other.name)
                    #expect(refusal["expected_peer_id"] == old[place])
                    #expect(try refusal["peer_id"] == identity(other))
                }
                #expect(try stage.ping(b.host.innerIPv4, from: a.host)?.received == 0)
                #expect(try stage.ping(a.host.innerIPv6, from: b.host)?.received == 0)
                for node in nodes { #expect(node.events("session.established").isEmpty) }
                #expect(try pins(a) == [old[1]])
                #expect(try pins(b) == [old[0]])

                for (node, other) in [(a, b), (b, a)] {
                    #expect(try node.end() == 0)
                    let removal = [
                        stage.pqvpn, "peers", "remove", other.name, "--config", node.configurationPath,
                    ]
                    #expect(try stage.run("remove", on: node.host, removal).status == 0)
                    #expect(try pins(node) == [])
                }
                for node in nodes { try node.start() }
                try stage.reach(b.host.innerIPv4, from: a.host)
                try DemoProcess.wait(10, for: "the new pin") { try pins(a) == [identity(b)] }
            }
        }

        @Test("A peer that comes back with another identity is refused until the operator trusts it")
        func changedPeer() throws {
            try Stage.perform { stage in
                let nodes = try strangers(stage, persistent: [true, false])
                let (a, b) = (nodes[0], nodes[1])
                for node in nodes { try node.start() }
                try stage.reach(b.host.innerIPv4, from: a.host)
                try a.event("identity.pinned")
                try b.event("identity.pinned")
                let old = try identity(b)

                #expect(try b.end() == 0)
                try b.start()
                let refusal = try a.event("identity.refused")
                #expect(refusal["reason"] == "identity_changed")
                #expect(refusal["expected_peer_id"] == old)
                #expect(try refusal["peer_id"] == identity(b))
                #expect(try stage.ping(b.host.innerIPv4, from: a.host)?.received == 0)
                #expect(try pins(a) == [old])

                let descriptor = "\(try #require(b.runtimeDirectories.first))/\(PersistentIdentity.descriptorName)"
                let trust = [
                    stage.pqvpn, "peers", "trust", b.name, descriptor, "--config", a.configurationPath,
                ]
                #expect(try stage.run("trust", on: a.host, trust).status == 0)
                #expect(try pins(a) == [identity(b)])
                #expect(try a.end() == 0)
                try a.start()
                try stage.reach(b.host.innerIPv4, from: a.host)
                #expect(try stage.answers(a.host.innerIPv4, from: b.host))
            }
        }
    }
}
