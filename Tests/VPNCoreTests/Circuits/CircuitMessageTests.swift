// SPDX-License-Identifier: Apache-2.0
// EXTEND, EXTENDED and END to the byte (§8), circuit ids, and what a relay counts.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct CircuitMessageTests {
    private let target = RehearsalIdentity(seed: 1).publicKeys.peerID

    @Test func bytes() {
        #expect(ExtendMessage(id: 0x0102_0304, target: target.bytes).encoded == [1, 2, 3, 4] + target.bytes)
        #expect(ExtendedMessage(id: 5, outcome: .ready(largest: 1432)).encoded == [0, 0, 0, 5, 0, 0, 5, 152])
        #expect(ExtendedMessage(id: 5, outcome: .refused(.busy)).encoded == [0, 0, 0, 5, 2, 0, 0, 0])
        #expect(EndMessage(id: 0x8000_0001, reason: .lost).encoded == [128, 0, 0, 1, 2, 0, 0, 0])
        #expect(RelayMessage.encoded(id: 9, datagram: [7, 8]) == [0, 0, 0, 9, 7, 8])
        for refusal in ExtendRefusal.allCases {
            let message = ExtendedMessage(id: 1, outcome: .refused(refusal))
            #expect(ExtendedMessage(message.encoded) == message)
        }
        for reason in CircuitEnd.allCases {
            let message = EndMessage(id: 1, reason: reason)
            #expect(EndMessage(message.encoded) == message)
        }
        #expect(ExtendMessage(ExtendMessage(id: 1, target: target.bytes).encoded)?.target == target.bytes)
    }

    @Test func nothingElseIsAccepted() {
        let extend = ExtendMessage(id: 1, target: target.bytes).encoded
        let extended = ExtendedMessage(id: 1, outcome: .ready(largest: 900)).encoded
        let end = EndMessage(id: 1, reason: .closed).encoded
        for wrong in [[], Array(extend.dropLast()), extend + [0], [0, 0, 0, 0] + extend.dropFirst(4)] {
            #expect(ExtendMessage(wrong) == nil)
        }
        for wrong in [
            Array(extended.dropLast()), extended + [0], [0, 0, 0, 1, 0, 1, 3, 4], [0, 0, 0, 1, 4, 0, 0, 0],
            [0, 0, 0, 1, 1, 0, 0, 1], [128, 0, 0, 0, 0, 0, 3, 4],
        ] {
            #expect(ExtendedMessage(wrong) == nil)
        }
        for wrong in [
            Array(end.dropLast()), end + [0], [0, 0, 0, 1, 4, 0, 0, 0], [0, 0, 0, 1, 0, 1, 0, 0],
            [0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            #expect(EndMessage(wrong) == nil)
        }
    }

    @Test func idsTellWhoPickedThem() {
        let other = RehearsalIdentity(seed: 2).publicKeys.peerID
        let (small, large) = target < other ? (target, other) : (other, target)
        #expect(CircuitID.make(0xFFFF_FFFF, by: small, for: large) == 0x7FFF_FFFF)
        #expect(CircuitID.make(0x0000_0001, by: large, for: small) == 0x8000_0001)
        #expect(CircuitID.make(0x8000_0000, by: small, for: large) == nil)
        #expect(CircuitID.make(0, by: large, for: small) == nil)
        #expect(CircuitID.isPicked(1, by: small, for: large) && !CircuitID.isPicked(1, by: large, for: small))
        #expect(CircuitID.isPicked(0x8000_0001, by: large, for: small))
    }

    @Test func cookiesAreBoundToAssociationAndCircuit() {
        let one = ProvenAddress(association: [1, 2], circuit: 7)
        #expect(one == ProvenAddress(association: [1, 2], circuit: 7))
        #expect(one != ProvenAddress(association: [1, 2], circuit: 8))
        #expect(one != ProvenAddress(association: [1, 3], circuit: 7))
        #expect(one.ip.count == 16 && one.port.count == 2)
    }

    @Test func linksAreRatedAsAWhole() {
        var rate = HandshakeRate(limit: 0)
        rate.linkLimit = 10
        func admits(_ outer: PeerSlot, _ id: UInt32, at seconds: Int) -> Bool {
            rate.admit(.circuit(CircuitPlace(outer: outer, id: id)), now: .origin + .seconds(seconds))
        }
        #expect((1...50).count { admits(3, UInt32($0), at: 1) } == 10)
        #expect(admits(4, 1, at: 1))
        rate.refund(.circuit(CircuitPlace(outer: 3, id: 1)))
        #expect(admits(3, 99, at: 2))
        #expect(!admits(3, 98, at: 2))
        #expect(admits(3, 98, at: 70))
    }

    /// One circuit has ten a minute, all that repeat have half of the link's, and who says the first word is heard beside them.
    @Test func circuitsAreHeardBesideAFlood() {
        var rate = HandshakeRate(limit: 0)
        rate.linkLimit = 60
        func admits(_ id: UInt32, at seconds: Int) -> Bool {
            rate.admit(.circuit(CircuitPlace(outer: 3, id: id)), now: .origin + .seconds(seconds))
        }
        #expect((0..<1000).count { _ in admits(1, at: 1) } == 10)
        #expect((0..<1000).count { admits(UInt32(2 + $0 % 20), at: 2) } < 45)
        #expect((100..<110 as Range<UInt32>).allSatisfy { admits($0, at: 3) })
        #expect(!admits(100, at: 3), "not twice")
        let load = rate.load(of: .circuit(CircuitPlace(outer: 3, id: 1)), now: .origin + .seconds(3))
        #expect(load > rate.load(of: .circuit(CircuitPlace(outer: 3, id: 105)), now: .origin + .seconds(3)))
        // Never more than the link has, whatever circuits there are.
        #expect((1000..<3000 as Range<UInt32>).count { admits($0, at: 4) } <= 20)
        #expect(rate.count == 1)
        #expect(admits(1, at: 62), "its minute is over")
    }

    /// Guests of one link, however many they are, have half of what others leave; of all circuits, and of those to one peer.
    @Test func circuitsOfGuestsAreSharedOutByLink() {
        var relay = RelayStateMachine()
        relay.policy = RelayPolicy()
        relay.policy?.circuits = 40
        relay.policy?.circuitsPerLink = 12
        var clients = 100
        func fill(_ link: PeerSlot, by origin: PeerSlot?) -> Int {
            var begun = 0
            while begun < 50, relay.hasRoom(from: clients, to: link, by: origin) {
                relay.begin(
                    CircuitPlace(outer: clients, id: 1), to: target, over: link, by: origin,
                    now: .origin + .seconds(1))
                clients += 1
                begun += 1
            }
            return begun
        }
        #expect(fill(10, by: 1) == 6)
        #expect(fill(10, by: 2) == 3)
        #expect(fill(11, by: 1) == 6)
        #expect(fill(12, by: 1) == 6 && fill(13, by: 1) == 1, "19 of the 37 that others leave")
        #expect(fill(10, by: nil) == 3, "who is known directly has what there is")
        for circuit in relay.all { relay.remove(circuit) }
        #expect(relay.count == 0 && relay.remembered == 0)
    }

    @Test func relaysCountEverythingBackToNothing() {
        var relay = RelayStateMachine()
        relay.policy = RelayPolicy()
        relay.policy?.circuits = 20
        relay.policy?.circuitsPerClient = 8
        relay.policy?.circuitsPerLink = 12
        var random = SeededRandom(seed: 1)
        let now = Instant.origin + .seconds(1)
        for _ in 0..<5000 {
            let client = CircuitPlace(outer: Int(random.next() % 5), id: UInt32(random.next() % 60) + 1)
            let link = 10 + Int(random.next() % 3)
            if let circuit = relay[client], random.chance(0.5) {
                relay.remove(circuit)
                relay.remove(circuit)
            } else if relay[client] == nil, relay.hasRoom(from: client.outer, to: link) {
                relay.begin(client, to: target, over: link, now: now)
                if random.chance(0.8), let circuit = relay[client] {
                    let onward = CircuitPlace(outer: link, id: UInt32(truncatingIfNeeded: random.next()))
                    _ = relay.open(circuit, onward: onward, now: now)
                    #expect(relay.circuit(at: onward)?.client == client)
                }
            }
            #expect(relay.count <= 20)
            for slot in 0..<5 { #expect(relay.circuits(of: slot).count <= 8) }
            for slot in 10..<13 { #expect(relay.circuits(of: slot).count <= 12) }
        }
        for circuit in relay.all { relay.remove(circuit) }
        #expect(relay.count == 0 && relay.remembered == 0)
    }
}
