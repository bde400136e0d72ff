// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import VPNNode

@Suite struct PacketCaptureTests {
    @Test(arguments: [true, false], [0xA1B2_C3D4, 0xA1B2_3C4D] as [UInt32])
    func readsBothByteOrdersAndResolutions(isLittleEndian: Bool, magic: UInt32) throws {
        var file = CaptureBytes(isLittleEndian: isLittleEndian, magic: magic)
        file.append(packet: [1, 2, 3])
        file.append(packet: [])
        file.append(packet: [UInt8](repeating: 9, count: 1500))
        let capture = try PacketCapture(file.bytes)
        #expect(capture.linkType == .ethernet)
        #expect(capture.packets.map(\.count) == [3, 0, 1500])
        #expect(Array(capture.bytes[capture.packets[0]]) == [1, 2, 3])
    }

    @Test(arguments: [101, 12] as [UInt32])
    func knowsPacketsWithoutALinkHeader(linkType: UInt32) throws {
        #expect(try PacketCapture(CaptureBytes(linkType: linkType).bytes).linkType.rawValue == linkType)
    }

    @Test func refusesWhatIsNoCapture() {
        #expect(throws: PacketCapture.Failure.notACapture) { try PacketCapture([]) }
        #expect(throws: PacketCapture.Failure.notACapture) { try PacketCapture([UInt8](repeating: 0, count: 24)) }
        // The next generation's magic, which tcpdump does not write by itself.
        let nextGeneration: [UInt8] = [0x0A, 0x0D, 0x0D, 0x0A] + [UInt8](repeating: 0, count: 60)
        #expect(throws: PacketCapture.Failure.notACapture) { try PacketCapture(nextGeneration) }
        #expect(throws: PacketCapture.Failure.linkType(113)) { try PacketCapture(CaptureBytes(linkType: 113).bytes) }
    }

    @Test func everyTruncationIsRefusedOrEndsBetweenPackets() {
        var file = CaptureBytes()
        file.append(packet: [1, 2, 3])
        file.append(packet: [4, 5])
        let whole = [24, 24 + 16 + 3, file.bytes.count]
        for count in 0...file.bytes.count {
            let packets = (try? PacketCapture(Array(file.bytes.prefix(count))))?.packets.count
            #expect(packets == whole.firstIndex(of: count), "\(count) bytes")
        }
    }

    @Test func aPacketThatClaimsMoreThanThereIsIsRefused() {
        for (size, failure) in [
            (4 as UInt32, PacketCapture.Failure.truncated(at: 24)), (262_145, .oversized(at: 24)),
            (.max, .oversized(at: 24)),
        ] {
            var file = CaptureBytes()
            file.append(packet: [1, 2, 3], claiming: size)
            #expect(throws: failure) { try PacketCapture(file.bytes) }
        }
    }

    @Test func findsBytesInsidePacketsOnly() throws {
        var file = CaptureBytes()
        file.append(packet: [7, 8, 9])
        file.append(packet: [0, 7, 7, 8])
        file.append(packet: [7])
        file.append(packet: [8, 9, 7, 8, 7, 8])
        let capture = try PacketCapture(file.bytes)
        #expect(capture.count(containing: [7, 8]) == 3)
        #expect(capture.count(containing: [7, 8, 9]) == 1)
        #expect(capture.count(containing: [9, 0]) == 0)
        // The fourth packet begins with what the third would need to go on with.
        #expect(capture.count(containing: [7, 8, 9, 7]) == 0)
        #expect(capture.count(containing: [8, 9, 7, 8, 7, 8]) == 1)
        #expect(capture.count(containing: [UInt8](repeating: 7, count: 100)) == 0)
    }
}
