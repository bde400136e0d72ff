// SPDX-License-Identifier: Apache-2.0
// How a circuit begins (§8): whom it may begin with, what one of a single hop is, and what it may carry from when on.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct CircuitBeginningTests {
    private func connected(_ relays: Int, seed: UInt64) -> CircuitScenario {
        let scenario = CircuitScenario(seed: seed, relays: relays)
        scenario.network.run(for: .seconds(5)) { !scenario.client.confirmedSessions.isEmpty }
        scenario.network.run(for: .seconds(1))
        return scenario
    }

    /// Why the client does not even begin this circuit; nil where it does.
    private func refusal(_ name: String, _ hops: [PeerID], _ scenario: CircuitScenario) -> CircuitRefusal? {
        do throws(CircuitRefusal) {
            let request = CircuitRequest(name: name, hops: hops, allowedIPs: [])
            _ = try scenario.network.build(request, at: scenario.client)
            return nil
        } catch { return error }
    }

    /// A pin says who somebody is, not where: the first hop is a peer that is met directly, or a relay with a
    /// descriptor.
    @Test func theFirstHopIsSomebodyWhoCanBeMet() throws {
        let scenario = connected(2, seed: 311)
        let stranger = RehearsalIdentity(seed: 999).publicKeys.peerID
        let (first, second, relay) = (scenario.id(1), scenario.id(2), DirectoryScene.id(9))
        for hops in [[stranger, first], [second, first], [relay, first]] {
            #expect(refusal("x", hops, scenario) == .entry, "\(hops.map(\.short))")
        }
        #expect(refusal("x", [first, stranger], scenario) == .unknownHop)
        let descriptor = try DirectoryScene.descriptor(9)
        let refused = scenario.client.addRelays([(descriptor, .imported)], now: scenario.network.now)
        #expect(refused.isEmpty)
        #expect(refusal("by its pin", [first, second], scenario) == nil)
        #expect(refusal("by its descriptor", [relay, first], scenario) == nil)
    }

    /// It is the peer itself: nothing is made for it, nobody asks whether it lives, and nothing is replaced.
    @Test func aCircuitOfOneHopIsAPeerLikeAnyOther() throws {
        let scenario = connected(1, seed: 312)
        let client = scenario.client
        let peers = client.footprint.peers
        let number = try scenario.build([1])
        scenario.network.run(for: .seconds(1))
        let circuit = try #require(client.circuits(now: scenario.network.now).first)
        #expect(circuit.state == .ready && circuit.slots == [0] && circuit.destination == 0)
        #expect(circuit.replacesIn == nil && client.footprint.peers == peers)
        // Longer than any circuit of more hops would stand.
        scenario.network.suspend(scenario.relays[0])
        scenario.network.run(for: .seconds(12))
        #expect(client.circuitFailures.isEmpty && scenario.isReady(number), "\(scenario.describe())")
        scenario.network.resume(scenario.relays[0])
        #expect(scenario.network.closeCircuit(number, at: client))
        scenario.network.run(for: .seconds(1))
        #expect(client.footprint.peers == peers && client.footprint.sessions == 1, "\(scenario.describe())")
    }

    @Test func aCircuitIsAsOldAsItsFirstPath() throws {
        let scenario = connected(2, seed: 313)
        let client = scenario.client
        let number = try scenario.build([1, 2])
        func age() -> TimeSpan? { client.circuits(now: scenario.network.now).first?.age }
        #expect(age() == nil)
        #expect(scenario.network.run(for: .seconds(10)) { scenario.isReady(number) }, "\(scenario.describe())")
        scenario.network.run(for: .seconds(30))
        #expect((age() ?? .zero) >= .seconds(30))
        #expect(scenario.network.replaceCircuit(number, at: client))
        let isReplaced = scenario.network.run(for: .seconds(20)) {
            client.circuitEvents.contains { if case .replaced = $0 { true } else { false } }
        }
        #expect(isReplaced && (age() ?? .zero) >= .seconds(30), "\(scenario.describe())")
    }

    /// Before a lease the kernel picks whatever source it likes: of that nothing goes to an exit, which would learn it.
    @Test func nothingGoesToAnExitThatHasGivenNoAddress() throws {
        let scenario = connected(2, seed: 314)
        let (client, exit) = (scenario.client, scenario.relays[1])
        exit.deafTo = [.configRequest]
        func build(_ name: String, _ address: UInt32, wantsLease: Bool) throws -> Int {
            let prefix = IPPrefix(containing: IPAddress(v4: address), length: 32)
            let request = CircuitRequest(
                name: name, hops: [1, 2].map(scenario.id), allowedIPs: [prefix], wantsLease: wantsLease)
            return try scenario.network.build(request, at: client)
        }
        let asking = try build("asking", 0x0A63_0009, wantsLease: true)
        let plain = try build("plain", 0x0A63_000A, wantsLease: false)
        let areReady = scenario.network.run(for: .seconds(20)) { scenario.isReady(asking) && scenario.isReady(plain) }
        try #require(areReady, "\(scenario.describe())")
        scenario.network.run(for: .milliseconds(500))
        for address in [0x0A63_0009, 0x0A63_000A] as [UInt32] {
            scenario.network.sendInner(CircuitScenario.packet(from: 0x0A4D_0001, to: address, tag: 1), from: client)
        }
        scenario.network.run(for: .milliseconds(500))
        // The one is not even sent, the other is what a last hop without addresses for its guest does not deliver.
        #expect(client.dataPlaneDrops[.innerSource] == 1, "\(scenario.describe())")
        #expect(exit.dataPlaneDrops[.innerSource] == 1, "\(scenario.describe())")
    }

    /// A relay says once how long a datagram may be, and what goes on the circuit is no longer; what it says later is
    /// no news.
    @Test func whatARelayCarriesIsSaidOnce() throws {
        let scenario = CircuitScenario(seed: 315, relays: 2)
        let (client, relay) = (scenario.client, scenario.relays[0])
        let ends = scenario.relays.map(\.endpoint)
        scenario.network.path = { datagram in
            var conditions = LinkConditions()
            let isLink = ends.contains(datagram.source) && ends.contains(datagram.destination)
            if isLink { conditions.largestDatagram = 1300 }
            return conditions
        }
        // By the first circuit the relay finds out what its link carries.
        let number = try scenario.connect([1, 2])
        scenario.network.run(for: .seconds(15))
        #expect(scenario.network.closeCircuit(number, at: client))
        scenario.network.run(for: .seconds(1))
        let next = try scenario.build([1, 2], name: "next")
        #expect(scenario.network.run(for: .seconds(10)) { scenario.isReady(next) }, "\(scenario.describe())")
        let place = try #require(client.circuitPlaces.first)
        let told = try #require(client.machine.circuits.largest(on: place))
        let room = client.machine.room(on: place)
        #expect((Limits.smallestCircuitDatagram..<1300).contains(told) && room == told, "\(told) \(room)")
        for other in [900, 1432] as [UInt16] {
            let again = ExtendedMessage(id: place.id, outcome: .ready(largest: other))
            scenario.network.say(.extended, again.encoded, to: 0, from: relay)
            scenario.network.run(for: .milliseconds(100))
            #expect(client.machine.circuits.largest(on: place) == told, "\(other)")
        }
    }
}
