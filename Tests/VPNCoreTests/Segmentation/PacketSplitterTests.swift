// SPDX-License-Identifier: Apache-2.0
// Splitting against the model, byte for byte, and against headers that lie.

import Testing

@testable import VPNCore

@Suite struct PacketSplitterTests {
    /// Splits, each part written at an odd place of a dirty buffer; nil if the header is refused.
    private func split(_ packet: [UInt8], _ header: OffloadHeader) -> [[UInt8]]? {
        var source = [0xEE, 0xEE, 0xEE] + packet + [0xEE]
        let span = source.mutableSpan
        guard var splitter = PacketSplitter(span, packet: 3..<3 + packet.count, header: header) else { return nil }
        let longest = splitter.longest
        var parts: [[UInt8]] = []
        var target = [UInt8](repeating: 0xDD, count: 7 + longest + 1)
        while true {
            var room = target.mutableSpan
            guard let length = splitter.next(span, into: &room, at: 7) else { break }
            #expect(length <= longest)
            #expect(target[6] == 0xDD && target[7 + longest] == 0xDD)
            parts.append(Array(target[7..<7 + length]))
        }
        #expect(splitter.isFinished)
        return parts
    }

    @Test func theModelAndTheSplitterAgree() throws {
        var random = SeededGenerator(1)
        for _ in 0..<3000 {
            var model = PacketModel.random(&random)
            let size = Int.random(in: 1...1500, using: &random)
            model.payload = .random(
                Int.random(in: 0...min(60_000, size * 50), using: &random) >> Int.random(in: 0...4, using: &random),
                &random)
            let packet = model.encoded(partial: true)
            let header = model.header(segmentSize: size)
            let parts = try #require(split(packet, header))
            #expect(parts == PacketModel.segments(packet, header))
            #expect(parts.flatMap { Array($0[model.payloadStart...]) } == model.payload)
            for part in parts {
                #expect(PacketModel.isValid(part, transportStart: model.transportStart, isTCP: model.isTCP))
                #expect(part.count - model.payloadStart <= size)
            }
        }
    }

    @Test func aSinglePacketGetsItsChecksum() throws {
        var random = SeededGenerator(2)
        for _ in 0..<2000 {
            var model = PacketModel.random(&random)
            model.payload = .random(Int.random(in: 0...200, using: &random), &random)
            var header = model.header(segmentSize: 0)
            header.segmentation = .none
            #expect(split(model.encoded(partial: true), header) == [model.encoded()])
            #expect(split(model.encoded(), OffloadHeader()) == [model.encoded()])
        }
        // Anything goes through untouched that needs nothing.
        #expect(split([], OffloadHeader()) == [[]])
        #expect(split([1, 2, 3], OffloadHeader()) == [[1, 2, 3]])
    }

    /// The flags that belong to an end are at that end only.
    @Test func edges() throws {
        var model = PacketModel()
        model.flags = 0x10 | 0x01 | 0x08 | 0x40 | 0x80
        model.payload = [UInt8](repeating: 5, count: 250)
        let parts = try #require(split(model.encoded(partial: true), model.header(segmentSize: 100)))
        #expect(parts.map { $0[33] } == [0xD0, 0x50, 0x59])
        // A UDP checksum that comes out as 0 is sent as 0xFFFF: some payload word makes the sum so.
        var udp = PacketModel()
        udp.isTCP = false
        var zeros = 0
        for word in 0...UInt16.max {
            udp.payload = PacketModel.bytes(word)
            let part = try #require(split(udp.encoded(partial: true), udp.header(segmentSize: 2)))[0]
            if part[26] == 0xFF && part[27] == 0xFF { zeros += 1 }
            #expect(part[26] != 0 || part[27] != 0)
        }
        #expect(zeros == 1)
    }

    @Test func headersThatLieAreRefused() {
        var model = PacketModel()
        model.payload = [UInt8](repeating: 1, count: 500)
        let packet = model.encoded(partial: true)
        let good = model.header(segmentSize: 100)
        #expect(split(packet, good)?.count == 5)
        func refused(_ change: (inout OffloadHeader) -> Void) -> Bool {
            var header = good
            change(&header)
            return split(packet, header) == nil
        }
        #expect(refused { $0.segmentSize = 0 })
        #expect(refused { $0.segmentation = .tcpIPv6 })
        #expect(refused { $0.segmentation = .udp })
        #expect(refused { $0.checksumStart = 24 })
        #expect(refused { $0.checksumStart = 65535 })
        #expect(refused { $0.checksumOffset = 6 })
        for start in [UInt16(0), 10, 19, 525, 540, 65535] {
            #expect(refused { ($0.segmentation, $0.checksumStart, $0.checksumOffset) = (.none, start, 16) })
        }
        #expect(refused { ($0.segmentation, $0.checksumOffset) = (.none, 65535) })
        // The header length is a hint and nothing depends on it.
        #expect(!refused { $0.headerLength = 0 } && !refused { $0.headerLength = 65535 })
        // Packets that contradict the header: cut off, of a wrong length, a fragment, a TCP header beyond the end.
        #expect(split(Array(packet.dropLast()), good) == nil)
        #expect(split(packet + [0], good) == nil)
        for (place, value) in [
            (0, 0x44), (0, 0x4F), (0, 0x65), (6, 0x20), (7, 0x01), (9, 17), (9, 50), (32, 0x40), (3, 9),
        ] {
            var bad = packet
            bad[place] = UInt8(value)
            #expect(split(bad, good) == nil, "\(place)")
        }
        var unknown = [UInt8](repeating: 0, count: 10)
        unknown[1] = 3
        #expect(OffloadHeader(unknown.mutableSpan, at: 0) == nil)
    }

    /// Random headers over random changes: refused, or split into parts that are no longer than said; never a trap.
    @Test func nothingTraps() {
        var random = SeededGenerator(3)
        for _ in 0..<20_000 {
            var model = PacketModel.random(&random)
            model.payload = .random(Int.random(in: 0...300, using: &random), &random)
            var packet = model.encoded(partial: true)
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                packet[Int.random(in: 0..<min(64, packet.count), using: &random)] = .random(in: 0...255, using: &random)
            }
            packet.removeLast(
                Int.random(in: 0...min(packet.count, 60), using: &random) * Int.random(in: 0...1, using: &random))
            var bytes = [UInt8].random(10, &random)
            var header = model.header(segmentSize: Int.random(in: 0...400, using: &random))
            var encoded = [UInt8](repeating: 0, count: 10)
            var span = encoded.mutableSpan
            header.encode(into: &span, at: 0)
            for place in 0..<10 where Int.random(in: 0..<8, using: &random) != 0 { bytes[place] = encoded[place] }
            guard let read = OffloadHeader(bytes.mutableSpan, at: 0) else { continue }
            header = read
            _ = split(packet, header)
        }
    }
}
