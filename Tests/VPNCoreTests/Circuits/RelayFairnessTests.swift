// SPDX-License-Identifier: Apache-2.0
// One circuit that wants everything, and a hundred that want little, over one link of a relay (§8): what each gets of what the link
// may have, in virtual time.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct RelayFairnessTests {
    /// Of the thin circuits' packets.
    private struct Measure {
        var lost: Double
        var mean: Double
        var worst: Double
        /// Bytes a second that the fat one got through.
        var fat: Double
    }

    private static let linkRate: UInt64 = 1_250_000

    /// A hundred circuits of five clients, each with a packet of 64 bytes in 150 ms, and one of a sixth client that sends packets of
    /// 1200 bytes at three times the rate of the link from relay 1 to relay 2, if at all.
    private func measure(seed: UInt64, limit: UInt64, isWhole: Bool = false, hasFat: Bool) throws -> Measure {
        var policy = RelayPolicy()
        policy.extendsPerMinute = 0
        policy.handshakesPerMinutePerLink = 100_000
        // The whole rate comes with circuits that are there already.
        if !isWhole { policy.bytesPerSecondPerLink = limit }
        let scenario = CircuitScenario(seed: seed, relays: 2, policy: policy, others: 5)
        let network = scenario.network
        network.isCapturing = false
        let exit = scenario.relays[1]
        func connect(_ number: Int, at host: VirtualHost) throws {
            let request = CircuitRequest(
                name: "c\(number)", hops: [scenario.id(1), scenario.id(2)],
                allowedIPs: [IPPrefix(containing: IPAddress(v4: Self.far(number)), length: 32)])
            let guests = exit.guests.count
            _ = try network.build(request, at: host)
            try #require(network.run(for: .seconds(20)) { exit.guests.count > guests }, "\(scenario.describe())")
            let inner = IPPrefix(containing: IPAddress(v4: Self.near(number)), length: 32)
            #expect(network.assign([inner], to: exit.guests.last!, at: exit))
        }
        network.run(for: .seconds(2))
        for number in 0..<100 { try connect(number, at: scenario.others[number / 20]) }
        try connect(100, at: scenario.client)
        network.run(for: .seconds(5))
        if isWhole {
            policy.bytesPerSecond = limit
            for relay in scenario.relays {
                policy.directory = scenario.directory
                network.enableRelay(policy, of: relay)
            }
        }
        let (from, to) = (scenario.relays[0].endpoint, exit.endpoint)
        network.path = { datagram in
            var conditions = LinkConditions()
            if datagram.source == from, datagram.destination == to { conditions.bytesPerSecond = Self.linkRate }
            return conditions
        }
        var sent: [[UInt8]: Instant] = [:]
        let (before, start) = (exit.delivered.count, network.now)
        let seconds = 3
        // A tick is 0.3 ms: 1200 bytes in each of them are 4 MB/s.
        for tick in 0..<seconds * 3333 {
            if hasFat {
                var packet = CircuitScenario.packet(from: Self.near(100), to: Self.far(100), tag: 0, count: 1200)
                (packet[30], packet[31]) = (UInt8(tick >> 8), UInt8(tick & 255))
                network.sendInner(packet, from: scenario.client)
            }
            // Each thin one in its turn.
            if tick % 5 == 0 {
                let number = tick / 5 % 100
                var packet = CircuitScenario.packet(from: Self.near(number), to: Self.far(number), tag: 0)
                (packet[30], packet[31]) = (UInt8(tick >> 8), UInt8(tick & 255))
                sent[packet] = network.now
                network.sendInner(packet, from: scenario.others[number / 20])
            }
            network.run(for: .microseconds(300))
        }
        let end = network.now
        network.run(for: .seconds(1))
        var delays: [Double] = []
        var fat = 0
        for (packet, at) in zip(exit.delivered[before...], exit.deliveredAt[before...]) {
            if let left = sent[packet] {
                delays.append(Double(at.since(left).nanoseconds) / 1e6)
            } else {
                fat += packet.count
            }
        }
        #expect(delays.count <= sent.count && sent.count > 1500)
        return Measure(
            lost: 1 - Double(delays.count) / Double(sent.count), mean: delays.reduce(0, +) / Double(delays.count),
            worst: delays.max() ?? 0, fat: Double(fat) * 1e9 / Double(end.since(start).nanoseconds))
    }

    private static func near(_ number: Int) -> UInt32 { 0x0A4D_0100 + UInt32(number) }
    private static func far(_ number: Int) -> UInt32 { 0x0A63_0100 + UInt32(number) }

    /// Where the operator said what the link may have, four fifths of what it can do: nobody waits, and it is the fat one that loses.
    @Test(arguments: [false, true]) func aFatCircuitTakesWhatIsLeft(isWhole: Bool) throws {
        let alone = try measure(seed: 1, limit: 1_000_000, isWhole: isWhole, hasFat: false)
        let beside = try measure(seed: 1, limit: 1_000_000, isWhole: isWhole, hasFat: true)
        #expect(alone.lost == 0)
        #expect(beside.lost < 0.01, "\(beside)")
        #expect(beside.mean <= 2 * alone.mean && beside.worst <= 2 * alone.worst, "\(alone) \(beside)")
        // What the others leave is its own: 1 MB/s less a hundred times 140 bytes in 150 ms, and less what lies around its packets.
        #expect((0.7e6...0.9e6).contains(beside.fat), "\(beside)")
    }

    /// What the design does not offer: without that word a relay knows nothing of its link, and the queue before it is everybody's.
    @Test func withoutALimitTheQueueIsEverybodys() throws {
        let beside = try measure(seed: 2, limit: 0, hasFat: true)
        #expect(beside.lost > 0.3 && beside.mean > 40, "\(beside)")
    }

    // MARK: - The allowance by itself

    /// Bytes a second that got through, of circuits that ask for so many bytes a second in datagrams of so many.
    private func passed(_ demands: [(rate: Int, size: Int)], limit: UInt64) -> [Int] {
        let allowance = RelayAllowance(bytesPerSecond: limit)
        let start = Instant.origin + .seconds(100)
        let circuits = demands.map { _ in RelayedTraffic([RelayShare(of: allowance)], now: start) }
        var asked = demands.map { _ in 0 }
        var passed = asked
        for tick in 0..<30_000 {
            let now = start + .microseconds(tick * 100)
            for (place, demand) in demands.enumerated() {
                while asked[place] + demand.size <= demand.rate / 10_000 * tick {
                    asked[place] += demand.size
                    let isAdmitted = circuits[place].admit(demand.size - Limits.layerOverhead, now: now)
                    // The first second is for finding out who there is.
                    if isAdmitted, tick >= 10_000 { passed[place] += demand.size }
                }
            }
        }
        return passed.map { $0 / 2 }
    }

    @Test func allThatThereIsIsGivenOut() {
        #expect((950_000...1_010_000).contains(passed([(3_000_000, 1400)], limit: 1_000_000)[0]))
        // Who asks for no more than there is loses nothing.
        #expect(passed([(900_000, 1400)], limit: 1_000_000)[0] >= 895_000)
        #expect(passed([(400_000, 1400), (400_000, 100)], limit: 1_000_000).allSatisfy { $0 >= 395_000 })
        let crowd = passed(Array(repeating: (200_000, 700), count: 20), limit: 1_000_000)
        #expect((950_000...1_010_000).contains(crowd.reduce(0, +)), "\(crowd)")
        #expect(crowd.allSatisfy { (25_000...100_000).contains($0) }, "\(crowd)")
    }

    @Test func whoIsWithinHisShareLosesNothing() {
        let demands =
            Array(repeating: (rate: 5_000_000, size: 1400), count: 3) + Array(repeating: (20_000, 300), count: 20)
        let passed = passed(demands, limit: 1_000_000)
        #expect(passed[3...].allSatisfy { $0 >= 19_500 }, "\(passed)")
        #expect(passed[..<3].allSatisfy { $0 >= 100_000 }, "\(passed)")
        #expect((950_000...1_010_000).contains(passed.reduce(0, +)), "\(passed)")
    }

    /// Circuits that carry nothing have no share of anything.
    @Test func silentCircuitsTakeNothing() {
        let demands = Array(repeating: (rate: 3_000_000, size: 1400), count: 2) + Array(repeating: (0, 300), count: 500)
        let passed = passed(demands, limit: 1_000_000)
        #expect(passed[..<2].allSatisfy { $0 >= 300_000 }, "\(passed.prefix(2))")
    }
}
