// SPDX-License-Identifier: Apache-2.0
// Several workers that seal for one session: whose counter is whose, and what the receiver's window makes of the mixture.

import Testing
import VPNTesting

@testable import VPNCore

@Suite struct CounterBlockTests {
    private static let start: UInt64 = 0x1234_5678

    /// A worker's outbound half that has one peer and one session.
    private struct Sender {
        var plane = OutboundPlane(mtu: 1500)
        var packets: UInt64 = 0
        var bytes: UInt64 = 0

        init(_ session: Session) throws {
            plane.apply(.routes(try Fixture.routes([("10.77.0.2/32", 0)])))
            plane.apply(.activate(session, Fixture.carrierToB))
        }

        /// Seals a packet; the datagram, or nil where it was staged.
        mutating func send(_ now: Instant, payload: Int = 8) throws -> [UInt8]? {
            let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: payload)
            var bytes = [UInt8](repeating: 0xEE, count: Limits.headroom) + packet
            bytes += [UInt8](repeating: 0xEE, count: Limits.tailroom)
            var span = bytes.mutableSpan
            let range = Limits.headroom..<Limits.headroom + packet.count
            switch plane.outbound(&span, packet: range, now: now) {
            case .transmit(let datagram, _, _):
                packets += 1
                self.bytes += UInt64(datagram.count)
                return Array(bytes[datagram])
            case .staged: return nil
            case .exceeds, .drop:
                Issue.record("neither sent nor staged")
                return nil
            }
        }

        /// The counter of the next datagram, from where the session began.
        mutating func counter(_ now: Instant) throws -> UInt64 {
            let sent = try send(now)
            let datagram = try #require(sent)
            return try #require(OuterHeader(datagram)).word - CounterBlockTests.start
        }
    }

    private func receiver(_ session: Session) throws -> TestEnd {
        var end = TestEnd()
        end.plane.apply(.routes(try Fixture.routes([("10.77.0.1/32", 0)])))
        end.plane.apply(.install(session))
        return end
    }

    /// Random turns of 1 to 8 workers, bursts and pauses, clocks that differ, control frames between, and what arrives is in the
    /// order of sending.
    @Test(arguments: UInt64(1)...12) func noCounterComesTwiceOrTooLate(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let (a, b) = Fixture.sessionPair()
        var senders = try (0..<Int(1 + seed % 8)).map { _ in try Sender(a) }
        var receiver = try receiver(b)
        // Each worker reads the clock at the beginning of its batch: some are behind.
        let behind = senders.map { _ in random.fraction(of: 100_000) }
        var (now, highest) = (Fixture.now, CounterBlockTests.start)
        var (seen, bytes, failures): (Set<UInt64>, UInt64, Int) = ([], 0, 0)
        for _ in 0..<6000 {
            let turn = Int(random.fraction(of: UInt64(senders.count - 1)))
            now += TimeSpan(nanoseconds: random.fraction(of: random.chance(0.02) ? 5_000_000 : 3000))
            var datagrams: [[UInt8]] = []
            if random.chance(0.02) {
                datagrams.append(try #require(a.sealFrame(type: .keepalive, payload: [1], now: now)))
            } else {
                for _ in 0..<1 + random.fraction(of: random.chance(0.05) ? 127 : 3) {
                    let time = Instant(nanoseconds: now.nanoseconds - behind[turn])
                    let datagram = try senders[turn].send(time)
                    datagrams.append(try #require(datagram))
                }
                if random.chance(0.5) { senders[turn].plane.settle() }
            }
            for datagram in datagrams {
                let counter = try #require(OuterHeader(datagram)).word
                if !seen.insert(counter).inserted { failures += 1 }
                highest = max(highest, counter)
                let late = highest - counter
                if late > Limits.counterBlockAdvance + Limits.counterBlock { failures += 1 }
                switch receiver.receive(datagram) {
                case .deliver, .control: break
                default: failures += 1
                }
                bytes += UInt64(datagram.count)
            }
        }
        #expect(failures == 0)
        for turn in senders.indices { senders[turn].plane.settle() }
        #expect(a.statistics.packetsOut == UInt64(seen.count) && a.statistics.bytesOut == bytes)
        #expect(b.statistics.packetsIn == UInt64(seen.count) && b.statistics.bytesIn == bytes)
        #expect(receiver.plane.drops.total == 0)
    }

    @Test func aSessionWithFewPacketsSkipsNoCounters() throws {
        let (a, _) = Fixture.sessionPair()
        var senders = try (0..<3).map { _ in try Sender(a) }
        for step in UInt64(0)..<300 {
            let counter = try senders[Int(step) % 3].counter(Fixture.now + .milliseconds(2 * Int(step)))
            #expect(counter == step)
        }
        #expect(a.reservedCounters == CounterBlockTests.start + 300)
    }

    /// 1, 2, 4 … 64, 64 …: and one worker alone leaves no gap.
    @Test func blocksDoubleWhileTheyAreUsedUpInTime() throws {
        let (a, _) = Fixture.sessionPair()
        var sender = try Sender(a)
        var (reserved, size): (UInt64, UInt64) = (0, 1)
        for sent in UInt64(0)..<1000 {
            if sent == reserved {
                reserved += size
                size = min(size * 2, Limits.counterBlock)
            }
            let counter = try sender.counter(Fixture.now)
            #expect(counter == sent)
            #expect(a.reservedCounters == CounterBlockTests.start + reserved)
        }
        #expect(size == 64)
    }

    @Test func aBlockIsAbandonedAfterAMillisecond() throws {
        for (age, counter) in [(UInt64(999_999), UInt64(2)), (1_000_000, 3), (3_000_000_000, 3)] {
            let (a, _) = Fixture.sessionPair()
            var sender = try Sender(a)
            // Blocks of 1 and 2: the third counter is left.
            let first = [try sender.counter(Fixture.now), try sender.counter(Fixture.now)]
            let third = try sender.counter(Fixture.now + TimeSpan(nanoseconds: age))
            #expect(first == [0, 1] && third == counter)
            // What begins anew begins small.
            #expect(a.reservedCounters == CounterBlockTests.start + max(3, counter + 1))
        }
    }

    @Test func aBlockIsAbandonedWhenOthersAreFarAhead() throws {
        for (advance, counter) in [(Limits.counterBlockAdvance, UInt64(2)), (Limits.counterBlockAdvance + 1, 1028)] {
            let (a, b) = Fixture.sessionPair()
            var (sender, other) = (try Sender(a), try Sender(a))
            var receiver = try receiver(b)
            // Blocks of 1 and 2: the third counter is left. Then another worker is at its work.
            let first = [try sender.counter(Fixture.now), try sender.counter(Fixture.now)]
            let foreign = try other.counter(Fixture.now)
            #expect(first == [0, 1] && foreign == 3)
            a.skipCounters(advance - 1)
            #expect(a.reservedCounters == CounterBlockTests.start + 3 + advance)
            let sent = try sender.send(Fixture.now)
            let datagram = try #require(sent)
            let header = try #require(OuterHeader(datagram))
            #expect(header.word == CounterBlockTests.start + counter)
            guard case .deliver = receiver.receive(datagram) else { return fail("not accepted") }
        }
    }

    /// §7: 2^30 frames, whoever seals them; then every worker stages, and asks.
    @Test(arguments: UInt64(1)...8) func theHardLimitHoldsForAllWorkers(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let (a, _) = Fixture.sessionPair()
        var senders = try (0..<4).map { _ in try Sender(a) }
        a.skipCounters(Limits.framesPerPhase - 700)
        let end = CounterBlockTests.start + Limits.framesPerPhase
        var seen: Set<UInt64> = []
        for step in 0..<4000 {
            let turn = Int(random.fraction(of: 3))
            let now = Fixture.now + .microseconds(step * Int(1 + seed))
            guard let datagram = try senders[turn].send(now) else { continue }
            let counter = try #require(OuterHeader(datagram)).word
            let isNew = seen.insert(counter).inserted
            #expect(counter < end && isNew)
        }
        #expect(seen.count <= 700 && seen.count > 0)
        for turn in senders.indices {
            let late = try senders[turn].send(Fixture.now + .seconds(1))
            #expect(late == nil)
            #expect(senders[turn].plane.stagedCount(of: 0) > 0)
            #expect(senders[turn].plane.sendingSession(of: 0) == nil)
        }
        #expect(a.statistics.packetsOut == UInt64(seen.count))
        #expect(a.sealFrame(type: .pad, payload: [], now: Fixture.now) == nil)
    }

    /// What is not settled is not told; settling twice tells nothing twice; a command settles.
    @Test func accountsAreExactAfterSettling() throws {
        let (a, _) = Fixture.sessionPair()
        var sender = try Sender(a)
        for step in 0..<10 { _ = try sender.send(Fixture.now + .microseconds(step), payload: step * 10) }
        #expect(a.statistics.packetsOut == 0 && a.lastSent == nil)
        for _ in 0..<2 {
            sender.plane.settle()
            #expect(a.statistics.packetsOut == 10 && a.statistics.bytesOut == sender.bytes)
            #expect(a.lastSent == Fixture.now + .microseconds(9) && a.lastPayloadSent == a.lastSent)
        }
        _ = try sender.send(Fixture.now + .seconds(1))
        sender.plane.apply(.move(0, Fixture.carrierToA))
        #expect(a.statistics.packetsOut == 11 && a.lastSent == Fixture.now + .seconds(1))
    }

    /// Two sessions in one batch: each gets its own.
    @Test func sessionsThatAlternateAreKeptApart() throws {
        let (first, _) = Fixture.sessionPair(seed: 1, indexA: 1, indexB: 101, slotAtA: 0)
        let (second, _) = Fixture.sessionPair(seed: 2, indexA: 2, indexB: 102, slotAtA: 1)
        var sender = try Sender(first)
        sender.plane.apply(.routes(try Fixture.routes([("10.77.0.2/32", 0), ("10.77.0.3/32", 1)])))
        sender.plane.apply(.activate(second, Fixture.carrierToA))
        var random = SeededRandom(seed: 5)
        var (sent, bytes): ([UInt64], [UInt64]) = ([0, 0], [0, 0])
        var last = [Fixture.now, Fixture.now]
        for step in 0..<500 {
            let slot = Int(random.fraction(of: 1))
            let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.\(2 + slot)", payload: step)
            var buffer = [UInt8](repeating: 0, count: Limits.headroom) + packet
            buffer += [UInt8](repeating: 0, count: Limits.tailroom)
            var span = buffer.mutableSpan
            let now = Fixture.now + .microseconds(step)
            let range = Limits.headroom..<Limits.headroom + packet.count
            guard case .transmit(let datagram, _, _) = sender.plane.outbound(&span, packet: range, now: now) else {
                return fail("not sent")
            }
            (sent[slot], bytes[slot], last[slot]) = (sent[slot] + 1, bytes[slot] + UInt64(datagram.count), now)
        }
        sender.plane.settle()
        for (slot, session) in [first, second].enumerated() {
            #expect(session.statistics.packetsOut == sent[slot] && session.statistics.bytesOut == bytes[slot])
            #expect(session.lastSent == last[slot])
        }
    }
}
