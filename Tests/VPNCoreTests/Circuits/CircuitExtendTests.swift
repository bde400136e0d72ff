// SPDX-License-Identifier: Apache-2.0
// Where a hostile client would like a relay to go (§8): what it asks for at every hop of its circuit, and what then leaves the relay:
// nothing.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct CircuitExtendTests {
    private func ready(_ hops: [Int], seed: UInt64) throws -> (scenario: CircuitScenario, slots: [PeerSlot]) {
        let scenario = CircuitScenario(seed: seed, relays: 4)
        let number = try scenario.connect(hops)
        try #require(scenario.isReady(number), "\(scenario.describe())")
        scenario.network.run(for: .seconds(40))
        let circuit = try #require(scenario.client.circuits(now: scenario.network.now).first)
        return (scenario, circuit.slots)
    }

    /// An id that whoever the client is towards this peer may pick.
    private func id(_ scenario: CircuitScenario, _ slot: PeerSlot, _ number: UInt32) throws -> UInt32 {
        let peer = try #require(scenario.client.machine.peers[slot])
        let (own, other) = (scenario.client.machine.localID(peer), try #require(peer.identity))
        return try #require(CircuitID.make(number, by: own, for: other))
    }

    /// What left a relay since then to anybody but those that it had something to say to.
    private func strays(
        _ scenario: CircuitScenario, since: Int, from relay: VirtualHost, but known: [VirtualHost]
    ) -> [VirtualDatagram] {
        scenario.network.capture[since...].map(\.datagram).filter { datagram in
            datagram.source == relay.endpoint && !known.contains { $0.endpoint == datagram.destination }
        }
    }

    /// At the second hop: itself, the relay before, the client's throwaway identity there, nobody, and somebody that it does not
    /// know.
    @Test func theSecondHopGoesNoMoreWhereItShouldNotThanTheFirst() throws {
        let (scenario, slots) = try ready([1, 2, 3], seed: 1)
        let relay = scenario.relays[1]
        let stranger = RehearsalIdentity(seed: 999).publicKeys.peerID
        let throwaway = try #require(relay.establishedSessions.last { $0.carrier.place != nil }?.peer)
        let from = scenario.network.capture.count
        let before = relay.footprint
        let targets = [scenario.id(2), scenario.id(1), throwaway, .zero, stranger]
        for (number, target) in targets.enumerated() {
            let refused = relay.controlDrops[.circuitRefused]
            let message = ExtendMessage(id: try id(scenario, slots[1], UInt32(number) + 7), target: target.bytes)
            scenario.network.say(.extend, message.encoded, to: slots[1], from: scenario.client)
            scenario.network.run(for: .seconds(1))
            #expect(relay.controlDrops[.circuitRefused] == refused + 1, "\(number)")
        }
        #expect(relay.footprint == before, "\(scenario.describe())")
        #expect(strays(scenario, since: from, from: relay, but: [scenario.relays[0], scenario.relays[2]]).isEmpty)
        #expect(scenario.carriesTraffic(to: 3))
    }

    /// A → B → A, asked for by a client that does not refuse itself; and that loops over three nodes end with the layers.
    @Test func loopsOverTwoNodesAreRefused() throws {
        let (scenario, slots) = try ready([1, 2, 3], seed: 2)
        let relay = scenario.relays[2]
        // At the third hop the one before is relay 2; relay 1 it cannot know of.
        let back = ExtendMessage(id: try id(scenario, slots[2], 7), target: scenario.id(2).bytes)
        let round = ExtendMessage(id: try id(scenario, slots[2], 8), target: scenario.id(1).bytes)
        func say(_ message: ExtendMessage) {
            // In the third hop's session, inside the second's.
            let session = scenario.client.sendingSession(of: slots[2])!
            let datagram = session.sealFrame(type: .extend, payload: message.encoded, now: scenario.network.now)!
            let place = session.place!
            scenario.network.say(
                .relay, RelayMessage.encoded(id: place.id, datagram: datagram), to: place.outer, from: scenario.client)
            scenario.network.run(for: .seconds(2))
        }
        say(back)
        #expect(relay.controlDrops[.circuitRefused] == 1 && relay.footprint.relayed == 0, "\(scenario.describe())")
        say(round)
        #expect(relay.controlDrops[.circuitRefused] == 1 && relay.footprint.relayed == 1, "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 3))
    }

    /// The same EXTEND a thousand times, and its id for two nodes: one circuit, then none.
    @Test func askingTwiceIsAskingOnce() throws {
        let (scenario, _) = try ready([1, 2, 3], seed: 3)
        let relay = scenario.relays[0]
        let message = ExtendMessage(id: try id(scenario, 0, 7), target: scenario.id(4).bytes)
        for _ in 0..<1000 { scenario.network.say(.extend, message.encoded, to: 0, from: scenario.client) }
        scenario.network.run(for: .seconds(1))
        #expect(relay.footprint.relayed == 2 && relay.controlDrops[.circuitQuota] == 0, "\(scenario.describe())")
        let known = [scenario.client] + scenario.relays
        // As many answers as questions at most, and nothing more than one link to relay 4.
        let other = ExtendMessage(id: message.id, target: scenario.id(2).bytes)
        let from = scenario.network.capture.count
        scenario.network.say(.extend, other.encoded, to: 0, from: scenario.client)
        scenario.network.run(for: .seconds(1))
        #expect(relay.footprint.relayed == 1)
        #expect(strays(scenario, since: from, from: relay, but: known).isEmpty)
        #expect(scenario.carriesTraffic(to: 3))
    }

    /// A relay of which there are only addresses that no stranger may name, however well it is signed.
    @Test(arguments: [
        "127.0.0.1:9000", "10.0.0.9:9000", "192.168.1.1:53", "169.254.169.254:80", "[::1]:9000", "[fe80::1]:9000",
        "[::ffff:10.0.0.9]:9000", "[fc00::7]:9000", "224.0.0.1:9000", "0.0.0.0:9000", "100.64.0.1:9000",
    ])
    func nobodyIsSentIntoANetwork(address: String) throws {
        let scenario = CircuitScenario(seed: 4, relays: 2)
        let relay = scenario.relays[0]
        scenario.network.run(for: .seconds(10))
        let descriptor = try DirectoryScene.descriptor(77, addresses: [address])
        relay.addRelays([(descriptor, .relay(scenario.id(2)))], now: scenario.network.now)
        let from = scenario.network.capture.count
        let message = ExtendMessage(id: try id(scenario, 0, 7), target: DirectoryScene.id(77).bytes)
        scenario.network.say(.extend, message.encoded, to: 0, from: scenario.client)
        scenario.network.run(for: .seconds(20))
        #expect(relay.controlDrops[.circuitRefused] == 1 && relay.footprint.relayed == 0)
        #expect(strays(scenario, since: from, from: relay, but: [scenario.client]).isEmpty)
        // The same relay at an address for everybody is gone to: the rule alone is what held.
        let good = try DirectoryScene.descriptor(78, addresses: ["20.78.0.1:9000"])
        relay.addRelays([(good, .relay(scenario.id(2)))], now: scenario.network.now)
        let second = ExtendMessage(id: try id(scenario, 0, 8), target: DirectoryScene.id(78).bytes)
        scenario.network.say(.extend, second.encoded, to: 0, from: scenario.client)
        scenario.network.run(for: .seconds(2))
        let gone = strays(scenario, since: from, from: relay, but: [scenario.client])
        #expect(!gone.isEmpty && gone.allSatisfy { $0.destination == Endpoint(v4: 0x144E_0001, port: 9000) })
    }
}
