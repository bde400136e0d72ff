// SPDX-License-Identifier: Apache-2.0
// The ratchet of one session's keys (§7): who may move, what moves whom, and what no forger, replay, loss or reordering moves.

import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct KeyPhaseTests {
    private let now = Fixture.now

    private func frame(_ session: Session, _ mark: UInt8 = 0, at time: Instant = Fixture.now) throws -> [UInt8] {
        try #require(session.sealFrame(type: .keepalive, payload: [mark], now: time))
    }

    /// One frame each way.
    private func exchange(_ a: Session, _ b: Session, at time: Instant = Fixture.now) throws {
        #expect(b.openFrame(try frame(a, 1, at: time), now: time) == .frame(.keepalive, [1]))
        #expect(a.openFrame(try frame(b, 2, at: time), now: time) == .frame(.keepalive, [2]))
    }

    private func type(_ datagram: [UInt8]) -> DatagramType? { OuterHeader(datagram)?.type }

    /// Brings a fresh pair to a phase; both ends are there afterwards.
    private func pair(inPhase phase: UInt64) throws -> (Session, Session) {
        let (a, b) = Fixture.sessionPair()
        try exchange(a, b)
        for _ in 0..<phase {
            #expect(a.startPhase(now: now))
            try exchange(a, b)
        }
        return (a, b)
    }

    // MARK: - Who moves

    @Test func openingTheNextPhaseMovesTheOwnSending() throws {
        let (a, b) = try pair(inPhase: 0)
        #expect(a.startPhase(now: now + .seconds(1)))
        #expect(a.phase.sending == 1 && a.phase.receiving == 0 && a.phase.since == now + .seconds(1))
        #expect(!a.phase.mayEnd)
        let first = try frame(a, 5)
        #expect(type(first) == .data1)
        #expect(type(try frame(b)) == .data0)
        #expect(b.openFrame(first, now: now) == .frame(.keepalive, [5]))
        #expect(b.phase.sending == 1 && b.phase.receiving == 1)
        let answer = try frame(b, 6)
        #expect(type(answer) == .data1)
        #expect(a.openFrame(answer, now: now) == .frame(.keepalive, [6]))
        #expect(a.phase.receiving == 1 && a.phase.mayEnd)
    }

    @Test func anEndStartsOnlyAfterAFrameOfItsPeersPhase() throws {
        let (a, b) = Fixture.sessionPair()
        #expect(!a.startPhase(now: now), "nothing of phase 0 was opened")
        try exchange(a, b)
        #expect(a.startPhase(now: now))
        #expect(!a.startPhase(now: now), "the peer was not seen in phase 1")
        // Its phase 0 proves nothing.
        #expect(a.openFrame(try frame(b, 3), now: now) == .frame(.keepalive, [3]))
        #expect(!a.startPhase(now: now))
        try exchange(a, b)
        #expect(a.startPhase(now: now) && a.phase.sending == 2)
    }

    @Test func bothEndsAtOnceMeetInOnePhase() throws {
        var (a, b) = try pair(inPhase: 0)
        for phase in UInt64(1)...20 {
            #expect(a.startPhase(now: now) && b.startPhase(now: now))
            let (there, back) = (try frame(a, 1), try frame(b, 2))
            #expect(b.openFrame(there, now: now) == .frame(.keepalive, [1]))
            #expect(a.openFrame(back, now: now) == .frame(.keepalive, [2]))
            #expect(a.phase.sending == phase && b.phase.sending == phase)
            #expect(a.phase.receiving == phase && b.phase.receiving == phase)
            swap(&a, &b)
        }
    }

    @Test func tenThousandPhases() throws {
        let (a, b) = try pair(inPhase: 10_000)
        #expect(a.phase.sending == 10_000 && b.phase.receiving == 10_000)
        #expect(a.statistics.failedOpens == 0 && b.statistics.failedOpens == 0)
        #expect(type(try frame(a)) == .data0)
    }

    /// A word has room for so many phases; the session ends by its frames or its age then, and no counter is touched.
    @Test func thereIsALastPhase() throws {
        let counter = PhasedCounter(first: 7)
        for _ in 0..<PhasedCounter.lastPhase { #expect(counter.beginPhase() == 7) }
        #expect(counter.next.phase == PhasedCounter.lastPhase && counter.next.counter == 7)
        let (a, b) = try pair(inPhase: 65_535)
        #expect(!a.startPhase(now: now))
        try exchange(a, b)
    }

    // MARK: - Counters and their keys

    /// §7: counters from T on use the new key; those that a worker took before keep theirs.
    @Test func aBlockFromBeforeKeepsItsKey() throws {
        let (a, b) = try pair(inPhase: 0)
        var old = CounterBlock()
        // Blocks double: this one still has counters afterwards.
        for _ in 0..<4 { _ = old.take(of: a, now: now) }
        let unreserved = a.reservedCounters
        #expect(a.startPhase(now: now))
        var new = CounterBlock()
        guard let first = new.take(of: a, now: now) else { return fail("no counter") }
        #expect(first.counter == unreserved)
        #expect(first.key.withObject { ($0.phase, $0.firstCounter) } == (1, unreserved))
        guard let late = old.take(of: a, now: now) else { return fail("no counter") }
        #expect(late.counter < unreserved && late.key.withObject { $0.phase } == 0)
        // The new one arrives first: the late one is of the previous key at the receiver.
        #expect(b.openFrame(seal(a, first, 1), now: now) == .frame(.keepalive, [1]))
        #expect(b.openFrame(seal(a, late, 2), now: now) == .frame(.keepalive, [2]))
        #expect(b.phase.receiving == 1)
    }

    private func seal(_ session: Session, _ turn: (counter: UInt64, key: SendingKeyReference), _ mark: UInt8) -> [UInt8]
    {
        var bytes = [UInt8](repeating: 0, count: 20) + [mark] + [UInt8](repeating: 0, count: 16)
        var span = bytes.mutableSpan
        _ = turn.key.withObject {
            session.seal(
                &span, type: .keepalive, payload: 20..<21, counter: turn.counter, key: $0, padding: .none, ceiling: 5)
        }
        return bytes
    }

    /// Workers take turns at random, phases change at random moments, datagrams arrive in any order within the window: no counter
    /// comes twice, each phase's counters follow those of the phase before, and every datagram opens exactly once.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func interleavedWorkersNeverSealTwiceAlike(_ seed: UInt64) throws {
        var random = SeededGenerator(seed)
        let (a, b) = try pair(inPhase: 0)
        var blocks = (0..<4).map { _ in CounterBlock() }
        var phaseOf: [UInt64: UInt64] = [:]
        var underWay: [[UInt8]] = []
        var time = now
        var opened = 0
        for step in 0..<4000 {
            time += .microseconds(Int.random(in: 0...400, using: &random))
            if step % 37 == 0 { _ = a.startPhase(now: time) }
            if step % 53 == 0, let back = b.sealFrame(type: .keepalive, payload: [0], now: time) {
                _ = a.openFrame(back, now: time)
            }
            let worker = Int.random(in: 0..<4, using: &random)
            guard let turn = blocks[worker].take(of: a, now: time) else { return fail("no counter") }
            let phase = turn.key.withObject { $0.phase }
            #expect(phaseOf.updateValue(phase, forKey: turn.counter) == nil, "counter twice, seed \(seed)")
            underWay.append(seal(a, turn, 9))
            // Across one switch of phases, not across two, between which 120 s lie.
            guard underWay.count == 20 else { continue }
            for datagram in underWay.shuffled(using: &random)
            where b.openFrame(datagram, now: time) == .frame(.keepalive, [9]) { opened += 1 }
            underWay = []
        }
        for datagram in underWay where b.openFrame(datagram, now: time) == .frame(.keepalive, [9]) { opened += 1 }
        #expect(opened == 4000, "seed \(seed)")
        #expect(a.phase.sending > 20, "seed \(seed): \(a.phase)")
        var last: UInt64 = 0
        for counter in phaseOf.keys.sorted() {
            let phase = phaseOf[counter]!
            #expect(phase >= last, "counter \(counter) of phase \(phase) after phase \(last), seed \(seed)")
            last = phase
        }
    }

    // MARK: - Forgers and replays

    @Test func forgedPhaseBitsMoveNothing() throws {
        var random = SeededGenerator(11)
        for phase in UInt64(0)...2 {
            let (a, b) = try pair(inPhase: phase)
            let genuine = try (0..<200).map { _ in try frame(a, 4) }
            let before = b.phase
            for datagram in genuine {
                var forged = datagram
                forged[1] ^= 1
                // Sometimes with another counter: far ahead, or from long ago.
                if Bool.random(using: &random) {
                    for place in 10..<16 { forged[place] = UInt8.random(in: 0...255, using: &random) }
                }
                guard case .drop(let reason) = b.openFrame(forged, now: now) else { return fail("forged and opened") }
                #expect([.authentication, .keyPhase, .replayTooOld, .replayDuplicate].contains(reason))
                #expect(b.phase == before)
            }
            for datagram in genuine { #expect(b.openFrame(datagram, now: now) == .frame(.keepalive, [4])) }
        }
    }

    @Test func replaysOfAnEarlierPhaseStayReplays() throws {
        let (a, b) = try pair(inPhase: 0)
        let seen = try (0..<50).map { _ in try frame(a, 1) }
        let unseen = try frame(a, 2)
        for datagram in seen { #expect(b.openFrame(datagram, now: now) == .frame(.keepalive, [1])) }
        for phase in UInt64(1)...3 {
            #expect(a.startPhase(now: now))
            try exchange(a, b)
            for datagram in seen {
                #expect(b.openFrame(datagram, now: now) == .drop(.replayDuplicate))
                var turned = datagram
                turned[1] ^= 1
                #expect(b.openFrame(turned, now: now) == .drop(.replayDuplicate))
            }
            #expect(b.phase.receiving == phase)
        }
        // One that never arrived has no key any more: three phases ago, tried with the key of the phase before this one.
        #expect(b.openFrame(unseen, now: now) == .drop(.authentication))
        #expect(b.dropOldKeys(now: now + .seconds(5)))
        #expect(b.openFrame(unseen, now: now) == .drop(.keyPhase))
    }

    @Test func lateDatagramsOpenUntilTheirKeyIsWiped() throws {
        let (a, b) = try pair(inPhase: 0)
        let late = try (0..<3).map { try frame(a, UInt8($0)) }
        #expect(a.startPhase(now: now))
        try exchange(a, b)
        #expect(b.openFrame(late[0], now: now) == .frame(.keepalive, [0]))
        let almost = now + .milliseconds(4999)
        #expect(!b.dropOldKeys(now: almost) && !a.dropOldKeys(now: almost))
        #expect(b.openFrame(late[1], now: almost) == .frame(.keepalive, [1]))
        let grace = now + .seconds(5)
        #expect(b.dropOldKeys(now: grace) && a.dropOldKeys(now: grace))
        #expect(!b.dropOldKeys(now: grace), "said once")
        #expect(b.openFrame(late[2], now: grace) == .drop(.keyPhase))
        #expect(b.openFrame(late[0], now: grace) == .drop(.replayDuplicate))
        try exchange(a, b, at: grace)
    }

    /// A peer that begins phases which this end gave no reason for breaks the protocol, with all its keys in hand.
    @Test func aPeerCannotRunAhead() throws {
        let (a, b) = Fixture.sessionPair()
        #expect(b.openFrame(try frame(a, 1), now: now) == .frame(.keepalive, [1]))
        // The keys of A's direction, by hand; B has sealed nothing yet.
        var ratchet = KeyRatchet(
            .aes256GCM, key: Secret(copying: [UInt8](repeating: 101, count: 32)),
            iv: Secret(copying: [UInt8](repeating: 1 ^ 100, count: 12)))
        _ = ratchet.next()
        let ahead = ratchet.next()
        var bytes = OuterHeader(type: .data1, bodyLength: 20, receiverIndex: 0xB000_0001, word: 0x2000_0000).encoded
        bytes += [UInt8](repeating: 0, count: 20)
        var span = bytes.mutableSpan
        ahead.seal(&span, range: 0..<36, counter: 0x2000_0000)
        #expect(b.openFrame(bytes, now: now) == .violation(.keyPhase))
        #expect(b.phase.sending == 0 && b.phase.receiving == 0)
    }

    // MARK: - Loss and order

    /// The initiator begins phases, half of all frames are lost, and of one direction all for a while: what arrives opens, always.
    @Test(arguments: 1...30 as ClosedRange<UInt64>)
    func whateverArrivesOpens(_ seed: UInt64) throws {
        var random = SeededGenerator(seed)
        let (a, b) = Fixture.sessionPair()
        var loss = (there: 0.5, back: 0.5)
        var (sent, arrived) = (0, 0)
        for step in 0..<3000 {
            if step % 100 == 0 {
                loss = [(0.5, 0.5), (1.0, 0.2), (0.2, 1.0), (0.0, 0.0)].randomElement(using: &random)!
            }
            if step % 5 == 0 { _ = a.startPhase(now: now) }
            for (from, to, rate) in [(a, b, loss.there), (b, a, loss.back)] {
                let datagram = try frame(from, 8)
                sent += 1
                guard Double.random(in: 0..<1, using: &random) >= rate else { continue }
                arrived += 1
                #expect(to.openFrame(datagram, now: now) == .frame(.keepalive, [8]), "seed \(seed), step \(step)")
            }
            let (one, other) = (a.phase, b.phase)
            #expect(one.sending >= other.sending && one.sending - other.sending <= 1)
            #expect(one.sending - one.receiving <= 1 && other.sending == other.receiving)
        }
        #expect(a.phase.sending > 100 && arrived < sent)
        #expect(a.statistics.failedOpens == 0 && b.statistics.failedOpens == 0)
    }

    /// Datagrams of three phases shuffled within what the window and one grace bear: a phase at a time lies between them.
    @Test(arguments: 1...50 as ClosedRange<UInt64>)
    func reorderingAcrossASwitchLosesNothing(_ seed: UInt64) throws {
        var random = SeededGenerator(seed)
        let (a, b) = try pair(inPhase: seed % 3)
        var datagrams = try (0..<100).map { _ in try frame(a, 3) }
        #expect(a.startPhase(now: now))
        datagrams += try (0..<100).map { _ in try frame(a, 3) }
        datagrams.shuffle(using: &random)
        for datagram in datagrams { #expect(b.openFrame(datagram, now: now) == .frame(.keepalive, [3])) }
        for datagram in datagrams { #expect(b.openFrame(datagram, now: now) == .drop(.replayDuplicate)) }
        #expect(b.phase.receiving == seed % 3 + 1)
    }

    @Test func aPeerThatNeverFollowsMeetsTheHardStop() throws {
        let (a, b) = try pair(inPhase: 0)
        #expect(a.startPhase(now: now))
        a.skipCounters(Limits.framesPerPhase - 1)
        #expect(a.statistics.framesLeft == 1)
        _ = try frame(a)
        #expect(a.sealFrame(type: .pad, payload: [], now: now) == nil)
        // What it hears is of phase 0 as before, and no reason for another phase.
        #expect(a.openFrame(try frame(b, 1), now: now) == .frame(.keepalive, [1]))
        #expect(!a.startPhase(now: now))
        #expect(a.phase.frames == Limits.framesPerPhase + 1)
    }

    /// A new phase is a new budget of 2^30 frames.
    @Test func aNewPhaseHasItsOwnLimit() throws {
        let (a, b) = try pair(inPhase: 0)
        a.skipCounters(Limits.framesPerPhase - 1)
        #expect(a.startPhase(now: now))
        #expect(a.statistics.framesLeft == Limits.framesPerPhase)
        try exchange(a, b)
        a.skipCounters(Limits.framesPerPhase - 2)
        #expect(b.openFrame(try frame(a, 1), now: now) == .frame(.keepalive, [1]))
        #expect(a.sealFrame(type: .pad, payload: [], now: now) == nil)
    }

    // MARK: - Wiping

    /// After the grace nothing holds a key of the phase before: not the session, and no worker, busy or idle.
    @Test func oldKeysAreWiped() throws {
        var pair = try TestPair()
        let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        let answer = Fixture.packet(from: "10.77.0.2", to: "10.77.0.1")
        #expect(pair.b.receive(try #require(pair.a.send(packet).datagram)) == .deliver(packet))
        #expect(pair.a.receive(try #require(pair.b.send(answer).datagram)) == .deliver(answer))
        weak let old = pair.sessionA.sendingKey(of: 0)
        #expect(pair.sessionA.startPhase(now: now))
        #expect(old != nil)
        #expect(pair.sessionA.dropOldKeys(now: now + .seconds(5)))
        #expect(old != nil, "a worker has counters of that phase")
        pair.a.plane.apply(.dropOldKeys(pair.sessionA.localIndex))
        #expect(old == nil)
        #expect(pair.sessionA.sendingKey(of: 0) == nil)
        #expect(pair.b.receive(try #require(pair.a.send(packet).datagram)) == .deliver(packet))
    }
}
