// SPDX-License-Identifier: Apache-2.0
// Order restored, for a bounded time and in bounded memory, whatever the patches do.

import Testing

@testable import VPNCore

/// A packet whose bytes tell its counter.
private func packet(_ counter: UInt64, length: Int = 40) -> [UInt8] {
    var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: counter), count: length)
    for place in 0..<8 { bytes[place] = UInt8(truncatingIfNeeded: counter >> UInt64(56 - 8 * place)) }
    return bytes
}

/// A resequencer as a worker drives it, and all that came out of it, in order.
private struct Receiver {
    var resequencer: Resequencer
    var delivered: [(counter: UInt64, at: Instant)] = []
    var arrivedAt: [UInt64: Instant] = [:]
    var spoilt = 0

    init(cell: Int = 64) { resequencer = Resequencer(cell: cell) }

    mutating func take(_ counter: UInt64, on patch: Int, length: Int = 40, now: Instant) {
        expire(now: now)
        arrivedAt[counter] = now
        let bytes = packet(counter, length: length)
        var verdict = resequencer.arrive(counter, length: length, on: patch, now: now)
        if verdict == .full {
            drain(now: now)
            verdict = resequencer.arrive(counter, length: length, on: patch, now: now)
        }
        switch verdict {
        case .deliver: delivered.append((counter, now))
        case .hold(let range):
            var bytes = bytes
            let span = bytes.mutableSpan
            resequencer.store(span, 0..<length, in: range)
        case .full: Issue.record("full twice")
        }
        drain(now: now)
    }

    mutating func pass(_ counter: UInt64, on patch: Int, now: Instant) {
        resequencer.pass(counter, on: patch, now: now)
        drain(now: now)
    }

    mutating func expire(now: Instant) {
        while let deadline = resequencer.deadline, deadline <= now {
            resequencer.expire(now: deadline)
            drain(now: deadline)
        }
    }

    private mutating func drain(now: Instant) {
        while let range = resequencer.nextReleased() {
            let bytes = Array(resequencer.cells[range])
            let counter = bytes[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            if bytes != packet(counter, length: bytes.count) { spoilt += 1 }
            delivered.append((counter, now))
        }
    }

    var counters: [UInt64] { delivered.map(\.counter) }
    var disordered: Int { zip(counters, counters.dropFirst()).filter { $0 > $1 }.count }
}

private func at(_ microseconds: Int) -> Instant { .origin + .seconds(1) + .microseconds(microseconds) }

@Suite struct ResequencerTests {
    /// What a single path loses or disorders itself is nobody's business here: nothing waits.
    @Test func onePatchWaitsForNothing() {
        var receiver = Receiver()
        var random = SeededGenerator(1)
        var counter: UInt64 = 1000
        for step in 0..<5000 {
            counter += UInt64.random(in: 1...3, using: &random)
            receiver.take(counter, on: 0, now: at(step * 10))
            #expect(receiver.delivered.last?.counter == counter)
        }
        receiver.take(counter - 1, on: 0, now: at(60_000))
        #expect(receiver.delivered.last?.counter == counter - 1)
        #expect(receiver.resequencer.statistics.held == 0)
        #expect(receiver.resequencer.cells.isEmpty)
    }

    /// Two patches, 20 ms apart: everything comes out in order, and nothing waits longer than the skew.
    @Test func skewIsMadeGood() {
        var receiver = Receiver()
        receiver.resequencer.adjust(skew: .milliseconds(20), jitter: .zero)
        let arrivals = (0..<2000).map { counter -> (at: Int, counter: UInt64, patch: Int) in
            let patch = counter % 3 == 0 ? 1 : 0
            return (counter * 100 + (patch == 1 ? 30_000 : 10_000), UInt64(counter + 7), patch)
        }
        for arrival in arrivals.sorted(by: { $0.at < $1.at }) {
            receiver.take(arrival.counter, on: arrival.patch, now: at(arrival.at))
        }
        receiver.expire(now: at(1_000_000))
        #expect(receiver.delivered.count == 2000)
        // Before the slow patch had brought anything, nobody waited for it.
        let settled = receiver.counters.filter { $0 >= 407 }
        #expect(settled == settled.sorted())
        for (counter, time) in receiver.delivered {
            #expect(time.since(receiver.arrivedAt[counter]!) <= receiver.resequencer.patience)
        }
        #expect(receiver.spoilt == 0)
    }

    /// A packet that is lost on one patch holds the others up no longer than until both patches have passed it.
    @Test func aLossIsGivenUpWhenAllHavePassedIt() {
        var receiver = Receiver()
        receiver.resequencer.adjust(skew: .milliseconds(100), jitter: .zero)
        receiver.take(1, on: 0, now: at(0))
        receiver.take(2, on: 1, now: at(10))
        receiver.take(4, on: 0, now: at(20))
        #expect(receiver.counters == [1, 2])
        receiver.take(6, on: 1, now: at(30))
        // Patch 0 may still bring 5, but 3 was lost.
        #expect(receiver.counters == [1, 2, 4])
        receiver.take(7, on: 0, now: at(40))
        #expect(receiver.counters == [1, 2, 4, 6, 7])
        #expect(receiver.resequencer.statistics.expired == 0)
    }

    @Test func aFrameWithoutAPacketLeavesNoGap() {
        var receiver = Receiver()
        receiver.take(1, on: 0, now: at(0))
        receiver.take(2, on: 1, now: at(0))
        receiver.take(4, on: 0, now: at(10))
        #expect(receiver.counters == [1, 2])
        receiver.pass(3, on: 1, now: at(20))
        #expect(receiver.counters == [1, 2, 4])
    }

    @Test func patienceEndsAllWaiting() {
        var receiver = Receiver()
        receiver.resequencer.adjust(skew: .milliseconds(10), jitter: .zero)
        receiver.take(1, on: 0, now: at(0))
        receiver.take(2, on: 1, now: at(0))
        receiver.take(4, on: 0, now: at(100))
        receiver.expire(now: at(12_099))
        #expect(receiver.counters == [1, 2])
        receiver.expire(now: at(12_100))
        #expect(receiver.counters == [1, 2, 4])
        receiver.take(3, on: 1, now: at(12_200))
        #expect(receiver.counters == [1, 2, 4, 3])
        #expect(receiver.resequencer.statistics == .init(held: 1, late: 1, expired: 1, crowded: 0))
    }

    /// §9: the deadline's bounds, whatever the other end's clock says.
    @Test func patienceIsBounded() {
        var resequencer = Resequencer(cell: 64)
        for (skew, jitter, expected) in [
            (0, 0, 3000), (10_000, 0, 12_000), (10_000, 2000, 18_000), (200_000, 0, 120_000), (0, 1 << 40, 120_000),
        ] {
            resequencer.adjust(skew: .microseconds(skew), jitter: .microseconds(jitter))
            #expect(resequencer.patience == .microseconds(expected))
        }
        resequencer.adjust(skew: TimeSpan(nanoseconds: .max), jitter: TimeSpan(nanoseconds: .max))
        #expect(resequencer.patience == .milliseconds(120))
    }

    /// A peer who leaves a gap and sends on at any rate fills no more than the cells, and gets all of it delivered.
    @Test func aBombIsBounded() {
        var receiver = Receiver()
        receiver.resequencer.adjust(skew: .milliseconds(120), jitter: .zero)
        receiver.take(1, on: 0, now: at(0))
        receiver.take(2, on: 1, now: at(0))
        for counter in UInt64(4)..<100_004 { receiver.take(counter, on: 0, now: at(1)) }
        #expect(receiver.resequencer.cells.count == 2048 * 64)
        receiver.expire(now: at(1_000_000))
        #expect(receiver.delivered.count == 100_002)
        #expect(receiver.disordered == 0)
        #expect(receiver.resequencer.statistics.crowded > 0)
    }

    @Test(arguments: [UInt64(1) << 31, UInt64(1) << 63, UInt64.max - 2]) func aJumpTakesNoTime(to target: UInt64) {
        var receiver = Receiver()
        receiver.take(1, on: 0, now: at(0))
        receiver.take(2, on: 1, now: at(0))
        receiver.take(5, on: 0, now: at(1))
        receiver.take(target, on: 1, now: at(2))
        receiver.take(target + 1, on: 0, now: at(3))
        receiver.take(3, on: 0, now: at(4))
        receiver.expire(now: at(1_000_000))
        #expect(receiver.counters.sorted() == [1, 2, 3, 5, target, target + 1])
    }

    @Test func whatIsTooLongToWaitGoesAtOnce() {
        var receiver = Receiver(cell: 64)
        receiver.take(1, on: 0, now: at(0))
        receiver.take(2, on: 1, now: at(0))
        receiver.take(4, on: 0, length: 65, now: at(1))
        receiver.take(5, on: 0, now: at(2))
        #expect(receiver.counters == [1, 2, 4])
        receiver.take(3, on: 1, now: at(3))
        #expect(receiver.counters == [1, 2, 4, 3, 5])
    }

    /// Random patches, each in its own order, with loss: every packet once, unspoilt, none later than patience, and in order
    /// where no gap had to be given up.
    @Test(arguments: Array(0..<200)) func anyInterleaving(seed: Int) {
        var random = SeededGenerator(UInt64(seed))
        let patches = Int.random(in: 2...5, using: &random)
        let delays = (0..<patches).map { _ in Int.random(in: 500...40_000, using: &random) }
        let loss = [0, 0, 10, 50].randomElement(using: &random)!
        var clocks = delays.map { _ in 0 }
        var arrivals: [(at: Int, counter: UInt64, patch: Int)] = []
        for step in 0..<3000 {
            let patch = Int.random(in: 0..<patches, using: &random)
            if Int.random(in: 0..<1000, using: &random) < loss { continue }
            clocks[patch] = max(clocks[patch] + 1, step * 50 + delays[patch])
            arrivals.append((clocks[patch], UInt64(step + 100), patch))
        }
        arrivals.sort { $0.at < $1.at }
        var receiver = Receiver()
        receiver.resequencer.adjust(skew: .microseconds(delays.max()! - delays.min()!), jitter: .zero)
        let patience = receiver.resequencer.patience
        for arrival in arrivals { receiver.take(arrival.counter, on: arrival.patch, now: at(arrival.at)) }
        receiver.expire(now: at(10_000_000))
        #expect(receiver.counters.sorted() == arrivals.map(\.counter).sorted())
        #expect(receiver.spoilt == 0)
        for (counter, time) in receiver.delivered where time.since(receiver.arrivedAt[counter]!) > patience {
            Issue.record("\(counter) waited too long with seed \(seed)")
        }
        // Before all patches have come into play, one is not waited for.
        let begun = UInt64(100 + 2 * delays.max()! / 50)
        let settled = receiver.counters.filter { $0 >= begun }
        let disordered = zip(settled, settled.dropFirst()).filter { $0 > $1 }.count
        #expect(disordered <= (loss == 0 ? 0 : Int(receiver.resequencer.statistics.expired)), "seed \(seed)")
    }
}
