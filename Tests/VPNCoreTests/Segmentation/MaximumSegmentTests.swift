// SPDX-License-Identifier: Apache-2.0
// The maximum segment size in SYNs against the model: told down where it must be, and every other packet left as it is, byte
// for byte.

import Testing

@testable import VPNCore

@Suite struct MaximumSegmentTests {
    /// Clamps a packet at an odd place of a dirty buffer. Only what the data plane would hand over: a packet whose lengths are
    /// right; nil for others.
    private func clamp(_ packet: [UInt8], mtu: Int) -> [UInt8]? {
        var buffer = [0xEE, 0xEE, 0xEE] + packet + [0xEE, 0xEE]
        var span = buffer.mutableSpan
        let range = 3..<3 + packet.count
        guard InnerPacket(span, range) != nil else { return nil }
        MaximumSegment.clamp(&span, range, mtu: mtu)
        #expect(buffer[0..<3] == [0xEE, 0xEE, 0xEE] && buffer[(3 + packet.count)...] == [0xEE, 0xEE])
        return Array(buffer[range])
    }

    private static func option(_ size: Int) -> [UInt8] { [2, 4, UInt8(size >> 8), UInt8(size & 0xFF)] }

    private func model(isIPv4: Bool, flags: UInt8 = 0x02, _ tcpOptions: [UInt8]) -> PacketModel {
        var model = PacketModel()
        (model.isIPv4, model.flags, model.tcpOptions) = (isIPv4, flags, tcpOptions)
        return model
    }

    /// Options that leave the size at even and odd places, first, last and between others.
    private static let places: [(before: [UInt8], after: [UInt8])] = [
        ([], []), ([], [4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]), ([1, 1, 1, 1], []), ([1], [1, 1, 1]),
        ([1, 1, 1], [1]), ([3, 3, 7], [0]), ([8, 10, 1, 2, 3, 4, 5, 6, 7, 8], [4, 2]),
        ([253, 5, 2, 4, 255], [1, 1, 0]),
        ([4, 2], [0, 2]), ([30, 2], [2, 2]),
    ]

    @Test(arguments: [true, false], [UInt8(0x02), 0x12, 0xC2, 0x52, 0x03])
    func synsAreToldDown(isIPv4: Bool, flags: UInt8) throws {
        let headers = isIPv4 ? 40 : 60
        for (before, after) in MaximumSegmentTests.places {
            for mtu in [576, 1280, 1400, 1436, 9000] {
                let limit = mtu - headers
                for size in [limit + 1, limit + 256, 1460, 8960, 65_535, limit, limit - 1, 536, 1, 0] {
                    let options = before + MaximumSegmentTests.option(size) + after
                    let packet = model(isIPv4: isIPv4, flags: flags, options)
                    let lowered = before + MaximumSegmentTests.option(min(size, limit)) + after
                    let expected = model(isIPv4: isIPv4, flags: flags, lowered)
                    let clamped = try #require(clamp(packet.encoded(), mtu: mtu))
                    #expect(clamped == expected.encoded(), "\(options), \(mtu)")
                    #expect(PacketModel.isValid(clamped, transportStart: packet.transportStart, isTCP: true))
                }
            }
        }
    }

    /// With data in the SYN (RFC 7413), with IPv4 options, with IPv6 extension headers.
    @Test func headersBetweenAndDataBehind() throws {
        let extensions: [[UInt8]] = [[], [1, 1, 1, 0], [148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0]]
        for options in extensions {
            var packet = model(isIPv4: true, [1] + MaximumSegmentTests.option(1460) + [1, 1, 1])
            (packet.ipOptions, packet.payload) = (options, [UInt8](repeating: 5, count: 37))
            var expected = packet
            expected.tcpOptions = [1] + MaximumSegmentTests.option(1360) + [1, 1, 1]
            #expect(clamp(packet.encoded(), mtu: 1400) == expected.encoded())
        }
        // Hop-by-hop, routing and destination options, one and several of them.
        let chains: [[UInt8]] = [
            [6, 0, 1, 4, 0, 0, 0, 0], [6, 1, 1, 12] + [UInt8](repeating: 0, count: 12),
            [60, 0, 1, 4, 0, 0, 0, 0, 43, 0, 1, 4, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0],
        ]
        for (chain, first) in zip(chains + chains, [60, 0, 0, 43, 60, 60] as [UInt8]) {
            var packet = model(isIPv4: false, MaximumSegmentTests.option(1440))
            packet.ipOptions = chain
            var expected = packet
            expected.tcpOptions = MaximumSegmentTests.option(1340)
            var (bytes, wanted) = (packet.encoded(), expected.encoded())
            (bytes[6], wanted[6]) = (first, first)
            #expect(clamp(bytes, mtu: 1400) == wanted, "\(chain)")
        }
    }

    /// A size that is odd and high makes carries; the sum must come out as if computed anew.
    @Test func everySizeAndItsChecksum() {
        var wrong = 0
        for size in 1361...65_535 {
            var packet = model(isIPv4: true, [1] + MaximumSegmentTests.option(size) + [1, 1, 1])
            packet.sequence = UInt32(size) &* 2_654_435_761
            var expected = packet
            expected.tcpOptions = [1] + MaximumSegmentTests.option(1360) + [1, 1, 1]
            if clamp(packet.encoded(), mtu: 1400) != expected.encoded() { wrong += 1 }
        }
        #expect(wrong == 0)
    }

    @Test(arguments: [true, false]) func whatIsNoSYNWithASizeIsLeftAlone(isIPv4: Bool) {
        let size = MaximumSegmentTests.option(60_000)
        for flags in UInt8.min...UInt8.max where flags & 0x02 == 0 {
            let packet = model(isIPv4: isIPv4, flags: flags, size).encoded()
            #expect(clamp(packet, mtu: 1400) == packet, "flags \(flags)")
        }
        // Without a size, behind the end of options, and malformed: of length 0 or 1, beyond the end, cut off, of other lengths.
        for options in [
            [], [1, 1, 1, 1], [4, 2, 1, 0], [0, 1, 1, 1] + size, [3, 0, 1, 1] + size, [3, 1, 1, 1] + size,
            [3, 40, 1, 1] + size, [3, 255, 1, 1] + size, [1, 1, 1, 2], [1, 1, 2, 4], [1, 2, 4, 255], [1, 1, 1, 8],
            [2, 3, 255, 255], [2, 5, 255, 255, 255, 1, 1, 1], [2, 0, 255, 255], [2, 1, 255, 255], [2, 2, 255, 255],
            [2, 255, 255, 255],
        ] as [[UInt8]] {
            let packet = model(isIPv4: isIPv4, options).encoded()
            #expect(clamp(packet, mtu: 1400) == packet, "\(options)")
        }
        // A link that leaves no room at all for segments.
        let packet = model(isIPv4: isIPv4, size).encoded()
        for mtu in [0, 20, isIPv4 ? 40 : 60] { #expect(clamp(packet, mtu: mtu) == packet) }
    }

    @Test func otherProtocolsAndFragmentsAreLeftAlone() {
        let syn = model(isIPv4: true, MaximumSegmentTests.option(60_000)).encoded()
        // The flag "more fragments" and every offset; not DF and the reserved bit.
        for (high, low) in [(0x20, 0), (0x60, 0), (0, 1), (0x1F, 0xFF), (0x3F, 0xFF)] as [(UInt8, UInt8)] {
            var fragment = syn
            (fragment[6], fragment[7]) = (high, low)
            #expect(clamp(fragment, mtu: 1400) == fragment)
        }
        for number in UInt8.min...UInt8.max where number != 6 {
            var other = syn
            other[9] = number
            #expect(clamp(other, mtu: 1400) == other, "protocol \(number)")
        }
        let syn6 = model(isIPv4: false, MaximumSegmentTests.option(60_000)).encoded()
        // 44 is a fragment, whose header looks like any other extension.
        for number in UInt8.min...UInt8.max where number != 6 {
            var other = syn6
            other[6] = number
            #expect(clamp(other, mtu: 1400) == other, "next header \(number)")
        }
        // A TCP header that is cut off, and one that claims more than there is.
        for length in [20, 30, 33, 34, 39] {
            var short = Array(syn.prefix(length))
            (short[2], short[3]) = (0, UInt8(short.count))
            #expect(clamp(short, mtu: 1400) == short, "\(length) bytes")
        }
        var long = syn
        long[32] = 0xF0
        #expect(clamp(long, mtu: 1400) == long)
    }

    /// Random packets with random faults: never a trap, never more than the size and the checksum changed, and a sum that was
    /// right stays right.
    @Test func nothingTraps() {
        var random = SeededGenerator(11)
        var clamped = 0
        for _ in 0..<60_000 {
            var model = PacketModel.random(&random)
            if Bool.random(using: &random) { model.flags |= 2 }
            if Bool.random(using: &random) {
                model.tcpOptions = .random(4 * Int.random(in: 0...10, using: &random), &random)
                for place in model.tcpOptions.indices where Bool.random(using: &random) {
                    model.tcpOptions[place] = UInt8.random(in: 0...4, using: &random)
                }
            }
            model.payload = .random(Int.random(in: 0...40, using: &random), &random)
            var packet = model.encoded()
            let isSpoilt = Bool.random(using: &random)
            if isSpoilt {
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    packet[Int.random(in: 0..<packet.count, using: &random)] = .random(in: 0...255, using: &random)
                }
            }
            let mtu = Int.random(in: 0...2000, using: &random)
            guard let result = clamp(packet, mtu: mtu) else { continue }
            let changed = zip(packet, result).count { $0 != $1 }
            #expect(changed <= 4 && result.count == packet.count)
            clamped += changed > 0 ? 1 : 0
            if !isSpoilt {
                #expect(PacketModel.isValid(result, transportStart: model.transportStart, isTCP: model.isTCP))
            }
        }
        #expect(clamped > 50)
    }
}
