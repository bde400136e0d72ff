// SPDX-License-Identifier: Apache-2.0
// What repairs (§9) may keep, and what they bring back of things that are no packets: bounds that a liar meets.
import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct RepairLimitTests {
    private static func packet(_ counter: UInt64) -> [UInt8] { [UInt8(truncatingIfNeeded: counter), 9] }

    /// A repair of two packets that nobody else covers.
    private func repair(of first: UInt64) throws -> RepairMessage {
        var encoder = RepairEncoder(seed: UInt32(first))
        for counter in first...first + 1 { _ = encoder.sent(Self.packet(counter), under: counter) }
        let message = encoder.repair()
        return try #require(message)
    }

    // MARK: - Receiving

    /// Repairs that wait for packets which never come: so many are kept, and the oldest gives way to the newest.
    @Test func equationsThatWaitAreBounded() throws {
        var decoder = RepairDecoder()
        let count = Limits.repairEquations + 4
        for place in 0..<count {
            let found = try decoder.received(repair(of: UInt64(100 + 2 * place)))
            #expect(found.isEmpty && decoder.footprint.equations == min(place + 1, Limits.repairEquations))
        }
        let newest = UInt64(100 + 2 * (count - 1))
        let found = decoder.received(Self.packet(newest), under: newest)
        #expect(found.map(\.counter) == [newest + 1] && found.first?.packet == Self.packet(newest + 1))
        let forgotten = decoder.received(Self.packet(100), under: 100)
        #expect(forgotten.isEmpty && decoder.repaired == 1)
    }

    /// A symbol without room for a length, of no bytes, or of more than there are.
    @Test func whatIsNoPacketIsNotBroughtBack() {
        for symbol in [[], [0], [0, 1], [0, 0], [0, 0, 0], [0, 0, 0, 0], [0, 2, 7], [0, 1, 7, 1]] as [[UInt8]] {
            #expect(RepairMessage.packet(of: symbol) == nil, "\(symbol)")
        }
        #expect(RepairMessage.packet(of: [0, 1, 7]) == [7] && RepairMessage.packet(of: [0, 1, 7, 0]) == [7])
        // A repair of one packet that has no bytes.
        var decoder = RepairDecoder()
        let found = decoder.received(RepairMessage(first: 5, mask: 1, seed: 1, symbol: [0, 0, 0]))
        #expect(found.isEmpty && decoder.repaired == 0 && decoder.footprint.equations == 0)
    }

    /// Before a repair has come nothing is kept for any: most sessions never see one.
    @Test func nothingIsKeptBeforeTheFirstRepair() throws {
        var receiver = QuiltReceiver(Quilt(Fixture.sessionPair().1, QuiltConfiguration()))
        receiver.note(Self.packet(101), under: 101)
        #expect(!receiver.keepsPackets && receiver.repaired.isEmpty)
        // What it did not keep it cannot bring back either.
        try receiver.receive(repair(of: 100), now: Fixture.now)
        #expect(receiver.keepsPackets && receiver.repaired.isEmpty)
    }

    /// Repairs bring back two packets at once. The first has a source that is not the peer's: it is dropped, and the
    /// other one comes.
    @Test func aRefusedPacketHoldsUpNoOther() throws {
        let (sender, session) = Fixture.sessionPair()
        var plane = InboundPlane()
        plane.apply(.routes(try Fixture.routes([("10.77.0.1/32", 0)])))
        plane.apply(.activate(session, Fixture.carrierToA))
        plane.apply(.patch(Quilt(session, QuiltConfiguration()), number: 1, index: 0xB000_0002))
        var encoder = RepairEncoder(seed: 1)
        let packets = ["10.99.0.1", "10.77.0.1"].map { Fixture.packet(from: $0, to: "10.77.0.2") }
        for packet in packets {
            // Both are lost.
            let lost = try #require(sender.sealFrame(type: .ip, payload: packet, now: Fixture.now))
            _ = encoder.sent(packet, under: lost.u64(at: 8))
        }
        var delivered: [[UInt8]] = []
        // Two are enough, but where they say the same: then a third. None comes after the one that brought both back.
        for _ in 0..<3 where plane.drops.total == 0 {
            let repair = encoder.repair()
            let payload = try #require(repair).encoded
            var bytes = try #require(sender.sealFrame(type: .repair, payload: payload, now: Fixture.now))
            plane.begin(Train(bytes.indices))
            while true {
                var span = bytes.mutableSpan
                guard let verdict = plane.next(&span, now: Fixture.now) else { break }
                guard case .deliverReleased(let length) = verdict.outcome else { continue }
                var room = [UInt8](repeating: 0, count: length)
                var target = room.mutableSpan
                plane.copyReleased(into: &target, at: 0)
                delivered.append(room)
            }
        }
        #expect(delivered == [packets[1]])
        #expect(plane.drops[.innerSource] == 1 && plane.drops.total == 1)
    }

    // MARK: - Sending

    /// A repair says which counters it covers by their distance from the first: one that does not go on is none of it.
    @Test func aCounterThatIsNotNewIsNotCovered() {
        var encoder = RepairEncoder(seed: 1)
        encoder.adjust(lossPerMille: 1000)
        var repairs: [RepairMessage] = []
        for counter in [10, 9, 10, 11, 3, 12, 13] as [UInt64] {
            if let repair = encoder.sent(Self.packet(counter), under: counter) { repairs.append(repair) }
        }
        // One for four packets, of which those that did not count are none.
        #expect(repairs.map(\.counters) == [[10, 11, 12, 13]])
        var decoder = RepairDecoder()
        for counter in [10, 11, 13] as [UInt64] { _ = decoder.received(Self.packet(counter), under: counter) }
        let found = repairs.flatMap { decoder.received($0) }
        #expect(found.map(\.counter) == [12] && found.first?.packet == Self.packet(12))
    }

    /// Packets are kept for repairs of so many quilts. One more goes without while all are busy, and takes the place of one that is idle.
    @Test func windowsOfAFewQuiltsAreKept() throws {
        var extras = QuiltExtras()
        let sessions = (0...Limits.quiltsRepaired).map { Fixture.sessionPair(indexA: 0xA000_0001 + UInt32($0)).0 }
        func send(_ place: Int, _ counter: UInt64) -> [UInt64]? {
            let packet = Self.packet(counter)
            return extras.sent(packet, under: counter, by: sessions[place], lossPerMille: 1000)?.counters
        }
        for counter in UInt64(1)...4 {
            for place in 0..<Limits.quiltsRepaired {
                let covered = send(place, counter)
                let wanted: [UInt64]? = counter == 4 ? [1, 2, 3, 4] : nil
                #expect(covered == wanted, "\(place)")
            }
        }
        // One more: nobody's window is any the worse for it.
        for counter in UInt64(1)...4 {
            let another = send(Limits.quiltsRepaired, counter)
            #expect(another == nil)
        }
        for place in 0..<Limits.quiltsRepaired {
            let later = (UInt64(5)...8).map { send(place, $0) }
            let wanted: [[UInt64]?] = [nil, nil, nil, [1, 2, 3, 4, 5, 6, 7, 8]]
            #expect(later == wanted, "\(place)")
        }
        for counter in 9..<(9 + Limits.idleQuiltRepairs) { _ = send(1, counter) }
        let another = (UInt64(5)...8).map { send(Limits.quiltsRepaired, $0) }
        let wanted: [[UInt64]?] = [nil, nil, nil, [5, 6, 7, 8]]
        #expect(another == wanted)
    }
}
