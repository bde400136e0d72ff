// SPDX-License-Identifier: Apache-2.0
// When cover traffic goes (§7): at its own times, whatever else is due for the same peer, and to each peer that has a
// session.
import Testing

@testable import VPNCore
@testable import VPNTesting

@Suite struct CoverPauseTests {
    private static let buckets = [64, 128, 256, 512, 1024]

    private var covering: NodeOptions {
        var options = NodeOptions()
        options.padding = .datagrams(Self.buckets)
        options.coverBytesPerSecond = 1000
        return options
    }

    /// Were it to go with whatever else happens, its times would tell of that.
    @Test func coverWaitsForItsOwnTime() throws {
        let scenario = Scenario(seed: 805, alice: covering)
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.run(for: .seconds(5))
        let (network, alice) = (scenario.network, scenario.alice)
        let drawn = alice.machine.peers[0]?.cover
        let due = try #require(drawn)
        let count = alice.cover.datagrams
        #expect(count > 0 && due > network.now)
        for _ in 0..<3 { alice.machine.coverTraffic(0, now: Instant(nanoseconds: due.nanoseconds - 1)) }
        #expect(alice.cover.datagrams == count && alice.machine.peers[0]?.cover == due)
        alice.machine.coverTraffic(0, now: due)
        let next = alice.machine.peers[0]?.cover
        #expect(alice.cover.datagrams == count + 1 && next != nil && next != due)
    }

    /// A peer for which nothing else is ever due, not even a probe of its path.
    @Test func aPeerWhosePathIsNotLookedForIsCoveredToo() {
        let scenario = Scenario(seed: 806, alice: covering)
        scenario.bob.composing { $0.mtu = UInt16(Limits.smallestInnerMTU - 1) }
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.run(for: .seconds(20))
        #expect(scenario.alice.snapshot(now: scenario.network.now)[0].pathMTU == nil)
        #expect(scenario.alice.cover.datagrams > 5, "\(scenario.alice.cover)")
    }

    /// What hides an idle peer's silence goes all the way: to the last hop of a circuit in the layers of all before it.
    @Test(arguments: [0, 2000]) func circuitsAreCoveredToTheirEnd(rate: Int) throws {
        let scenario = CircuitScenario(
            seed: 862, relays: 2, padding: .datagrams([256, 512]), coverBytesPerSecond: rate)
        _ = try scenario.connect([1, 2])
        scenario.network.run(for: .seconds(60))
        let guest = try #require(scenario.relays[1].machine.peers.values.first { $0.isGuest }?.ring.current)
        let count = guest.session.statistics.packetsIn
        // Idle: a question in five seconds, and how long packets may be.
        #expect(rate > 0 ? count > 60 : count < 40, "\(count)")
    }
}
