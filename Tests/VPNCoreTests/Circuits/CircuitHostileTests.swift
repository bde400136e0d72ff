// SPDX-License-Identifier: Apache-2.0
// What hostile clients and relays try with circuits (§8): nothing of it gets further than a counter.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct CircuitHostileTests {
    /// An id that the client may pick in its sessions with relay 1.
    private func id(_ scenario: CircuitScenario, _ number: UInt32) -> UInt32 {
        let client = scenario.client.identity.publicKeys.peerID
        return client < scenario.id(1) ? number : number | 0x8000_0000
    }

    /// The circuit that the client has in its sessions with relay 1, as EXTEND showed it to the relay.
    private func firstPlace(_ scenario: CircuitScenario) -> UInt32? {
        scenario.client.circuitPlaces.first { $0.outer == 0 }?.id
    }

    private func connected(_ relays: Int, seed: UInt64, policy: RelayPolicy = RelayPolicy()) -> CircuitScenario {
        let scenario = CircuitScenario(seed: seed, relays: relays, policy: policy)
        scenario.network.run(for: .seconds(5)) { !scenario.client.confirmedSessions.isEmpty }
        scenario.network.run(for: .seconds(3))
        return scenario
    }

    // MARK: - EXTEND

    @Test func relaysExtendToWhomTheyKnowAlone() {
        let scenario = connected(3, seed: 1)
        let relay = scenario.relays[0]
        let stranger = RehearsalIdentity(seed: 999).publicKeys.peerID
        let targets = [scenario.id(1), scenario.client.identity.publicKeys.peerID, stranger, .zero]
        let from = scenario.network.capture.count
        for (place, target) in targets.enumerated() {
            let message = ExtendMessage(id: id(scenario, UInt32(place) + 7), target: target.bytes)
            scenario.network.say(.extend, message.encoded, to: 0, from: scenario.client)
            scenario.network.run(for: .seconds(2))
        }
        #expect(relay.controlDrops[.circuitRefused] == 4)
        #expect(relay.footprint.relayed == 0 && relay.footprint.peers == 1)
        // No packet leaves but for the client.
        let others = scenario.network.capture[from...].map(\.datagram).filter {
            $0.source == relay.endpoint && $0.destination != scenario.client.endpoint
        }
        #expect(others.isEmpty)
    }

    @Test func addressesOfTheClientsChoiceAreNoPartOfIt() {
        let scenario = connected(2, seed: 2)
        let message = ExtendMessage(id: id(scenario, 7), target: scenario.id(2).bytes)
        for extra in [[127, 0, 0, 1, 35, 40], [0], Scenario.aliceEndpoint.addressBytes] as [[UInt8]] {
            scenario.network.say(.extend, message.encoded + extra, to: 0, from: scenario.client)
        }
        scenario.network.run(for: .seconds(2))
        #expect(scenario.relays[0].controlDrops[.circuitMalformed] == 3)
        #expect(scenario.relays[0].footprint.relayed == 0)
        #expect(scenario.relays[0].footprint.peers == 1)
    }

    @Test func idsOfTheOtherSideAreRefused() {
        let scenario = connected(2, seed: 3)
        let wrong = id(scenario, 7) ^ 0x8000_0000
        for id in [wrong, 0, 0x8000_0000] {
            let payload = [UInt8](bigEndian: id) + scenario.id(2).bytes
            scenario.network.say(.extend, payload, to: 0, from: scenario.client)
        }
        scenario.network.run(for: .seconds(2))
        #expect(scenario.relays[0].controlDrops[.circuitRefused] == 1)
        #expect(scenario.relays[0].controlDrops[.circuitMalformed] == 2)
        #expect(scenario.relays[0].footprint.relayed == 0)
    }

    @Test func extendIsIdempotentAndItsIdMeansOnePeer() {
        let scenario = connected(3, seed: 4)
        let relay = scenario.relays[0]
        let message = ExtendMessage(id: id(scenario, 7), target: scenario.id(2).bytes)
        for _ in 0..<5 {
            scenario.network.say(.extend, message.encoded, to: 0, from: scenario.client)
            scenario.network.run(for: .seconds(1))
        }
        #expect(relay.footprint.relayed == 1)
        let other = ExtendMessage(id: id(scenario, 7), target: scenario.id(3).bytes)
        scenario.network.say(.extend, other.encoded, to: 0, from: scenario.client)
        scenario.network.run(for: .seconds(1))
        #expect(relay.footprint.relayed == 0, "\(scenario.describe())")
    }

    @Test func silentTargetsAreForgotten() {
        let scenario = connected(2, seed: 5)
        let relay = scenario.relays[0]
        scenario.network.run(for: .seconds(40))
        let before = relay.footprint
        scenario.network.detach(scenario.relays[1])
        let message = ExtendMessage(id: id(scenario, 7), target: scenario.id(2).bytes)
        scenario.network.say(.extend, message.encoded, to: 0, from: scenario.client)
        scenario.network.run(for: .seconds(1))
        #expect(relay.footprint.relayed == 1)
        scenario.network.run(for: .seconds(8))
        #expect(relay.footprint.relayed == 0)
        #expect(relay.controlDrops[.circuitBroken] == 1)
        scenario.network.run(for: .seconds(120))
        #expect(relay.footprint == before, "\(scenario.describe())")
    }

    @Test func floodsOfExtendMeetTheirQuotas() throws {
        var policy = RelayPolicy()
        policy.circuitsPerClient = 10
        policy.extendsPerMinute = 30
        let scenario = connected(3, seed: 6, policy: policy)
        let number = try scenario.connect([1, 2, 3])
        try #require(scenario.isReady(number))
        for place in 0..<1000 {
            let message = ExtendMessage(id: id(scenario, UInt32(place) + 100), target: scenario.id(2).bytes)
            scenario.network.say(.extend, message.encoded, to: 0, from: scenario.client)
        }
        scenario.network.run(for: .seconds(2))
        #expect(scenario.relays[0].footprint.relayed == 10)
        #expect(scenario.relays[0].controlDrops[.circuitQuota] == 1000 - 9)
        #expect(scenario.carriesTraffic(to: 3))
        // What carries nothing goes.
        scenario.network.run(for: .seconds(100))
        #expect(scenario.relays[0].footprint.relayed == 1, "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 3, tag: 2))
    }

    @Test func bytesOfAClientAreLimited() throws {
        var policy = RelayPolicy()
        policy.bytesPerSecondPerClient = 20_000
        let scenario = connected(2, seed: 7, policy: policy)
        let number = try scenario.connect([1, 2])
        try #require(scenario.isReady(number), "\(scenario.describe())")
        scenario.network.run(for: .seconds(5))
        let before = scenario.relays[1].delivered.count
        // Five times what it may have, for two seconds.
        for tag in 0..<200 {
            let packet = CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: UInt8(tag), count: 1000)
            scenario.network.sendInner(packet, from: scenario.client)
            scenario.network.run(for: .milliseconds(10))
        }
        scenario.network.run(for: .milliseconds(100))
        let arrived = scenario.relays[1].delivered.count - before
        // 1080 bytes each, and a burst of 32 KiB.
        #expect((60...72).contains(arrived), "\(arrived)")
        #expect(scenario.relays[0].dataPlaneDrops[.circuitQuota] >= UInt64(200 - arrived))
        scenario.network.run(for: .seconds(2))
        #expect(scenario.carriesTraffic(to: 2))
    }

    @Test func whoRelaysNothingAnswersNobody() throws {
        let scenario = CircuitScenario(seed: 8, relays: 2)
        scenario.network.enableRelay(nil, of: scenario.relays[0])
        let number = try scenario.build([1, 2])
        scenario.network.run(for: .seconds(10))
        #expect(!scenario.isReady(number))
        #expect(scenario.client.circuitFailures.map(\.failure) == [.refused(.refused)])
        // A relay that answers no guests: the handshake stays without an answer.
        let other = CircuitScenario(seed: 9, relays: 2)
        other.network.enableRelay(nil, of: other.relays[1])
        _ = try other.build([1, 2])
        other.network.run(for: .seconds(40))
        #expect(other.client.circuitFailures.map(\.failure) == [.handshake])
        #expect(other.relays[1].footprint.guests == 0)
        #expect(other.client.footprint.circuits == 0 && other.client.footprint.paths == 0)
    }

    @Test func aRelayThatStopsEndsItsCircuits() throws {
        let scenario = connected(3, seed: 10)
        _ = try scenario.connect([1, 2, 3])
        scenario.network.enableRelay(nil, of: scenario.relays[1])
        scenario.network.run(for: .seconds(2))
        #expect(scenario.client.circuitFailures.count == 1, "\(scenario.describe())")
        #expect(scenario.relays.allSatisfy { $0.footprint.relayed == 0 && $0.footprint.guests == 0 })
    }

    // MARK: - Length and loops

    @Test func nineHopsAreRefusedAndLoopsBounded() throws {
        let scenario = connected(3, seed: 11)
        func refusal(_ hops: [Int]) -> CircuitRefusal? {
            do throws(CircuitRefusal) {
                let request = CircuitRequest(name: "x", hops: hops.map(scenario.id), allowedIPs: [])
                _ = try scenario.network.build(request, at: scenario.client)
                return nil
            } catch { return error }
        }
        #expect(refusal([1, 2, 3, 1, 2, 3, 1, 2, 3]) == .length)
        #expect(refusal([]) == .length)
        #expect(refusal([1, 1]) == .loop)
        #expect(refusal([1, 2, 1]) == .loop)
        #expect(refusal([2, 3]) == .entry)
        // A loop that no relay can see: eight layers, and no more.
        let number = try scenario.connect([1, 2, 3, 1, 2, 3, 1, 2])
        try #require(scenario.isReady(number), "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 2), "\(scenario.describe())")
        #expect(scenario.network.closeCircuit(number, at: scenario.client))
        scenario.network.run(for: .seconds(3))
        #expect(scenario.relays.allSatisfy { $0.footprint.relayed == 0 && $0.footprint.guests == 0 })
    }

    // MARK: - RELAY and END

    @Test func nobodyAsksTheClientWhoItIs() throws {
        let scenario = connected(3, seed: 12)
        let number = try scenario.connect([1, 2, 3])
        try #require(scenario.isReady(number))
        let client = scenario.client.identity.publicKeys.peerID
        let offers = Offers(hasAESHardware: true)
        var questions: [[UInt8]] = []
        for key in [MAC1Key(responder: client), .unknownResponder] {
            questions.append(
                S0Message(offers: offers, senderIndex: 5, nonce: [UInt8](repeating: 1, count: S0Message.nonceSize))
                    .encoded(macKey: key))
            questions.append(
                InfoRequest(index: 0, senderIndex: 5, cookie: [UInt8](repeating: 1, count: 32)).encoded(macKey: key))
        }
        let s1 = scenario.network.capture.map(\.datagram.bytes).first { $0[1] == DatagramType.s1.rawValue }
        questions.append(try #require(s1))
        scenario.network.run(for: .seconds(30)) { scenario.client.circuitPlaces.count == 2 }
        // From the first relay, which knows it, and from the second, which does not: on the circuits that the client opened
        // there, and on others of either side.
        let from = scenario.network.capture.count
        for (relay, slot) in [(scenario.relays[0], 0), (scenario.relays[1], scenario.relays[1].guests[0])] {
            let outer = relay === scenario.relays[0] ? 0 : scenario.client.circuitPlaces.map(\.outer).max()!
            let own = try #require(scenario.client.circuitPlaces.first { $0.outer == outer }).id
            for id in [own, own ^ 1, own ^ 0x8000_0000] {
                for question in questions {
                    let drops = scenario.client.controlDrops.total
                    scenario.network.say(
                        .relay, RelayMessage.encoded(id: id, datagram: question), to: slot, from: relay)
                    // Shorter than any timer, longer than the way there and back.
                    scenario.network.run(for: .milliseconds(45))
                    #expect(scenario.client.controlDrops.total > drops)
                }
            }
        }
        // Thirty questions, and it said no more than its timers told it.
        let said = scenario.network.capture[from...].count { $0.datagram.source == CircuitScenario.clientEndpoint }
        #expect(said <= 4, "\(said)")
        let drops = scenario.client.controlDrops
        #expect(drops[.circuitForeign] >= 10 && drops[.circuitUnknown] >= 20, "\(drops.nonZero)")
        #expect(scenario.client.footprint.inboundHandshakes == 0)
        #expect(scenario.carriesTraffic(to: 3))
        // Nor can the second relay make it a relay of its own.
        let extend = ExtendMessage(id: 0x8000_0007, target: scenario.id(3).bytes)
        scenario.network.say(.extend, extend.encoded, to: scenario.relays[1].guests[0], from: scenario.relays[1])
        scenario.network.run(for: .seconds(1))
        #expect(scenario.client.footprint.relayed == 0)
    }

    @Test func sessionsAreSpokenWhereTheyWereMade() throws {
        let scenario = connected(2, seed: 13)
        let number = try scenario.connect([1, 2])
        try #require(scenario.isReady(number))
        // A datagram of the direct session with relay 1, caught on its way, comes on the client's circuit.
        var caught: [UInt8]?
        scenario.network.intervene = { datagram in
            guard datagram.source == CircuitScenario.endpoint(1), datagram.destination == CircuitScenario.clientEndpoint
            else { return .pass }
            caught = datagram.bytes
            return .drop
        }
        scenario.network.say(.pad, [], to: 0, from: scenario.relays[0])
        scenario.network.intervene = nil
        let id = try #require(firstPlace(scenario))
        let datagram = try #require(caught)
        scenario.network.say(.relay, RelayMessage.encoded(id: id, datagram: datagram), to: 0, from: scenario.relays[0])
        scenario.network.run(for: .seconds(1))
        #expect(scenario.client.dataPlaneDrops[.circuitSession] == 1)
        // And one of the circuit's session, without the layer around it, comes by UDP.
        let guest = scenario.relays[1].guests[0]
        let session = try #require(scenario.relays[1].sendingSession(of: guest))
        let inner = try #require(session.sealFrame(type: .pad, payload: [], now: scenario.network.now))
        scenario.network.inject(
            VirtualDatagram(
                bytes: inner, source: CircuitScenario.endpoint(2), destination: CircuitScenario.clientEndpoint))
        scenario.network.run(for: .seconds(1))
        #expect(scenario.client.dataPlaneDrops[.circuitSession] == 2)
        #expect(scenario.carriesTraffic(to: 2))
    }

    @Test(arguments: 1...6) func relaysThatTamperHarmNoCircuit(seed: Int) throws {
        let scenario = connected(3, seed: 20 + UInt64(seed))
        let number = try scenario.connect([1, 2, 3])
        try #require(scenario.isReady(number))
        var random = SeededRandom(seed: UInt64(seed))
        var kept: [UInt8] = []
        // Relay 2 does to what passes whatever it can.
        scenario.relays[1].tamper = { payload in
            defer { kept = payload }
            switch random.next() % 6 {
            case 0: return []
            case 1: return [payload, payload, kept]
            case 2:
                var changed = payload
                changed[4 + Int(random.next() % UInt64(payload.count - 4))] ^= UInt8(1 + random.next() % 255)
                return [changed]
            case 3: return [Array(payload.dropLast(1 + Int(random.next() % UInt64(payload.count - 4))))]
            case 4: return [payload + [UInt8](repeating: 0, count: 7), payload]
            default: return [Array(payload[..<4]) + random.bytes(16 + Int(random.next() % 200)), payload]
            }
        }
        for tag in 0..<200 {
            scenario.network.sendInner(
                CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: UInt8(tag)), from: scenario.client)
            scenario.network.sendInner(
                CircuitScenario.packet(from: 0x0A63_0009, to: 0x0A4D_0001, tag: UInt8(tag)), from: scenario.relays[2])
            scenario.network.run(for: .milliseconds(10))
        }
        scenario.relays[1].tamper = nil
        for host in [scenario.client, scenario.relays[2]] {
            #expect(Set(host.delivered).count == host.delivered.count)
            #expect(host.dataPlaneDrops.total > 20)
            #expect(host.delivered.count > 20)
        }
        #expect(scenario.isReady(number) && scenario.client.circuitFailures.isEmpty, "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 3, tag: 255), "\(scenario.describe())")
    }

    @Test func aFloodOfEndsIsNotLookedInto() {
        var relay = RelayStateMachine()
        let now = Instant.origin + .seconds(5)
        let admitted = (0..<1000).count { _ in relay.admitEnd(from: 1, now: now) }
        #expect(admitted == Limits.endsPerSecond)
        // Others are not held up by it, nor is that one for longer.
        #expect(relay.admitEnd(from: 2, now: now) && relay.admitEnd(from: 1, now: now + .seconds(1)))
    }

    @Test func endsOfNothingAreCounted() throws {
        let scenario = connected(3, seed: 30)
        let number = try scenario.connect([1, 2, 3])
        for id in [1, 0x8000_0001, 77, 0xFFFF_FFFF] as [UInt32] {
            let end = EndMessage(id: id, reason: .closed).encoded
            scenario.network.say(.end, end, to: 0, from: scenario.relays[0])
            scenario.network.say(.end, end, to: 0, from: scenario.client)
            scenario.network.say(
                .extended, ExtendedMessage(id: id, outcome: .ready(largest: 900)).encoded, to: 0,
                from: scenario.relays[0])
        }
        for payload in [[], [1], [UInt8](repeating: 1, count: 8), [UInt8](repeating: 0, count: 9)] {
            for type in [FrameType.end, .extended, .extend] {
                scenario.network.say(type, payload, to: 0, from: scenario.relays[0])
                scenario.network.say(type, payload, to: 0, from: scenario.client)
            }
        }
        scenario.network.say(.relay, [0, 0, 0, 1], to: 0, from: scenario.client)
        scenario.network.run(for: .seconds(2))
        for host in [scenario.client, scenario.relays[0]] {
            #expect(host.controlDrops[.circuitMalformed] >= 12)
            #expect(host.controlDrops[.circuitUnknown] >= 4)
        }
        #expect(scenario.relays[0].dataPlaneDrops[.circuitMalformed] == 1)
        #expect(scenario.isReady(number) && scenario.carriesTraffic(to: 3), "\(scenario.describe())")
    }

    @Test func kindsOfHandshakesStayWhereTheyBelong() throws {
        // A guest's throwaway identity by UDP: an S1 of kind 2 from a host that plays it is refused (§2). Shown at the door.
        var machine = NodeStateMachine(
            signer: RehearsalIdentity(seed: 1), cryptography: RehearsalCryptography(seed: 1),
            parameters: NodeParameters(
                offers: Offers(hasAESHardware: true), mtu: 1436,
                trust: TrustPolicy(trustsOnFirstUse: true, isStrict: false), descriptor: [], handshakesPerMinute: 0,
                maximumJobs: 10, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600), unixSeconds: 0),
            pins: [], peers: [], now: .origin)
        let id = RehearsalIdentity(seed: 2).publicKeys.peerID
        let circuit = Carrier.circuit(CircuitPlace(outer: 0, id: 7))
        let udp = Carrier.udp(Endpoint(v4: 1, port: 1))
        #expect(machine.refusal(ofGuest: id, kind: .anonymous, on: circuit) == .anonymousPeer)
        machine.enableRelay(RelayPolicy(), now: .origin)
        #expect(machine.refusal(ofGuest: id, kind: .anonymous, on: circuit) == nil)
        #expect(machine.refusal(ofGuest: id, kind: .anonymous, on: udp) == .anonymousPeer)
        #expect(machine.refusal(ofGuest: id, kind: .full, on: circuit) == .anonymousPeer)
        #expect(machine.refusal(ofGuest: id, kind: .brief, on: circuit) == .anonymousPeer)
        #expect(
            machine.refusal(ofGuest: RehearsalIdentity(seed: 1).publicKeys.peerID, kind: .anonymous, on: circuit)
                == .ownIdentity)
    }
}
