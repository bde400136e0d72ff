// SPDX-License-Identifier: Apache-2.0
// What a capture on the inner side shows: every packet that comes out of the tunnel has right checksums, or is marked as one whose
// checksum the kernel completes and holds the right sum for that.

import Glibc
import Testing
import VPNCore
import VPNTesting

@testable import VPNEngine

/// A packet socket on the interface of one end, with a virtio header before each packet (packet(7), PACKET_VNET_HDR).
private struct InnerCapture {
    private static let header = 10
    private let raw: Int32

    init(_ end: OffloadEnd) throws {
        raw = try end.host.run {
            let all = UInt16(3).bigEndian
            let raw = socket(AF_PACKET, Int32(SOCK_RAW.rawValue), Int32(all))
            guard raw >= 0 else { throw EngineError(.system, errno: errno, "socket") }
            var on: Int32 = 1
            // SOL_PACKET 263, PACKET_VNET_HDR 15.
            let size = socklen_t(MemoryLayout<Int32>.size)
            guard unsafe setsockopt(raw, 263, 15, &on, size) == 0 else {
                throw EngineError(.system, errno: errno, "PACKET_VNET_HDR")
            }
            var buffer: Int32 = 64 << 20
            unsafe setsockopt(raw, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, size)
            return raw
        }
    }

    func close() { Glibc.close(raw) }

    /// All packets that came in so far, with their headers.
    func packets() -> [(header: [UInt8], packet: [UInt8])] {
        var all: [(header: [UInt8], packet: [UInt8])] = []
        var buffer = [UInt8](repeating: 0, count: 70_000)
        // struct sockaddr_ll; its byte 10 is the direction, 0 for what comes in.
        var source = [UInt8](repeating: 0, count: 20)
        while true {
            var size = socklen_t(source.count)
            let count = unsafe source.withUnsafeMutableBytes { source in
                unsafe buffer.withUnsafeMutableBytes { buffer in
                    unsafe recvfrom(
                        raw, buffer.baseAddress!, buffer.count, Int32(MSG_DONTWAIT),
                        source.baseAddress!.assumingMemoryBound(to: sockaddr.self), &size)
                }
            }
            guard count > Self.header else { return all }
            if source[10] == 0 { all.append((Array(buffer[..<Self.header]), Array(buffer[Self.header..<count]))) }
        }
    }
}

private func sum(_ bytes: some Sequence<UInt8>) -> UInt16 { PlainChecksum.sum(Array(bytes)) }

/// What is wrong with the checksums of a packet; nil if nothing is.
private func complaint(_ header: [UInt8], _ packet: [UInt8]) -> String? {
    let isIPv4 = packet[0] >> 4 == 4
    let start = isIPv4 ? Int(packet[0] & 0xF) * 4 : 40
    if isIPv4, sum(packet[..<start]) != 0xFFFF { return "IPv4 header" }
    let number = isIPv4 ? packet[9] : packet[6]
    guard number == 6 || number == 17 else { return nil }
    let length = packet.count - start
    let addresses = isIPv4 ? packet[12..<20] : packet[8..<40]
    let pseudo = sum(Array(addresses) + [UInt8(length >> 8), UInt8(length & 0xFF), 0, number])
    if header[0] & 1 == 0 {
        let total = sum(Array(addresses) + [UInt8(length >> 8), UInt8(length & 0xFF), 0, number] + packet[start...])
        return total == 0xFFFF ? nil : "transport"
    }
    let place = start + (number == 6 ? 16 : 6)
    guard Int(header[6]) | Int(header[7]) << 8 == start, Int(header[8]) | Int(header[9]) << 8 == place - start else {
        return "place of the checksum"
    }
    return Int(packet[place]) << 8 | Int(packet[place + 1]) == pseudo ? nil : "partial checksum"
}

extension Threads {
    @Suite(.serialized) struct InnerCaptureTests {
        @Test(arguments: [Offloads.all, []], ["10.77.0.", "fd77::"])
        func checksumsInsideAreRight(offloads: Offloads, network: String) throws {
            guard let (a, b) = try OffloadEnd.pair("checksumsInsideAreRight", (offloads, offloads)) else { return }
            let capture = try InnerCapture(b)
            defer { capture.close() }
            let (listener, place) = try b.open(network + "2", SOCK_STREAM)
            let (client, _) = try a.open(network + "1", SOCK_STREAM)
            let (datagrams, datagramPlace) = try b.open(network + "2", SOCK_DGRAM)
            let (sender, _) = try a.open(network + "1", SOCK_DGRAM)
            defer { for raw in [listener, client, datagrams, sender] { close(raw) } }
            #expect(listen(listener, 1) == 0)
            var target = place
            #expect(unsafe target.with { unsafe connect(client, $0, $1) } == 0)
            var datagramTarget = datagramPlace
            #expect(unsafe datagramTarget.with { unsafe connect(sender, $0, $1) } == 0)
            let server = accept(listener, nil, nil)
            defer { close(server) }
            setPatience(server)
            let bytes = 4 << 20
            let writer = try WorkerThread(name: "writer") {
                let data = [UInt8](repeating: 0x5A, count: 100_000)
                var sent = 0
                while sent < bytes {
                    let count = unsafe data.withUnsafeBytes { unsafe write(client, $0.baseAddress!, $0.count) }
                    guard count > 0 else { break }
                    sent += count
                    // Sizes of all kinds among the stream's segments.
                    _ = unsafe data.withUnsafeBytes { unsafe write(sender, $0.baseAddress!, 1 + sent % 1300) }
                }
            }
            var received = 0
            var chunk = [UInt8](repeating: 0, count: 65_536)
            while received < bytes {
                let count = unsafe recv(server, &chunk, chunk.count, 0)
                guard count > 0 else { break }
                received += count
            }
            writer.join()
            #expect(received >= bytes)
            let packets = capture.packets()
            let complaints = packets.compactMap { complaint($0.header, $0.packet) }
            #expect(complaints.isEmpty, "\(complaints.count) of \(packets.count): \(Set(complaints))")
            #expect(packets.count > 40)
            // Super-packets were among them exactly where the interface takes such.
            #expect(packets.contains { $0.packet.count > 1500 } == offloads.contains(.tunnelTCP))
            a.engine.stop()
            b.engine.stop()
        }
    }
}
