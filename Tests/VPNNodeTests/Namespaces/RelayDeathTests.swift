// SPDX-License-Identifier: Apache-2.0
// A client that chooses its own paths, and relays that are killed under its traffic: another path takes over while they are dead.
//
//     host a: client ── outer0 ── host b: relays r1 … r6 at 20.n.0.1, the last of them an exit
import Foundation
import Glibc
import Testing

@testable import VPNNode

/// All relays know each other, and the client knows all of them, by descriptors alone.
private final class RelayVillage {
    let stage: Stage
    let client: StageNode
    private(set) var relays: [StageNode] = []

    /// Inner, of the exit.
    static let target = "10.66.0.1"

    init(_ stage: Stage, relays count: Int, startsClient: Bool = true) throws {
        self.stage = stage
        let (first, second) = (stage.hosts[0], stage.hosts[1])
        client = try stage.node(on: first)
        try first.ip("-n", first.namespace, "route", "add", "20.0.0.0/8", "via", second.outerIPv4)
        for number in 1...count {
            try second.ip("-n", second.namespace, "address", "add", "20.\(number).0.1/32", "dev", "lo")
            relays.append(try stage.node(on: second))
        }
        for (place, relay) in relays.enumerated() {
            let isExit = place + 1 == count
            relay.configuration.bindHost = "20.\(place + 1).0.1"
            relay.configuration.hasTunnel = isExit
            relay.configuration.addresses = []
            relay.configuration.extraLines =
                ["directory: { file: relays.yaml, own_file: own.pub }"]
                + (isExit
                    ? [
                        "relay: { enabled: true, exit_policy: [\"accept icmp/self\"] }",
                        "exit: { networks: [10.66.0.0/16] }",
                    ] : ["relay: true"])
            // As operators let a client in.
            try relay.pin(client)
        }
        client.configuration.addresses = []
        client.configuration.extraLines = [
            "directory: { file: relays.yaml, own_file: own.pub }",
            "circuit: { guards_file: guards.yaml, hops: 3, allowed_ips: [10.66.0.0/16] }",
        ]
        for (place, relay) in relays.enumerated() {
            try relay.writeConfiguration()
            try pqvpn(
                ["relay", "publish", "--address", "20.\(place + 1).0.1:9000", "--operator", relay.name, "--config"]
                    + [relay.configurationPath] + (place + 1 == count ? ["--exit"] : []))
        }
        try client.writeConfiguration()
        for node in relays + [client] {
            for relay in relays where relay !== node {
                try pqvpn([
                    "relay", "import", "\(relay.directory)/own.pub", "--yes", "--config", node.configurationPath,
                ])
            }
        }
        for node in relays + (startsClient ? [client] : []) { try node.start() }
    }

    func pqvpn(_ words: [String]) throws {
        let outcome = try stage.run("pqvpn", on: stage.hosts[0], [stage.pqvpn] + words)
        guard outcome.status == 0 else { throw NodeFailure(.failure, "\(words): \(outcome.errors)") }
    }

    /// The client's path, by names.
    func path() throws -> [String] {
        let outcome = try stage.run(
            "circuits", on: client.host, [stage.pqvpn, "circuits", "--json"], environment: client.environment)
        return try JSONDecoder().decode(CircuitsReport.self, from: Data(outcome.output.utf8)).circuits.first?.hops
            .map(\.name) ?? []
    }

    /// Packets go all the time, as where somebody uses it.
    func use() throws -> DemoProcess {
        try stage.start(
            "use", on: client.host, [stage.tools.ping, "-n", "-i", "0.1", "-W", "1", Self.target])
    }
}

extension WaitingNamespaceTests {
    @Suite("Relays that die")
    struct RelayDeath {
        struct Victim: Sendable, CustomTestStringConvertible {
            let testDescription: String
            /// In the path.
            let place: Int
            /// Seconds after which nothing is waited for any more. A dead first hop without a vigil is a silent peer, which is told
            /// after 15 s, and a guard that failed once is waited for before another one is taken: 56.
            let bound: Double
        }

        static let victims = [
            Victim(testDescription: "the middle", place: 1, bound: 20),
            Victim(testDescription: "the guard", place: 0, bound: 120),
        ]

        /// Until there is another circuit. A dead hop is noticed by the vigil within two seconds, and another path's handshakes take
        /// a tenth: 1.8 s were measured of either victim. The better of two tries counts, as the machine may have other things to do.
        private static let promised = Duration.seconds(3)

        @Test("Another path takes over within 3 s while a relay of the first is dead", arguments: victims)
        func another(_ victim: Victim) throws {
            var tries: [Duration] = []
            try perform(victim, &tries)
            if let first = tries.first, first > Self.promised { try perform(victim, &tries) }
            #expect(tries.isEmpty || tries.contains { $0 <= Self.promised }, "\(victim.testDescription): \(tries)")
        }

        private func perform(_ victim: Victim, _ tries: inout [Duration]) throws {
            try Stage.perform { stage in
                let village = try RelayVillage(stage, relays: 6)
                try village.client.event("circuit.leased", within: 60)
                try stage.reach(RelayVillage.target, from: village.client.host)
                let path = try village.path()
                try #require(path.count == 3)
                let dead = try #require(village.relays.first { $0.name == path[victim.place] })
                let use = try village.use()
                defer { use.stop() }
                try DemoProcess.wait(10, for: "packets") { use.output.contains("icmp_seq=5 ") }
                let ready = village.client.events("circuit.ready").count
                let start = ContinuousClock.now
                #expect(try dead.end(SIGKILL) == 128 + SIGKILL)
                try DemoProcess.wait(victim.bound, for: "another circuit") {
                    village.client.events("circuit.ready").count > ready
                }
                let built = ContinuousClock.now - start
                let answers = use.output.ranges(of: "icmp_seq=").count
                try DemoProcess.wait(victim.bound, for: "answers by it") {
                    use.output.ranges(of: "icmp_seq=").count > answers + 3
                }
                tries.append(built)
                print("MEASURED: \(victim.testDescription) killed: another circuit after \(built)")
                #expect(try !village.path().contains(dead.name))
                #expect(try village.path().last == path.last)
                // It comes back, and is one of the others again.
                try dead.start()
                #expect(dead.events("node.ready").count == 1)
                #expect(try stage.answers(RelayVillage.target, from: village.client.host))
            }
        }

        @Test("The path is as long as the command line says, and ends where it says, with up and with run")
        func commandLine() throws {
            try Stage.perform { stage in
                let village = try RelayVillage(stage, relays: 6, startsClient: false)
                let exit = try #require(village.relays.last)
                let client = try StageClient(village.client, on: stage)
                defer { client.clear() }
                let before = try client.snapshot()
                let configuration = village.client.configurationPath
                let refused = try client.run("up", configuration, "--hops", "9", status: 2)
                #expect(refused.errors.contains("--hops is between 2 and 8"), "\(refused.errors)")
                #expect(refused.errors.contains("everything was taken back"))
                let later = try client.snapshot()
                #expect(later == before)
                // Waits for the circuit as well: there is no other peer.
                try client.run("up", configuration, "--wait", "60", "--hops", "2", "--exit", exit.name)
                var path = try village.path()
                #expect(path.count == 2 && path.last == exit.name, "\(path)")
                try stage.reach(RelayVillage.target, from: village.client.host)
                try client.run("down")
                let after = try client.snapshot()
                #expect(after == before)

                village.client.arguments = ["--hops", "4", "--exit", try #require(exit.hexPeerID)]
                try village.client.start()
                try village.client.event("circuit.leased", within: 60)
                path = try village.path()
                #expect(path.count == 4 && path.last == exit.name && Set(path).count == 4, "\(path)")
                try stage.reach(RelayVillage.target, from: village.client.host)
            }
        }
    }
}
