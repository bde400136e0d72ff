// SPDX-License-Identifier: Apache-2.0
// The choice among patches at its edges: patches that are not known yet, worth nothing, or from elsewhere; answers that
// belong to no question; and flows of packets that are too short to have one.
import Testing

@testable import VPNCore

private func at(_ milliseconds: Int) -> Instant { .origin + .seconds(5) + .milliseconds(milliseconds) }

@Suite struct SchedulerEdgeTests {
    /// - Parameter delay: over that of the quickest patch, in milliseconds.
    private func condition(_ delay: Int, megabits: Double) -> PatchCondition {
        PatchCondition(
            state: .up, roundTrip: .milliseconds(2 * delay), variation: .zero, delay: .milliseconds(delay),
            rate: UInt64(megabits * 1e6 / 8), isRateKnown: true)
    }

    /// Nothing is held against a patch before there is one, nor against one beyond the last.
    @Test func whatIsNotKnownHasNoAccount() {
        var scheduler = PatchScheduler(.edpf)
        let expected = PatchAccount(busy: .milliseconds(1), corrected: 5)
        for patch in 0..<Limits.patches {
            scheduler.correct(patch: patch, measured: .milliseconds(50), expected: expected, now: at(0))
            let account = scheduler.account(patch: patch, now: at(0))
            #expect(account == PatchAccount())
        }
        scheduler.update([condition(0, megabits: 100)])
        scheduler.correct(patch: 1, measured: .milliseconds(50), expected: expected, now: at(0))
        let accounts = (0..<2).map { scheduler.account(patch: $0, now: at(0)) }
        #expect(accounts == [PatchAccount(), PatchAccount()])
    }

    /// Packets of a burst that go by a far patch, while the near one, of 100 Mbit/s, has about all that it can do.
    private func burst(far megabits: Double) -> Int {
        var scheduler = PatchScheduler(.edpf)
        scheduler.update([condition(0, megabits: 100), condition(30, megabits: megabits)])
        var now = at(0)
        // 95 Mbit/s for 200 ms.
        for _ in 0..<1700 {
            _ = scheduler.choose(flow: 1, bytes: 1400, now: now)
            now += .microseconds(118)
        }
        // 22 ms of the near patch at once: in the end the far one would be sooner, if its length did not count.
        return (0..<200).count { _ in scheduler.choose(flow: 1, bytes: 1400, now: now)?.first == 1 }
    }

    /// Under load it does not count how long a way is, but for one that is worth less than a sixteenth of all.
    @Test(arguments: [(1.0, false), (6.0, false), (7.0, true), (20.0, true)] as [(Double, Bool)])
    func aPatchOfNextToNothingStaysFar(_ far: (megabits: Double, isUsed: Bool)) {
        let packets = burst(far: far.megabits)
        #expect((packets > 0) == far.isUsed, "\(packets) packets by a patch of \(far.megabits) Mbit/s")
    }

    // MARK: - What was learnt of a patch

    /// A later answer says all that an earlier one would: the earlier one is none any more, and changes nothing.
    @Test func anOlderReportChangesNothing() {
        var estimator = PatchEstimator()
        let probes = (0..<3).map { place in
            estimator.probe(patch: 1, packets: UInt64(place * 10), bytes: UInt64(place * 9000), now: at(place * 100))
        }
        func report(_ place: Int, at time: Int) -> Bool {
            let probe = probes[place]
            let report = PatchReport(
                answering: probe, receivedAt: probe.sentAt + 10_000, packets: probe.packets, bytes: probe.bytes)
            return estimator.receive(report, now: at(time))
        }
        let later = report(1, at: 120)
        let earlier = report(0, at: 130)
        #expect(later && !earlier)
        #expect(estimator.roundTrip == .milliseconds(20) && estimator.reported == 10 && estimator.unanswered == 1)
        let latest = report(2, at: 220)
        #expect(latest && estimator.reported == 20 && estimator.lossPerMille == 0)
    }

    /// A quilt with one patch, whose round trip is known to be 20 ms.
    private func measured(_ number: Int, _ carrier: Carrier) throws -> QuiltState {
        var state = QuiltState(QuiltConfiguration())
        state.join(number, carrier, remoteIndex: 5, mtu: 1400, now: at(0))
        let due = state.nextProbe(now: at(0))
        let probe = try #require(due).probe
        let report = PatchReport(answering: probe, receivedAt: 0, packets: 0, bytes: 0)
        let isBelieved = state.receive(report, now: at(20))
        #expect(isBelieved && state.patches[number]?.estimator.roundTrip == .milliseconds(20))
        return state
    }

    /// A patch that joins again from where it was is the same one; from elsewhere it is another, still unknown.
    @Test func aPatchThatJoinsFromElsewhereIsAnother() throws {
        var state = try measured(1, Fixture.carrierToA)
        state.join(1, Fixture.carrierToA, remoteIndex: 5, mtu: 1436, now: at(30))
        #expect(state.patches[1]?.estimator.roundTrip == .milliseconds(20) && state.patches[1]?.mtu == 1436)
        state.join(1, Fixture.carrierToB, remoteIndex: 5, mtu: 1436, now: at(40))
        #expect(state.patches[1]?.carrier == Fixture.carrierToB && state.patches[1]?.estimator.roundTrip == nil)
    }

    /// The session's first carrier, told once more, is no move, be it bound to an address of this host or not.
    @Test func aMoveToWhereItIsForgetsNothing() throws {
        var endpoint = Endpoint(v4: 0x0A01_0002, port: 9000)
        endpoint.source = 3
        let bound = Carrier.udp(endpoint)
        var state = try measured(0, bound)
        state.moveFirst(to: bound)
        #expect(state.patches[0]?.carrier == bound && state.patches[0]?.estimator.roundTrip == .milliseconds(20))
        state.moveFirst(to: bound.fromAnyAddress)
        #expect(state.patches[0]?.carrier == bound.fromAnyAddress)
        #expect(state.patches[0]?.estimator.roundTrip == .milliseconds(20))
        state.moveFirst(to: Fixture.carrierToB)
        #expect(state.patches[0]?.carrier == Fixture.carrierToB && state.patches[0]?.estimator.roundTrip == nil)
    }
}

@Suite struct PatchJoinTests {
    private static let way = Carrier.udp(QuiltScenario.endpoint(2, 2))
    private static let elsewhere = Carrier.udp(QuiltScenario.endpoint(3, 2))

    /// Patch 2, announced with the nonce 7.
    private func announced() -> PatchJoin {
        var join = PatchJoin(number: 2, carrier: Self.way, localIndex: 40, mtu: 1400, deadline: at(0))
        let step = join.advance(isUp: false, wanted: 1400, nonce: 7, now: at(0))
        #expect(step == .announce(PatchMessage(nonce: 7, patch: 2, .add(index: 40))))
        return join
    }

    private func added(_ join: inout PatchJoin, patch: Int = 2, nonce: UInt64 = 7, index: UInt32 = 50) -> Bool {
        join.added(PatchMessage(nonce: nonce, patch: patch, .add(index: index)), index: index, now: at(10))
    }

    @Test func anAnnouncementHasAnAnswerOfItsOwn() {
        var join = announced()
        let wrong = [added(&join, patch: 3), added(&join, nonce: 8)]
        #expect(wrong == [false, false] && join.phase == .adding && join.remoteIndex == 0)
        let right = added(&join)
        #expect(right && join.phase == .joining && join.remoteIndex == 50)
        let again = added(&join, index: 51)
        #expect(!again && join.remoteIndex == 50)
    }

    /// Index 0: there shall be no such patch. Nothing is sent to index 0, and it is asked for again later.
    @Test func aRefusalIsTakenForOne() {
        var join = announced()
        let isAnswer = added(&join, index: 0)
        #expect(isAnswer && join.phase == .resting && join.deadline == at(10) + Limits.patchRest)
        let early = join.advance(isUp: false, wanted: 1400, nonce: 9, now: at(20))
        #expect(early == nil)
        let late = join.advance(isUp: false, wanted: 1400, nonce: 9, now: at(10) + Limits.patchRest)
        #expect(late == .announce(PatchMessage(nonce: 9, patch: 2, .add(index: 40))))
    }

    /// The answer on the patch itself is as long as the question, has its nonce, and comes from where that went.
    @Test func aProofIsOfWhatWasAsked() {
        var join = announced()
        let isAdded = added(&join)
        let step = join.advance(isUp: false, wanted: 1400, nonce: 9, now: at(10))
        let question = PatchMessage(nonce: 9, patch: 2, .join(echo: 0, size: 1400))
        #expect(isAdded && step == .prove(question, remoteIndex: 50))
        func proven(_ size: Int = 1400, patch: Int = 2, nonce: UInt64 = 9, on carrier: Carrier? = nil) -> Bool {
            let message = PatchMessage(nonce: nonce, patch: patch, .join(echo: 1, size: size))
            return join.joined(message, size: size, on: carrier ?? Self.way, now: at(20))
        }
        let wrong = [
            proven(patch: 3), proven(nonce: 8), proven(1399), proven(1401), proven(18), proven(on: Self.elsewhere),
        ]
        #expect(!wrong.contains(true) && join.phase == .joining)
        let right = proven()
        #expect(right && join.phase == .joined && join.mtu == 1400)
    }
}

@Suite struct FlowHashTests {
    /// The number of a packet at an odd place, with something behind it or where the memory ends.
    private func number(_ packet: [UInt8], behind: [UInt8] = []) -> UInt32 {
        var bytes = [0xEE, 0xEE, 0xEE] + packet + behind
        let span = bytes.mutableSpan
        return FlowHash.of(span, 3..<3 + packet.count)
    }

    private static let behind: [[UInt8]] = [[1, 2, 3, 4], [5, 6, 7, 8], []]

    @Test func whatIsTooShortIsOfNoFlow() {
        let four = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        let six = Fixture.packet(from: "fd77::1", to: "fd77::2")
        let rest = [UInt8](repeating: 9, count: 60)
        let short = (0..<20).map { Array(four.prefix($0)) } + (0..<40).map { Array(six.prefix($0)) }
        for packet in short { #expect(number(packet, behind: rest) == 0 && number(packet) == 0, "\(packet.count)") }
    }

    /// Where there are no ports, or behind what is none of the packet, nothing is taken for them.
    @Test func portsAreOfThePacket() {
        let four = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        var other = four
        other[20] ^= 1
        #expect(number(four) != number(other) && number(four) != 0)
        // Cut off, options that lead out of the packet, and IPv6 without anything in it.
        var long = four
        long[0] = 0x4F
        let six = Fixture.packet(from: "fd77::1", to: "fd77::2")
        let cut = (20..<24).map { Array(four.prefix($0)) } + (40..<44).map { Array(six.prefix($0)) }
        for packet in cut + [long] {
            #expect(Set(Self.behind.map { number(packet, behind: $0) }).count == 1, "\(packet.count) bytes")
        }
        // All fragments of a packet go one way, whatever lies where the first of them has its ports.
        for (high, low) in [(0x20, 0), (0, 1), (0x1F, 0xFF)] as [(UInt8, UInt8)] {
            var first = four
            (first[6], first[7]) = (high, low)
            var second = first
            second[20] ^= 1
            #expect(number(first, behind: [1, 2, 3, 4]) == number(second, behind: [5, 6, 7, 8]), "\(high) \(low)")
        }
    }

    @Test func flowsOfIPv6AreToldApart() {
        let packet = Fixture.packet(from: "fd77::1", to: "fd77::2")
        func changed(_ place: Int) -> [UInt8] {
            var other = packet
            other[place] ^= UInt8(place | 1)
            return other
        }
        // Flow label, next header, the ends of both addresses, and both ports.
        let others = [2, 3, 6, 23, 39, 41, 43].map { number(changed($0)) }
        #expect(Set(others + [number(packet)]).count == 8)
        // Traffic class, hop limit and what follows the ports are no part of a flow.
        for place in [0, 7, 44, 59] { #expect(number(changed(place)) == number(packet), "byte \(place)") }
    }
}
