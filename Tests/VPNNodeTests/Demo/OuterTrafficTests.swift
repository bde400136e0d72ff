// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import VPNNode

@Suite struct OuterTrafficTests {
    private func count(_ frames: [[UInt8]]) throws -> OuterTraffic {
        var file = CaptureBytes()
        for frame in frames { file.append(packet: frame) }
        return OuterTraffic(try PacketCapture(file.bytes), port: 9000)
    }

    @Test func countsTheTunnelOfBothFamiliesAndDirections() throws {
        let frames = [
            Frames.ipv4(next: 17, Frames.udp(from: 9000, to: 9000)),
            Frames.ipv4(next: 17, options: 8, Frames.udp(from: 4000, to: 9000)),
            Frames.ipv6(next: 17, Frames.udp(from: 9000, to: 4000)),
        ]
        let traffic = try count(frames)
        #expect(traffic.tunnelPackets == 3)
        #expect(traffic.tunnelBytes == frames.map(\.count).reduce(0, +))
        #expect(traffic.neighbourPackets == 0)
        #expect(traffic.foreign.isEmpty)
    }

    @Test func neighbourDiscoveryIsKnown() throws {
        // Multicast listener report behind a hop-by-hop header with router alert, as Linux sends it.
        let report: [UInt8] = [58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0]
        let traffic = try count([
            Frames.ethernet(0x0806, [UInt8](repeating: 0, count: 28)), Frames.ipv6(next: 58, [135, 0, 0, 0]),
            Frames.ipv6(next: 58, [136, 0, 0, 0]), Frames.ipv6(next: 58, [133, 0, 0, 0]), Frames.ipv6(next: 0, report),
        ])
        #expect(traffic.neighbourPackets == 5)
        #expect(traffic.foreign.isEmpty)
    }

    @Test func everythingElseIsForeign() throws {
        let echo: [UInt8] = [128, 0, 0, 0]
        let traffic = try count([
            Frames.ipv4(next: 1, [8, 0, 0, 0]), Frames.ipv6(next: 58, echo),
            Frames.ipv4(next: 6, Frames.udp(from: 9000, to: 9000)),
            Frames.ipv4(next: 17, Frames.udp(from: 53, to: 53)),
            Frames.ipv4(next: 17, flags: 0x2000, Frames.udp(from: 9000, to: 9000)),
            Frames.ipv4(next: 17, flags: 0x0001, Frames.udp(from: 9000, to: 9000)),
            Frames.ipv6(next: 44, [17, 0, 0, 1]), Frames.ethernet(0x88CC, [1, 2, 3]), [1, 2, 3],
            Frames.ipv4(next: 17, []), Frames.ethernet(0x0800, [0x45]), Frames.ethernet(0x86DD, []),
            Frames.ipv6(next: 0, []), Frames.ipv6(next: 58, []),
        ])
        #expect(traffic.tunnelPackets == 0)
        #expect(traffic.neighbourPackets == 0)
        #expect(traffic.foreign.values.reduce(0, +) == 14)
        #expect(traffic.foreign["IPv4 fragment"] == 2)
        #expect(traffic.foreign["ICMPv6 type 128"] == 1)
        #expect(traffic.foreign["UDP 53 to 53"] == 1)
        #expect(traffic.foreign["IPv4 protocol 6"] == 1)
    }
}
