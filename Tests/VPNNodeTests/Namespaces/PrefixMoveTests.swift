// SPDX-License-Identifier: Apache-2.0
// Networks that go from one peer to another by a reload, whole, or as a longer prefix of what the other one has: packets go with them,
// and so does the right to send from there.
//
//     host a: pqvpn0 ─┬─ outer0 ══ host b: pqvpn0, which has 10.88.1.1
//                     └─ outer1 ══ host c: pqvpn0, which has 10.88.1.1 as well
import Foundation
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Moved networks")
    struct MovedNetworks {
        private static let wide = ["10.88.0.0/16", "fd88::/32"]
        private static let narrow = ["10.88.1.0/24", "fd88:0:1::/48"]
        private static let (inside4, inside6) = ("10.88.1.1", "fd88:0:1::1")

        /// Source and destination of the pings of host a, as headers have them.
        private static let echoes: [[UInt8]] = [
            [10, 77, 0, 1, 10, 88, 1, 1],
            [0xFD, 0x77] + [UInt8](repeating: 0, count: 13) + [1, 0xFD, 0x88, 0, 0, 0, 1]
                + [UInt8](repeating: 0, count: 9) + [1],
        ]

        @Test("A network that goes to another peer by a reload is that one's alone, and sessions go on")
        func moves() throws {
            try Stage.perform(hosts: 3) { stage in
                let nodes = try stage.hosts.map { try stage.node(on: $0) }
                let (a, others) = (nodes[0], Array(nodes[1...]))
                for (position, node) in others.enumerated() {
                    let address = "10.\(Stage.outerNetworks[position]).0.\(node.host.number)"
                    try a.befriend(node, endpoint: "\(address):\(StageConfiguration.port)")
                    try node.befriend(a)
                    node.configuration.addresses += ["\(Self.inside4)/32", "\(Self.inside6)/128"]
                }
                let own = a.configuration.peers.map(\.allowedIPs)
                // What each of the two has, and whose the address is then.
                let rounds: [(networks: [[String]], owner: Int)] = [
                    ([Self.wide, []], 0), ([[], Self.wide], 1), ([Self.narrow, Self.wide], 0),
                    ([Self.wide, Self.narrow], 1), ([Self.wide, []], 0),
                ]
                for (number, round) in rounds.enumerated() {
                    for place in 0...1 { a.configuration.peers[place].allowedIPs = own[place] + round.networks[place] }
                    if number == 0 {
                        for node in others + [a] { try node.start() }
                        for node in others { try stage.reach(node.host.innerIPv4, from: a.host) }
                    } else {
                        try a.reload()
                    }
                    let sights = try others.map {
                        try DemoCapture(
                            "moves-\(number)-\($0.host.letter)", on: DemoHost.interface, of: $0.host,
                            tools: stage.tools,
                            limit: 1000)
                    }
                    defer { for sight in sights { sight.stop() } }
                    #expect(try stage.answers(Self.inside4, from: a.host), "round \(number)")
                    #expect(try stage.answers(Self.inside6, from: a.host), "round \(number)")
                    let seen = try sights.map { try $0.finish() }
                    for echo in Self.echoes {
                        #expect(seen[round.owner].count(containing: echo) == 3, "round \(number)")
                        #expect(seen[1 - round.owner].count(containing: echo) == 0, "round \(number)")
                    }
                    // Who had it may not send from it any more, and who has it now may.
                    guard number == 1 || number == 3 else { continue }
                    let (owner, former) = (others[round.owner], others[1 - round.owner])
                    let honest = try stage.ping(a.host.innerIPv4, from: owner.host, source: Self.inside4)
                    #expect(honest?.received == 3, "round \(number)")
                    let forged = try stage.ping(a.host.innerIPv4, from: former.host, source: Self.inside4, count: 1)
                    #expect(forged?.sent == 1 && forged?.received == 0, "round \(number)")
                }
                #expect(a.events("session.established").count == 2 && a.events("session.ended").isEmpty)
            }
        }
    }
}
