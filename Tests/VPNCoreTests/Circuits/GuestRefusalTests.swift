// SPDX-License-Identifier: Apache-2.0
// Who is heard on a circuit that ends here, and to whom one goes on (§8): guests by links, as many as there is room
// for; nobody in sessions in which this node or the other end is somebody else.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct GuestRefusalTests {
    private static let stranger = RehearsalIdentity(seed: 999).publicKeys.peerID

    /// Why a handshake datagram is not heard on a circuit whose id this one has picked for that one; nil where it is.
    private func refusal(
        of type: DatagramType, at host: VirtualHost, by slot: PeerSlot, _ picker: PeerID, for other: PeerID
    ) throws -> DropReason? {
        let id = try #require(CircuitID.make(7, by: picker, for: other))
        return host.machine.refusal(of: type, on: CircuitPlace(outer: slot, id: id))
    }

    /// An EXTEND that a peer says in its session with another one.
    private func extend(
        to target: PeerID, from host: VirtualHost, _ slot: PeerSlot, id number: UInt32, _ picker: PeerID,
        for other: PeerID, _ network: VirtualNetwork
    ) throws {
        let id = try #require(CircuitID.make(number, by: picker, for: other))
        network.say(.extend, ExtendMessage(id: id, target: target.bytes).encoded, to: slot, from: host)
        network.run(for: .milliseconds(100))
    }

    // MARK: - Who is heard

    /// A guest would be a relay by that, and one that answers by ids of its own side answers its own questions.
    @Test func handshakesComeByLinksAndByIdsOfTheOtherEnd() throws {
        let scenario = CircuitScenario(seed: 521, relays: 2)
        _ = try scenario.connect([1, 2])
        let exit = scenario.relays[1]
        let (own, relay) = (scenario.id(2), scenario.id(1))
        let link = try #require(exit.slot(of: relay))
        let guest = try #require(exit.guests.last)
        let throwaway = try #require(exit.machine.peers[guest]?.identity)
        let heard = try refusal(of: .s0, at: exit, by: link, relay, for: own)
        let foreign = try refusal(of: .s2, at: exit, by: link, relay, for: own)
        #expect(heard == nil && foreign == .circuitForeign)
        let ownSide = try refusal(of: .s0, at: exit, by: link, own, for: relay)
        #expect(ownSide == .circuitUnknown)
        for (picker, other) in [(throwaway, own), (own, throwaway)] {
            let inGuest = try refusal(of: .s0, at: exit, by: guest, picker, for: other)
            #expect(inGuest == .circuitUnknown)
        }
        // A circuit that waits for its link leads on, and nobody is here to hear what comes by it too soon.
        let id = try #require(CircuitID.make(7, by: relay, for: own))
        let place = CircuitPlace(outer: link, id: id)
        exit.machine.relay.begin(place, to: Self.stranger, over: 900, now: scenario.network.now)
        let waiting = exit.machine.refusal(of: .s0, on: place)
        #expect(waiting == .circuitUnknown)
    }

    /// A client that relays as well is nobody in the sessions of its own circuits: whoever is asked there who he is
    /// would tell.
    @Test func aClientThatRelaysIsNobodyForItsHops() throws {
        let scenario = CircuitScenario(seed: 522, relays: 3)
        _ = try scenario.connect([1, 2])
        let (network, client) = (scenario.network, scenario.client)
        let own = client.identity.publicKeys.peerID
        var policy = RelayPolicy()
        policy.directory = scenario.directory
        network.enableRelay(policy, of: client)
        let hop = try #require(client.circuits(now: network.now).first).destination
        for (picker, other) in [(scenario.id(2), own), (own, scenario.id(2))] {
            let heard = try refusal(of: .s0, at: client, by: hop, picker, for: other)
            #expect(heard == .circuitUnknown)
        }
        // Nor does it go on to anybody for the last hop, or say that it does not.
        let (exit, guest) = (scenario.relays[1], try #require(scenario.relays[1].guests.last))
        let unknown = exit.controlDrops[.circuitUnknown]
        try extend(to: scenario.id(3), from: exit, guest, id: 9, scenario.id(2), for: own, network)
        #expect(client.controlDrops[.circuitForeign] == 1 && client.footprint.relayed == 0, "\(scenario.describe())")
        #expect(exit.controlDrops[.circuitUnknown] == unknown)
        // For whoever knows it, it does.
        try extend(to: scenario.id(3), from: scenario.relays[0], 0, id: 9, scenario.id(1), for: own, network)
        #expect(client.controlDrops[.circuitForeign] == 1 && client.footprint.relayed == 1, "\(scenario.describe())")
    }

    // MARK: - Room

    /// The guest whose path is replaced comes again, whatever others have: it takes nobody's place.
    @Test func aGuestThatIsHereComesAgainWhereNobodyElseMay() throws {
        var policy = RelayPolicy()
        policy.guests = 1
        let scenario = CircuitScenario(seed: 523, relays: 2, policy: policy)
        let number = try scenario.connect([1, 2])
        let exit = scenario.relays[1]
        let guest = try #require(exit.guests.last)
        let place = try #require(exit.machine.peers[guest]?.arrival)
        let elsewhere = Carrier.circuit(CircuitPlace(outer: place.outer, id: place.id ^ 1))
        let other = exit.machine.refusal(ofGuest: Self.stranger, kind: .anonymous, on: elsewhere)
        #expect(other == .anonymousPeer && exit.footprint.guests == 1)
        #expect(scenario.network.replaceCircuit(number, at: scenario.client))
        let isReplaced = scenario.network.run(for: .seconds(20)) {
            scenario.client.circuitEvents.contains { if case .replaced = $0 { true } else { false } }
        }
        #expect(isReplaced && exit.footprint.guests == 1, "\(scenario.describe())")
        #expect(scenario.network.closeCircuit(number, at: scenario.client))
        scenario.network.run(for: .seconds(1))
        let next = exit.machine.refusal(ofGuest: Self.stranger, kind: .anonymous, on: elsewhere)
        #expect(next == nil)
    }

    /// Sessions that a node has for itself on circuits over a link are no guests of that link.
    @Test func hopsOfItsOwnTakeNoGuestsPlace() throws {
        let scenario = CircuitScenario(seed: 524, relays: 2)
        _ = try scenario.connect([1, 2])
        let client = scenario.client
        var policy = RelayPolicy()
        policy.guests = 1
        scenario.network.enableRelay(policy, of: client)
        let hop = try #require(client.circuits(now: scenario.network.now).first).destination
        #expect(client.machine.peers[hop]?.arrival?.outer == 0)
        let place = Carrier.circuit(CircuitPlace(outer: 0, id: 7))
        let refusal = client.machine.refusal(ofGuest: Self.stranger, kind: .anonymous, on: place)
        #expect(refusal == nil)
    }

    // MARK: - Where circuits go on to

    /// An address alone makes nobody a hop: whose pin is taken away is extended to no more, though the relay knows
    /// where it is.
    @Test func whoIsNotBelievedAnyMoreIsNotExtendedTo() throws {
        let scenario = CircuitScenario(seed: 525, relays: 3)
        let (network, client, relay) = (scenario.network, scenario.client, scenario.relays[0])
        let own = client.identity.publicKeys.peerID
        network.run(for: .seconds(5))
        let pins = [client, scenario.relays[2]].map {
            PinnedPeer(keys: $0.identity.publicKeys, name: $0.name, origin: .operatorAdded)
        }
        network.updatePins(pins, of: relay)
        let peers = relay.footprint.peers
        try extend(to: scenario.id(2), from: client, 0, id: 7, own, for: scenario.id(1), network)
        #expect(relay.controlDrops[.circuitRefused] == 1, "\(scenario.describe())")
        #expect(relay.footprint.relayed == 0 && relay.footprint.peers == peers)
        try extend(to: scenario.id(3), from: client, 0, id: 8, own, for: scenario.id(1), network)
        #expect(relay.controlDrops[.circuitRefused] == 1, "\(scenario.describe())")
        #expect(relay.footprint.relayed == 1 && relay.footprint.peers == peers + 1)
    }
}
