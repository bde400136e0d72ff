// SPDX-License-Identifier: Apache-2.0
// Padding to buckets (§7) over whole lives of sessions: which sizes an observer of the outer link sees, and what padding must not
// break or outgrow.
import Testing
import VPNTesting

@testable import VPNCore

@Suite struct PaddedLifeTests {
    private static let elsewhere = Endpoint(v4: 0x0A00_0051, port: 4500)
    private static let buckets = [64, 128, 256, 512, 1024]
    /// What the survey of path MTUs asks for over IPv4 with interfaces of 1436, as datagrams.
    private static let surveyed = [1232, 1252, 1312, 1352, 1372, 1392, 1412, 1432, 1452, 1464, 1472]

    private func options(_ padding: PaddingPolicy, rekey: TimeSpan = .seconds(1800)) -> (NodeOptions, NodeOptions) {
        var (alice, bob) = (NodeOptions(), Scenario.answering)
        (alice.padding, bob.padding) = (padding, padding)
        (alice.rekeyThreshold, bob.rekeyThreshold) = (rekey, rekey)
        alice.keepaliveSeconds = 5
        return (alice, bob)
    }

    private func scenario(
        _ seed: UInt64, padding: PaddingPolicy = .datagrams(buckets), rekey: TimeSpan = .seconds(1800),
        largestDatagram: Int = 1472
    ) -> Scenario {
        let (alice, bob) = options(padding, rekey: rekey)
        var conditions = LinkConditions()
        conditions.largestDatagram = largestDatagram
        let scenario = Scenario(seed: seed, conditions: conditions, alice: alice, bob: bob)
        #expect(scenario.connect(), "\(scenario.describe())")
        return scenario
    }

    /// Datagrams of sessions by size, from then on.
    private func sizes(_ scenario: Scenario, since: Instant = .origin) -> Set<Int> {
        Set(
            scenario.network.capture.filter { $0.at >= since && $0.datagram.type?.isData == true }
                .map(\.datagram.bytes.count))
    }

    /// Packets of every fifth length from the shortest to the longest that the path carries, each way; how many came.
    private func exchangeAllSizes(_ scenario: Scenario, longest: Int) -> (sent: Int, came: Int) {
        let before = scenario.alice.delivered.count + scenario.bob.delivered.count
        var sent = 0
        for count in Array(stride(from: 28, to: longest, by: 5)) + [longest] {
            scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 7, count: count), from: scenario.alice)
            scenario.network.sendInner(Scenario.packet(from: 2, to: 1, tag: 7, count: count), from: scenario.bob)
            scenario.network.run(for: .milliseconds(20))
            sent += 2
        }
        scenario.network.run(for: .seconds(1))
        return (sent, scenario.alice.delivered.count + scenario.bob.delivered.count - before)
    }

    /// Handshake, probes, packets of all sizes, keepalives, new handshakes, a move and the farewell.
    @Test(arguments: 1...5) func aWholeLifeShowsTheAllowedSizesAlone(seed: Int) {
        let scenario = scenario(UInt64(seed) + 900, rekey: .seconds(40))
        scenario.network.run(for: .seconds(10))
        #expect(exchangeAllSizes(scenario, longest: 1436) == (566, 566), "\(scenario.describe())")
        scenario.network.run(for: .seconds(100))
        #expect(scenario.alice.establishedSessions.count >= 3, "\(scenario.describe())")
        scenario.network.move(scenario.alice, to: Self.elsewhere)
        scenario.network.run(for: .seconds(20))
        #expect(scenario.bob.carrier(of: 0) == .udp(Self.elsewhere))
        #expect(scenario.carriesTraffic())
        scenario.network.shutDown(scenario.alice)
        scenario.network.run(for: .seconds(2))
        let seen = sizes(scenario)
        #expect(seen.isSubset(of: Set(Self.buckets + Self.surveyed)), "\(seen.sorted())")
        #expect(seen.isSuperset(of: Self.buckets + [1472]), "\(seen.sorted())")
    }

    /// Once the path is known there is no size but the buckets and the path's own, whatever size the path has.
    @Test(arguments: [1472, 1452, 1412, 1300, 1260]) func aKnownPathShowsBucketsAndItsMTU(largestDatagram: Int) {
        let scenario = scenario(910, largestDatagram: largestDatagram)
        scenario.network.run(for: .seconds(10))
        let settled = scenario.network.now
        // The largest size of the survey that arrives.
        let found = Self.surveyed.last { $0 <= largestDatagram }!
        let exchanged = exchangeAllSizes(scenario, longest: found - Limits.layerOverhead)
        #expect(exchanged.sent == exchanged.came, "\(exchanged) \(scenario.describe())")
        scenario.network.run(for: .seconds(20))
        #expect(sizes(scenario, since: settled) == Set(Self.buckets + [found]))
        scenario.network.sendInner(
            Scenario.packet(from: 1, to: 2, tag: 9, count: found - Limits.layerOverhead + 1), from: scenario.alice)
        #expect(scenario.alice.exceeded.last?.mtu == found - Limits.layerOverhead)
    }

    /// Without buckets sizes are what they are: the test above would see it.
    @Test func withoutPaddingSizesShow() {
        let scenario = scenario(920, padding: .none)
        scenario.network.run(for: .seconds(10))
        _ = exchangeAllSizes(scenario, longest: 1436)
        #expect(sizes(scenario).subtracting(Self.buckets + Self.surveyed).count > 200)
    }

    /// No bucket at all: everything is as long as the path's MTU.
    @Test func withoutBucketsThereIsOneSize() {
        let scenario = scenario(921, padding: .datagrams([]))
        scenario.network.run(for: .seconds(10))
        let settled = scenario.network.now
        let exchanged = exchangeAllSizes(scenario, longest: 1436)
        #expect(exchanged.sent == exchanged.came)
        scenario.network.run(for: .seconds(20))
        #expect(sizes(scenario, since: settled) == [1472])
    }

    /// One end that pads and one that does not understand each other; each shows what it was told to.
    @Test func onePaddingEndIsEnough() {
        let (alice, _) = options(.datagrams(Self.buckets))
        let scenario = Scenario(seed: 922, alice: alice, bob: Scenario.answering)
        #expect(scenario.connect())
        scenario.network.run(for: .seconds(10))
        let exchanged = exchangeAllSizes(scenario, longest: 1436)
        #expect(exchanged.sent == exchanged.came, "\(scenario.describe())")
        let fromAlice = Set(
            scenario.network.capture.filter {
                $0.datagram.type?.isData == true && $0.datagram.source == Scenario.aliceEndpoint
            }.map(\.datagram.bytes.count))
        #expect(fromAlice.isSubset(of: Set(Self.buckets + Self.surveyed)), "\(fromAlice.sorted())")
    }

    /// §7: to an address that has not answered yet go no more bytes than came from there, padded questions included.
    @Test func paddedQuestionsStayWithinWhatCame() {
        let scenario = scenario(923, padding: .datagrams([]))
        scenario.network.run(for: .seconds(10))
        var isSilenced = false
        scenario.network.intervene = { datagram in
            isSilenced && datagram.destination == Self.elsewhere ? .drop : .pass
        }
        isSilenced = true
        scenario.network.move(scenario.alice, to: Self.elsewhere)
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 3), from: scenario.alice)
        scenario.network.run(for: .seconds(2))
        let came = scenario.network.capture.filter { $0.datagram.source == Self.elsewhere }
        let went = scenario.network.capture.filter { $0.datagram.destination == Self.elsewhere }
        #expect(!came.isEmpty && !went.isEmpty)
        #expect(
            went.reduce(0) { $0 + $1.datagram.bytes.count } <= came.reduce(0) { $0 + $1.datagram.bytes.count })
    }
}

@Suite struct DatagramBucketTests {
    @Test func sizesAreSortedMadeOneAndFreedOfImpossibleOnes() {
        #expect(PaddingPolicy.datagrams([512, 64, 35, 64, 36, 1]) == .buckets([4, 32, 480]))
        #expect(PaddingPolicy.datagrams([]) == .buckets([]))
        // A bucket beyond the path's MTU is none.
        let policy = PaddingPolicy.datagrams([64, 1024, 9000])
        #expect(policy.paddedLength(33, ceiling: 1440) == 992)
        #expect(policy.paddedLength(993, ceiling: 1440) == 1440)
        #expect(policy.paddedLength(32, ceiling: 1440) == 32)
    }
}
