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

        /// A flood that nobody has read yet leaves the data where it is: it has a buffer of its own.
        @Test(arguments: [1, 3]) func aFloodDisplacesNoData(workers: Int) throws {
            let log = EventLog()
            var configuration = EngineConfiguration(tunnel: nil, listen: Fixture.loopback, workers: workers)
            configuration.receiveBuffer = 1 << 20
            let engine = try Engine(configuration, onWake: log.onWake)
            log.attach(engine)
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
            let log = EventLog()
            let engine = try Engine(
                EngineConfiguration(tunnel: nil, listen: Fixture.loopback, workers: 1), onWake: log.onWake)
            log.attach(engine)
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
