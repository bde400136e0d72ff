// SPDX-License-Identifier: Apache-2.0
// The pieces between a worker, its interface and the node, each alone: what is read and not given out, what is held,
// and whose loss counts.

import Glibc
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite struct TunnelPartsTests {
        private static func word(_ reading: TunnelReader.Reading) -> String {
            switch reading {
            case .some(let bytes): "\(bytes) bytes"
            case .nothing: "nothing"
            case .gone: "gone"
            case .malformed: "malformed"
            case .tooLarge: "too large"
            }
        }

        private func packet(_ length: Int) -> [UInt8] {
            Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: length - 20)
        }

        @Test func whatIsTooLongIsNotGivenOutAndTheNextPacketIs() throws {
            let (pipe, end) = try PacketPipe.make()
            let tunnel = TunDevice(owning: FileDescriptor(owning: end))
            var reader = TunnelReader(limit: 100)
            let before = reader.read(tunnel)
            pipe.write(packet(101))
            let long = reader.read(tunnel)
            let keepsLong = reader.hasPackets
            pipe.write(packet(100))
            let fitting = reader.read(tunnel)
            let (holds, forgotten) = (reader.hasPackets, reader.discard())
            let (isLeft, nothing) = (reader.hasPackets, reader.discard())
            pipe.shutDown()
            let last = reader.read(tunnel)
            let words = [before, long, fitting, last].map(Self.word)
            #expect(words == ["nothing", "too large", "100 bytes", "gone"])
            #expect(!keepsLong && holds && forgotten == 1 && !isLeft && nothing == 0)
        }

        /// Whatever else goes wrong may be right the next time.
        @Test func fewErrorsMeanThatAnInterfaceIsGone() {
            for error in [EBADFD, ENODEV, EBADF, ENXIO] { #expect(TunDevice.isGone(-Int(error)), "\(error)") }
            for error in [EAGAIN, EINTR, EIO, EINVAL, ENOBUFS, ENOMEM, EFAULT] {
                #expect(!TunDevice.isGone(-Int(error)), "\(error)")
            }
            #expect(!TunDevice.isGone(0) && !TunDevice.isGone(Int(ENODEV)))
        }

        @Test func aWriterThatStoppedJoiningHoldsEachPacketAlone() {
            let pool = BufferPool(packet: 512, capacity: 1)
            // SAFETY: the memory lives as long as the pool, and the span no longer than this test.
            var buffer = unsafe MutableSpan(_unsafeStart: pool.all, count: pool.total)
            let packets = Fixture.segment(0) + Fixture.segment(1)
            for place in packets.indices { buffer[place] = packets[place] }
            let half = packets.count / 2
            for stops in [false, true] {
                var writer = TunnelWriter(.tunnelTCP, hasHeaders: true)
                if stops { writer.stopJoining() }
                let first = unsafe writer.join(buffer, 0..<half, pool.all)
                unsafe writer.hold(buffer, 0..<half, pool.all)
                let second = unsafe writer.join(buffer, half..<2 * half, pool.all)
                #expect(!first && second == !stops)
            }
        }

        /// Workers find out one after the other, and some when there is a newer interface already.
        @Test func aLossIsToldOnceAndOfTheLatestInterfaceAlone() {
            let box = EventMailbox(capacity: 4, share: 4, onWake: {})
            for _ in 0..<3 { box.reportLoss(ofTunnel: 0) }
            #expect(box.drain().count == 1)
            box.reportLoss(ofTunnel: 0)
            #expect(box.drain().isEmpty)
            let next = box.expectTunnel()
            #expect(next == 1)
            box.reportLoss(ofTunnel: 0)
            #expect(box.drain().isEmpty)
            for _ in 0..<2 { box.reportLoss(ofTunnel: next) }
            #expect(box.drain().count == 1)
        }

        @Test func eachServiceThatIsLostIsToldOnce() {
            let box = EventMailbox(capacity: 4, share: 4, onWake: {})
            for _ in 0..<2 { #expect(box.post(.offloadLost(.sendTrains, errno: EIO))) }
            #expect(box.drain().count == 1)
            #expect(box.post(.offloadLost([.tunnelTCP, .sendTrains], errno: EINVAL)))
            #expect(box.post(.offloadLost(.tunnelTCP, errno: EINVAL)))
            #expect(box.drain().count == 1)
        }

        @Test func anOfferIsTakenOnce() throws {
            let (_, end) = try PacketPipe.make()
            let offer = TunnelOffer(TunDevice(owning: FileDescriptor(owning: end)), number: 3)
            var taken: [Bool] = []
            for _ in 0..<2 {
                if let device = offer.take() { taken.append(device.exists) } else { taken.append(false) }
            }
            #expect(taken == [true, false])
        }

        /// What the node wants sent and nobody takes is no reason to keep ever more of it.
        @Test func aNodeThatSendsTooMuchIsToldSo() throws {
            let configuration = EngineConfiguration(tunnel: nil, listen: Fixture.loopback, transmitCapacity: 2)
            let engine = try Engine(configuration, onWake: {})
            defer { engine.stop() }
            let there = Carrier.udp(engine.socket.local)
            let taken = (0..<4).map { _ in engine.transmit([1, 2, 3], over: there) }
            #expect(taken == [true, true, false, false])
            let drops = engine.counters().drops
            #expect(drops.map(\.reason) == [.commandsFull] && drops.map(\.count) == [2])
        }
    }
}
