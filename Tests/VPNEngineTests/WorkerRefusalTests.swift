// SPDX-License-Identifier: Apache-2.0
// What a worker is given and cannot do: each is counted, what others must know is told, and the worker goes on.

import CLinux
import Glibc
import Testing

@testable import VPNCore
@testable import VPNEngine

extension Threads {
    @Suite struct WorkerRefusalTests {
        private let packet = Fixture.packet(from: "10.77.0.2", to: "10.77.0.1", payload: 50)

        private func ipFrame(_ packet: [UInt8], of session: Session) throws -> [UInt8] {
            try #require(session.sealFrame(type: .ip, payload: packet, now: MonotonicClock.now))
        }

        // MARK: - To the socket

        @Test func whatFitsNoBufferIsCounted() throws {
            let bench = try WorkerBench()
            var worker = try bench.makeWorker(TunDevice.absent)
            let far = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            let there = Carrier.udp(far.facts.local)
            let room = worker.outgoing.size - Limits.headroom
            _ = bench.commands.post(.transmit([UInt8](repeating: 1, count: room + 1), there))
            worker.turn()
            #expect(bench.drops == [.sendTooLarge: 1] && bench.sent == 0)
            // One byte less goes.
            _ = bench.commands.post(.transmit([UInt8](repeating: 1, count: room), there))
            worker.turn()
            #expect(bench.drops == [.sendTooLarge: 1] && bench.sent == 1)
        }

        /// Nobody may send to all hosts without having said so before; a filter of the host's refuses in the same way.
        @Test func whatTheHostForbidsIsCounted() throws {
            let bench = try WorkerBench()
            var worker = try bench.makeWorker(TunDevice.absent)
            let far = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            let everybody = Carrier.udp(Endpoint(v4: 0x7FFF_FFFF, port: 9))
            _ = bench.commands.post(.transmit([1], everybody))
            // What is behind it in the same batch goes all the same.
            _ = bench.commands.post(.transmit([1], .udp(far.facts.local)))
            worker.turn()
            #expect(bench.drops == [.sendDenied: 1] && bench.sent == 1)
        }

        // MARK: - From the socket

        /// What the door or another worker passes on lies in memory of its own, and may be longer than any buffer here.
        @Test func whatIsPassedOnAndFitsNoBufferIsCounted() throws {
            let bench = try WorkerBench()
            var worker = try bench.makeWorker(TunDevice.absent)
            let (near, far) = Fixture.sessionPair()
            worker.plane.apply(.install(near))
            let room = worker.incoming.size - Limits.headroom - Limits.tailroom
            let payload = [UInt8](repeating: 5, count: room - Limits.layerOverhead)
            let fitting = far.sealFrame(type: .keepalive, payload: payload, now: MonotonicClock.now)
            bench.bring([UInt8](repeating: 0, count: room + 1))
            bench.bring(try #require(fitting))
            worker.turn()
            #expect(bench.drops == [.tooLong: 1])
            let payloads = bench.events.drain().compactMap { event -> [UInt8]? in
                if case .control(_, .keepalive, let payload, _) = event { payload } else { nil }
            }
            #expect(payloads == [payload])
        }

        @Test func whatTheNodeHasNoRoomForIsCounted() throws {
            let bench = try WorkerBench()
            var worker = try bench.makeWorker(TunDevice.absent)
            let hello = OuterHeader(type: .s0, bodyLength: 112).encoded + [UInt8](repeating: 7, count: 112)
            for _ in 0..<8 { bench.bring(hello) }
            worker.turn()
            #expect(bench.drops.isEmpty)
            bench.bring(hello)
            worker.turn()
            #expect(bench.drops == [.mailboxFull: 1] && bench.events.drain().count == 8)
            // The node has taken them.
            bench.bring(hello)
            worker.turn()
            #expect(bench.drops == [.mailboxFull: 1] && bench.events.drain().count == 1)
        }

        // MARK: - To the interface

        @Test func anInterfaceThatIsGoneIsToldOnceAndAnotherTakesItsPlace() throws {
            let bench = try WorkerBench()
            // What can be read and not written says EBADF, much as a deleted interface does.
            var ends: [Int32] = [-1, -1]
            let made = unsafe pipe(&ends)
            try #require(made == 0)
            let other = ends[1]
            defer { _ = Glibc.close(other) }
            _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
            var worker = try bench.makeWorker(TunDevice(owning: FileDescriptor(owning: ends[0])))
            let (near, far) = Fixture.sessionPair()
            worker.plane.apply(.routes(try Fixture.routes("10.77.0.2/32")))
            worker.plane.apply(.install(near))
            for _ in 0..<2 {
                bench.bring(try ipFrame(packet, of: far))
                worker.turn()
            }
            #expect(bench.drops == [.tunnelDown: 2] && losses(bench) == 1)

            let (fresh, end) = try PacketPipe.make()
            let number = bench.events.expectTunnel()
            let offer = TunnelOffer(TunDevice(owning: FileDescriptor(owning: end)), number: number)
            _ = bench.commands.post(.tunnel(offer))
            bench.bring(try ipFrame(packet, of: far))
            worker.turn()
            #expect(fresh.read() == packet)
            #expect(bench.drops == [.tunnelDown: 2] && losses(bench) == 0)
            // It may be lost as the first one was.
            fresh.shutDown()
            worker.turn()
            #expect(losses(bench) == 1)
        }

        private func losses(_ bench: WorkerBench) -> Int {
            bench.events.drain().count { if case .tunGone = $0 { true } else { false } }
        }

        @Test func segmentsOfOneFlowGoInOneWrite() throws {
            let bench = try WorkerBench()
            let (pipe, end) = try PacketPipe.make()
            var worker = try bench.makeWorker(
                TunDevice(owning: FileDescriptor(owning: end), offloads: .tunnelTCP))
            _ = try bringSegments(bench, &worker)
            let written = try #require(pipe.read())
            #expect(written.count == OffloadHeader.size + 40 + 200)
            #expect(written[1] == OffloadHeader.Segmentation.tcpIPv4.rawValue)
            #expect(bench.drops.isEmpty)
        }

        /// The same where the kernel takes back what it had granted: an epoll set refuses what is written as it would.
        @Test func joinsThatAreRefusedAreToldOnceAndTheirPacketsCounted() throws {
            let bench = try WorkerBench()
            let set = try FileDescriptor(clinux_epoll_open(), "epoll_create1")
            var worker = try bench.makeWorker(TunDevice(owning: set, offloads: .tunnelTCP))
            let far = try bringSegments(bench, &worker)
            #expect(bench.drops == [.tunnelWrite: 2])
            let lost = bench.events.drain().compactMap { event -> Int32? in
                if case .offloadLost(.tunnelTCP, let errno) = event { errno } else { nil }
            }
            #expect(lost == [EINVAL])
            for number in 2..<4 as Range<UInt8> {
                bench.bring(try ipFrame(Fixture.segment(number), of: far))
            }
            worker.turn()
            #expect(bench.drops == [.tunnelWrite: 4] && bench.events.drain().isEmpty)
        }

        /// Two segments of one flow, in one turn; who sends them.
        private func bringSegments(_ bench: WorkerBench, _ worker: inout Worker) throws -> Session {
            let (near, far) = Fixture.sessionPair()
            worker.plane.apply(.routes(try Fixture.routes("10.77.0.2/32")))
            worker.plane.apply(.install(near))
            for number in 0..<2 as Range<UInt8> {
                bench.bring(try ipFrame(Fixture.segment(number), of: far))
            }
            worker.turn()
            return far
        }

        // MARK: - From the interface

        @Test func whoSendsToNobodyIsToldAndWhoSendsToAPeerIsNot() throws {
            let bench = try WorkerBench()
            let (pipe, end) = try PacketPipe.make()
            var worker = try bench.makeWorker(TunDevice(owning: FileDescriptor(owning: end)))
            worker.plane.apply(.routes(try Fixture.routes("10.77.0.2/32")))
            pipe.write(Fixture.packet(from: "10.77.0.1", to: "10.77.0.3", payload: 50))
            worker.turn()
            let answer = try #require(pipe.read())
            // ICMP, host unreachable, as if the destination had said so.
            #expect(answer[9] == 1 && answer[20] == 3 && answer[21] == 1)
            #expect(Array(answer[12..<20]) == [10, 77, 0, 3, 10, 77, 0, 1])
            #expect(bench.drops == [.noRoute: 1] && bench.events.drain().isEmpty)
            // There is no session with that one yet: it waits.
            pipe.write(Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 50))
            worker.turn()
            let wishes = bench.events.drain().compactMap { event -> PeerSlot? in
                if case .wantSession(let slot) = event { slot } else { nil }
            }
            #expect(wishes == [0] && bench.drops == [.noRoute: 1])
        }
    }
}
