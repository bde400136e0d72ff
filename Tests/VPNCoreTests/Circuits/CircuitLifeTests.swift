// SPDX-License-Identifier: Apache-2.0
// Circuits whose nodes die, change their keys or are busy with something else (§8): timely ends, and nothing that stays.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct CircuitLifeTests {
    /// Whether nothing of circuits is left at a host.
    private func isClean(_ host: VirtualHost) -> Bool {
        let left = host.footprint
        return left.circuits == 0 && left.paths == 0 && left.relayed == 0 && left.guests == 0 && left.initiations == 0
    }

    /// Every node of the path, at moments all over the building and a while after.
    @Test(arguments: 1...4, [0, 12, 25, 50, 80, 120, 170, 230, 300, 400, 550, 700, 1000, 5000, 31_000])
    func deathOfANode(relay: Int, milliseconds: Int) throws {
        let scenario = CircuitScenario(seed: UInt64(relay * 100_000 + milliseconds), relays: 4)
        scenario.network.isCapturing = false
        scenario.network.run(for: .seconds(5))
        let before = scenario.client.footprint
        let number = try scenario.build([1, 2, 3, 4])
        scenario.network.run(for: .milliseconds(milliseconds))
        let dead = scenario.relays[relay - 1]
        scenario.network.detach(dead)
        // Traffic, if it came so far: the client notices as soon as anybody.
        for tag in 0..<120 {
            scenario.network.sendInner(
                CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: UInt8(tag)), from: scenario.client)
            scenario.network.run(for: .milliseconds(500))
        }
        #expect(scenario.client.circuitFailures.count == 1, "\(scenario.describe())")
        #expect(scenario.client.circuits(now: scenario.network.now).isEmpty)
        #expect(scenario.client.footprint.circuits == 0 && scenario.client.footprint.paths == 0)
        scenario.network.run(for: .seconds(240))
        for host in scenario.relays where host !== dead { #expect(isClean(host), "\(scenario.describe())") }
        if relay > 1 { #expect(scenario.client.footprint == before, "\(scenario.describe())") }
        _ = number
    }

    @Test(arguments: [30, 150, 400, 900, 5000]) func deathOfTheClient(milliseconds: Int) throws {
        let scenario = CircuitScenario(seed: UInt64(milliseconds), relays: 3)
        scenario.network.run(for: .seconds(5))
        _ = try scenario.build([1, 2, 3])
        scenario.network.run(for: .milliseconds(milliseconds))
        scenario.network.detach(scenario.client)
        scenario.network.run(for: .seconds(240))
        #expect(scenario.relays.allSatisfy(isClean), "\(scenario.describe())")
        #expect(scenario.relays.dropFirst().allSatisfy { $0.footprint.peers == 0 && $0.footprint.receiverIndices == 0 })
    }

    @Test func anIdleCircuitLivesByItsKeepalives() throws {
        let scenario = CircuitScenario(seed: 1, relays: 3)
        let number = try scenario.connect([1, 2, 3])
        scenario.network.run(for: .seconds(460))
        #expect(scenario.isReady(number) && scenario.client.circuitFailures.isEmpty, "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 3))
    }

    @Test func rekeysAroundACircuitDoNotTouchIt() throws {
        let scenario = CircuitScenario(seed: 2, relays: 3)
        let number = try scenario.connect([1, 2, 3])
        var sent = 0
        func exchange(_ count: Int) {
            for _ in 0..<count {
                sent += 1
                var packet = CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: 0)
                (packet[30], packet[31]) = (UInt8(sent >> 8), UInt8(sent & 255))
                scenario.network.sendInner(packet, from: scenario.client)
                scenario.network.run(for: .milliseconds(20))
            }
        }
        exchange(10)
        // The client's session with relay 1, and the links between the relays.
        scenario.network.renew(0, at: scenario.client)
        exchange(50)
        for relay in scenario.relays {
            for peer in relay.snapshot(now: scenario.network.now) { scenario.network.renew(peer.slot, at: relay) }
        }
        exchange(200)
        scenario.network.run(for: .seconds(10))
        exchange(10)
        scenario.network.run(for: .seconds(1))
        #expect(scenario.relays[2].delivered.count == sent, "\(scenario.describe())")
        #expect(scenario.isReady(number) && scenario.client.circuitFailures.isEmpty)
    }

    @Test func goodbyesEndCircuitsAtOnce() throws {
        for leaving in 1...3 {
            let scenario = CircuitScenario(seed: UInt64(leaving) + 50, relays: 3)
            _ = try scenario.connect([1, 2, 3])
            scenario.network.shutDown(scenario.relays[leaving - 1])
            scenario.network.run(for: .seconds(2))
            #expect(scenario.client.circuitFailures.count == 1, "\(leaving): \(scenario.describe())")
        }
        let scenario = CircuitScenario(seed: 60, relays: 3)
        _ = try scenario.connect([1, 2, 3])
        scenario.network.shutDown(scenario.client)
        scenario.network.run(for: .seconds(2))
        #expect(scenario.relays.allSatisfy { $0.footprint.relayed == 0 && $0.footprint.guests == 0 })
    }

    @Test func revokedHopsEndTheirCircuits() throws {
        let scenario = CircuitScenario(seed: 3, relays: 3)
        _ = try scenario.connect([1, 2, 3])
        scenario.network.updateRevoked([scenario.id(2)], of: scenario.client)
        scenario.network.run(for: .seconds(2))
        #expect(scenario.client.circuitFailures.count == 1)
        // Nor is another one built, nor does a relay that knows of it extend there.
        #expect(throws: CircuitRefusal.unknownHop) { try scenario.build([1, 2, 3], name: "again") }
        scenario.network.updateRevoked([], of: scenario.client)
        scenario.network.updateRevoked([scenario.id(2)], of: scenario.relays[0])
        _ = try scenario.build([1, 2, 3])
        scenario.network.run(for: .seconds(10))
        #expect(scenario.client.circuitFailures.last?.failure == .refused(.refused))
    }

    @Test func aReplacementThatFailsLeavesTheOldPath() throws {
        let scenario = CircuitScenario(seed: 4, relays: 3)
        let number = try scenario.connect([1, 2, 3])
        // Handshakes do not pass any more, all else does: only kind 2 fragments are of that size.
        scenario.network.intervene = { $0.bytes.count == 872 + 80 || $0.bytes.count == 872 + 40 ? .drop : .pass }
        #expect(scenario.network.replaceCircuit(number, at: scenario.client))
        scenario.network.run(for: .seconds(30))
        let failed = scenario.client.circuitEvents.count { if case .replacementFailed = $0 { true } else { false } }
        #expect(failed == 1)
        #expect(scenario.carriesTraffic(to: 3))
        scenario.network.intervene = nil
        scenario.network.run(for: .seconds(60))
        #expect(scenario.client.circuitEvents.contains { if case .replaced = $0 { true } else { false } })
        #expect(scenario.carriesTraffic(to: 3, tag: 2), "\(scenario.describe())")
        #expect(scenario.client.footprint.paths == 1)
    }

    @Test func slotsAreUsedAgain() throws {
        let scenario = CircuitScenario(seed: 5, relays: 2)
        scenario.network.isCapturing = false
        for round in 0..<1100 {
            let number = try scenario.build([1, 2])
            scenario.network.run(for: .milliseconds(round % 20 == 0 ? 900 : 1))
            scenario.network.closeCircuit(number, at: scenario.client)
            scenario.network.run(for: .milliseconds(60))
        }
        let number = try scenario.build([1, 2])
        let circuit = try #require(scenario.client.circuits(now: scenario.network.now).first { $0.number == number })
        #expect(circuit.destination < 1100)
    }

    /// Whatever happens in whatever order: in the end everything is closed, and nothing is left anywhere.
    @Test(arguments: 1...40) func anythingInAnyOrder(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        var conditions = LinkConditions(loss: Double(random.next() % 10) / 100)
        conditions.jitter = .milliseconds(Int(random.next() % 30))
        conditions.duplication = 0.02
        let scenario = CircuitScenario(seed: UInt64(seed) + 1000, relays: 4, conditions: conditions)
        scenario.network.isCapturing = false
        scenario.network.run(for: .seconds(5))
        var numbers: [Int] = []
        for step in 0..<80 {
            switch random.next() % 12 {
            case 0, 1:
                var hops = [1]
                for _ in 0..<1 + random.next() % 5 { hops.append(1 + Int(random.next() % 4)) }
                let prefix = IPPrefix(containing: IPAddress(v4: 0x0A64_0000 | UInt32(step)), length: 32)
                if let number = try? scenario.build(hops, name: "c\(step)", behind: prefix) { numbers.append(number) }
            case 2:
                if let number = numbers.randomElement(using: &random) {
                    scenario.network.closeCircuit(number, at: scenario.client)
                }
            case 3:
                if let number = numbers.randomElement(using: &random) {
                    scenario.network.replaceCircuit(number, at: scenario.client)
                }
            case 4:
                let relay = scenario.relays[Int(random.next() % 4)]
                scenario.network.enableRelay(nil, of: relay)
                scenario.network.run(for: .milliseconds(Int(random.next() % 3000)))
                scenario.network.enableRelay(relayPolicy(scenario), of: relay)
            case 5: scenario.network.renew(0, at: scenario.client)
            case 6: _ = scenario.network.drop(0, of: scenario.client)
            case 7:
                let relay = scenario.relays[Int(random.next() % 4)]
                if let peer = relay.snapshot(now: scenario.network.now).randomElement(using: &random) {
                    _ = scenario.network.drop(peer.slot, of: relay)
                }
            case 8:
                let types: [FrameType] = [.extend, .extended, .relay, .end]
                let type = types[Int(random.next() % 4)]
                let host = random.chance(0.5) ? scenario.client : scenario.relays[Int(random.next() % 4)]
                let slot = Int(random.next() % 6)
                scenario.network.say(type, random.bytes(Int(random.next() % 48)), to: slot, from: host)
            case 9:
                scenario.network.suspend(scenario.relays[Int(random.next() % 4)])
                scenario.network.run(for: .milliseconds(Int(random.next() % 20_000)))
                for relay in scenario.relays where relay.isStopped { scenario.network.resume(relay) }
            default:
                for tag in 0..<5 {
                    scenario.network.sendInner(
                        CircuitScenario.packet(
                            from: 0x0A4D_0001, to: 0x0A64_0000 | UInt32(random.next() % 80), tag: UInt8(tag)),
                        from: scenario.client)
                }
            }
            scenario.network.run(for: .milliseconds(Int(random.next() % 2000)))
        }
        for number in numbers { scenario.network.closeCircuit(number, at: scenario.client) }
        scenario.network.conditions = LinkConditions()
        scenario.network.run(for: .seconds(300))
        for host in [scenario.client] + scenario.relays {
            #expect(isClean(host), "\(host.name): \(scenario.describe())")
            #expect(host.footprint.receiverIndices <= 12, "\(host.name): \(scenario.describe())")
        }
        // And it all works still.
        let number = try scenario.connect([1, 2, 3])
        #expect(scenario.isReady(number) && scenario.carriesTraffic(to: 3), "\(scenario.describe())")
    }

    private func relayPolicy(_ scenario: CircuitScenario) -> RelayPolicy {
        var policy = RelayPolicy()
        for place in 1...4 { policy.directory[scenario.id(place)] = CircuitScenario.endpoint(place) }
        return policy
    }
}
