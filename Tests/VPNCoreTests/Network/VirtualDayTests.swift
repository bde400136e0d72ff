// SPDX-License-Identifier: Apache-2.0
// A long time of a small network under a light load: renewals, ratchets, replaced paths, a few outages and moves. Nothing is lost but in
// outages, and nothing grows. One hour in each run of the tests, `PQVPN_HOURS=24` for the day.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

extension NetworkPlan {
    /// Two exits and five more relays; a server. Clients: one with a quilt, one behind a NAT, one with a circuit of three hops, one with
    /// a circuit of two paths.
    static var day: NetworkPlan {
        var plan = NetworkPlan(0)
        let open = 8
        plan.nodes = Array(repeating: Node(), count: open + 4)
        for node in 0..<open { plan.nodes[node].isPublic = true }
        for node in 0..<open - 1 { plan.nodes[node].isRelay = true }
        for node in 0..<2 { plan.nodes[node].isExit = true }
        plan.nodes[open + 1].translation = Translation(mapping: .endpointDependent, timeout: .seconds(30))
        plan.pairs = [
            Pair(caller: open, called: open - 1, keepaliveSeconds: 25, scheduler: .edpf),
            Pair(caller: open + 1, called: open - 1, keepaliveSeconds: 20, isKeyed: true),
            Pair(caller: open + 2, called: open - 1),
        ]
        plan.circuits = [
            Circuit(client: open + 2, exit: 0, hops: 3), Circuit(client: open + 3, exit: 1, hops: 2, paths: 2),
        ]
        (plan.strangers, plan.padding, plan.workers, plan.isGossiping) = (0, .none, 1, true)
        plan.rekeyThreshold = .seconds(1800)
        return plan
    }
}

@Suite struct VirtualDayTests {
    private static let hours = Figures.number("PQVPN_HOURS") ?? 1

    /// What all nodes together hold.
    private struct Census {
        var peers = 0, sessions = 0, indices = 0, keys = 0, handshakes = 0, paths = 0, relayed = 0

        init(_ hosts: [VirtualHost]) {
            for footprint in hosts.map(\.footprint) {
                peers += footprint.peers
                sessions += footprint.sessions
                indices += footprint.receiverIndices
                keys += footprint.chainedKeys
                handshakes += footprint.inboundHandshakes + footprint.initiations
                paths += footprint.paths
                relayed += footprint.relayed
            }
        }

        var all: [Int] { [peers, sessions, indices, keys, handshakes, paths, relayed] }
    }

    /// A way or a node is ill from a minute on, for so many seconds.
    private enum Mishap { case partition, restartOfServer, restartOfRelay, roaming, rebinding }

    @Test func nothingIsLostAndNothingGrows() throws {
        let scene = RandomNetwork(.day)
        scene.links.isCalm = true
        scene.run(for: .seconds(120))
        let began = scene.now
        #expect(scene.wanted.allSatisfy { $0.lease != nil })
        let mishaps: [(minute: Int, Mishap)] = [
            (11, .roaming), (17, .rebinding), (23, .partition), (34, .restartOfServer), (46, .restartOfRelay),
        ]
        var excused: [(from: Instant, to: Instant)] = []
        var censuses: [Census] = []
        var sent: [(RandomNetwork.Route, Int)] = []
        for minute in 0..<Self.hours * 60 {
            if let (_, mishap) = mishaps.first(where: { $0.minute == minute % 60 }) {
                let from = scene.now
                happen(mishap, scene)
                excused.append((from, scene.now + .seconds(90)))
            }
            let end = began + .seconds(60 * (minute + 1))
            while scene.now < end {
                for route in scene.routes {
                    guard let number = scene.send(route, length: Int.random(in: 60...1000, using: &scene.random)) else {
                        #expect(excused.last.map { scene.now <= $0.to } ?? false, "no lease at minute \(minute)")
                        continue
                    }
                    sent.append((route, number))
                }
                scene.run(for: .seconds(Int.random(in: 2...8, using: &scene.random)))
            }
            if let fault = scene.fault() {
                Issue.record("minute \(minute): \(fault)")
                return
            }
            if minute % 10 == 9 { censuses.append(Census(scene.hosts.compactMap { $0 })) }
        }
        scene.run(for: .seconds(5))
        let lost = sent.filter { scene.ledger.entries[$0.1].arrived == nil }
        let unexcused = lost.filter { loss in
            let at = scene.ledger.entries[loss.1].sent
            return !excused.contains { $0.from <= at && at <= $0.to }
        }
        #expect(
            unexcused.isEmpty,
            "\(unexcused.count) of \(sent.count): \(unexcused.prefix(5).map { "\(scene.describe($0.0)) at \(scene.ledger.entries[$0.1].sent.since(began).seconds)" })"
        )
        // The second half holds no more than the first.
        let half = censuses.count / 2
        let (first, second) = (censuses[..<half].map(\.all), censuses[half...].map(\.all))
        for kind in first[0].indices {
            let (early, late) = (first.map { $0[kind] }.max() ?? 0, second.map { $0[kind] }.max() ?? 0)
            #expect(late <= early + early / 4 + 4, "\(kind): \(censuses.map { $0.all[kind] })")
        }
        Figures.tell(
            "day",
            [
                ("hours", Self.hours, "virtual hours"), ("packets", sent.count, "packets"),
                ("lost_in_outages", lost.count - unexcused.count, "lost in outages"),
                ("lost_else", unexcused.count, "lost else"), ("outages", excused.count, "outages and moves"),
                ("datagrams", scene.network.datagrams, "datagrams"),
                ("handshakes", scene.counts.handshakes, "handshakes"),
                ("renewals", scene.counts.renewals, "sessions replaced without a loss"),
                ("circuits", scene.counts.circuits, "circuits"), ("paths", scene.counts.paths, "paths replaced"),
            ])
    }

    private func happen(_ mishap: Mishap, _ scene: RandomNetwork) {
        let (server, client) = (7, 8)
        switch mishap {
        case .partition:
            scene.links.islands = [server: 1]
            scene.run(for: .seconds(20))
            scene.links.islands = [:]
        case .restartOfServer:
            scene.stop(server, says: false)
            scene.run(for: .seconds(5))
            scene.start(server)
        case .restartOfRelay:
            scene.stop(0, says: false)
            scene.run(for: .seconds(5))
            scene.start(0)
        case .roaming:
            let endpoint = Endpoint(v4: 0x2800_0001 | UInt32.random(in: 0...255, using: &scene.random) << 8, port: 9000)
            scene.endpoints[client] = endpoint
            scene.links.own(endpoint, by: client)
            if let host = scene.hosts[client] { scene.network.move(host, to: endpoint) }
        case .rebinding: if let host = scene.hosts[client + 1] { scene.network.rebindNAT(of: host) }
        }
    }
}
