// SPDX-License-Identifier: Apache-2.0
// How soon a circuit that leads nowhere is noticed, and that loss alone kills none: in virtual time.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct CircuitVigilTests {
    private func packet(_ number: Int) -> [UInt8] {
        var packet = CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: 0)
        (packet[30], packet[31]) = (UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number))
        return packet
    }

    /// A node of the way is killed while packets go: two seconds later another circuit is being built.
    @Test(arguments: 1...3, 0..<8) func deathIsNoticedInTime(relay: Int, seed: Int) throws {
        let scenario = CircuitScenario(seed: UInt64(seed * 10 + relay), relays: 3)
        _ = try scenario.connect([1, 2, 3])
        for number in 0..<50 + seed * 7 {
            scenario.network.sendInner(packet(number), from: scenario.client)
            scenario.network.run(for: .milliseconds(43))
        }
        #expect(scenario.client.circuitFailures.isEmpty, "\(scenario.describe())")
        let killed = scenario.network.now
        scenario.network.detach(scenario.relays[relay - 1])
        var number = 1000
        while scenario.client.circuitFailures.isEmpty, scenario.network.now.since(killed) < .seconds(10) {
            number += 1
            scenario.network.sendInner(packet(number), from: scenario.client)
            scenario.network.run(for: .milliseconds(43))
        }
        let noticed = scenario.network.now.since(killed)
        #expect(noticed <= .milliseconds(1850), "\(noticed) \(scenario.describe())")
        // The first that says nothing is to blame, not whoever is behind it.
        #expect(scenario.client.circuitFailures.map(\.failure) == [relay == 1 ? .lost : .silent])
        #expect(scenario.client.circuitFailures.map(\.hop) == [relay - 1])
    }

    /// The second way: from the death of a relay to a circuit through another one.
    @Test(arguments: 0..<4) func anotherWayIsThereSoon(seed: Int) throws {
        let scenario = CircuitScenario(seed: UInt64(seed) + 400, relays: 4)
        _ = try scenario.connect([1, 2, 4])
        for number in 0..<40 {
            scenario.network.sendInner(packet(number), from: scenario.client)
            scenario.network.run(for: .milliseconds(50))
        }
        let killed = scenario.network.now
        scenario.network.detach(scenario.relays[1])
        var other: Int?
        while scenario.network.now.since(killed) < .seconds(10) {
            scenario.network.sendInner(packet(2000), from: scenario.client)
            scenario.network.run(for: .milliseconds(10))
            if other == nil, !scenario.client.circuitFailures.isEmpty {
                other = try scenario.build([1, 3, 4], name: "next")
            }
            if let other, scenario.isReady(other) { break }
        }
        let span = scenario.network.now.since(killed)
        #expect(span <= .milliseconds(2200), "\(span) \(scenario.describe())")
    }

    @Test func idleCircuitsAreWatchedMoreSlowly() throws {
        let scenario = CircuitScenario(seed: 9, relays: 3)
        _ = try scenario.connect([1, 2, 3])
        scenario.network.run(for: .seconds(60))
        let before = scenario.link(scenario.relays[1], scenario.relays[2]).count
        scenario.network.run(for: .seconds(100))
        let asked = (scenario.link(scenario.relays[1], scenario.relays[2]).count - before) / 2
        // One in 5 s, and as much again of keepalives; a circuit in use is asked three times a second.
        #expect((15...45).contains(asked), "\(asked) questions in 100 s")
        let killed = scenario.network.now
        scenario.network.detach(scenario.relays[2])
        scenario.network.run(for: .seconds(20)) { !scenario.client.circuitFailures.isEmpty }
        #expect(scenario.network.now.since(killed) <= .seconds(8), "\(scenario.describe())")
    }

    /// 5 % of all datagrams on each of three links, ten minutes of packets one way only: nothing but questions tells of the end.
    @Test(arguments: 0..<6) func lossKillsNoCircuit(seed: Int) throws {
        let scenario = CircuitScenario(seed: UInt64(seed) + 70, relays: 3)
        scenario.network.isCapturing = false
        let number = try scenario.connect([1, 2, 3])
        scenario.network.conditions = LinkConditions(loss: 0.05)
        for count in 0..<1200 {
            scenario.network.sendInner(packet(count), from: scenario.client)
            scenario.network.run(for: .milliseconds(500))
        }
        #expect(scenario.client.circuitFailures.isEmpty && scenario.isReady(number), "\(scenario.describe())")
    }

    /// Round trips of 300 or 900 ms to the last hop, with every datagram in 33 lost on each of three links each way: built, kept for
    /// twenty minutes of packets that come in runs and go one way, and thrown away by nobody.
    @Test(arguments: [50, 150], 0..<6) func aSlowWayThatLosesIsKept(latency: Int, seed: Int) throws {
        let conditions = LinkConditions(loss: 0.03, latency: .milliseconds(latency))
        let scenario = CircuitScenario(seed: UInt64(seed) + 900, relays: 3, conditions: conditions)
        scenario.network.isCapturing = false
        let number = try scenario.connect([1, 2, 3])
        for count in 0..<1200 {
            scenario.network.sendInner(packet(count), from: scenario.client)
            scenario.network.run(for: count % 60 == 59 ? .seconds(30) : .milliseconds(500))
        }
        #expect(scenario.client.circuitFailures.isEmpty, "\(scenario.describe())")
        #expect(scenario.isReady(number))
    }

    /// A way that is slow is not one that is gone.
    @Test func aLongWayIsWaitedFor() throws {
        let scenario = CircuitScenario(
            seed: 5, relays: 3, conditions: LinkConditions(loss: 0, latency: .milliseconds(150)))
        let number = try scenario.connect([1, 2, 3])
        for count in 0..<300 {
            scenario.network.sendInner(packet(count), from: scenario.client)
            scenario.network.run(for: .milliseconds(200))
        }
        #expect(scenario.client.circuitFailures.isEmpty && scenario.isReady(number), "\(scenario.describe())")
    }

    @Test func answersAreAnyDatagramsAndQuestionsAreCounted() {
        var vigil = CircuitVigil(now: .origin, jitter: 128)
        var now = Instant.origin
        func step(heard: Instant) -> CircuitVigil.Step {
            now = max(now, vigil.due)
            return vigil.step(now: now, heard: heard, used: now, roundTrip: .milliseconds(50), random: 128)
        }
        let start = Instant.origin + .milliseconds(900)
        #expect(step(heard: start) == .wait)
        // Packets that come are as good as answers: nothing is asked while they do.
        for second in 2..<6 { #expect(step(heard: now) == .wait, "\(second)") }
        let last = now
        #expect(step(heard: last) == .wait)
        #expect(step(heard: last) == .ask)
        #expect(vigil.due.since(now) == Limits.vigilAnswer && vigil.doubted == nil)
        #expect(step(heard: last) == .ask && vigil.doubted == now)
        let doubted = now
        for _ in 2..<Limits.vigilQuestions { #expect(step(heard: last) == .ask && vigil.doubted == doubted) }
        // One answer, however late it is, and all begins anew.
        #expect(step(heard: now) == .wait && vigil.doubted == nil)
        let silent = now
        #expect(step(heard: silent) == .wait)
        for _ in 0..<Limits.vigilQuestions { #expect(step(heard: silent) == .ask) }
        #expect(step(heard: silent) == .failed)
    }
}
