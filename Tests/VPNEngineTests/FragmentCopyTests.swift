// SPDX-License-Identifier: Apache-2.0
// What a quilt sends beside its packets goes with them, also where a packet goes in pieces: a copy that waits for the
// next packet saves nobody.

import Testing

@testable import VPNCore
@testable import VPNEngine

extension Threads {
    @Suite struct FragmentCopyTests {
        /// A worker with a session by two paths, each packet by both, and nothing due for a while.
        private func prepare(_ worker: inout Worker, _ first: Carrier, _ second: Carrier) throws {
            let (_, session) = Fixture.sessionPair(isConfirmedAtB: true)
            let quilt = Quilt(session, QuiltConfiguration(scheduler: .redundant))
            let now = MonotonicClock.now
            quilt.withState {
                $0.join(0, first, remoteIndex: 1, mtu: 1200, now: now)
                $0.join(1, second, remoteIndex: 1, mtu: 1200, now: now)
            }
            worker.plane.apply(.routes(try Fixture.routes("10.77.0.2/32")))
            worker.plane.apply(.activate(session, first))
            worker.plane.apply(.quilt(quilt))
            worker.plane.apply(.limit(0, mtu: 600))
            var patience = worker.patience()
            for _ in 0..<10 where patience == 0 {
                worker.turn()
                patience = worker.patience()
            }
            try #require(patience > 0)
        }

        @Test(arguments: [100, 1000]) func copiesGoWithThePiecesOfAPacket(size: Int) throws {
            let bench = try WorkerBench()
            let (pipe, end) = try PacketPipe.make()
            var worker = try bench.makeWorker(TunDevice(owning: FileDescriptor(owning: end)))
            let one = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            let other = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
            try prepare(&worker, .udp(one.facts.local), .udp(other.facts.local))
            let before = bench.sent
            pipe.write(Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: size))
            worker.turn()
            let isLeft = worker.plane.sender.hasExtras
            #expect(!isLeft, "copies wait for the next packet")
            // The longer one goes in two pieces, and each by both paths.
            #expect(bench.sent - before >= (size > 580 ? 4 : 2))
            #expect(bench.drops.isEmpty, "\(bench.drops)")
        }
    }
}
