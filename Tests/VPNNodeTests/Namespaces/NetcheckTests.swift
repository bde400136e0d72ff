// SPDX-License-Identifier: Apache-2.0
// `pqvpn netcheck` where it is known what the network does: nothing, two kinds of NAT, no UDP, no long datagrams, no IPv4, and peers
// that do not know this node.
//
//     inside ── router ── outside, with two peers at two addresses
import Foundation
import Glibc
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Netcheck")
    struct Netcheck {
        /// A host whose two peers are behind a router.
        private final class Place {
            let stage: Stage
            let client: StageNode
            let peers: [StageNode]
            var router: DemoHost { stage.hosts[0] }
            var inside: DemoHost { stage.hosts[1] }

            /// - Parameter isKnown: whether the peers have pinned the client.
            init(_ stage: Stage, isKnown: Bool = true) throws {
                self.stage = stage
                let (router, inside, outside) = (stage.hosts[0], stage.hosts[1], stage.hosts[2])
                let outcome = try stage.run(
                    "sysctl", on: router, ["/bin/sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
                try #require(outcome.status == 0)
                try inside.ip("-n", inside.namespace, "route", "add", "10.98.0.0/24", "via", "10.99.0.1")
                try outside.ip("-n", outside.namespace, "route", "add", "10.99.0.0/24", "via", "10.98.0.1")
                try outside.ip("-n", outside.namespace, "address", "add", "10.98.0.33/24", "dev", "outer1")
                client = try stage.node(on: inside)
                peers = try ["10.98.0.3", "10.98.0.33"].map { address in
                    let peer = try stage.node(on: outside)
                    peer.configuration.bindHost = address
                    return peer
                }
                for node in peers + [client] {
                    node.configuration.hasTunnel = false
                    node.configuration.addresses = []
                }
                for peer in peers {
                    try client.befriend(peer, endpoint: "\(peer.configuration.bindHost):9000", allowedIPs: [])
                    if isKnown { try peer.befriend(client, allowedIPs: []) }
                    try peer.start()
                }
                try client.writeConfiguration()
            }

            /// Rules of the router.
            func filter(_ chains: String) throws {
                let outcome = try stage.run(
                    "nft", on: router,
                    [
                        Netcheck.nft ?? "nft",
                        "table ip netcheck\ndelete table ip netcheck\ntable ip netcheck {\n\(chains)\n}\n",
                    ])
                try #require(outcome.status == 0, "\(outcome.errors)")
            }

            func check(_ more: [String] = ["--timeout", "6"], status: Int32 = 0) throws -> NetcheckReport {
                let outcome = try stage.run(
                    "netcheck", on: inside,
                    [stage.pqvpn, "netcheck", "--config", client.configurationPath, "--json"] + more, within: 60,
                    environment: client.environment)
                #expect(outcome.status == status, "\(outcome.errors)\(outcome.output)")
                #expect(try JSONSchema("netcheck").faults(in: outcome.output) == [], "\(outcome.output)")
                return try JSONDecoder().decode(NetcheckReport.self, from: Data(outcome.output.utf8))
            }

            func family(_ report: NetcheckReport, _ name: String = "IPv4") throws -> NetcheckReport.Family {
                try #require(report.families.first { $0.name == name })
            }
        }

        private static let nft = HostTools(scratch: "/").find("nft")

        private func perform(isKnown: Bool = true, _ scenario: (Place) throws -> Void) throws {
            guard Self.nft != nil else {
                return print("SKIPPED: \(Test.current?.name ?? ""): there is no nft")
            }
            try Stage.perform(hosts: 3) { stage in try scenario(Place(stage, isKnown: isKnown)) }
        }

        @Test("Nothing in between: all of it is found, by the command alone and by the node that runs")
        func plain() throws {
            try perform { place in
                let alone = try place.check()
                #expect(alone.by == "own" && alone.udp == .yes && alone.peers.count == 2, "\(alone)")
                #expect(try place.family(alone).nat == .none && place.family(alone).isRouted)
                #expect(try place.family(alone, "IPv6").works == .unknown)
                for peer in alone.peers {
                    #expect(
                        peer.handshake == .passes && peer.pathMTU == 1480 && peer.isMeasured && peer.isLeast, "\(peer)")
                    #expect(peer.seenAs?.hasPrefix("10.99.0.2:") == true && peer.roundTripSeconds != nil)
                    #expect(abs(peer.clockAheadSeconds ?? 99) <= 1)
                }
                try place.client.start()
                for peer in place.peers { try peer.event("session.confirmed") }
                let node = try place.check()
                #expect(
                    node.by == "node" && node.peers.map(\.seenAs) == ["10.99.0.2:9000", "10.99.0.2:9000"], "\(node)")
                #expect(try place.family(node).nat == .none)
                // The sessions are those that were there, and nobody was told goodbye.
                #expect(place.client.events("session.established").count == 2)
                #expect(place.client.events("session.ended").isEmpty)
                let words = try place.stage.run(
                    "netcheck", on: place.inside, [place.stage.pqvpn, "netcheck"], environment: place.client.environment
                )
                #expect(
                    words.output.contains("UDP out     yes") && words.output.contains("none: peers see"),
                    "\(words.output)")
                #expect(try place.client.end() == 0)
                // Another configuration than that of the node that runs is asked for by itself, without a file left behind.
                #expect(
                    try FileManager.default.contentsOfDirectory(atPath: place.client.directory).contains {
                        $0.contains("netcheck")
                    } == false)
            }
        }

        @Test("A NAT is told by its kind where two peers see it, and by its presence where one does")
        func translation() throws {
            try perform { place in
                let chain = "chain out { type nat hook postrouting priority 100;"
                try place.filter("\(chain) oifname \"outer1\" masquerade\n }")
                let same = try place.check()
                #expect(try place.family(same).nat == .sameForAll, "\(same)")
                #expect(same.peers.allSatisfy { $0.seenAs?.hasPrefix("10.98.0.1:") == true && $0.handshake == .passes })
                try place.filter(
                    """
                    \(chain)
                      ip daddr 10.98.0.3 udp dport 9000 snat to 10.98.0.1:40000-40100
                      ip daddr 10.98.0.33 udp dport 9000 snat to 10.98.0.1:41000-41100
                    }
                    """)
                #expect(try place.family(place.check()).nat == .differs)
                place.client.configuration.peers.removeLast()
                try place.client.writeConfiguration()
                #expect(try place.family(place.check()).nat == .someKind)
            }
        }

        @Test("Where no UDP passes nobody answers, and that has a status")
        func silence() throws {
            try perform { place in
                try place.filter("chain through { type filter hook forward priority 0; meta l4proto udp drop\n }")
                let report = try place.check(["--timeout", "3"], status: 5)
                #expect(report.udp == .no && report.peers.allSatisfy { $0.handshake == .silent }, "\(report)")
                #expect(try place.family(report).works == .no && place.family(report).nat == .unknown)
                #expect(report.peers.allSatisfy { $0.pathMTU == nil && $0.seenAs == nil })
            }
        }

        @Test("Long datagrams that are lost are told from a peer that is not there, and from one that does not know us")
        func longOnes() throws {
            try perform { place in
                try place.filter("chain through { type filter hook forward priority 0; udp length > 1000 drop\n }")
                let report = try place.check(["--timeout", "3"])
                #expect(report.udp == .yes && report.peers.allSatisfy { $0.handshake == .largeLost }, "\(report)")
                // One of the two directions is enough.
                try place.filter(
                    "chain through { type filter hook forward priority 0; udp sport 9000 udp length > 1000 drop\n }")
                #expect(try place.check(["--timeout", "3"]).peers.allSatisfy { $0.handshake == .largeLost })
            }
        }

        @Test("A peer that does not know this node is there, and says nothing")
        func strangers() throws {
            try perform(isKnown: false) { place in
                let report = try place.check(["--timeout", "3"])
                #expect(report.udp == .yes && report.peers.allSatisfy { $0.handshake == .unanswered }, "\(report)")
            }
        }

        @Test("A host without IPv4 is found to have IPv6 alone")
        func sixOnly() throws {
            try Stage.perform { stage in
                let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                for node in [a, b] {
                    node.configuration.hasTunnel = false
                    node.configuration.addresses = []
                    try node.host.ip("-n", node.host.namespace, "-4", "address", "flush", "dev", DemoHost.cable)
                }
                try a.befriend(b, endpoint: b.host.endpoint(.ipv6), allowedIPs: [])
                try b.befriend(a, allowedIPs: [])
                // And a place of the other family, to which there is no way.
                a.configuration.extraLines = ["bootstrap: { peers: [\"10.99.0.2:9000\"] }"]
                try b.start()
                try a.writeConfiguration()
                let outcome = try stage.run(
                    "netcheck", on: a.host,
                    [stage.pqvpn, "netcheck", "--config", a.configurationPath, "--json", "--timeout", "4"],
                    environment: a.environment)
                let report = try JSONDecoder().decode(NetcheckReport.self, from: Data(outcome.output.utf8))
                let (four, six) = (report.families[0], report.families[1])
                #expect(six.works == .yes && six.nat == .none && six.isRouted, "\(outcome.output)")
                #expect(four.works == .no && !four.isRouted, "\(outcome.output)")
                #expect(report.peers.first?.pathMTU == 1500)
            }
        }
    }
}
