// SPDX-License-Identifier: Apache-2.0
// Whole networks drawn at random, each from a seed: churn, NATs, partitions, hostile ones. A seed that fails tells its number, and
// `PQVPN_SEED=number` replays it, with everything that happens.
import Testing
import VPNTesting

@testable import VPNCore

@Suite struct NetworkTests {
    /// `PQVPN_SEEDS=20000` for the whole of it; `PQVPN_FIRST_SEED` begins elsewhere.
    private static let seeds = Figures.number("PQVPN_SEEDS") ?? 1000
    private static let first = Figures.number("PQVPN_FIRST_SEED") ?? 0
    private static let replayed = Figures.number("PQVPN_SEED")

    private static func run(_ seed: Int, isTracing: Bool = false) -> (RandomNetwork.Counts, TraceDigest, String?) {
        let scene = RandomNetwork(NetworkPlan(UInt64(seed)), isTracing: isTracing)
        let fault = scene.life()
        scene.counts.packets = scene.ledger.entries.count
        scene.counts.arrivals = scene.ledger.arrivals
        scene.counts.datagrams = scene.network.datagrams
        scene.counts.hostile += scene.links.acts
        return (scene.counts, scene.digest, fault)
    }

    @Test(.enabled(if: NetworkTests.replayed == nil)) func networksDrawnAtRandom() async {
        var total = RandomNetwork.Counts()
        await withTaskGroup(of: RandomNetwork.Counts.self) { group in
            for part in 0..<20 {
                group.addTask {
                    var counts = RandomNetwork.Counts()
                    for seed in Self.first..<Self.first + Self.seeds where seed % 20 == part {
                        let (one, _, fault) = Self.run(seed)
                        counts.add(one)
                        if let fault { Issue.record("seed \(seed): \(fault)") }
                    }
                    return counts
                }
            }
            for await counts in group { total.add(counts) }
        }
        Figures.tell(
            "simulation",
            [
                ("seeds", Self.seeds, "seeds"), ("nodes", total.nodes, "nodes"),
                ("happenings", total.happenings, "happenings"), ("restarts", total.restarts, "restarts"),
                ("packets", total.packets, "packets"), ("datagrams", total.datagrams, "datagrams"),
                ("handshakes", total.handshakes, "handshakes"), ("renewals", total.renewals, "renewals"),
                ("circuits", total.circuits, "circuits"), ("paths", total.paths, "paths replaced"),
                ("moves", total.moves, "moves"),
                ("hostile", total.hostile, "hostile datagrams"),
                ("slowest_pair", Int(total.slowestPair.seconds), "s until the slowest pair spoke again"),
                ("slowest_circuit", Int(total.slowestCircuit.seconds), "s until the slowest circuit was back"),
                ("slowest_end", Int(total.slowestEnd.seconds), "s until nothing was left of who had gone"),
            ])
    }

    @Test(.enabled(if: NetworkTests.replayed != nil)) func oneNetworkAgain() {
        let (counts, digest, fault) = Self.run(Self.replayed ?? 0, isTracing: true)
        print("seed \(Self.replayed ?? 0): \(digest), \(counts)")
        if let fault { Issue.record("seed \(Self.replayed ?? 0): \(fault)") }
    }

    /// Sessions that ended in a path before its time; an exit that started anew while another path to it was being built, or before that;
    /// ends that disagreed about which of two sessions to send on; a first word from a new address that was too short to be answered; a
    /// responder without a descriptor that was asked for it; a relay that was not imported again.
    @Test(arguments: [1094, 1222, 1492, 1590, 1637, 2249, 2572, 4173, 4545, 5608, 7757, 12103])
    func whatOnceFailed(seed: Int) {
        #expect(Self.run(seed).2 == nil)
    }

    /// Bit by bit: the same datagrams at the same times, whichever thread runs it and whatever else runs.
    @Test func aSeedReplaysItsRun() async {
        let seeds = [1, 2, 3, 4, 5, 6, 7, 8, 249]
        let digests = await withTaskGroup(of: (Int, TraceDigest).self) { group in
            for seed in seeds + seeds { group.addTask { (seed, Self.run(seed).1) } }
            return await group.reduce(into: [Int: [TraceDigest]]()) { $0[$1.0, default: []].append($1.1) }
        }
        for seed in seeds {
            #expect(digests[seed]?.count == 2 && Set(digests[seed]!.map(\.description)).count == 1, "\(seed)")
        }
        #expect(Set(digests.values.map { $0[0].description }).count == seeds.count)
    }
}
