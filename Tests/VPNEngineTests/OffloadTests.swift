// SPDX-License-Identifier: Apache-2.0
// TCP and UDP of this kernel through two TUN interfaces, with every mixture of offloads: the bytes that go in come out.
//
//   namespace A                                                       namespace B
//   TCP, UDP 10.77.0.1 ── TUN ── engine A ── loopback UDP ── engine B ── TUN ── 10.77.0.2

import Glibc
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite(.serialized) struct OffloadTests {
        private static let mixtures: [(Offloads, Offloads)] = [
            (.all, .all), ([], []), (.all, []), ([], .all), ([.tunnelTCP], [.receiveTrains]),
            ([.sendTrains], [.tunnelTCP, .tunnelUDP]), ([.tunnelTCP, .sendTrains], [.tunnelTCP, .receiveTrains]),
        ]

        @Test(arguments: mixtures, ["10.77.0", "fd77:"])
        func aStreamComesOutAsItWentIn(offloads: (Offloads, Offloads), network: String) throws {
            guard let (a, b) = try OffloadEnd.pair("aStreamComesOutAsItWentIn", offloads) else { return }
            let dot = network.contains(":") ? ":" : "."
            let (listener, place) = try b.open(network + dot + "2", SOCK_STREAM)
            let (client, _) = try a.open(network + dot + "1", SOCK_STREAM)
            defer {
                close(listener)
                close(client)
            }
            #expect(listen(listener, 1) == 0)
            var target = place
            let connected = unsafe target.with { unsafe connect(client, $0, $1) }
            #expect(connected == 0)
            let server = accept(listener, nil, nil)
            defer { close(server) }
            setPatience(server)
            let bytes = 6 << 20
            // Both ways at once, and neither waits for the other.
            func send(_ raw: Int32, _ seed: Int) throws -> WorkerThread {
                try WorkerThread(name: "writer") {
                    let data = (0..<bytes).map { content($0, seed) }
                    var sent = 0
                    while sent < bytes {
                        let chunk = data[sent..<min(sent + 100_000, bytes)]
                        let count = unsafe chunk.withUnsafeBytes { unsafe write(raw, $0.baseAddress!, $0.count) }
                        guard count > 0 else { break }
                        sent += count
                    }
                }
            }
            let writers = [try send(client, 1), try send(server, 2)]
            for (raw, seed) in [(server, 1), (client, 2)] {
                var chunk = [UInt8](repeating: 0, count: 65_536)
                var (received, wrong) = (0, 0)
                while received < bytes {
                    let count = unsafe recv(raw, &chunk, chunk.count, 0)
                    guard count > 0 else { break }
                    for place in 0..<count where chunk[place] != content(received + place, seed) { wrong += 1 }
                    received += count
                }
                #expect(received == bytes && wrong == 0)
            }
            for writer in writers { writer.join() }
            a.engine.stop()
            b.engine.stop()
            for counters in [a.engine.counters(), b.engine.counters()] {
                #expect(counters.packetsFromTunnel > 100 && counters.packetsToTunnel > 100)
                #expect(counters.drops.isEmpty, "\(counters.drops)")
            }
        }

        /// Datagrams of mixed sizes, one at a time and as an application's own train (UDP_SEGMENT).
        @Test(arguments: mixtures, ["10.77.0", "fd77:"])
        func datagramsComeOutAsTheyWentIn(offloads: (Offloads, Offloads), network: String) throws {
            guard let (a, b) = try OffloadEnd.pair("datagramsComeOutAsTheyWentIn", offloads) else { return }
            let dot = network.contains(":") ? ":" : "."
            let (receiver, place) = try b.open(network + dot + "2", SOCK_DGRAM)
            let (sender, _) = try a.open(network + dot + "1", SOCK_DGRAM)
            defer {
                close(receiver)
                close(sender)
            }
            var target = place
            let connected = unsafe target.with { unsafe connect(sender, $0, $1) }
            #expect(connected == 0)
            for round in 0..<30 {
                let size = [1, 64, 500, 1300][round % 4]
                var sizes = Array(repeating: size, count: 20) + [max(1, size / 2)]
                if round % 3 == 0 { sizes = (0..<21).map { 1 + ($0 * 61 + round) % 1300 } }
                let datagrams = sizes.enumerated().map {
                    [UInt8](repeating: UInt8($0.offset + round), count: $0.element)
                }
                if round % 3 == 1 {
                    var segment = Int32(size)
                    unsafe setsockopt(sender, Int32(IPPROTO_UDP), 103, &segment, socklen_t(MemoryLayout<Int32>.size))
                    let all = datagrams.flatMap { $0 }
                    #expect(unsafe all.withUnsafeBytes { unsafe write(sender, $0.baseAddress!, $0.count) } == all.count)
                    segment = 0
                    unsafe setsockopt(sender, Int32(IPPROTO_UDP), 103, &segment, socklen_t(MemoryLayout<Int32>.size))
                } else {
                    for datagram in datagrams {
                        #expect(
                            unsafe datagram.withUnsafeBytes { unsafe write(sender, $0.baseAddress!, $0.count) }
                                == datagram.count)
                    }
                }
                for datagram in datagrams { #expect(readPacket(receiver) == datagram) }
            }
            a.engine.stop()
            b.engine.stop()
            #expect(a.engine.counters().drops.isEmpty && b.engine.counters().drops.isEmpty)
            #expect(a.engine.counters().packetsFromTunnel >= 630)
        }

        /// A pipe in place of a TUN with headers: what lies is dropped and counted, what is true goes on.
        @Test func headersThatLieAreDropped() throws {
            let (pipeA, endA) = try PacketPipe.make()
            let (pipeB, endB) = try PacketPipe.make()
            func engine(_ raw: Int32, _ offloads: Offloads) throws -> Engine {
                let socket = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
                let engine = try Engine(
                    EngineConfiguration(tunnel: nil, listen: Fixture.loopback), socket: socket,
                    tunnel: TunDevice(owning: FileDescriptor(owning: raw), offloads: offloads), interface: nil,
                    onWake: {})
                try engine.start()
                return engine
            }
            let (a, b) = (try engine(endA, [.tunnelTCP, .tunnelUDP]), try engine(endB, []))
            let (sessionA, sessionB) = Fixture.sessionPair()
            a.post(.routes(try Fixture.routes("10.77.0.2/32")))
            b.post(.routes(try Fixture.routes("10.77.0.1/32")))
            b.post(.activate(sessionB, .udp(a.socket.local)))
            a.post(.activate(sessionA, .udp(b.socket.local)))
            func header(_ flags: UInt8, _ kind: UInt8, _ size: UInt16, _ start: UInt16, _ offset: UInt16) -> [UInt8] {
                [flags, kind] + [0, size, start, offset].flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
            }
            // UDP of 3000 bytes, its lengths right.
            var large = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 3008)
            large.replaceSubrange(20..<28, with: [1, 1, 2, 2, 11, 192, 0, 0])
            let small = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 40)
            for bad in [
                [], [0], header(0, 0, 0, 0, 0),
                header(0, 3, 100, 20, 6) + large, header(0, 99, 100, 20, 6) + large, header(1, 5, 0, 20, 6) + large,
                header(1, 1, 100, 20, 16) + large, header(1, 5, 100, 21, 6) + large, header(1, 0, 0, 60, 16) + small,
                header(1, 0, 0, 65535, 65535) + small, header(1, 5, 2900, 20, 6) + large, header(0, 0, 0, 0, 0) + large,
                header(1, 5, 100, 20, 6) + large.dropLast(),
            ] where !bad.isEmpty { pipeA.write(bad) }
            pipeA.write(header(1, 5, 1000, 20, 6) + large)
            pipeA.write(header(0, 0, 0, 0, 0) + small)
            for part in 0..<3 {
                let packet = try #require(pipeB.read())
                #expect(
                    packet.count == 1028 && Array(packet[28...]) == Array(large[28 + part * 1000..<1028 + part * 1000]))
                #expect(Fixture.hasValidUDPChecksum(packet))
            }
            #expect(pipeB.read() == small)
            a.stop()
            b.stop()
            let drops = Dictionary(uniqueKeysWithValues: a.counters().drops.map { ($0.reason, $0.count) })
            #expect(drops == [.innerMalformed: 10, .innerTooLarge: 2])
        }
    }
}
