// SPDX-License-Identifier: Apache-2.0
// ECN and DSCP across the tunnel: the table of RFC 6040 §4.2 on the way out, a copy on the way in.

import Testing
import VPNCore

@Suite struct CongestionTests {
    /// ECN codepoints by their two bits (RFC 3168 §5).
    private enum Codepoint: UInt8, CaseIterable {
        case notECT = 0
        case ect1 = 1
        case ect0 = 2
        case ce = 3
    }

    /// RFC 6040 §4.2, figure 4: rows are inner fields, columns outer ones, both in the order Not-ECT, ECT(0), ECT(1), CE;
    /// nil is a drop.
    private static let order: [Codepoint] = [.notECT, .ect0, .ect1, .ce]
    private static let table: [[Codepoint?]] = [
        [.notECT, .notECT, .notECT, nil],
        [.ect0, .ect0, .ect1, .ce],
        [.ect1, .ect1, .ect1, .ce],
        [.ce, .ce, .ce, .ce],
    ]

    /// A packet from A to B of this DSCP and ECN; IPv4's header checksum is right, IPv6's flow label is not 0.
    private func packet(_ trafficClass: UInt8, isV4: Bool, id: UInt16 = 0x1234) -> [UInt8] {
        if isV4 {
            var packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 30)
            packet[1] = trafficClass
            packet.replaceSubrange(4..<6, with: PacketModel.bytes(id))
            packet.replaceSubrange(10..<12, with: PacketModel.bytes(~PacketModel.sum(Array(packet[0..<20]))))
            return packet
        }
        var packet = Fixture.packet(from: "fd77::1", to: "fd77::2", payload: 30)
        packet[0] = 0x60 | trafficClass >> 4
        packet[1] = trafficClass << 4 | 0x0A
        packet[2] = 0xBC
        return packet
    }

    @Test(arguments: [true, false]) func theTableHoldsForEveryDSCP(isV4: Bool) throws {
        var pair = try TestPair()
        var dropped: UInt64 = 0
        for dscp in UInt8(0)..<64 {
            for (row, inner) in CongestionTests.order.enumerated() {
                for (column, outer) in CongestionTests.order.enumerated() {
                    let before = packet(dscp << 2 | inner.rawValue, isV4: isV4)
                    let datagram = try #require(pair.a.send(before).datagram)
                    // The outer DSCP is another one, and says nothing.
                    let mark = CongestionMark(trafficClass: ~dscp << 2 | outer.rawValue)
                    let outcome = pair.b.receive(datagram, congestion: mark)
                    guard let expected = CongestionTests.table[row][column] else {
                        #expect(outcome == .drop(.congestion), "inner \(inner), outer \(outer)")
                        dropped += 1
                        continue
                    }
                    let after = packet(dscp << 2 | expected.rawValue, isV4: isV4)
                    #expect(outcome == .deliver(after), "inner \(inner), outer \(outer), DSCP \(dscp)")
                }
            }
        }
        #expect(dropped == 64)
        #expect(pair.b.plane.drops[.congestion] == dropped && pair.b.plane.drops.total == dropped)
    }

    /// Every value that an IPv4 header's sum can have, marked: the checksum is the one that would have been computed anew.
    @Test func theHeaderChecksumStaysRight() throws {
        var pair = try TestPair()
        var wrong = 0
        for id in UInt16.min...UInt16.max {
            let ect0 = packet(0x28 | Codepoint.ect0.rawValue, isV4: true, id: id)
            let marked = packet(0x28 | Codepoint.ce.rawValue, isV4: true, id: id)
            let datagram = try #require(pair.a.send(ect0).datagram)
            if pair.b.receive(datagram, congestion: .experienced) != .deliver(marked) { wrong += 1 }
        }
        #expect(wrong == 0)
    }

    /// What is dropped for its mark was authentic: the session counts it, and a repeat is a duplicate.
    @Test func aCongestedPacketIsDroppedOnce() throws {
        var pair = try TestPair()
        let datagram = try #require(pair.a.send(packet(0, isV4: true)).datagram)
        #expect(pair.b.receive(datagram, congestion: .experienced) == .drop(.congestion))
        #expect(pair.b.receive(datagram, congestion: .experienced) == .drop(.replayDuplicate))
        #expect(pair.b.firstData.count == 1 && pair.sessionB.statistics.packetsIn == 1)
    }

    /// The mark concerns inner packets only.
    @Test func controlFramesAndWrongSourcesDoNotCare() throws {
        var pair = try TestPair()
        let frame = try #require(pair.sessionA.sealFrame(type: .keepalive, payload: [0x45, 0, 0], now: Fixture.now))
        #expect(pair.b.receive(frame, congestion: .experienced) == .control(.keepalive, [0x45, 0, 0]))
        let foreign = Fixture.packet(from: "192.0.2.1", to: "10.77.0.2")
        let datagram = try #require(pair.a.send(foreign).datagram)
        #expect(pair.b.receive(datagram, congestion: .experienced) == .drop(.innerSource))
    }

    @Test(arguments: [true, false]) func theInnerClassIsShownOutside(isV4: Bool) throws {
        for carriesDSCP in [true, false] {
            var end = TestEnd()
            end.plane = DataPlane(carriesDSCP: carriesDSCP, mtu: 1500)
            end.plane.apply(.routes(try Fixture.routes([("10.77.0.2/32", 0), ("fd77::2/128", 0)])))
            let (session, _) = Fixture.sessionPair()
            end.plane.apply(.activate(session, Fixture.carrierToB))
            for trafficClass in UInt8.min...UInt8.max {
                guard case .transmit(_, _, let shown) = end.send(packet(trafficClass, isV4: isV4)).verdict else {
                    return fail("class \(trafficClass) was not sent")
                }
                #expect(shown == (carriesDSCP ? trafficClass : trafficClass & 3))
            }
        }
    }

    /// A packet that waited for its session shows its class as well.
    @Test(arguments: [true, false]) func aStagedPacketShowsItsClass(isV4: Bool) throws {
        var end = TestEnd()
        end.plane.apply(.routes(try Fixture.routes([("10.77.0.2/32", 0), ("fd77::2/128", 0)])))
        guard case .staged = end.send(packet(0xBA, isV4: isV4)).verdict else { return fail("not staged") }
        let (session, _) = Fixture.sessionPair()
        end.plane.apply(.activate(session, Fixture.carrierToB))
        var bytes = [UInt8](repeating: 0, count: 4096)
        var span = bytes.mutableSpan
        let staged = try #require(end.plane.sender.nextStaged(into: &span, now: Fixture.now))
        #expect(staged.trafficClass == 0xBA)
    }

    @Test func marksByTheirBits() {
        for trafficClass in UInt8.min...UInt8.max {
            let expected: CongestionMark =
                switch trafficClass & 3 {
                case 3: .experienced
                case 1: .ect1
                default: .none
                }
            #expect(CongestionMark(trafficClass: trafficClass) == expected)
        }
    }
}
