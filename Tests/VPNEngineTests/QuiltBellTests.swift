// SPDX-License-Identifier: Apache-2.0
// The clock of a quilt is one worker's, and its packets go by all of them: a worker that sleeps until an idle path's
// next probe must hear that packets go again, or a path that is dead costs them a second more.

import Glibc
import Testing

@testable import VPNCore
@testable import VPNEngine

extension Threads {
    @Suite struct QuiltBellTests {
        /// Whether a worker that waits would wake up by its mailbox.
        private func isRinging(_ commands: CommandMailbox) -> Bool {
            var waiting = pollfd(fd: commands.wakeUp.raw, events: Int16(POLLIN), revents: 0)
            return unsafe poll(&waiting, 1, 0) == 1
        }

        @Test func whoKeepsTheTimeHearsThatAnotherWorkerSends() throws {
            let boxes = try [CommandMailbox(capacity: 8), CommandMailbox(capacity: 8)]
            let counters = WorkerCounters()
            let socket = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            var worker = try Worker.make(
                tunnel: TunDevice.absent, socket: socket, number: 0, of: boxes,
                events: EventMailbox(capacity: 8, share: 8, onWake: {}), counters: counters, price: HandshakePrice(),
                plane: DataPlane(drops: counters.drops, worker: 0, of: 2), largestPacket: 2048)
            let one = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            let other = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            let (first, second) = (Carrier.udp(one.facts.local), Carrier.udp(other.facts.local))
            // Its index is even, so that worker 0 of 2 keeps its time.
            let (_, session) = Fixture.sessionPair(isConfirmedAtB: true)
            try #require(session.localIndex % 2 == 0)
            let quilt = Quilt(session, QuiltConfiguration())
            let now = MonotonicClock.now
            quilt.withState {
                $0.join(0, first, remoteIndex: 1, mtu: 1200, now: now)
                $0.join(1, second, remoteIndex: 1, mtu: 1200, now: now)
            }
            worker.plane.apply(.activate(session, first))
            worker.plane.apply(.quilt(quilt))
            // Both paths are asked once; then nothing is due for most of a second.
            var patience = worker.patience()
            for _ in 0..<10 where patience == 0 {
                worker.turn()
                patience = worker.patience()
            }
            try #require(patience > 0)
            // Whatever rang for this worker's own sake is heard.
            _ = boxes[0].post(.beat)
            worker.turn()
            #expect(!isRinging(boxes[0]))

            // A packet goes: another worker's business. The first of many, after a pause.
            let went = quilt.withState {
                $0.choose(for: [UInt8](repeating: 0, count: 100), flow: 1, isExpress: false, now: now) != nil
            }
            #expect(went)
            #expect(isRinging(boxes[0]), "a worker that sleeps does not look at its clock")
            // It knows as soon as it is awake.
            let busy = worker.patience()
            #expect(busy >= 0 && busy <= 150)
        }
    }
}
