// SPDX-License-Identifier: Apache-2.0
// A worker whose socket took no more: what waits in it goes on as soon as there is room, whoever finds that out, and until then
// it rests. No thread runs it here.

import Synchronization
import Testing

@testable import VPNCore
@testable import VPNEngine

extension Threads {
    @Suite struct BlockedWorkerTests {
        /// What a worker is made of, and what it counts.
        private struct Surroundings {
            let pipe: PacketPipe
            let commands: CommandMailbox
            let counters = WorkerCounters()
            private let engineEnd: Int32

            init() throws {
                (pipe, engineEnd) = try PacketPipe.make()
                commands = try CommandMailbox(capacity: 8)
            }

            /// Once.
            func makeWorker() throws -> Worker {
                let socket = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
                let tunnel = TunDevice(owning: FileDescriptor(owning: engineEnd))
                return try Worker.make(
                    tunnel: tunnel, socket: socket, number: 0, of: [commands],
                    events: EventMailbox(capacity: 8, share: 8, onWake: {}), counters: counters,
                    price: HandshakePrice(), plane: DataPlane(drops: counters.drops), largestPacket: 2048)
            }

            var sent: UInt64 { counters.datagramsSent.load(ordering: .relaxed) }
        }

        private let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 50)

        @Test func whatWasReadGoesOn() throws {
            let around = try Surroundings()
            var worker = try around.makeWorker()
            let far = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            let (session, _) = Fixture.sessionPair()
            worker.plane.apply(.routes(try Fixture.routes("10.77.0.2/32")))
            worker.plane.apply(.activate(session, .udp(far.facts.local)))
            // What the node wants sent finds room.
            around.pipe.write(packet)
            _ = worker.reader.read(worker.tunnel)
            let holds = worker.reader.hasPackets
            try #require(holds)
            worker.setBlocked(true)
            _ = around.commands.post(.beat)
            worker.turn()
            #expect(around.sent == 1)
            // Something else does.
            around.pipe.write(packet)
            _ = worker.reader.read(worker.tunnel)
            worker.setBlocked(true)
            worker.transmit()
            let patience = worker.patience()
            try #require(patience == 0)
            worker.turn()
            #expect(around.sent == 2)
            let patienceAfter = worker.patience()
            #expect(patienceAfter == -1)
        }

        @Test func whatWaitedForASessionGoesOn() throws {
            let around = try Surroundings()
            var worker = try around.makeWorker()
            let far = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            let (session, _) = Fixture.sessionPair()
            worker.plane.apply(.routes(try Fixture.routes("10.77.0.2/32")))
            around.pipe.write(packet)
            worker.turn()
            #expect(around.sent == 0)
            worker.setBlocked(true)
            worker.plane.apply(.activate(session, .udp(far.facts.local)))
            worker.transmit()
            let patience = worker.patience()
            try #require(patience == 0)
            worker.turn()
            #expect(around.sent == 1)
        }

        /// §9: packets that a patch would take wait for the socket then, whose word is an event.
        @Test func itRestsWhilePacketsArePaced() throws {
            let around = try Surroundings()
            var worker = try around.makeWorker()
            let isTaken = worker.plane.sender.paced.append(
                packet, for: 0, opens: .origin, limit: Limits.pacedMost, now: .origin)
            #expect(isTaken)
            let free = worker.patience()
            worker.setBlocked(true)
            let blocked = worker.patience()
            worker.transmit()
            let again = worker.patience()
            #expect(free == 0 && blocked == -1 && again == 0)
        }
    }
}
