// SPDX-License-Identifier: Apache-2.0
// Packets that are too long for their path, as an application's socket sees them; and what an engine's datagrams look like on the
// cable: never fragmented, and marked as the packets inside are.

import Glibc
import Testing
import VPNCore

@testable import VPNEngine

/// Options of linux/in.h and linux/in6.h that Swift does not see.
private enum SocketOption {
    static let tos: Int32 = 1
    static let discovery: Int32 = 10
    static let mtu: Int32 = 14
    static let discovery6: Int32 = 23
    static let mtu6: Int32 = 24
    static let trafficClass6: Int32 = 67
    /// IP_PMTUDISC_DONT and IP_PMTUDISC_DO; IPv6 has the same numbers.
    static let mayFragment: Int32 = 0
    static let mustNotFragment: Int32 = 2
}

extension Threads {
    @Suite(.serialized) struct TooLongTests {
        private static let v4 = Int32(IPPROTO_IP)
        private static let v6 = Int32(IPPROTO_IPV6)

        /// Waits for the error that an ICMP message left on a socket.
        private func waitForError(_ socket: InnerSocket) -> Bool {
            var waiting = pollfd(fd: socket.raw, events: 0, revents: 0)
            return unsafe poll(&waiting, 1, Int32(patienceSeconds * 1000)) == 1
        }

        /// With DF, and always over IPv6: the sender is told, and told how much is possible.
        @Test(arguments: [1, 2], [true, false]) func theSenderIsTold(workers: Int, isV4: Bool) throws {
            guard let hosts = try CabledHosts("theSenderIsTold") else { return }
            let (a, b, _, _) = try hosts.engines(workers: workers)
            let flow = try hosts.flow(isV4: isV4)
            defer {
                flow.a.close()
                flow.b.close()
            }
            let (level, discovery) = isV4 ? (Self.v4, SocketOption.discovery) : (Self.v6, SocketOption.discovery6)
            #expect(flow.a.set(level, discovery, SocketOption.mustNotFragment))
            // IPv6 knows no path of less than 1280 bytes (RFC 8200 §5).
            let (mtu, headers) = isV4 ? (1200, 28) : (1300, 48)
            a.post(.limit(0, mtu: mtu))
            let long = [UInt8](repeating: 7, count: mtu - headers + 1)
            #expect(flow.a.send(long) == 0)
            #expect(waitForError(flow.a))
            #expect(flow.a.get(SOL_SOCKET, SO_ERROR) == EMSGSIZE)
            // From now on the kernel itself refuses what is too long, and what fits arrives: that alone, and whole.
            #expect(flow.a.send(long) == EMSGSIZE)
            #expect(flow.a.get(level, isV4 ? SocketOption.mtu : SocketOption.mtu6) == Int32(mtu))
            let fitting = (0..<mtu - headers).map { UInt8(truncatingIfNeeded: $0) }
            #expect(flow.a.send(fitting) == 0 && flow.b.receive() == fitting)
            // The other way is another path.
            let answer = [UInt8](repeating: 8, count: 1420 - headers)
            #expect(flow.b.send(answer) == 0 && flow.a.receive() == answer)
            a.stop()
            b.stop()
            let drops = a.counters().drops
            #expect(drops.map(\.reason) == [.pathMTU] && drops.map(\.count) == [1], "\(drops)")
            #expect(b.counters().drops.isEmpty && b.counters().packetsToTunnel == 1)
        }

        /// Without DF an IPv4 packet is divided on its way, and put together by its receiver.
        @Test(arguments: [1, 2], [1200, 600, 576]) func withoutDFPacketsAreDivided(workers: Int, mtu: Int) throws {
            guard let hosts = try CabledHosts("withoutDFPacketsAreDivided") else { return }
            let (a, b, _, _) = try hosts.engines(workers: workers)
            let flow = try hosts.flow(isV4: true)
            defer {
                flow.a.close()
                flow.b.close()
            }
            #expect(flow.a.set(Self.v4, SocketOption.discovery, SocketOption.mayFragment))
            a.post(.limit(0, mtu: mtu))
            var packets: UInt64 = 0
            for size in [1, 500, mtu - 28, mtu - 27, 1300, 1392] {
                let datagram = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ size) }
                #expect(flow.a.send(datagram) == 0)
                #expect(flow.b.receive() == datagram, "\(size) bytes")
                let step = (mtu - 20) / 8 * 8
                packets += size + 28 <= mtu ? 1 : UInt64((size + 8 + step - 1) / step)
            }
            a.stop()
            b.stop()
            #expect(a.counters().drops.isEmpty && b.counters().drops.isEmpty)
            #expect(a.counters().datagramsSent == packets && b.counters().packetsToTunnel == packets)
        }

        /// A raw socket on host 2 that sees the datagrams of the engine on host 1 with their IP headers, and a socket that takes
        /// them, so that nobody complains.
        private func listen(_ hosts: CabledHosts, port: UInt16) throws -> (raw: Int32, sink: InnerSocket) {
            let sink = try hosts.open(2, "10.99.0.2", SOCK_DGRAM, port: port)
            let raw = try hosts.hosts[1].run { () -> Int32 in
                let raw = socket(AF_INET, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_UDP))
                setPatience(raw)
                return raw
            }
            #expect(raw >= 0)
            return (raw, sink)
        }

        /// RFC 6040: DSCP and ECN of the inner packet, both families; and DF on every datagram.
        @Test(arguments: [1, 2], [true, false]) func theOuterHeaderShowsClassAndDF(workers: Int, isV4: Bool) throws {
            guard let hosts = try CabledHosts("theOuterHeaderShowsClassAndDF") else { return }
            let a = try hosts.engine(1, workers: workers)
            try a.start()
            let (raw, sink) = try listen(hosts, port: 9001)
            let sender = try hosts.open(1, isV4 ? "10.77.0.1" : "fd77::1", SOCK_DGRAM)
            defer {
                sender.close()
                sink.close()
                close(raw)
            }
            let (session, _) = Fixture.sessionPair()
            a.post(.routes(try Fixture.routes("10.77.0.2/32", "fd77::2/128")))
            a.post(.activate(session, .udp(CabledHosts.endpoint(2, port: 9001))))
            try sender.connect(to: InnerAddress(IPAddress(isV4 ? "10.77.0.2" : "fd77::2")!, port: 7))
            let (level, option) = isV4 ? (Self.v4, SocketOption.tos) : (Self.v6, SocketOption.trafficClass6)
            for trafficClass in [0, 2, 1, 3, 0xB8, 0xBA, 0x2A, 2] as [Int32] {
                #expect(sender.set(level, option, trafficClass))
                for size in [10, 1300] {
                    #expect(sender.send([UInt8](repeating: 5, count: size)) == 0)
                    let packet = try #require(readPacket(raw))
                    let inner = size + (isV4 ? 28 : 48)
                    #expect(packet.count == inner + Limits.layerOverhead + 28)
                    #expect(packet[1] == UInt8(trafficClass), "class \(trafficClass) came as \(packet[1])")
                    // DF, no more fragments, offset 0.
                    #expect(packet[6] == 0x40 && packet[7] == 0)
                }
            }
            a.stop()
            #expect(a.counters().drops.isEmpty, "\(a.counters().drops)")
        }

        /// A datagram that the cable does not take is lost whole, and counted; it never leaves in pieces, whatever the inner packet
        /// allows.
        @Test(arguments: [1, 2]) func datagramsNeverLeaveInPieces(workers: Int) throws {
            guard let hosts = try CabledHosts("datagramsNeverLeaveInPieces") else { return }
            let a = try hosts.engine(1, workers: workers)
            try a.start()
            let (raw, sink) = try listen(hosts, port: 9001)
            let sender = try hosts.open(1, "10.77.0.1", SOCK_DGRAM)
            defer {
                sender.close()
                sink.close()
                close(raw)
            }
            let (session, _) = Fixture.sessionPair()
            a.post(.routes(try Fixture.routes("10.77.0.2/32")))
            a.post(.activate(session, .udp(CabledHosts.endpoint(2, port: 9001))))
            try sender.connect(to: InnerAddress(IPAddress("10.77.0.2")!, port: 7))
            #expect(sender.set(Self.v4, SocketOption.discovery, SocketOption.mayFragment))
            #expect(try hosts.hosts[0].run { shell("ip link set outer0 mtu 1300") })
            // 1300 − 28 − 36 − 28 bytes of payload fit exactly.
            for size in [1209, 1300, 1209, 1392] { #expect(sender.send([UInt8](repeating: 5, count: size)) == 0) }
            for size in [1208, 3] {
                #expect(sender.send([UInt8](repeating: 6, count: size)) == 0)
                let packet = try #require(readPacket(raw))
                #expect(packet.count == size + 28 + Limits.layerOverhead + 28)
                #expect(packet[6] == 0x40 && packet[7] == 0)
            }
            a.stop()
            let drops = a.counters().drops
            #expect(drops.map(\.reason) == [.sendTooLarge] && drops.map(\.count) == [4], "\(drops)")
        }
    }
}
