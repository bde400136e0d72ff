// SPDX-License-Identifier: Apache-2.0
// One session over several ways at once (§9), on networks whose ways differ: that it is made, that it carries what all of them carry,
// in order, and that a way may end at any moment.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

/// A way with a delay, and a rate in megabits (0 = any).
func way(_ milliseconds: Int, _ megabits: Double = 0, loss: Double = 0, jitter: Int = 0) -> LinkConditions {
    var conditions = LinkConditions(loss: loss, latency: .milliseconds(milliseconds))
    conditions.bytesPerSecond = UInt64(megabits * 1e6 / 8)
    conditions.jitter = .milliseconds(jitter)
    return conditions
}

@Suite struct QuiltTests {
    // MARK: - Making

    @Test(arguments: Primitives.allCases, 2...5) func allWaysAreStitchedIn(primitives: Primitives, count: Int) throws {
        let quilt = QuiltScenario(
            seed: UInt64(count), ways: (0..<count).map { way(5 + 10 * $0) }, primitives: primitives)
        quilt.network.isCapturing = true
        #expect(quilt.stitch(within: .seconds(5)), "\(quilt.scenario.describe())")
        #expect(quilt.scenario.carriesTraffic())
        let alice = try #require(quilt.alice.quilt(of: 0, now: quilt.network.now))
        #expect(alice.patches.map(\.carrier) == (1...count).map { .udp(QuiltScenario.endpoint($0, 2)) })
        #expect(alice.joining.isEmpty)
        // Each way shows an index of its own, both ways, and no other.
        quilt.load(megabits: 1, for: .seconds(2))
        var indices: [Endpoint: Set<UInt32>] = [:]
        for (_, datagram) in quilt.network.capture where datagram.type?.isData == true {
            indices[datagram.destination, default: []].insert(datagram.bytes.u32(at: 4))
        }
        #expect(indices.count == 2 * count && indices.values.allSatisfy { $0.count == 1 }, "\(indices)")
        #expect(Set(indices.values.flatMap { $0 }).count == 2 * count)
        #expect(quilt.alice.controlDrops.nonZero.isEmpty, "\(quilt.scenario.describe())")
        #expect(quilt.bob.controlDrops.nonZero.isEmpty, "\(quilt.scenario.describe())")
        #expect(quilt.alice.dataPlaneDrops.nonZero.isEmpty && quilt.bob.dataPlaneDrops.nonZero.isEmpty)
        // Times of the ways are told apart.
        let trips = try #require(quilt.alice.quilt(of: 0, now: quilt.network.now)).patches.map(\.roundTrip)
        for (place, trip) in trips.enumerated() {
            let wanted = 2 * (5 + 10 * place)
            let found = Int((trip ?? .zero).nanoseconds / 1_000_000)
            #expect((wanted...wanted + 2).contains(found))
        }
    }

    /// A way that is not there from the beginning is taken when it comes.
    @Test func aLateWayIsTaken() {
        let quilt = QuiltScenario(seed: 3, ways: [way(10), way(20)])
        quilt.cut = [2]
        #expect(!quilt.stitch(within: .seconds(12)))
        #expect(quilt.scenario.carriesTraffic())
        quilt.cut = []
        #expect(quilt.stitch(within: .seconds(20)))
    }

    /// A way that takes shorter packets alone makes all packets shorter, and is not taken for one that carries more.
    @Test func aNarrowWayIsTakenForWhatItIs() throws {
        let quilt = QuiltScenario(seed: 4, ways: [way(10), way(10)])
        quilt.longestBytes[2] = 1400
        #expect(quilt.stitch(within: .seconds(20)))
        let snapshot = try #require(quilt.alice.quilt(of: 0, now: quilt.network.now))
        #expect(snapshot.mtu == 1280)
        // 1400 bytes and 36 around them would not pass there.
        for size in [1280, 1281] { quilt.sendNumbered(size) }
        quilt.network.run(for: .seconds(1))
        #expect(quilt.bob.delivered.map(\.count) == [1280] && quilt.alice.exceeded.map(\.mtu) == [1280])
    }

    // MARK: - Both ways carry

    /// Out of how many packets how many came, and how many of them before an earlier one.
    private func outcome(
        _ quilt: QuiltScenario, at receiver: VirtualHost, from first: Int = 0
    ) -> (share: Double, disorder: Double) {
        let numbers = QuiltScenario.numbers(receiver).filter { $0 >= UInt32(first) }
        var (highest, late): (UInt32, Int) = (0, 0)
        for number in numbers {
            if number < highest { late += 1 }
            highest = max(highest, number)
        }
        let sent = Int(quilt.sent) - first
        return (Double(numbers.count) / Double(sent), Double(late) / Double(max(1, numbers.count)))
    }

    @Test(
        arguments: [(100.0, 10, 100.0, 30), (300.0, 10, 80.0, 30), (50.0, 40, 100.0, 5)],
        QuiltScenario.Direction.allCases)
    func twoWaysCarryTheSum(rates: (Double, Int, Double, Int), direction: QuiltScenario.Direction) {
        let quilt = QuiltScenario(seed: 5, ways: [way(rates.1, rates.0), way(rates.3, rates.2)])
        #expect(quilt.stitch())
        let (sender, receiver) = (quilt.sender(direction), quilt.receiver(direction))
        // Until it is known what the ways can do.
        quilt.load(megabits: rates.0 + rates.2, for: .milliseconds(1500), from: sender)
        quilt.network.run(for: .seconds(1))
        let first = Int(quilt.sent)
        // 1200 bytes within are 1236 on the way: a load of 88 %.
        quilt.load(megabits: (rates.0 + rates.2) * 0.85, for: .milliseconds(1500), from: sender)
        quilt.network.run(for: .seconds(1))
        let (share, disorder) = outcome(quilt, at: receiver, from: first)
        #expect(share >= 0.99, "\(share) of \(rates): \(quilt.summary(sender)); \(quilt.scenario.describe())")
        #expect(disorder <= 0.001, "\(disorder) of \(rates)")
    }

    /// A load that one way carries goes by the quicker one, and nothing waits.
    @Test func aLightLoadIsNotDelayed() {
        let quilt = QuiltScenario(seed: 6, ways: [way(10, 100), way(30, 100)])
        #expect(quilt.stitch())
        quilt.network.run(for: .seconds(3))
        let first = quilt.bob.delivered.count
        var sentAt: [Instant] = []
        for _ in 0..<2000 {
            sentAt.append(quilt.network.now)
            quilt.sendNumbered()
            quilt.network.run(for: .microseconds(500))
        }
        quilt.network.run(for: .seconds(1))
        #expect(quilt.bob.delivered.count == first + 2000)
        let took = zip(sentAt, quilt.bob.deliveredAt[first...]).map { $1.since($0) }
        #expect(took.max()! < .microseconds(10_300), "\(took.max()!.nanoseconds / 1000) us")
    }

    // MARK: - A way ends

    enum End: String, CaseIterable, Sendable {
        case both, there, back, longPackets
    }

    /// Each end of a way, for packets in each direction.
    static let ends = End.allCases.flatMap { end in QuiltScenario.Direction.allCases.map { (end, $0) } }

    /// The longest time between two arrivals while one way ends under a load.
    private func gap(
        _ seed: UInt64, _ end: End, _ direction: QuiltScenario.Direction, _ scheduler: QuiltScheduler, lost way: Int
    ) -> TimeSpan? {
        let quilt = QuiltScenario(
            seed: seed, ways: [VPNCoreTests.way(10, 100), VPNCoreTests.way(15, 100)], scheduler: scheduler)
        guard quilt.stitch() else { return nil }
        let (sender, receiver) = (quilt.sender(direction), quilt.receiver(direction))
        quilt.load(megabits: 5, for: .seconds(1) + .milliseconds(Int(seed % 400)), from: sender)
        let began = receiver.deliveredAt.count
        switch end {
        case .both: quilt.cut = [way]
        case .there: quilt.cutThere = [way]
        case .back: quilt.cutBack = [way]
        case .longPackets: quilt.longestBytes[way] = 300
        }
        quilt.load(megabits: 5, for: .seconds(2), from: sender)
        quilt.network.run(for: .seconds(1))
        let times = receiver.deliveredAt[(began - 1)...].map { $0 }
        // Service goes on to the end.
        guard let last = times.last, quilt.network.now.since(last) < .milliseconds(1100) else { return nil }
        return zip(times, times.dropFirst()).map { $1.since($0) }.max()
    }

    @Test(arguments: ends, 0..<8) func trafficMovesInTime(_ end: (End, QuiltScenario.Direction), seed: Int) throws {
        let found = try #require(gap(UInt64(seed) * 37, end.0, end.1, .edpf, lost: 1), "seed \(seed)")
        #expect(found <= .milliseconds(600), "\(found.seconds) s, seed \(seed)")
    }

    @Test(arguments: ends, 1...2) func copiesLeaveNoGap(_ end: (End, QuiltScenario.Direction), lost: Int) throws {
        let found = try #require(gap(UInt64(lost), end.0, end.1, .redundant, lost: lost))
        #expect(found <= .milliseconds(50), "\(found.seconds) s")
    }

    /// What went by a way until it was known to be silent goes again by the other: nothing is lost but what the peer has.
    @Test(arguments: 0..<4) func whatASilentWayHadGoesAgain(seed: Int) {
        let quilt = QuiltScenario(seed: UInt64(40 + seed), ways: [way(10, 100), way(15, 100)])
        #expect(quilt.stitch())
        quilt.load(megabits: 20, for: .seconds(1) + .milliseconds(seed * 37))
        quilt.cut = [1]
        quilt.load(megabits: 20, for: .milliseconds(1500))
        quilt.network.run(for: .seconds(1))
        let numbers = QuiltScenario.numbers(quilt.bob)
        #expect(Set(numbers) == Set(0..<quilt.sent), "\(Set(0..<quilt.sent).subtracting(numbers).count) lost")
        #expect(numbers.count == Int(quilt.sent))
    }

    /// A way that lets short datagrams pass alone is no way, as long as it does that.
    @Test func aWayForShortOnesStaysDown() {
        let quilt = QuiltScenario(seed: 50, ways: [way(10, 100), way(15, 100)])
        #expect(quilt.stitch())
        quilt.load(megabits: 5, for: .seconds(2))
        quilt.longestBytes[1] = 300
        quilt.load(megabits: 5, for: .milliseconds(700))
        quilt.load(megabits: 5, for: .seconds(10)) {
            #expect(quilt.alice.quilt(of: 0, now: quilt.network.now)!.patches[0].state != .up)
        }
        quilt.longestBytes[1] = nil
        quilt.load(megabits: 5, for: .seconds(3))
        #expect(quilt.patchesUp(quilt.alice) == 2)
    }

    /// What went is taken again when it comes back.
    @Test func aWayComesBack() {
        let quilt = QuiltScenario(seed: 9, ways: [way(10), way(15)])
        #expect(quilt.stitch())
        for lost in [1, 2] {
            quilt.cut = [lost]
            quilt.load(megabits: 0.1, for: .seconds(40))
            #expect(quilt.patchesUp(quilt.alice) == 1 && quilt.scenario.carriesTraffic())
            quilt.cut = []
            quilt.load(megabits: 0.1, for: .seconds(10))
            #expect(quilt.patchesUp(quilt.alice) == 2 && quilt.patchesUp(quilt.bob) == 2)
        }
        #expect(quilt.alice.establishedSessions.count == 1, "no handshake was needed")
    }

    /// A renewal takes the patches along, even where the way of the first handshake is gone.
    @Test func patchesOutliveARenewal() {
        let quilt = QuiltScenario(seed: 10, ways: [way(10), way(15), way(20)])
        #expect(quilt.stitch())
        quilt.network.renew(0, at: quilt.alice)
        quilt.network.run(for: .seconds(3))
        #expect(quilt.alice.establishedSessions.count == 2 && quilt.stitch(within: .seconds(1)))
        quilt.cut = [1]
        quilt.load(megabits: 1, for: .seconds(5))
        quilt.network.renew(0, at: quilt.alice)
        quilt.load(megabits: 1, for: .seconds(5))
        #expect(
            quilt.alice.establishedSessions.count == 3, "\(quilt.summary(quilt.alice)); \(quilt.scenario.describe())")
        #expect(quilt.patchesUp(quilt.alice) == 2 && quilt.scenario.carriesTraffic())
        quilt.cut = []
        #expect(quilt.stitch(within: .seconds(20)))
        #expect(QuiltScenario.numbers(quilt.bob).count == Set(QuiltScenario.numbers(quilt.bob)).count)
    }

    // MARK: - Losses

    @Test(arguments: [QuiltScheduler.redundant, .fec], QuiltScenario.Direction.allCases)
    func lossesAreMadeGood(scheduler: QuiltScheduler, direction: QuiltScenario.Direction) {
        let quilt = QuiltScenario(
            seed: 11, ways: [way(10, 100, loss: 0.03), way(20, 100, loss: 0.03)], scheduler: scheduler)
        #expect(quilt.stitch(within: .seconds(30)))
        let (sender, receiver) = (quilt.sender(direction), quilt.receiver(direction))
        // Until the losses are known.
        quilt.load(megabits: 20, for: .seconds(3), from: sender)
        let (first, bytes) = (Int(quilt.sent), sender.bytesSent)
        quilt.load(megabits: 20, for: .seconds(5), from: sender)
        let took = Double(sender.bytesSent - bytes) / (Double(Int(quilt.sent) - first) * 1236)
        quilt.network.run(for: .seconds(1))
        let share = outcome(quilt, at: receiver, from: first).share
        #expect(share >= 0.999, "\(share)")
        #expect(took <= (scheduler == .fec ? 1.25 : 2.05), "\(took)")
        // What came is what went, whole.
        for packet in receiver.delivered { #expect(packet[32...].allSatisfy { $0 == 7 } && packet.count == 1200) }
        #expect(Set(QuiltScenario.numbers(receiver)).count == receiver.delivered.count)
    }
}
