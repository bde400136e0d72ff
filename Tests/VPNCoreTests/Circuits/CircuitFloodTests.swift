// SPDX-License-Identifier: Apache-2.0
// Floods against a relay (§8), and readers that stop: those who were there before lose next to nothing, and nothing grows.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct CircuitFloodTests {
    private static let perSecond = 100

    private func packet(_ number: Int, count: Int = 200) -> [UInt8] {
        var packet = CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: 0, count: count)
        (packet[30], packet[31]) = (UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number))
        return packet
    }

    /// One packet in 10 ms over a circuit of three hops for so long; `attack` is called before each.
    private func traffic(
        _ scenario: CircuitScenario, seconds: Int, from first: Int, attack: (Int) -> Void
    ) -> (lost: Double, mean: Double) {
        let exit = scenario.relays[2]
        let before = exit.delivered.count
        var sent: [[UInt8]: Instant] = [:]
        for tick in 0..<seconds * Self.perSecond {
            attack(tick)
            sent[packet(first + tick)] = scenario.network.now
            scenario.network.sendInner(packet(first + tick), from: scenario.client)
            scenario.network.run(for: .milliseconds(10))
        }
        scenario.network.run(for: .seconds(1))
        let delays = zip(exit.delivered[before...], exit.deliveredAt[before...]).compactMap { packet, at in
            sent[packet].map { Double(at.since($0).nanoseconds) / 1e6 }
        }
        return (1 - Double(delays.count) / Double(sent.count), delays.reduce(0, +) / Double(max(1, delays.count)))
    }

    /// Four clients ask for 2000 circuits a second between them, build and leave real ones, and send whatever begins a handshake
    /// into those that they got: to the relay itself, and through it to the next. All links have 10 Mbit/s, all relays one
    /// processor.
    @Test(arguments: 1...3 as ClosedRange<UInt64>) func makingCircuitsIsNoFlood(seed: UInt64) throws {
        let scenario = CircuitScenario(seed: seed, relays: 4, others: 4)
        let network = scenario.network
        network.isCapturing = false
        for relay in scenario.relays { relay.processors = 1 }
        network.conditions.bytesPerSecond = 1_250_000
        let number = try scenario.connect([1, 2, 3])
        try #require(scenario.isReady(number), "\(scenario.describe())")
        network.run(for: .seconds(5))
        let calm = traffic(scenario, seconds: 5, from: 0) { _ in }
        #expect(calm.lost == 0)
        var random = SeededRandom(seed: seed)
        var made = 0
        let relay = scenario.relays[0]
        var (mostRelayed, mostGuests, mostAnswers) = (0, 0, 0)
        let started = network.now
        let jobs = scenario.relays.map(\.jobsRun)
        let flooded = traffic(scenario, seconds: 10, from: 1000) { tick in
            for attacker in scenario.others {
                let side: UInt32 = attacker.identity.publicKeys.peerID < scenario.id(1) ? 0 : 0x8000_0000
                for _ in 0..<5 {
                    made += 1
                    let target = scenario.id(2 + Int(random.next() % 3)).bytes
                    network.say(
                        .extend, ExtendMessage(id: side | UInt32(made), target: target).encoded, to: 0, from: attacker)
                }
                // Beginnings of handshakes, on circuits that go on and on those that end here.
                let id = side | UInt32(1 + random.next() % UInt64(made))
                let s0 = S0Message(
                    offers: Offers(hasAESHardware: true), senderIndex: UInt32(tick + 1),
                    nonce: random.bytes(S0Message.nonceSize)
                ).encoded(macKey: MAC1Key(responder: scenario.id(1 + Int(random.next() % 4))))
                network.say(.relay, RelayMessage.encoded(id: id, datagram: s0), to: 0, from: attacker)
                if tick % 5 == 0 {
                    let own = attacker.circuits(now: network.now).map(\.number)
                    if own.count > 20, let oldest = own.first { network.closeCircuit(oldest, at: attacker) }
                    let prefix = IPPrefix(containing: IPAddress(v4: 0x0A64_0000 | UInt32(made)), length: 32)
                    let request = CircuitRequest(
                        name: "c\(made)", hops: [1, 2, 3].map(scenario.id), allowedIPs: [prefix])
                    _ = try? network.build(request, at: attacker)
                }
            }
            mostRelayed = max(mostRelayed, relay.footprint.relayed)
            mostGuests = max(mostGuests, scenario.relays.map(\.footprint.guests).max()!)
            mostAnswers = max(mostAnswers, scenario.relays.map(\.footprint.inboundHandshakes).max()!)
        }
        #expect(flooded.lost < 0.01, "\(flooded)")
        #expect(flooded.mean < 2 * calm.mean, "\(flooded) after \(calm)")
        #expect(scenario.isReady(number) && scenario.client.circuitFailures.isEmpty, "\(scenario.describe())")
        // It was a flood, and most of it came to nothing.
        #expect(made == 20_000 && relay.controlDrops[.circuitQuota] > 15_000, "\(relay.controlDrops.nonZero)")
        // 60 a minute for each of five, a minute that may turn once.
        #expect(mostRelayed <= 5 * 2 * Limits.extendsPerMinute, "\(mostRelayed)")
        #expect(mostGuests <= mostRelayed && mostAnswers < 1024)
        let seconds = Int(network.now.since(started).nanoseconds / 1_000_000_000) + 1
        for (host, before) in zip(scenario.relays, jobs) {
            #expect(host.jobsRun - before < seconds * 150, "\(host.name): \(host.jobsRun - before)")
        }
        // What it left goes with its time.
        for attacker in scenario.others { network.detach(attacker) }
        network.run(for: .seconds(240))
        #expect(scenario.relays.map(\.footprint.relayed) == [1, 1, 0, 0], "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 3, tag: 9))
    }

    /// Somebody on the way stops to read, as a process does that is stopped or a lid that is closed, while 20 MB are sent to it:
    /// nothing waits for it anywhere.
    @Test(arguments: ["client", "r1", "r2", "r3"]) func aReaderThatStopsCostsNothing(name: String) throws {
        let scenario = CircuitScenario(seed: 7, relays: 3)
        let number = try scenario.connect([1, 2, 3])
        try #require(scenario.isReady(number), "\(scenario.describe())")
        scenario.network.run(for: .seconds(30))
        scenario.network.isCapturing = false
        let hosts = [scenario.client] + scenario.relays
        let reader = try #require(hosts.first { $0.name == name })
        let before = hosts.map(\.footprint)
        let sent = hosts.map(\.relayed)
        scenario.network.suspend(reader)
        // Half a second: nobody takes it for dead.
        for number in 0..<20_000 {
            var back = CircuitScenario.packet(from: 0x0A63_0009, to: 0x0A4D_0001, tag: 3, count: 1000)
            (back[30], back[31]) = (UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number))
            scenario.network.sendInner(back, from: hosts[3])
            scenario.network.sendInner(packet(number, count: 1000), from: scenario.client)
            if number % 100 == 0 { scenario.network.run(for: .milliseconds(2)) }
        }
        scenario.network.run(for: .milliseconds(100))
        #expect(hosts.map(\.footprint) == before, "\(scenario.describe())")
        for host in hosts { #expect(host.plane.sender.peers.stagedBytes == 0, "\(host.name)") }
        // What came to a relay went on at once, whether anybody read it or not.
        for (place, host) in scenario.relays.enumerated() where host !== reader && place < 2 {
            #expect(host.relayed - sent[place + 1] >= 19_000, "\(host.name): \(host.relayed - sent[place + 1])")
        }
        scenario.network.resume(reader)
        scenario.network.run(for: .seconds(1))
        #expect(scenario.isReady(number) && scenario.carriesTraffic(to: 3, tag: 9), "\(scenario.describe())")
    }
}
