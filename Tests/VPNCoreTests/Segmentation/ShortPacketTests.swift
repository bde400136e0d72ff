// SPDX-License-Identifier: Apache-2.0
// Packets that end before what they promise: nothing behind them in a buffer is taken for a part of them.
import Testing

@testable import VPNCore

@Suite struct ShortPacketTests {
    /// RFC 791: an IPv4 header has five words at least. Fragments with less would have no addresses.
    @Test(arguments: UInt8(0)..<5) func aHeaderBelowFiveWordsHasNoFragments(words: UInt8) {
        var packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 300)
        let count = packet.count
        let whole = fragments(&packet, count)
        #expect(whole)
        packet[0] = 0x40 | words
        let short = fragments(&packet, count)
        #expect(!short)
    }

    private func fragments(_ packet: inout [UInt8], _ count: Int) -> Bool {
        let span = packet.mutableSpan
        return IPv4Fragments(span, 0..<count, mtu: 100) != nil
    }

    /// The length of what is told about a packet: that it is too big, and that nobody is there.
    private func answers(to packet: [UInt8], behind: [UInt8]) -> [Int?] {
        var source = packet + behind
        var target = [UInt8](repeating: 0, count: PacketTooBig.largest)
        let span = source.mutableSpan
        var room = target.mutableSpan
        let tooBig = PacketTooBig.write(about: span, 0..<packet.count, mtu: 576, into: &room, at: 0)
        let unreachable = PacketUnreachable.write(about: span, 0..<packet.count, into: &room, at: 0)
        return [tooBig, unreachable]
    }

    /// ICMP that ends with the IP header has no type. 3, 5 and 11 behind it would be errors, which nobody is told of.
    @Test(arguments: [[3], [5], [11], [8], []] as [[UInt8]]) func aTypeBehindThePacketIsNone(behind: [UInt8]) {
        var packet = Fixture.packet(from: "192.0.2.7", to: "198.51.100.9", payload: 0)
        packet[9] = 1
        #expect(answers(to: packet, behind: behind) == [48, 48])
        // In the packet it is one.
        let type = behind.first ?? 8
        let wanted: [Int?] = type == 8 ? [49, 49] : [nil, nil]
        #expect(answers(to: withByte(packet, type), behind: []) == wanted)
    }

    private func withByte(_ packet: [UInt8], _ byte: UInt8) -> [UInt8] {
        var longer = packet + [byte]
        longer[3] = UInt8(longer.count)
        return longer
    }

    /// Hop-by-hop options, and behind them others that would begin at the packet's end, or less than 8 bytes before.
    @Test(arguments: 0..<8) func aChainThatLeadsOutOfThePacketIsNoTransport(rest: Int) {
        var packet = Fixture.packet(from: "fd77::1", to: "fd77::2", payload: 8 + rest)
        packet[6] = 0
        packet.replaceSubrange(40..<48, with: [60, 0, 1, 4, 0, 0, 0, 0])
        let (before, count) = (packet, packet.count)
        // The memory ends where the packet does.
        var span = packet.mutableSpan
        let isTransport = TransportPacket(span, 0..<count) != nil
        MaximumSegment.clamp(&span, 0..<count, mtu: 1280)
        #expect(!isTransport && packet == before)
    }
}
