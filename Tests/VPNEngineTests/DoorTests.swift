// SPDX-License-Identifier: Apache-2.0
// Handshakes and data on sockets of their own at one port: each finds its way, and neither displaces the other.

import Glibc
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite(.serialized) struct DoorTests {
        private static func handshake(_ number: UInt32) -> [UInt8] {
            var bytes = OuterHeader(type: .retry, bodyLength: 112, receiverIndex: number, word: 0).encoded
            bytes += [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 112)
            return bytes
        }

        /// Not started yet; its events come to the log.
        private func engine(workers: Int) throws -> (Engine, EventLog) {
            let log = EventLog()
            var configuration = EngineConfiguration(tunnel: nil, listen: Fixture.loopback, workers: workers)
            configuration.receiveBuffer = 1 << 20
            let engine = try Engine(configuration, onWake: log.onWake)
            log.attach(engine)
            return (engine, log)
        }

        private func sender(to engine: Engine) throws -> UDPSocket {
            try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 1 << 20)
        }

        private func send(_ datagrams: [[UInt8]], from socket: borrowing UDPSocket, to engine: Engine) {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = engine.socket.local.port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            for datagram in datagrams {
                let sent = unsafe withUnsafePointer(to: &address) { address in
                    unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                        unsafe datagram.withUnsafeBytes {
                            unsafe sendto(
                                socket.raw, $0.baseAddress!, $0.count, 0, address,
                                socklen_t(MemoryLayout<sockaddr_in>.size))
                        }
                    }
                }
                #expect(sent == datagram.count)
            }
        }

        /// Datagrams of one size that go as one train, where the kernel makes trains.
        private func sendTrain(_ datagrams: [[UInt8]], from socket: borrowing UDPSocket, to engine: Engine) {
            var outbox = Outbox(packet: 2048, sendsTrains: true)
            for datagram in datagrams {
                let memory = unsafe outbox.memory
                unsafe datagram.withUnsafeBufferPointer {
                    unsafe memory.update(from: $0.baseAddress!, count: datagram.count)
                }
                outbox.append(0..<datagram.count, to: engine.socket.local)
            }
            let drops = DropCounters()
            #expect(outbox.transmit(socket, drops: drops) == .sent && drops.total == 0)
        }

        /// The port of an IPv4 socket.
        private func port(of descriptor: Int32) -> UInt16? {
            var address = sockaddr_in()
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let result = unsafe withUnsafeMutablePointer(to: &address) { address in
                unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    unsafe getsockname(descriptor, address, &size)
                }
            }
            guard result == 0, address.sin_family == sa_family_t(AF_INET) else { return nil }
            return UInt16(bigEndian: address.sin_port)
        }

        /// Whether a UDP socket takes trains (UDP_GRO); nil where the kernel does not say.
        private func takesTrains(_ descriptor: Int32) -> Bool? {
            var value: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            let result = unsafe getsockopt(descriptor, Int32(IPPROTO_UDP), 104, &value, &size)
            return result == 0 ? value != 0 : nil
        }

        /// Before it joins a flow's datagrams the kernel asks the socket that the flow's addresses lead to, and no program.
        @Test(arguments: [1, 3]) func allSocketsTakeTrains(workers: Int) throws {
            let engine = try Engine(
                EngineConfiguration(tunnel: nil, listen: Fixture.loopback, workers: workers), onWake: {})
            defer { engine.stop() }
            let own = engine.socket.local.port
            let sockets = (0..<4096 as Range<Int32>).filter { port(of: $0) == own }.compactMap { takesTrains($0) }
            guard engine.offloads.contains(.receiveTrains), !sockets.isEmpty else {
                return print("SKIPPED: allSocketsTakeTrains: it needs UDP_GRO, and a kernel that tells of it")
            }
            #expect(sockets.count >= workers && sockets.allSatisfy { $0 })
        }

        @Test(arguments: [1, 3]) func aTrainOfHandshakesIsAsManyEvents(workers: Int) throws {
            let (engine, log) = try engine(workers: workers)
            defer {
                log.detach()
                engine.stop()
            }
            try engine.start()
            let socket = try sender(to: engine)
            let sent = (0..<50).map { Self.handshake(UInt32($0 + 1)) }
            sendTrain(sent, from: socket, to: engine)
            var came: [[UInt8]] = []
            for _ in sent {
                let next = log.next { event -> [UInt8]? in
                    if case .datagram(let bytes, _) = event { bytes } else { nil }
                }
                came.append(try #require(next))
            }
            #expect(came == sent)
            log.detach()
            engine.stop()
            let counters = engine.counters()
            #expect(counters.datagramsReceived == UInt64(sent.count) && counters.drops.isEmpty)
        }

        /// An S1's fragment in form only, for which so many bits of work were done.
        private static func fragment(paid: UInt8) -> [UInt8] {
            var bytes = OuterHeader(type: .s1, bodyLength: 384, word: 7).encoded
            bytes += [UInt8](repeating: 3, count: 384)
            bytes[24] = 1
            bytes[25] = paid
            return bytes
        }

        /// A train goes where its first datagram says. Handshakes behind one that looks like data cost as much as at the door.
        @Test(arguments: [1, 3]) func handshakesBehindDataArePaidForToo(workers: Int) throws {
            let (engine, log) = try engine(workers: workers)
            defer {
                log.detach()
                engine.stop()
            }
            engine.setHandshakePrice(12)
            let data = OuterHeader(type: .data0, bodyLength: 384, receiverIndex: 7, word: 1).encoded
            let head = data + [UInt8](repeating: 0, count: 384)
            let flood = Array(repeating: Self.fragment(paid: 0), count: 63)
            let socket = try sender(to: engine)
            for _ in 0..<8 { sendTrain([head] + flood, from: socket, to: engine) }
            // To the same worker, behind all of these.
            let other = try sender(to: engine)
            let paid = Self.fragment(paid: 12)
            sendTrain([head, paid], from: other, to: engine)
            try engine.start()
            var (came, last): (Int, [UInt8]?) = (0, nil)
            while last != paid {
                last = log.next { event -> [UInt8]? in if case .datagram(let bytes, _) = event { bytes } else { nil } }
                guard last != nil else { break }
                came += 1
            }
            #expect(last == paid)
            log.detach()
            engine.stop()
            let drops = Dictionary(uniqueKeysWithValues: engine.counters().drops.map { ($0.reason, $0.count) })
            let unpaid = Int(drops[.unpaid] ?? 0)
            // A few of each tenth of a second pass.
            #expect(unpaid > 8 * 63 / 2 && came + unpaid == 8 * 63 + 1, "\(came) came, \(drops)")
        }

        /// A flood that nobody has read yet leaves the data where it is: it has a buffer of its own.
        @Test(arguments: [1, 3]) func aFloodDisplacesNoData(workers: Int) throws {
            let (engine, log) = try engine(workers: workers)
            defer {
                log.detach()
                engine.stop()
            }
            let (near, far) = Fixture.sessionPair()
            engine.post(.activate(far, .udp(Fixture.loopback)))
            let socket = try sender(to: engine)
            let flood = (0..<4000).map { Self.handshake(UInt32($0 + 1)) }
            send(flood, from: socket, to: engine)
            let count = 64
            var data: [[UInt8]] = []
            for _ in 0..<count {
                data.append(
                    try #require(
                        near.sealFrame(type: .keepalive, payload: [UInt8](repeating: 1, count: 1100), now: .origin)))
            }
            send(data, from: socket, to: engine)
            send(flood, from: socket, to: engine)
            try engine.start()
            for _ in 0..<count {
                let frame = log.next { event -> FrameType? in
                    if case .control(let session, let type, _, _) = event, session === far { type } else { nil }
                }
                #expect(frame == .keepalive)
            }
            let handshake = log.next { event -> Bool? in if case .datagram = event { true } else { nil } }
            #expect(handshake == true)
        }

        /// What the kernel put into one train with a handshake comes to the door, and goes on from there.
        @Test func dataBehindAHandshakeIsPassedOn() throws {
            let (engine, log) = try engine(workers: 1)
            defer {
                log.detach()
                engine.stop()
            }
            let (near, far) = Fixture.sessionPair()
            engine.post(.activate(far, .udp(Fixture.loopback)))
            try engine.start()
            let datagram = try #require(near.sealFrame(type: .keepalive, payload: [1, 2, 3], now: .origin))
            engine.passOn(datagram, from: .udp(Fixture.loopback))
            let payload = log.next { event -> [UInt8]? in
                if case .control(_, .keepalive, let payload, _) = event { payload } else { nil }
            }
            #expect(payload == [1, 2, 3])
            // The same once more is a replay there as anywhere.
            engine.passOn(datagram, from: .udp(Fixture.loopback))
            engine.passOn([1, 2, 3], from: .udp(Fixture.loopback))
            let next = try #require(near.sealFrame(type: .keepalive, payload: [4], now: .origin))
            engine.passOn(next, from: .udp(Fixture.loopback))
            let second = log.next { event -> [UInt8]? in
                if case .control(_, .keepalive, let payload, _) = event { payload } else { nil }
            }
            #expect(second == [4])
            #expect(Set(engine.counters().drops.map(\.reason)) == [.replayDuplicate, .tooShort])
        }
    }
}
