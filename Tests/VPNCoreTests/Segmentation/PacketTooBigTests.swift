// SPDX-License-Identifier: Apache-2.0
// The messages that a packet is too big, field by field as the RFCs have them, and the packets about which there is none.

import Testing
import VPNCore

@Suite struct PacketTooBigTests {
    /// The message about a packet, both at odd places of dirty buffers; nil if there is none.
    private func message(about packet: [UInt8], mtu: Int) -> [UInt8]? {
        var source = [0xEE, 0xEE, 0xEE] + packet + [0xEE]
        var target = [UInt8](repeating: 0xDD, count: 7 + PacketTooBig.largest + 1)
        let span = source.mutableSpan
        var room = target.mutableSpan
        let written = PacketTooBig.write(about: span, 3..<3 + packet.count, mtu: mtu, into: &room, at: 7)
        guard let length = written else { return nil }
        #expect(length <= PacketTooBig.largest)
        #expect(target[..<7].allSatisfy { $0 == 0xDD } && target[(7 + length)...].allSatisfy { $0 == 0xDD })
        return Array(target[7..<7 + length])
    }

    private func isAnswered(_ packet: [UInt8]) -> Bool { message(about: packet, mtu: 576) != nil }

    private static let sizes = [0, 1, 8, 500, 520, 548, 1000, 1184, 1191, 1192, 1193, 1232, 1400, 8000]

    @Test func messagesOfIPv4() throws {
        for payload in PacketTooBigTests.sizes {
            for mtu in [68, 576, 1280, 1436, 65_535, 100_000] {
                let packet = Fixture.packet(from: "192.0.2.7", to: "198.51.100.9", payload: payload)
                let message = try #require(self.message(about: packet, mtu: mtu))
                // RFC 1812 §4.3.2.3: as much of the packet as there is room for in 576 bytes.
                let quoted = min(packet.count, 548)
                #expect(message.count == 28 + quoted)
                #expect(Array(message[0..<4]) == [0x45, 0] + PacketModel.bytes(UInt16(message.count)))
                #expect(Array(message[6..<10]) == [0x40, 0, 64, 1])
                #expect(Array(message[12..<16]) == [198, 51, 100, 9] && Array(message[16..<20]) == [192, 0, 2, 7])
                #expect(PacketModel.sum(Array(message[0..<20])) == 0xFFFF)
                // RFC 792 and RFC 1191 §4: type 3, code 4, the MTU in the low 16 bits of what was unused.
                #expect(Array(message[20..<22]) == [3, 4])
                #expect(Array(message[24..<28]) == [0, 0] + PacketModel.bytes(UInt16(min(mtu, 65_535))))
                #expect(PacketModel.sum(Array(message[20...])) == 0xFFFF)
                #expect(Array(message[28...]) == Array(packet.prefix(quoted)))
            }
        }
    }

    @Test func messagesOfIPv6() throws {
        for payload in PacketTooBigTests.sizes {
            for mtu in [1280, 1416, 65_535, 100_000] {
                let packet = Fixture.packet(from: "2001:db8::7", to: "fd77::9", payload: payload)
                let message = try #require(self.message(about: packet, mtu: mtu))
                // RFC 4443 §2.4 (c): as much as fits into 1280 bytes.
                let quoted = min(packet.count, 1232)
                #expect(message.count == 48 + quoted)
                #expect(Array(message[0..<4]) == [0x60, 0, 0, 0])
                #expect(Array(message[4..<8]) == PacketModel.bytes(UInt16(message.count - 40)) + [58, 64])
                #expect(Array(message[8..<24]) == Array(packet[24..<40]))
                #expect(Array(message[24..<40]) == Array(packet[8..<24]))
                // RFC 4443 §3.2: type 2, code 0, the MTU in 32 bits.
                #expect(Array(message[40..<42]) == [2, 0])
                #expect(Array(message[44..<48]) == PacketModel.bytes(UInt32(mtu)))
                let pseudo = Array(message[8..<40]) + PacketModel.bytes(UInt32(message.count - 40)) + [0, 0, 0, 58]
                #expect(PacketModel.sum(pseudo + message[40...]) == 0xFFFF)
                #expect(Array(message[48...]) == Array(packet.prefix(quoted)))
            }
        }
    }

    /// With IPv4 options the quoted header is longer, and all of it.
    @Test func optionsAreQuoted() throws {
        var model = PacketModel()
        (model.isTCP, model.ipOptions) = (false, [148, 4, 0, 0, 1, 1, 1, 0])
        model.payload = [UInt8](repeating: 3, count: 1000)
        let packet = model.encoded()
        let message = try #require(self.message(about: packet, mtu: 600))
        #expect(Array(message[28...]) == Array(packet.prefix(548)))
    }

    /// RFC 1122 §3.2.2: about no ICMP error. What asks and answers is none.
    @Test func noMessageAboutAnICMPError() {
        for type in UInt8.min...UInt8.max {
            var packet = Fixture.packet(from: "192.0.2.7", to: "198.51.100.9", payload: 1000)
            (packet[9], packet[20]) = (1, type)
            // Echo, timestamp, and their answers; of others nobody knows.
            if [0, 8, 13, 14].contains(type) {
                #expect(isAnswered(packet), "type \(type)")
            } else if [3, 4, 5, 11, 12].contains(type) {
                #expect(!isAnswered(packet), "type \(type)")
            }
            // The type is looked for behind options.
            var model = PacketModel()
            (model.isTCP, model.ipOptions, model.payload) = (false, [1, 1, 1, 0], [UInt8](repeating: 0, count: 900))
            var withOptions = model.encoded()
            (withOptions[9], withOptions[20], withOptions[24]) = (1, 8, type)
            if [3, 4, 5, 11, 12].contains(type) { #expect(!isAnswered(withOptions), "type \(type)") }
        }
        // RFC 4443 §2.4 (e.1): the types below 128 are errors.
        for type in UInt8.min...UInt8.max {
            var packet = Fixture.packet(from: "fd77::1", to: "fd77::2", payload: 1400)
            (packet[6], packet[40]) = (58, type)
            #expect(isAnswered(packet) == (type >= 128), "type \(type)")
        }
    }

    @Test func noMessageAboutLaterFragments() {
        var packet = Fixture.packet(from: "192.0.2.7", to: "198.51.100.9", payload: 1000)
        (packet[6], packet[7]) = (0x20, 0)
        #expect(isAnswered(packet))
        for (high, low) in [(0x20, 1), (0, 1), (0x1F, 0xFF), (0x40, 100), (1, 0)] as [(UInt8, UInt8)] {
            (packet[6], packet[7]) = (high, low)
            #expect(!isAnswered(packet), "\(high) \(low)")
        }
    }

    /// Sources that are no single host.
    @Test func noMessageToNobody() {
        for source in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"] {
            #expect(!isAnswered(Fixture.packet(from: source, to: "10.77.0.2", payload: 1000)), "\(source)")
        }
        for source in ["1.0.0.0", "10.77.0.1", "127.0.0.1", "223.255.255.255"] {
            #expect(isAnswered(Fixture.packet(from: source, to: "10.77.0.2", payload: 1000)), "\(source)")
        }
        for source in ["::", "ff02::1", "ff00::", "ffff::1"] {
            #expect(!isAnswered(Fixture.packet(from: source, to: "fd77::2", payload: 1400)), "\(source)")
        }
        for source in ["::1", "fe80::1", "fd77::1", "feff::1"] {
            #expect(isAnswered(Fixture.packet(from: source, to: "fd77::2", payload: 1400)), "\(source)")
        }
    }

    @Test func whoMayBeDivided() {
        for high in UInt8.min...UInt8.max {
            var packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
            packet[6] = high
            let count = packet.count
            let span = packet.mutableSpan
            let answer = PacketTooBig.mustNotFragment(span, 0..<count)
            #expect(answer == (high & 0x40 != 0))
        }
        var packet = Fixture.packet(from: "fd77::1", to: "fd77::2")
        let count = packet.count
        let span = packet.mutableSpan
        let answer = PacketTooBig.mustNotFragment(span, 0..<count)
        #expect(answer)
    }

    /// Whatever lies there: no trap, and no message about what is no packet.
    @Test func nothingTraps() {
        var random = SeededGenerator(12)
        var answered = 0
        for _ in 0..<20_000 {
            var packet = [UInt8].random(Int.random(in: 0...120, using: &random), &random)
            if Bool.random(using: &random), packet.count >= 40 {
                packet[0] = Bool.random(using: &random) ? 0x45 + UInt8.random(in: 0...10, using: &random) : 0x60
                let length = packet[0] >> 4 == 4 ? packet.count : packet.count - 40
                packet.replaceSubrange(
                    packet[0] >> 4 == 4 ? 2..<4 : 4..<6, with: PacketModel.bytes(UInt16(length)))
            }
            guard let message = message(about: packet, mtu: Int.random(in: 0...2000, using: &random)) else { continue }
            answered += 1
            #expect(message.count == packet.count + (packet[0] >> 4 == 4 ? 28 : 48))
        }
        #expect(answered > 1000)
        let headers = [UInt8](repeating: 0x45, count: 19) + [UInt8](repeating: 0x60, count: 39)
        for packet in [headers[..<0], headers[..<1], headers[..<19], headers[19..<20], headers[19...]] {
            #expect(message(about: Array(packet), mtu: 576) == nil)
        }
    }
}
