// SPDX-License-Identifier: Apache-2.0
// Circuits that work (§8): of every length, over bad networks, replaced under traffic, closed; and what they show on the wire.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct CircuitTrafficTests {
    @Test(arguments: [2, 3, 5, 8]) func packetsCrossBothWays(hops: Int) throws {
        let scenario = CircuitScenario(seed: UInt64(hops), relays: hops)
        let number = try scenario.connect(Array(1...hops))
        try #require(scenario.isReady(number), "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: hops), "\(scenario.describe())")
        #expect(scenario.relays.dropLast().allSatisfy { $0.relayed > 0 })
        #expect(scenario.relays.dropLast().allSatisfy { $0.relaySnapshot.circuits == 1 })
        #expect(scenario.relays.last?.relaySnapshot.guests == 1)
    }

    @Test func oneHopIsThePeerItself() throws {
        let scenario = CircuitScenario(seed: 11, relays: 1)
        let number = try scenario.build([1])
        #expect(scenario.network.run(for: .seconds(5)) { scenario.isReady(number) })
        #expect(scenario.client.footprint.sessions == 1)
        #expect(scenario.network.closeCircuit(number, at: scenario.client))
        scenario.network.run(for: .seconds(2))
        #expect(scenario.client.footprint.sessions == 1)
    }

    @Test func realPrimitives() throws {
        let scenario = CircuitScenario(seed: 5, relays: 3, primitives: .real)
        let number = try scenario.connect([1, 2, 3])
        try #require(scenario.isReady(number), "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 3), "\(scenario.describe())")
    }

    @Test(arguments: 1...60) func badNetworks(seed: Int) throws {
        var conditions = LinkConditions(loss: 0.04)
        conditions.duplication = 0.05
        conditions.reordering = 0.1
        conditions.jitter = .milliseconds(20)
        let hops = 2 + seed % 3
        let scenario = CircuitScenario(seed: UInt64(seed), relays: hops, conditions: conditions)
        let number = try scenario.connect(Array(1...hops))
        try #require(scenario.isReady(number), "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: hops, attempts: 20), "\(scenario.describe())")
        // Duplicates die at the first hop.
        let copy = CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: 7)
        scenario.network.sendInner(copy, from: scenario.client)
        scenario.network.run(for: .seconds(2))
        #expect(scenario.relays[hops - 1].delivered.count { $0 == copy } <= 1)
    }

    @Test func packetsOfEverySizeUpToWhatThePathCarries() throws {
        for hops in [2, 3, 8] {
            let scenario = CircuitScenario(seed: UInt64(hops) + 40, relays: hops)
            let number = try scenario.connect(Array(1...hops))
            try #require(scenario.isReady(number))
            scenario.network.run(for: .seconds(10))
            let mtu = Limits.innerMTUOverIPv4 - (hops - 1) * 40
            let circuit = try #require(scenario.client.circuits(now: scenario.network.now).first)
            // 1396, 1356, …: what §8 says.
            #expect(circuit.pathMTU == mtu)
            for count in [20, 100, 1000, mtu] {
                let packet = CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: 3, count: count)
                scenario.network.sendInner(packet, from: scenario.client)
                let exit = scenario.relays[hops - 1]
                #expect(scenario.network.run(for: .seconds(2)) { exit.delivered.contains(packet) }, "\(hops) \(count)")
            }
            // The longest is as long on the first link as a packet of a direct session, and no datagram is longer.
            #expect(scenario.network.capture.map(\.datagram.bytes.count).max() == 1472)
            let long = CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: 3, count: mtu + 1)
            scenario.network.sendInner(long, from: scenario.client)
            #expect(scenario.client.exceeded.last?.mtu == mtu)
        }
    }

    @Test(arguments: 1...8) func replacementLosesNothing(seed: Int) throws {
        let scenario = CircuitScenario(seed: UInt64(seed) + 200, relays: 3)
        let number = try scenario.connect([1, 2, 3])
        let exit = scenario.relays[2]
        var sent = 0
        func exchange(_ count: Int) {
            for _ in 0..<count {
                sent += 1
                var there = CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: 0)
                var back = CircuitScenario.packet(from: 0x0A63_0009, to: 0x0A4D_0001, tag: 0)
                (there[30], there[31]) = (UInt8(sent >> 8), UInt8(sent & 255))
                (back[30], back[31]) = (UInt8(sent >> 8), UInt8(sent & 255))
                scenario.network.sendInner(there, from: scenario.client)
                scenario.network.sendInner(back, from: exit)
                scenario.network.run(for: .milliseconds(7))
            }
        }
        exchange(50)
        #expect(scenario.network.replaceCircuit(number, at: scenario.client))
        exchange(4000)
        scenario.network.run(for: .seconds(15))
        #expect(exit.delivered.count == sent && Set(exit.delivered).count == sent, "\(scenario.describe())")
        #expect(scenario.client.delivered.count == sent && Set(scenario.client.delivered).count == sent)
        let replaced = scenario.client.circuitEvents.contains { if case .replaced = $0 { true } else { false } }
        #expect(replaced)
        // The old path is gone at every node, the guest is the same, and so is its address.
        #expect(scenario.client.footprint.paths == 1)
        #expect(scenario.relays.map(\.footprint.relayed) == [1, 1, 0], "\(scenario.describe())")
        #expect(exit.guests.count == 1 && exit.footprint.guests == 1)
        #expect(scenario.relays[1].footprint.guests == 1)
    }

    @Test func pathsAreReplacedBeforeTheyAreOld() throws {
        let scenario = CircuitScenario(seed: 77, relays: 3)
        _ = try scenario.connect([1, 2, 3])
        let sessions = scenario.relays[2].footprint.sessions
        scenario.network.isCapturing = false
        scenario.network.run(for: .seconds(3600))
        let times = scenario.client.events.compactMap { event -> Instant? in
            if case .circuit(.replaced) = event.event { event.at } else { nil }
        }
        // 8 to 12 minutes each.
        #expect((5...7).contains(times.count), "\(times)")
        for (one, next) in zip(times, times.dropFirst()) {
            #expect((479...722).contains(next.since(one).nanoseconds / 1_000_000_000))
        }
        #expect(scenario.client.circuitFailures.isEmpty)
        #expect(scenario.carriesTraffic(to: 3))
        #expect(scenario.relays[2].footprint.sessions == sessions)
    }

    @Test func everythingIsForgottenAfterwards() throws {
        let scenario = CircuitScenario(seed: 3, relays: 3)
        scenario.network.run(for: .seconds(40))
        let before = [scenario.client.footprint] + scenario.relays.map(\.footprint)
        for _ in 0..<3 {
            let number = try scenario.connect([1, 2, 3])
            try #require(scenario.isReady(number), "\(scenario.describe())")
            #expect(scenario.carriesTraffic(to: 3))
            #expect(scenario.network.closeCircuit(number, at: scenario.client))
            scenario.network.run(for: .seconds(1))
            #expect(scenario.relays.allSatisfy { $0.footprint.relayed == 0 && $0.footprint.guests == 0 })
        }
        // Links that nobody uses go, and what was answered is forgotten.
        scenario.network.run(for: .seconds(130))
        #expect([scenario.client.footprint] + scenario.relays.map(\.footprint) == before, "\(scenario.describe())")
    }

    // MARK: - What shows

    @Test func noRelayButTheFirstLearnsWhoTheClientIs() throws {
        let scenario = CircuitScenario(seed: 8, relays: 4)
        _ = try scenario.connect([1, 2, 3, 4])
        #expect(scenario.carriesTraffic(to: 4))
        let id = scenario.client.identity.publicKeys.peerID
        for relay in scenario.relays.dropFirst() {
            let met = relay.establishedSessions.map(\.peer)
            #expect(!met.isEmpty && !met.contains(id))
            // Nor does any datagram come from the client's address.
            #expect(scenario.link(scenario.client, relay).isEmpty)
        }
        // Every hop met somebody else.
        let guests = scenario.relays.dropFirst().flatMap { relay in
            relay.establishedSessions.filter { $0.carrier.place != nil }.map(\.peer)
        }
        #expect(guests.count == 3 && Set(guests).count == 3)
    }

    @Test func linksHaveNoBytesInCommon() throws {
        let scenario = CircuitScenario(seed: 9, relays: 3)
        _ = try scenario.connect([1, 2, 3])
        scenario.network.run(for: .seconds(30))
        let from = scenario.network.capture.count
        for tag in 0..<30 { #expect(scenario.carriesTraffic(to: 3, tag: UInt8(tag), count: 200)) }
        let hosts = [scenario.client] + scenario.relays
        var seen: [[UInt8]: Int] = [:]
        for (place, (a, b)) in zip(hosts, hosts.dropFirst()).enumerated() {
            let link = scenario.network.capture[from...].map(\.datagram).filter {
                ($0.source == a.endpoint && $0.destination == b.endpoint)
                    || ($0.source == b.endpoint && $0.destination == a.endpoint)
            }
            #expect(link.count > 30)
            var isShared = false
            for datagram in link {
                for start in 0..<datagram.bytes.count - 8 {
                    let piece = Array(datagram.bytes[start..<start + 9])
                    isShared = isShared || (seen[piece] ?? place) != place
                    seen[piece] = place
                }
            }
            #expect(!isShared)
        }
    }

    @Test func sizesAreAsWritten() throws {
        for hops in [2, 3, 8] {
            let scenario = CircuitScenario(seed: 12, relays: hops)
            let number = try scenario.connect(Array(1...hops))
            try #require(scenario.isReady(number))
            scenario.network.run(for: .seconds(30))
            let hosts = [scenario.client] + scenario.relays
            let from = scenario.network.capture.count
            let packet = CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: 1, count: 500)
            scenario.network.sendInner(packet, from: scenario.client)
            scenario.network.run(for: .milliseconds(500))
            let sizes = zip(hosts, hosts.dropFirst()).map { a, b in
                scenario.network.capture[from...].map(\.datagram).filter {
                    $0.source == a.endpoint && $0.destination == b.endpoint && (500..<1000).contains($0.bytes.count)
                }.map(\.bytes.count)
            }
            // One datagram on every link: 36 bytes of the innermost layer and 40 of each around it. The first relay takes off the
            // layer that it shares with the client, and puts one of its own link around the rest.
            let expected = [[536 + 40 * (hops - 1)]] + (1..<hops).map { [536 + 40 * (hops - $0)] }
            #expect(sizes == expected, "\(sizes)")
        }
    }

    @Test func kindTwoTellsNoDepth() throws {
        let scenario = CircuitScenario(seed: 13, relays: 4)
        _ = try scenario.connect([1, 2, 3, 4])
        // Fragments of a kind 2 S1 have 872 bytes whatever lies around them; on the link before their responder that is 40 more.
        for place in 1..<4 {
            let last = scenario.link(scenario.relays[place - 1], scenario.relays[place]).filter {
                $0.bytes.count == 872 + 40
            }
            #expect(last.count >= 16, "\(place)")
        }
    }

    @Test func paddedCircuitsCarry() throws {
        let scenario = CircuitScenario(
            seed: 14, relays: 3, padding: .datagrams([128, 256, 512, 1024, 1280]))
        let number = try scenario.connect([1, 2, 3])
        try #require(scenario.isReady(number), "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 3), "\(scenario.describe())")
        scenario.network.run(for: .seconds(600))
        #expect(scenario.carriesTraffic(to: 3, tag: 2), "\(scenario.describe())")
    }
}
