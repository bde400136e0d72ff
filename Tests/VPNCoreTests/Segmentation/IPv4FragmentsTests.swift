// SPDX-License-Identifier: Apache-2.0
// Fragments put together again by a model of RFC 791 §3.2 that knows nothing of how they were made; and how many packets a
// splitter says are left.

import Testing

@testable import VPNCore

@Suite struct IPv4FragmentsTests {
    /// The fragments of a packet, each written at an odd place of a dirty buffer; nil if it cannot be divided.
    private func divide(_ packet: [UInt8], mtu: Int) -> [[UInt8]]? {
        var source = [0xEE, 0xEE, 0xEE] + packet + [0xEE]
        let span = source.mutableSpan
        guard var fragments = IPv4Fragments(span, 3..<3 + packet.count, mtu: mtu) else { return nil }
        var parts: [[UInt8]] = []
        while true {
            var target = [UInt8](repeating: 0xDD, count: 7 + mtu + 1)
            var room = target.mutableSpan
            guard let length = fragments.next(span, into: &room, at: 7) else { break }
            #expect(length <= mtu)
            #expect(target[..<7].allSatisfy { $0 == 0xDD } && target[(7 + length)...].allSatisfy { $0 == 0xDD })
            parts.append(Array(target[7..<7 + length]))
        }
        return parts
    }

    /// A packet without DF. `field` is flags and offset as they lie in the header.
    private func packet(_ payload: [UInt8], options: [UInt8] = [], field: UInt16 = 0, id: UInt16 = 77) -> [UInt8] {
        let length = 20 + options.count + payload.count
        var packet = [UInt8(0x45 + options.count / 4), 0x2E] + PacketModel.bytes(UInt16(length))
        packet += PacketModel.bytes(id) + PacketModel.bytes(field)
        packet += [63, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2] + options
        packet.replaceSubrange(10..<12, with: PacketModel.bytes(~PacketModel.sum(packet)))
        return packet + payload
    }

    private func field(_ fragment: [UInt8]) -> UInt16 { UInt16(fragment[6]) << 8 | UInt16(fragment[7]) }

    /// What a receiver makes of fragments of one packet in any order; nil if something does not fit.
    private func reassemble(_ fragments: [[UInt8]], origin: Int = 0) -> [UInt8]? {
        let sorted = fragments.sorted { field($0) & 0x1FFF < field($1) & 0x1FFF }
        guard let first = sorted.first else { return nil }
        let header = Int(first[0] & 15) * 4
        var payload: [UInt8] = []
        for (place, fragment) in sorted.enumerated() {
            let own = Int(fragment[0] & 15) * 4
            let isLast = place == sorted.count - 1
            guard Int(fragment[2]) << 8 | Int(fragment[3]) == fragment.count, own <= fragment.count,
                PacketModel.sum(Array(fragment[0..<own])) == 0xFFFF,
                Int(field(fragment) & 0x1FFF) * 8 == origin + payload.count,
                isLast || (fragment.count - own) % 8 == 0, isLast || field(fragment) & 0x2000 != 0,
                fragment[1] == first[1], fragment[4..<6] == first[4..<6], fragment[8..<10] == first[8..<10],
                fragment[12..<20] == first[12..<20]
            else { return nil }
            payload += fragment[own...]
        }
        let more = field(sorted[sorted.count - 1]) & 0x2000
        var whole = Array(first[0..<header])
        whole.replaceSubrange(2..<4, with: PacketModel.bytes(UInt16(header + payload.count)))
        whole.replaceSubrange(6..<8, with: PacketModel.bytes(UInt16(origin / 8) | more))
        whole.replaceSubrange(10..<12, with: [0, 0])
        whole.replaceSubrange(10..<12, with: PacketModel.bytes(~PacketModel.sum(whole)))
        return whole + payload
    }

    @Test func randomPacketsComeTogetherAgain() throws {
        var random = SeededGenerator(21)
        let table: [[UInt8]] = [[], [148, 4, 0, 0], [131, 7, 4, 1, 2, 3, 4, 1]]
        for _ in 0..<4000 {
            let options = table[Int.random(in: 0...2, using: &random)]
            let size = Int.random(in: 1...9000, using: &random) >> Int.random(in: 0...4, using: &random)
            let packet = packet(
                .random(max(1, size), &random), options: options, id: .random(in: 0...65535, using: &random))
            let mtu = Int.random(in: 28 + options.count...3000, using: &random)
            let parts = try #require(divide(packet, mtu: mtu))
            let step = (mtu - 20 - options.count) / 8 * 8
            #expect(parts.count == (packet.count - 20 - options.count + step - 1) / step)
            #expect(reassemble(parts.shuffled(using: &random)) == packet)
        }
    }

    /// A packet that is itself a fragment: its offset goes on, and "more fragments" is true of its last part as well.
    @Test func fragmentsOfAFragment() throws {
        var random = SeededGenerator(22)
        for _ in 0..<1000 {
            let origin = 8 * Int.random(in: 0...4000, using: &random)
            let isLast = Bool.random(using: &random)
            let size = isLast ? Int.random(in: 1...4000, using: &random) : 8 * Int.random(in: 1...500, using: &random)
            let packet = packet(.random(size, &random), field: UInt16(origin / 8) | (isLast ? 0 : 0x2000))
            let parts = try #require(divide(packet, mtu: Int.random(in: 28...1500, using: &random)))
            #expect(reassemble(parts, origin: origin) == packet)
            #expect(parts.dropLast().allSatisfy { field($0) & 0x2000 != 0 })
            #expect(field(parts[parts.count - 1]) & 0x2000 == (isLast ? 0 : 0x2000))
            // And those, divided once more, still are the same packet.
            let smaller = try parts.flatMap { try #require(divide($0, mtu: 100)) }
            #expect(reassemble(smaller, origin: origin) == packet)
        }
    }

    @Test func whatFitsIsOneFragment() {
        for size in [1, 7, 8, 9, 1000] {
            let packet = packet([UInt8](repeating: 4, count: size))
            for mtu in [packet.count + 7, packet.count + 100] { #expect(divide(packet, mtu: mtu) == [packet]) }
        }
    }

    /// RFC 791 §3.1: an option without its first bit is in the first fragment only. No-ops hold its place, so that headers keep
    /// their length; what is malformed stays as it came.
    @Test(
        arguments: [
            ([7, 7, 4, 1, 2, 3, 4, 131, 3, 4, 1, 0], [1, 1, 1, 1, 1, 1, 1, 131, 3, 4, 1, 0]),
            ([148, 4, 0, 0], [148, 4, 0, 0]), ([68, 4, 5, 0], [1, 1, 1, 1]), ([1, 1, 1, 0], [1, 1, 1, 0]),
            ([0, 7, 3, 4], [0, 7, 3, 4]), ([131, 3, 4, 7, 3, 4, 1, 0], [131, 3, 4, 1, 1, 1, 1, 0]),
            ([7, 0, 0, 0], [7, 0, 0, 0]), ([7, 9, 0, 0], [7, 9, 0, 0]), ([1, 1, 1, 7], [1, 1, 1, 7]),
            ([7, 3, 4, 7, 9, 0, 0, 0], [1, 1, 1, 7, 9, 0, 0, 0]),
        ] as [([UInt8], [UInt8])])
    func optionsThatAreNotCopied(options: (first: [UInt8], later: [UInt8])) throws {
        let packet = packet((0..<1000).map { UInt8(truncatingIfNeeded: $0) }, options: options.first)
        let parts = try #require(divide(packet, mtu: 300))
        #expect(parts.count == 4 && reassemble(parts) == packet)
        #expect(Array(parts[0][20..<20 + options.first.count]) == options.first)
        for part in parts.dropFirst() { #expect(Array(part[20..<20 + options.later.count]) == options.later) }
        // The second half of a packet that was divided elsewhere keeps what its own header has.
        let later = self.packet([UInt8](repeating: 1, count: 600), options: options.later, field: 100)
        let laterParts = try #require(divide(later, mtu: 300))
        #expect(reassemble(laterParts, origin: 800) == later)
    }

    @Test func withoutRoomForPayloadThereIsNothing() {
        let plain = packet([UInt8](repeating: 1, count: 100))
        let long = packet([UInt8](repeating: 1, count: 100), options: [UInt8](repeating: 1, count: 40))
        for mtu in [0, 1, 19, 20, 27] { #expect(divide(plain, mtu: mtu) == nil, "\(mtu)") }
        for mtu in [28, 60, 67] { #expect(divide(long, mtu: mtu) == nil, "\(mtu)") }
        #expect(divide(plain, mtu: 28)?.count == 13)
        #expect(divide(long, mtu: 68)?.count == 13)
        #expect(divide(packet([]), mtu: 576) == nil)
    }

    @Test func nothingTraps() {
        var random = SeededGenerator(23)
        for _ in 0..<10_000 {
            var packet = packet(
                .random(Int.random(in: 0...200, using: &random), &random),
                options: .random(4 * Int.random(in: 0...10, using: &random), &random))
            // Whatever the data plane lets through: the version and lengths are right, the rest is anything.
            for place in packet.indices where ![0, 2, 3].contains(place) && Int.random(in: 0..<4, using: &random) == 0 {
                packet[place] = .random(in: 0...255, using: &random)
            }
            let mtu = Int.random(in: 0...200, using: &random)
            guard let parts = divide(packet, mtu: mtu) else { continue }
            let header = Int(packet[0] & 15) * 4
            #expect(parts.flatMap { Array($0[header...]) } == Array(packet[header...]))
        }
    }
}

@Suite struct SplitterRemainingTests {
    @Test func remainingIsWhatNextGives() throws {
        var random = SeededGenerator(24)
        for _ in 0..<1000 {
            var model = PacketModel.random(&random)
            model.payload = .random(Int.random(in: 1...5000, using: &random), &random)
            var header = model.header(segmentSize: Int.random(in: 1...1500, using: &random))
            if Int.random(in: 0..<4, using: &random) == 0 { header.segmentation = .none }
            var bytes = model.encoded(partial: true)
            let count = bytes.count
            let span = bytes.mutableSpan
            guard var splitter = PacketSplitter(span, packet: 0..<count, header: header) else {
                return fail("refused")
            }
            var target = [UInt8](repeating: 0, count: count)
            var room = target.mutableSpan
            var (given, told): (Int, [Int]) = (0, [splitter.remaining])
            while splitter.next(span, into: &room, at: 0) != nil {
                given += 1
                told.append(splitter.remaining)
            }
            #expect(told == Array((0...given).reversed()))
        }
    }
}
