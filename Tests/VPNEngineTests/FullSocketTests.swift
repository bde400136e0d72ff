// SPDX-License-Identifier: Apache-2.0
// A worker whose socket takes no more, in earnest: what it was given first waits and goes in the end, what found no
// room is counted, and the worker rests meanwhile.
//
//   namespace A: 10.99.0.1, a socket of a few KB ═ veth ═ namespace B, where nobody is 10.99.0.77

import Glibc
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite(.serialized) struct FullSocketTests {
        /// What a worker says of itself.
        private struct Moment: Sendable {
            var sent: UInt64
            var dropped: UInt64
            var otherDrops: UInt64
            var isBlocked: Bool
            var patience: Int32
        }

        private static func look(_ worker: inout Worker, _ bench: WorkerBench) -> Moment {
            let dropped = bench.counters.drops[.sendNoMemory]
            return Moment(
                sent: bench.sent, dropped: dropped, otherDrops: bench.counters.drops.total - dropped,
                isBlocked: worker.isBlocked, patience: worker.patience())
        }

        private static func waitForRoom(_ worker: borrowing Worker) -> Bool {
            var waiting = pollfd(fd: worker.socket.raw, events: Int16(POLLOUT), revents: 0)
            return unsafe poll(&waiting, 1, Int32(patienceSeconds * 1000)) == 1
        }

        @Test func whatWaitsForTheSocketGoesInTheEnd() throws {
            guard let hosts = try CabledHosts("whatWaitsForTheSocketGoesInTheEnd") else { return }
            let given = BufferPool.largestCapacity + 40
            let (full, last) = try hosts.hosts[0].run { () -> (Moment, Moment) in
                let bench = try WorkerBench(capacity: given)
                let local = Endpoint(v4: 0x0A63_0001, port: 0)
                var worker = try bench.makeWorker(TunDevice.absent, local: local, sendBuffer: 1)
                // Until somebody says who it is, what is sent there stands in the kernel, on this socket's account.
                let nobody = Carrier.udp(Endpoint(v4: 0x0A63_004D, port: 9))
                for _ in 0..<given {
                    _ = bench.commands.post(.transmit([UInt8](repeating: 1, count: 1000), nobody))
                }
                worker.turn()
                let full = Self.look(&worker, bench)
                guard shell("ip neigh replace 10.99.0.77 lladdr 02:00:00:00:00:77 dev outer0 nud permanent") else {
                    throw EngineError(.system, "ip neigh")
                }
                var now = Self.look(&worker, bench)
                while now.isBlocked || now.patience == 0 {
                    guard now.patience == 0 || Self.waitForRoom(worker) else { break }
                    worker.turn()
                    now = Self.look(&worker, bench)
                }
                return (full, now)
            }
            #expect(full.isBlocked && full.patience == -1, "nothing is looked for again and again")
            #expect(full.sent > 0 && full.sent < 100, "\(full.sent) went")
            #expect(full.dropped == 40 && full.otherDrops == 0)
            #expect(!last.isBlocked && last.sent == UInt64(BufferPool.largestCapacity))
            #expect(last.dropped == 40 && last.otherDrops == 0)
        }
    }
}
