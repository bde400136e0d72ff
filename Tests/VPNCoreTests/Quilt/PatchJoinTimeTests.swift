// SPDX-License-Identifier: Apache-2.0
// When a patch that is wanted is asked for (§9), how often and with how long packets, and when that rests.
import Testing

@testable import VPNCore

private func at(_ milliseconds: Int) -> Instant { .origin + .seconds(5) + .milliseconds(milliseconds) }

@Suite struct PatchJoinTimeTests {
    private static let way = Carrier.udp(QuiltScenario.endpoint(2, 2))
    private static let longest = 1400

    /// Patch 2, which finds this end by index 40 and the other one by 50.
    private func added() -> PatchJoin {
        var join = PatchJoin(number: 2, carrier: Self.way, localIndex: 40, mtu: Self.longest, deadline: at(0))
        _ = join.advance(isUp: false, wanted: Self.longest, nonce: 1, now: at(0))
        let isAnswer = join.added(PatchMessage(nonce: 1, patch: 2, .add(index: 50)), index: 50, now: at(0))
        #expect(isAnswer)
        return join
    }

    private func joined() -> PatchJoin {
        var join = added()
        _ = join.advance(isUp: false, wanted: Self.longest, nonce: 2, now: at(0))
        let isProven = prove(&join, nonce: 2, size: Self.longest)
        #expect(isProven)
        return join
    }

    private func prove(_ join: inout PatchJoin, nonce: UInt64, size: Int) -> Bool {
        let message = PatchMessage(nonce: nonce, patch: 2, .join(echo: 9, size: size))
        return join.joined(message, size: size, on: Self.way, now: at(0))
    }

    /// What is asked at its times until so many questions went, where nobody answers. Their nonces are 10, 11, … .
    private func questions(_ join: inout PatchJoin, _ count: Int) -> [(milliseconds: Int, step: PatchJoin.Step)] {
        var asked: [(milliseconds: Int, step: PatchJoin.Step)] = []
        while asked.count < count, join.deadline < at(100_000) {
            let now = join.deadline
            let nonce = UInt64(10 + asked.count)
            guard let step = join.advance(isUp: false, wanted: Self.longest, nonce: nonce, now: now) else { continue }
            asked.append((Int(now.since(at(0)).nanoseconds / 1_000_000), step))
        }
        return asked
    }

    private func size(_ step: PatchJoin.Step) -> Int? {
        if case .prove(let message, remoteIndex: 50) = step { message.size } else { nil }
    }

    private func isAnnouncement(_ step: PatchJoin.Step) -> Bool {
        if case .announce = step { true } else { false }
    }

    // MARK: - A patch that is joined

    /// A patch that carries all that the others carry has shown that once, and says nothing more.
    @Test func aPatchThatCarriesIsLeftAlone() {
        var join = joined()
        for second in 1...20 {
            let early = join.advance(isUp: true, wanted: Self.longest, nonce: 3, now: at(second * 1000 - 1))
            let due = join.advance(isUp: true, wanted: Self.longest, nonce: 3, now: at(second * 1000))
            #expect(early == nil && due == nil && join.phase == .joined, "after \(second) s")
        }
        let shorter = join.advance(isUp: true, wanted: 1280, nonce: 3, now: at(21_000))
        #expect(shorter == nil)
    }

    /// The others carry longer packets by now, or it went down: it has to show anew what it carries.
    @Test func aPatchShowsAnewWhatItCarries() {
        var longer = joined()
        let wanted = longer.advance(isUp: true, wanted: 1436, nonce: 3, now: at(1000))
        #expect(wanted == .prove(PatchMessage(nonce: 3, patch: 2, .join(echo: 0, size: 1436)), remoteIndex: 50))
        var down = joined()
        let same = down.advance(isUp: false, wanted: Self.longest, nonce: 3, now: at(1000))
        let question = PatchMessage(nonce: 3, patch: 2, .join(echo: 0, size: Self.longest))
        #expect(same == .prove(question, remoteIndex: 50))
    }

    /// The network brings an answer twice: it counts once, and not when it comes after the question was given up.
    @Test func aProofCountsOnce() {
        var join = joined()
        let again = prove(&join, nonce: 2, size: Self.longest)
        #expect(!again && join.phase == .joined)
        var late = added()
        _ = questions(&late, 6)
        let isAsking = late.phase == .joining
        let step = late.advance(isUp: false, wanted: Self.longest, nonce: 99, now: late.deadline)
        #expect(isAsking && step == nil && late.phase == .resting)
        let isProven = prove(&late, nonce: 15, size: Limits.patchLeastMTU)
        #expect(!isProven && late.phase == .resting)
        // Before that it would have counted.
        var inTime = added()
        _ = questions(&inTime, 6)
        let isTaken = prove(&inTime, nonce: 15, size: Limits.patchLeastMTU)
        #expect(isTaken && inTime.phase == .joined)
    }

    // MARK: - Nobody answers

    /// §9: three questions as long as the others carry, three of 1280 bytes, then five seconds of rest.
    @Test func aSilentWayIsTriedWithShorterPackets() {
        var join = added()
        let asked = questions(&join, 7)
        #expect(asked.map { size($0.step) } == [1400, 1400, 1400, 1280, 1280, 1280, 1400])
        #expect(asked.map(\.milliseconds) == [0, 300, 900, 2100, 2400, 3000, 9200])
    }

    /// An end that does not answer twice in a row may have forgotten the patch: then it is announced anew, not before.
    @Test func afterTwoRestsItIsAnnouncedAnew() {
        var join = added()
        let asked = questions(&join, 14)
        #expect(asked.prefix(12).allSatisfy { size($0.step) != nil })
        #expect(asked.suffix(2).map { isAnnouncement($0.step) } == [true, true] && join.remoteIndex == 0)
    }

    /// There is nothing to be proven where the other end has not told its index: index 0 finds nobody.
    @Test func nothingGoesToAnEndThatSaysNothing() {
        var join = PatchJoin(number: 2, carrier: Self.way, localIndex: 40, mtu: Self.longest, deadline: at(0))
        let asked = questions(&join, 5)
        #expect(asked.allSatisfy { isAnnouncement($0.step) })
        #expect(asked.map(\.milliseconds) == [0, 300, 900, 7100, 7400])
    }
}
