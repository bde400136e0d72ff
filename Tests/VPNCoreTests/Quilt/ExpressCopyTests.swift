// SPDX-License-Identifier: Apache-2.0
// What `redundant` with `double: small` puts on a second patch (§9), as it leaves the outbound half of a data plane.
import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct ExpressCopyTests {
    private static let carriers = [
        Carrier.udp(Endpoint(v4: 0xC633_6402, port: 9000)), .udp(Endpoint(v4: 0xC633_6403, port: 9000)),
    ]
    private static let indices: [UInt32] = [0xB000_0001, 0xB000_0002]

    private var plane = OutboundPlane()
    private var receiver = InboundPlane()

    init() throws {
        let (sender, other) = Fixture.sessionPair(indexB: Self.indices[0])
        let quilt = Quilt(sender, QuiltConfiguration(scheduler: .redundant, doublesSmallOnly: true))
        for patch in 0..<2 {
            quilt.withState {
                $0.join(patch, Self.carriers[patch], remoteIndex: Self.indices[patch], mtu: 1400, now: Fixture.now)
            }
        }
        plane.apply(.routes(try Fixture.routes([("10.77.0.2/32", 0)])))
        plane.apply(.activate(sender, Self.carriers[0]))
        plane.apply(.quilt(quilt))
        receiver.apply(.routes(try Fixture.routes([("10.77.0.1/32", 0)])))
        receiver.apply(.activate(other, Fixture.carrierToA))
        receiver.apply(.patch(Quilt(other, QuiltConfiguration()), number: 1, index: Self.indices[1]))
    }

    private mutating func send(_ packet: [UInt8]) -> [(datagram: [UInt8], carrier: Carrier)] {
        var bytes = [UInt8](repeating: 0, count: Limits.headroom) + packet
        bytes += [UInt8](repeating: 0, count: 1500 - packet.count + Limits.tailroom)
        var span = bytes.mutableSpan
        let range = Limits.headroom..<Limits.headroom + packet.count
        guard case .transmit(let sealed, let carrier, _) = plane.outbound(&span, packet: range, now: Fixture.now) else {
            return []
        }
        var sent = [(Array(bytes[sealed]), carrier)]
        while let extra = plane.nextExtra() { sent.append(extra) }
        return sent
    }

    private mutating func receive(_ datagram: [UInt8]) -> [UInt8]? {
        var bytes = datagram
        receiver.begin(Train(bytes.indices))
        var delivered: [UInt8]?
        while true {
            var span = bytes.mutableSpan
            guard let verdict = receiver.next(&span, now: Fixture.now) else { return delivered }
            if case .deliver(let range) = verdict.outcome { delivered = Array(bytes[range]) }
        }
    }

    private func packet(_ payload: Int, dscp: UInt8) -> [UInt8] {
        var packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: payload)
        packet[1] = dscp << 2
        return packet
    }

    /// 46 is EF (RFC 3246); the others are CS5, AF41 and EF's neighbours.
    @Test(arguments: [UInt8(46), 0, 40, 34, 45, 47])
    mutating func aLongPacketGoesTwiceIfItIsExpress(dscp: UInt8) throws {
        let packet = packet(1200, dscp: dscp)
        let sent = send(packet)
        try #require(sent.count == (dscp == 46 ? 2 : 1))
        #expect(receive(sent[0].datagram) == packet)
        guard dscp == 46 else { return }
        #expect(Set(sent.map(\.carrier)) == Set(Self.carriers), "each by a patch of its own")
        // The same bytes but for the index of the patch, and the other end takes one of them.
        #expect(sent[0].datagram.count == sent[1].datagram.count)
        #expect(sent[0].datagram[8...] == sent[1].datagram[8...] && sent[0].datagram[..<4] == sent[1].datagram[..<4])
        #expect(Set(sent.map { $0.datagram.u32(at: 4) }) == Set(Self.indices))
        #expect(receive(sent[1].datagram) == nil && receiver.drops[.replayDuplicate] == 1)
    }

    @Test(arguments: [UInt8(0), 46]) mutating func aShortPacketGoesTwice(dscp: UInt8) {
        #expect(send(packet(60, dscp: dscp)).count == 2)
    }

    /// Where the first one is lost.
    @Test mutating func theCopyIsTakenAlone() {
        let packet = packet(1200, dscp: 46)
        let sent = send(packet)
        #expect(sent.count == 2 && receive(sent[sent.count - 1].datagram) == packet)
    }
}
