// SPDX-License-Identifier: Apache-2.0
// Quilts on networks drawn at random (§9): ways of any kind that come, go and lie, loads both ways, renewals; from one seed each, so that
// a seed replays its run: `PQVPN_SEED=number` runs that one alone, and says by what number it can be told from others.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

/// One network and what happens in it.
private struct Churn {
    let quilt: QuiltScenario
    let seed: UInt64
    var random: SeededGenerator
    let count: Int
    /// Numbers that went, by who sent them.
    var sent: [String: Set<UInt32>] = ["alice": [], "bob": []]

    init(_ seed: UInt64, _ primitives: Primitives) {
        self.seed = seed
        var random = SeededGenerator(seed)
        count = Int.random(in: 2...5, using: &random)
        let ways = (0..<count).map { _ in Churn.conditions(&random) }
        let scheduler = QuiltScheduler.allCases.randomElement(using: &random)!
        let (keepalive, buckets) = (Bool.random(using: &random), Int.random(in: 0..<4, using: &random) == 0)
        quilt = QuiltScenario(seed: seed, ways: ways, scheduler: scheduler, primitives: primitives) { a, b in
            if keepalive { a.keepaliveSeconds = 5 }
            if buckets { (a.padding, b.padding) = (.datagrams([128, 512, 1200]), .datagrams([128, 512, 1200])) }
        }
        self.random = random
    }

    private static func conditions(_ random: inout SeededGenerator) -> LinkConditions {
        var conditions = LinkConditions(
            loss: Bool.random(using: &random) ? 0 : Double.random(in: 0...0.2, using: &random),
            latency: .milliseconds(Int.random(in: 1...150, using: &random)))
        conditions.jitter = .milliseconds(Int.random(in: 0...20, using: &random))
        conditions.duplication = Bool.random(using: &random) ? 0 : 0.05
        conditions.reordering = Bool.random(using: &random) ? 0 : 0.05
        if Bool.random(using: &random) {
            conditions.bytesPerSecond = UInt64.random(in: 20_000...2_000_000, using: &random)
        }
        return conditions
    }

    /// Something happens, then a moment of traffic both ways.
    mutating func step() {
        switch Int.random(in: 0..<12, using: &random) {
        case 0: quilt.cut.insert(Int.random(in: 1...count, using: &random))
        case 1: quilt.cutThere.insert(Int.random(in: 1...count, using: &random))
        case 2, 3:
            quilt.cut = []
            quilt.cutThere = []
        case 4:
            quilt.longestBytes[Int.random(in: 1...count, using: &random)] = Int.random(in: 200...1500, using: &random)
        case 5: quilt.longestBytes = [:]
        case 6: quilt.ways[Int.random(in: 0..<count, using: &random)] = Churn.conditions(&random)
        case 7: quilt.network.renew(0, at: Bool.random(using: &random) ? quilt.alice : quilt.bob)
        case 8: quilt.network.run(for: .seconds(Int.random(in: 1...20, using: &random)))
        default: break
        }
        for _ in 0..<Int.random(in: 1...60, using: &random) {
            let host = Bool.random(using: &random) ? quilt.alice : quilt.bob
            sent[host.name]!.insert(quilt.sent)
            quilt.sendNumbered(Int.random(in: 40...1200, using: &random), from: host)
            quilt.network.run(for: .microseconds(Int.random(in: 0...20_000, using: &random)))
        }
    }

    /// What is wrong with what came so far; nil for nothing.
    func fault() -> String? {
        for (host, other) in [(quilt.bob, "alice"), (quilt.alice, "bob")] {
            let numbers = QuiltScenario.numbers(host)
            if Set(numbers).count != numbers.count { return "\(host.name) had a packet twice" }
            if !Set(numbers).isSubset(of: sent[other]!) { return "\(host.name) had a packet that nobody sent" }
            for packet in host.delivered where !packet[32...].allSatisfy({ $0 == 7 }) {
                return "\(host.name) had a spoilt packet"
            }
        }
        return nil
    }

    /// All is well from now on: whatever happened, packets go both ways again, by all ways.
    mutating func heal() -> String? {
        (quilt.cut, quilt.cutThere, quilt.longestBytes) = ([], [], [:])
        quilt.ways = quilt.ways.map { LinkConditions(loss: 0, latency: $0.latency) }
        let (before, end) = ((quilt.alice.delivered.count, quilt.bob.delivered.count), quilt.network.now + .seconds(90))
        while quilt.network.now < end {
            for host in [quilt.alice, quilt.bob] {
                sent[host.name]!.insert(quilt.sent)
                quilt.sendNumbered(100, from: host)
            }
            quilt.network.run(for: .milliseconds(500))
            if quilt.alice.delivered.count > before.0 + 20, quilt.bob.delivered.count > before.1 + 20,
                quilt.patchesUp(quilt.alice) == count, quilt.patchesUp(quilt.bob) == count
            {
                return nil
            }
        }
        return "no way back: \(quilt.patchesUp(quilt.alice)) and \(quilt.patchesUp(quilt.bob)) of \(count) ways; "
            + quilt.scenario.describe()
    }

    /// What went wrong on one network; nil for nothing.
    static func run(_ seed: UInt64, _ primitives: Primitives) -> String? {
        var churn = Churn(seed, primitives)
        return churn.life()
    }

    /// The same, and a number for all that went over the wires and what came of it.
    static func watched(_ seed: UInt64, _ primitives: Primitives) -> (digest: TraceDigest, fault: String?) {
        var churn = Churn(seed, primitives)
        churn.quilt.network.isWatching = true
        let fault = churn.life()
        var digest = churn.quilt.network.digest
        for host in [churn.quilt.alice, churn.quilt.bob] {
            for number in QuiltScenario.numbers(host) { digest.take(UInt64(number)) }
        }
        return (digest, fault)
    }

    private mutating func life() -> String? {
        quilt.network.run(for: .seconds(2))
        for _ in 0..<random.next() % 12 + 1 {
            step()
            if let fault = fault() { return "seed \(seed): \(fault)" }
        }
        if let fault = heal() ?? fault() { return "seed \(seed): \(fault)" }
        return nil
    }
}

@Suite struct QuiltChurnTests {
    /// `PQVPN_SEEDS=10000` for the whole of it; a few in each run of the tests.
    private static let seeds = Figures.number("PQVPN_SEEDS") ?? 200
    private static let replayed = Figures.number("PQVPN_SEED")
    /// Those of the real primitives begin here.
    private static let firstReal = 1_000_000

    @Test(.enabled(if: QuiltChurnTests.replayed == nil), arguments: 0..<20) func networksDrawnAtRandom(part: Int) {
        for seed in 0..<Self.seeds where seed % 20 == part {
            if let fault = Churn.run(UInt64(seed), .rehearsal) { Issue.record("\(fault)") }
        }
    }

    @Test(.enabled(if: QuiltChurnTests.replayed == nil)) func withTheRealPrimitives() {
        for seed in 0..<max(3, Self.seeds / 200) {
            if let fault = Churn.run(UInt64(seed + Self.firstReal), .real) { Issue.record("\(fault)") }
        }
    }

    /// The real primitives draw what nobody can draw again: what happens is the same, what it looks like is not.
    @Test(.enabled(if: QuiltChurnTests.replayed != nil)) func oneNetworkAgain() {
        let seed = Self.replayed ?? 0
        let (digest, fault) = Churn.watched(UInt64(seed), seed >= Self.firstReal ? .real : .rehearsal)
        print("quilt seed \(seed): \(digest)")
        if let fault { Issue.record("\(fault)") }
    }

    /// Bit by bit: the same datagrams at the same times, and the same packets from them, whatever else runs.
    @Test func aSeedReplaysItsRun() async {
        let seeds = 0..<12
        let digests = await withTaskGroup(of: (Int, TraceDigest).self) { group in
            for seed in Array(seeds) + seeds {
                group.addTask { (seed, Churn.watched(UInt64(seed), .rehearsal).digest) }
            }
            return await group.reduce(into: [Int: [TraceDigest]]()) { $0[$1.0, default: []].append($1.1) }
        }
        for seed in seeds {
            #expect(Set(digests[seed]!.map(\.description)).count == 1, "seed \(seed): \(digests[seed]!)")
        }
        #expect(Set(digests.values.map { $0[0].description }).count == seeds.count)
    }
}
