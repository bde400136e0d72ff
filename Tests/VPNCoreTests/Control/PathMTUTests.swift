// SPDX-License-Identifier: Apache-2.0
// Two nodes on paths of every size: what each finds out about its way to the other, how soon, and what it never believes.

import Testing
import VPNTesting

@testable import VPNCore

@Suite struct PathMTUTests {
    /// Of the nodes' interfaces, and so the most that they look for.
    private static let ceiling = 1436
    /// The least that the survey asks for over IPv4.
    private static let smallest = Limits.innerMTU(path: 1280, isV4: true)

    /// Two nodes that are connected by a path of so many bytes of UDP payload.
    private func scenario(
        _ seed: UInt64, _ primitives: Primitives, largestDatagram: Int, rekey: TimeSpan = .seconds(1800),
        intervene: ((VirtualDatagram) -> VirtualNetwork.Intervention)? = nil
    ) -> Scenario {
        var conditions = LinkConditions()
        conditions.largestDatagram = largestDatagram
        var (alice, bob) = (NodeOptions(), Scenario.answering)
        (alice.rekeyThreshold, bob.rekeyThreshold) = (rekey, rekey)
        let scenario = Scenario(
            seed: seed, primitives: primitives, conditions: conditions, alice: alice, bob: bob, intervene: intervene)
        #expect(scenario.connect(), "\(scenario.describe())")
        return scenario
    }

    /// What a node told its packet workers, in order; before the first it is what it took for granted.
    private func limits(_ host: VirtualHost) -> [Int] {
        host.events.compactMap { if case .pathMTU(_, _, let mtu) = $0.event { mtu } else { nil } }
    }

    private func limit(_ host: VirtualHost) -> Int { limits(host).last ?? PathMTUTests.ceiling }

    /// Probes of either node that were sent from then on: nothing else that is DATA is so long here.
    private func probes(_ scenario: Scenario, since: Instant) -> Int {
        scenario.network.capture.count {
            $0.at >= since && $0.datagram.type?.isData == true && $0.datagram.bytes.count > PathMTUTests.smallest
        }
    }

    /// That both ends send what they say the path carries, that it arrives, and that one byte more is refused with that number.
    private func checkLimits(_ scenario: Scenario) {
        let ways: [(VirtualHost, VirtualHost, UInt8, UInt8)] = [
            (scenario.alice, scenario.bob, 1, 2), (scenario.bob, scenario.alice, 2, 1),
        ]
        for (sender, receiver, from, to) in ways {
            let limit = limit(sender)
            let fitting = Scenario.packet(from: from, to: to, tag: 9, count: limit)
            let long = Scenario.packet(from: from, to: to, tag: 9, count: limit + 1)
            scenario.network.sendInner(fitting, from: sender)
            scenario.network.sendInner(long, from: sender)
            scenario.network.run(for: .seconds(1))
            #expect(receiver.delivered.last == fitting, "\(scenario.describe())")
            #expect(sender.exceeded.last?.packet == long && sender.exceeded.last?.mtu == limit)
        }
    }

    /// Paths of common sizes: Ethernet, PPPoE, and tunnels over each.
    @Test(arguments: Primitives.allCases, [1472, 1464, 1452, 1432, 1412, 1392, 1372, 1352, 1312, 1252])
    func commonSizesAreFoundExactly(primitives: Primitives, largestDatagram: Int) {
        for seed in UInt64(1)...3 {
            let scenario = scenario(seed, primitives, largestDatagram: largestDatagram)
            scenario.network.run(for: .seconds(3))
            for host in [scenario.alice, scenario.bob] {
                #expect(limit(host) == largestDatagram - Limits.layerOverhead, "\(scenario.describe())")
            }
            checkLimits(scenario)
        }
    }

    /// Any others: never too much, and never more than the search's precision too little.
    @Test(arguments: Primitives.allCases, [1300, 1256, 1305, 1260, 1273, 1288, 1311, 1313, 1391, 1450, 1465, 1471])
    func otherSizesAreFoundClosely(primitives: Primitives, largestDatagram: Int) {
        let truth = largestDatagram - Limits.layerOverhead
        for seed in UInt64(1)...3 {
            let scenario = scenario(seed, primitives, largestDatagram: largestDatagram)
            // From then on nothing too long is sent; the rest of the search only finds more.
            scenario.network.run(for: .seconds(3))
            for host in [scenario.alice, scenario.bob] {
                #expect((PathMTUTests.smallest...truth).contains(limit(host)))
            }
            scenario.network.run(for: .seconds(4))
            for host in [scenario.alice, scenario.bob] {
                let found = (truth - Limits.pathPrecision...truth).contains(limit(host))
                #expect(found, "\(limit(host)) of \(truth): \(scenario.describe())")
            }
            checkLimits(scenario)
        }
    }

    /// What the stand-in shows holds in earnest, and for more paths.
    @Test func fiftySeedsOfTheRealPrimitives() {
        for seed in UInt64(1)...50 {
            let largestDatagram = 1256 + Int(seed * 37 % 217)
            let scenario = scenario(seed, .real, largestDatagram: largestDatagram)
            scenario.network.run(for: .seconds(7))
            let truth = min(PathMTUTests.ceiling, largestDatagram - Limits.layerOverhead)
            for host in [scenario.alice, scenario.bob] {
                #expect((truth - Limits.pathPrecision...truth).contains(limit(host)), "\(scenario.describe())")
            }
            checkLimits(scenario)
        }
    }

    /// Where every fifth datagram is lost, a size that would pass is given up now and then. What holds all the same: never
    /// above the truth, since only what arrived is believed; and never below the least that was asked for.
    @Test(arguments: Primitives.allCases) func lossMakesLessOfAPathNeverMore(primitives: Primitives) {
        let truth = 1392 - Limits.layerOverhead
        var exact = 0
        for seed in UInt64(1)...20 {
            var random = SeededRandom(seed: seed &* 7919)
            let scenario = scenario(seed, primitives, largestDatagram: 1392) { datagram in
                datagram.type == .data0 && random.chance(0.2) ? .drop : .pass
            }
            scenario.network.run(for: .seconds(10))
            for host in [scenario.alice, scenario.bob] {
                #expect((PathMTUTests.smallest...truth).contains(limit(host)), "\(scenario.describe())")
                if limit(host) == truth { exact += 1 }
            }
        }
        // Three questions for each size are answered by 95 in 100.
        #expect(exact >= 20)
    }

    /// §7: a busy path is asked whether its size still arrives. Meanwhile what fits is served.
    @Test(arguments: Primitives.allCases) func aPathThatShrinksIsNoticedWhileBusy(primitives: Primitives) {
        let scenario = scenario(4, primitives, largestDatagram: 1472)
        scenario.network.run(for: .seconds(5))
        #expect(limits(scenario.alice).isEmpty)
        scenario.network.conditions.largestDatagram = 1392
        let before = scenario.bob.delivered.count
        for second in UInt8(0)..<20 {
            for _ in 0..<5 {
                let packet = Scenario.packet(from: 1, to: 2, tag: second, count: 600)
                scenario.network.sendInner(packet, from: scenario.alice)
                scenario.network.run(for: .milliseconds(200))
            }
        }
        #expect(scenario.bob.delivered.count - before == 100, "\(scenario.describe())")
        #expect(limits(scenario.alice) == [1356])
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 1, count: 1436), from: scenario.alice)
        #expect(scenario.alice.exceeded.last?.mtu == 1356)
        #expect(scenario.alice.establishedSessions.count == 1)
    }

    /// RFC 8899 §5.1.1: after ten minutes a settled path that is used is tried upwards, and not before.
    @Test(arguments: Primitives.allCases) func aPathThatGrowsIsNoticed(primitives: Primitives) {
        let scenario = scenario(5, primitives, largestDatagram: 1392)
        scenario.network.run(for: .seconds(10))
        #expect(limit(scenario.alice) == 1356 && limit(scenario.bob) == 1356)
        scenario.network.conditions.largestDatagram = 1472
        let grown = scenario.network.now
        scenario.network.run(for: .seconds(550))
        #expect(limit(scenario.alice) == 1356 && limit(scenario.bob) == 1356)
        #expect(probes(scenario, since: grown) == 0)
        scenario.network.run(for: .seconds(60))
        #expect(scenario.carriesTraffic())
        scenario.network.run(for: .seconds(20))
        #expect(limits(scenario.alice) == [1356, 1436] && limits(scenario.bob) == [1356, 1436])
        checkLimits(scenario)
    }

    @Test(arguments: Primitives.allCases) func anIdlePathIsLeftAlone(primitives: Primitives) {
        let scenario = scenario(6, primitives, largestDatagram: 1472)
        scenario.network.run(for: .seconds(5))
        let idle = scenario.network.now
        scenario.network.run(for: .seconds(1500))
        #expect(probes(scenario, since: idle) == 0, "\(scenario.describe())")
        // And one that is used is not: once in 15 s or so, one probe.
        let busy = scenario.network.now
        for _ in 0..<60 {
            scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 1), from: scenario.alice)
            scenario.network.run(for: .seconds(1))
        }
        #expect((3...4).contains(probes(scenario, since: busy)))
        #expect(limits(scenario.alice).isEmpty && limits(scenario.bob).isEmpty)
    }

    /// A peer that no probe reaches, or that answers none, is sent what it took before, and asked in vain.
    @Test(arguments: Primitives.allCases) func silenceAboutProbesChangesNothing(primitives: Primitives) {
        var isDeaf = true
        let scenario = scenario(7, primitives, largestDatagram: 1472) { datagram in
            isDeaf && datagram.type == .data0 && datagram.bytes.count > PathMTUTests.smallest ? .drop : .pass
        }
        for _ in 0..<60 {
            scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 1), from: scenario.alice)
            scenario.network.run(for: .seconds(1))
        }
        #expect(limits(scenario.alice).isEmpty && limits(scenario.bob).isEmpty)
        isDeaf = false
        checkLimits(scenario)
        #expect(scenario.alice.establishedSessions.count == 1)
    }

    /// A new session on the same path begins where the old one was.
    @Test(arguments: Primitives.allCases) func rekeyKeepsTheLimit(primitives: Primitives) {
        let scenario = scenario(8, primitives, largestDatagram: 1392, rekey: .seconds(30))
        scenario.network.run(for: .seconds(10))
        let settled = scenario.network.now
        scenario.network.run(for: .seconds(90))
        #expect(scenario.alice.establishedSessions.count >= 3, "\(scenario.describe())")
        #expect(limits(scenario.alice) == [1356] && limits(scenario.bob) == [1356])
        #expect(probes(scenario, since: settled) == 0)
        checkLimits(scenario)
    }
}
