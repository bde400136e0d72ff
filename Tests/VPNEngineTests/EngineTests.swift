// SPDX-License-Identifier: Apache-2.0
// Whole engines over loopback, with pipes in place of TUN interfaces.

import Glibc
import Testing
import VPNCore
import VPNCrypto

@testable import VPNEngine

/// An engine with a pipe for a TUN.
private final class Side: Sendable {
    let engine: Engine
    let log: EventLog
    let pipe: PacketPipe

    init(_ local: Endpoint = Fixture.loopback, sendBuffer: Int = 0) throws {
        let (pipe, engineEnd) = try PacketPipe.make()
        let log = EventLog()
        let configuration = EngineConfiguration(tunnel: nil, listen: local)
        let socket = try UDPSocket.open(local, receiveBuffer: 0, sendBuffer: sendBuffer)
        engine = try Engine(
            configuration, socket: socket, tunnel: TunDevice(owning: FileDescriptor(owning: engineEnd)), interface: nil,
            onWake: log.onWake)
        log.attach(engine)
        self.log = log
        self.pipe = pipe
        try engine.start()
    }

    var carrier: Carrier { .udp(engine.socket.local) }

    func close() {
        log.detach()
        engine.stop()
    }
}

extension Threads {
    @Suite(.serialized) struct EngineTests {
        /// Two engines with one session: A has 10.77.0.1 and fd77::1, B has 10.77.0.2 and fd77::2.
        private func join(_ a: Side, _ b: Side) throws -> (Session, Session) {
            let (sessionA, sessionB) = Fixture.sessionPair()
            a.engine.post(.routes(try Fixture.routes("10.77.0.2/32", "fd77::2/128")))
            b.engine.post(.routes(try Fixture.routes("10.77.0.1/32", "fd77::1/128")))
            b.engine.post(.activate(sessionB, a.carrier))
            a.engine.post(.activate(sessionA, b.carrier))
            return (sessionA, sessionB)
        }

        @Test(arguments: [Fixture.loopback, Fixture.loopbackV6]) func packetsPassBothWays(local: Endpoint) throws {
            let (a, b) = (try Side(local), try Side(local))
            let (sessionA, sessionB) = try join(a, b)
            var expected: UInt64 = 0
            for round in 0..<20 {
                var packets: [[UInt8]] = []
                for mark in 0..<32 as Range<UInt8> {
                    let payload = (Int(mark) * 43 + round * 7) % 1400
                    packets.append(
                        mark % 2 == 0
                            ? Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: payload, mark: mark)
                            : Fixture.packet(from: "fd77::1", to: "fd77::2", payload: payload, mark: mark))
                }
                for packet in packets { a.pipe.write(packet) }
                for packet in packets { #expect(b.pipe.read() == packet) }
                let answers = (0..<32 as Range<UInt8>).map {
                    Fixture.packet(from: "10.77.0.2", to: "10.77.0.1", payload: 100, mark: $0)
                }
                for answer in answers { b.pipe.write(answer) }
                for answer in answers { #expect(a.pipe.read() == answer) }
                expected += 32
            }
            #expect(sessionA.statistics.packetsOut == expected && sessionB.statistics.packetsIn == expected)
            #expect(sessionB.statistics.packetsOut == expected && sessionA.statistics.packetsIn == expected)
            let confirmed = b.log.next { if case .firstData(let session, _) = $0 { session } else { nil } }
            #expect(confirmed === sessionB)
            a.close()
            b.close()
            let (countersA, countersB) = (a.engine.counters(), b.engine.counters())
            #expect(countersA.packetsFromTunnel == expected && countersA.packetsToTunnel == expected)
            #expect(countersA.datagramsSent == expected && countersB.datagramsReceived == expected)
            #expect(countersA.bytesSent == countersB.bytesReceived)
            #expect(countersA.bytesSent == countersA.bytesFromTunnel + expected * UInt64(Limits.layerOverhead))
            #expect(countersA.drops.isEmpty && countersB.drops.isEmpty)
            #expect(countersA.wakeUps > 0)
        }

        @Test func packetsWaitForASession() throws {
            let (a, b) = (try Side(), try Side())
            a.engine.post(.routes(try Fixture.routes("10.77.0.2/32")))
            let packets = (0..<20 as Range<UInt8>).map {
                Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 50, mark: $0)
            }
            for packet in packets { a.pipe.write(packet) }
            #expect(a.log.next { if case .wantSession(let slot) = $0 { slot } else { nil } } == 0)
            _ = try join(a, b)
            for packet in packets { #expect(b.pipe.read() == packet) }
            a.close()
            b.close()
        }

        @Test func handshakeAndControlGoToTheNode() throws {
            let (a, b) = (try Side(), try Side())
            let (sessionA, sessionB) = try join(a, b)
            let hello = OuterHeader(type: .s0, bodyLength: 112).encoded + [UInt8](repeating: 7, count: 112)
            #expect(a.engine.transmit(hello, over: b.carrier))
            let arrived = b.log.next { event -> ([UInt8], Carrier)? in
                if case .datagram(let bytes, let carrier) = event { (bytes, carrier) } else { nil }
            }
            #expect(arrived?.0 == hello && arrived?.1 == a.carrier)

            let frame = try #require(sessionA.sealFrame(type: .keepalive, payload: [1, 2, 3], now: MonotonicClock.now))
            #expect(a.engine.transmit(frame, over: b.carrier))
            let control = b.log.next { event -> [UInt8]? in
                if case .control(sessionB, .keepalive, let payload, _) = event { payload } else { nil }
            }
            #expect(control == [1, 2, 3])
            // A replay, garbage, and nothing at all: dropped, counted, and the engine goes on.
            for bad in [frame, [1, 2, 3], [], [UInt8](repeating: 1, count: 1500)] {
                a.engine.transmit(bad, over: b.carrier)
            }
            let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 10)
            a.pipe.write(packet)
            #expect(b.pipe.read() == packet)
            a.close()
            b.close()
            let reasons = Set(b.engine.counters().drops.map(\.reason))
            #expect(reasons.isSuperset(of: [.replayDuplicate, .tooShort]))
        }

        @Test func unreachableEndpointsAreCountedAndNeverFatal() throws {
            let a = try Side()
            // A port that was free a moment ago, another family, and an address without a route.
            let closed = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0).facts.local
            let datagram = [UInt8](repeating: 1, count: 100)
            for _ in 0..<10 {
                a.engine.transmit(datagram, over: .udp(closed))
                a.engine.transmit(datagram, over: .udp(Endpoint(IPAddress("2001:db8::1")!, port: 9)))
                a.engine.transmit(datagram, over: .udp(Endpoint(v4: 0xF000_0001, port: 9)))
            }
            a.engine.transmit([UInt8](repeating: 1, count: 65_535), over: .udp(closed))
            // Still alive: it takes a packet and asks for a session.
            a.engine.post(.routes(try Fixture.routes("10.77.0.2/32")))
            a.pipe.write(Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 10))
            #expect(a.log.next { if case .wantSession(let slot) = $0 { slot } else { nil } } == 0)
            a.close()
            let drops = Dictionary(uniqueKeysWithValues: a.engine.counters().drops.map { ($0.reason, $0.count) })
            #expect((drops[.sendUnreachable] ?? 0) >= 10 && drops[.sendTooLarge] == 1)
        }

        /// A slow outer link: the kernel's send buffer fills, reading from the TUN pauses, and nothing is lost or reordered.
        @Test func aFullSendBufferSlowsTheSenderDown() throws {
            guard let host = PrivateHost.make("aFullSendBufferSlowsTheSenderDown") else { return }
            let shaped = try host.run {
                unsafe system("tc qdisc add dev lo root tbf rate 40mbit burst 16kb latency 60s 2>/dev/null") == 0
            }
            guard shaped else { return print("SKIPPED: aFullSendBufferSlowsTheSenderDown: it needs tc and tbf") }
            let (a, b) = (try host.run { try Side(sendBuffer: 8192) }, try host.run { try Side() })
            _ = try join(a, b)
            let packets = (0..<400).map {
                Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 1000 + $0, mark: UInt8($0 & 0xFF))
            }
            let writer = try WorkerThread(name: "writer") { for packet in packets { a.pipe.write(packet) } }
            var wrong = 0
            for packet in packets {
                let found = b.pipe.read()
                if found != packet { wrong += 1 }
                // Each one that never comes would be waited for.
                if found == nil { break }
            }
            writer.join()
            #expect(wrong == 0)
            a.close()
            b.close()
            #expect(a.engine.counters().drops.isEmpty && b.engine.counters().drops.isEmpty)
        }

        @Test func aBrokenProtocolIsReportedOnce() throws {
            let (a, b) = (try Side(), try Side())
            let (_, sessionB) = try join(a, b)
            let key = PacketKey(
                .aes256GCM, key: Secret(copying: [UInt8](repeating: 1, count: 32)),
                iv: Secret(copying: [UInt8](repeating: 1, count: 12)))
            for counter in 1...3 as ClosedRange<UInt64> {
                var bytes = OuterHeader(type: .data0, bodyLength: 20, receiverIndex: 2, word: counter).encoded
                bytes += [0x77, 0, 0, 0] + [UInt8](repeating: 0, count: 16)
                var span = bytes.mutableSpan
                key.seal(&span, range: 0..<36, counter: counter)
                a.engine.transmit(bytes, over: b.carrier)
            }
            let reported = b.log.next { event -> DropReason? in
                if case .violation(sessionB, let reason) = event { reason } else { nil }
            }
            #expect(reported == .unknownFrameType)
            a.close()
            b.close()
        }

        @Test func aVanishedTunnelIsReportedAndTheRestGoesOn() throws {
            let b = try Side()
            let a = try Side()
            let (sessionA, sessionB) = try join(a, b)
            a.pipe.shutDown()
            #expect(a.log.next { if case .tunGone = $0 { true } else { nil } } == true)
            let frame = try #require(sessionB.sealFrame(type: .keepalive, payload: [5], now: MonotonicClock.now))
            b.engine.transmit(frame, over: a.carrier)
            let control = a.log.next { event -> [UInt8]? in
                if case .control(sessionA, .keepalive, let payload, _) = event { payload } else { nil }
            }
            #expect(control == [5])
            a.close()
            b.close()
        }

        /// A relay has no TUN: what is for one is dropped and counted.
        @Test func aRelayHasNoTunnel() throws {
            let b = try Side()
            let log = EventLog()
            let relay = try Engine(EngineConfiguration(tunnel: nil, listen: Fixture.loopback), onWake: log.onWake)
            log.attach(relay)
            try relay.start()
            let (sessionA, sessionB) = Fixture.sessionPair()
            relay.post(.routes(try Fixture.routes("10.77.0.2/32")))
            relay.post(.install(sessionA))
            b.engine.post(.routes(try Fixture.routes("10.77.0.1/32")))
            b.engine.post(.activate(sessionB, .udp(relay.socket.local)))
            b.pipe.write(Fixture.packet(from: "10.77.0.2", to: "10.77.0.1", payload: 10))
            b.pipe.write(Fixture.packet(from: "10.77.0.2", to: "10.77.0.1", payload: 10))
            let frame = try #require(sessionB.sealFrame(type: .keepalive, payload: [5], now: MonotonicClock.now))
            b.engine.transmit(frame, over: .udp(relay.socket.local))
            let control = log.next { event -> [UInt8]? in
                if case .control(sessionA, _, let payload, _) = event { payload } else { nil }
            }
            #expect(control == [5])
            b.close()
            log.detach()
            relay.stop()
            #expect(relay.interface == nil)
        }

        @Test func stoppingLeavesNothingOpen() throws {
            // Other suites of this process open and close meanwhile: a leak of one descriptor in any of these engines makes
            // a hundred, which no neighbour does.
            let before = Fixture.openDescriptors
            for _ in 0..<100 {
                let side = try Side()
                side.close()
                side.close()
                let unused = try Engine(EngineConfiguration(tunnel: nil, listen: Fixture.loopback), onWake: {})
                unused.stop()
                _ = try Engine(EngineConfiguration(tunnel: nil, listen: Fixture.loopback), onWake: {})
                let forgotten = try Engine(EngineConfiguration(tunnel: nil, listen: Fixture.loopback), onWake: {})
                try forgotten.start()
            }
            #expect(Fixture.openDescriptors < before + 50)
        }
    }
}

extension Session {
    /// Lets a test match an event by its session.
    static func ~= (pattern: Session, value: Session) -> Bool { pattern === value }
}
