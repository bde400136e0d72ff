// SPDX-License-Identifier: Apache-2.0
// What one end knows of a session's patches (§9): what wakes them, what is thought of one that falls silent and of one
// that comes back, what goes again, and who is told when something is due.
import Testing
import VPNCrypto

@testable import VPNCore

private func at(_ milliseconds: Int) -> Instant { .origin + .seconds(5) + .milliseconds(milliseconds) }

@Suite struct QuiltStateTests {
    private static let carriers = [Fixture.carrierToA, Fixture.carrierToB]
    private static let datagram = [UInt8](repeating: 7, count: 1236)

    private func join(_ state: inout QuiltState, _ patch: Int, at time: Int = 0) {
        state.join(patch, Self.carriers[patch], remoteIndex: UInt32(patch + 1), mtu: 1400, now: at(time))
    }

    /// Two patches, since time 0.
    private func fresh(_ kind: QuiltScheduler = .edpf) -> QuiltState {
        var state = QuiltState(QuiltConfiguration(scheduler: kind))
        for patch in 0..<2 { join(&state, patch) }
        return state
    }

    /// Asks all patches that are due. Each answer comes twice as long after its question as the way there takes.
    ///
    /// - Parameters:
    ///   - answering: those that answer.
    ///   - there: milliseconds of the way there, for each patch.
    ///   - lost: packets of patch 0 that did not come.
    private func probe(
        _ state: inout QuiltState, at time: Int, answering: Set<Int> = [0, 1], there: [Int] = [1, 1], lost: UInt64 = 0
    ) {
        while let due = state.nextProbe(now: at(time)) {
            let (patch, probe) = (due.way.patch, due.probe)
            guard answering.contains(patch) else { continue }
            let missing = patch == 0 ? lost : 0
            let report = PatchReport(
                answering: probe, receivedAt: probe.sentAt + UInt64(there[patch] * 1000),
                packets: probe.packets - missing, bytes: probe.bytes - missing * UInt64(Self.datagram.count))
            let isBelieved = state.receive(report, now: at(time + 2 * there[patch]))
            #expect(isBelieved, "patch \(patch) at \(time) ms")
        }
    }

    /// The patch that one more datagram goes by.
    private func send(_ state: inout QuiltState, at time: Int) -> Int? {
        state.choose(for: Self.datagram, flow: 1, isExpress: false, now: at(time))?.first.patch
    }

    // MARK: - What comes

    /// §9: a copy shows that its patch brings something, not who sent it: somebody on the way repeats what he likes.
    @Test func whatCameTwiceShowsNobody() {
        var state = fresh()
        var copies = QuiltState.Arrivals()
        copies.add(.drop(.replayDuplicate), bytes: 100)
        copies.add(.drop(.authentication), bytes: 100)
        state.received(copies, on: 1, now: at(1000))
        #expect(state.patches[1]?.received == Patch.Count(packets: 1, bytes: 100) && state.patches[1]?.heard == at(0))
        var frames = QuiltState.Arrivals()
        frames.add(.frame(FrameView(type: .probe, payload: 0..<32)), bytes: 68)
        state.received(frames, on: 1, now: at(2000))
        #expect(state.patches[1]?.received.packets == 2 && state.patches[1]?.heard == at(2000))
    }

    /// Probes and keepalives are no traffic: an idle quilt would be asked as often as a busy one for ever.
    @Test func packetsAloneWakeAQuilt() {
        var state = fresh()
        probe(&state, at: 0)
        let idle = state.due
        #expect(idle >= at(700))
        for type in FrameType.allCases where type != .ip {
            var frames = QuiltState.Arrivals()
            frames.add(.frame(FrameView(type: type, payload: 0..<32)), bytes: 68)
            state.received(frames, on: 0, now: at(100))
        }
        #expect(state.due == idle)
        var packets = QuiltState.Arrivals()
        packets.add(.frame(FrameView(type: .ip, payload: 0..<32)), bytes: 68)
        state.received(packets, on: 0, now: at(100))
        #expect(state.due == at(100) + Limits.patchProbeBusy)
    }

    // MARK: - Who is told

    /// Whoever keeps the time is told once that something is due earlier, until it looks; and not of each packet.
    @Test func itIsToldOnceThatSomethingIsDueEarlier() {
        var state = fresh()
        probe(&state, at: 0)
        _ = state.look()
        _ = send(&state, at: 100)
        let first = state.isEarlier
        _ = state.look()
        _ = send(&state, at: 110)
        let second = state.isEarlier
        #expect(first && !second)
        join(&state, 1, at: 120)
        let third = state.isEarlier
        state.tell()
        join(&state, 1, at: 130)
        let told = state.isEarlier
        _ = state.look()
        join(&state, 1, at: 140)
        #expect(third && !told && state.isEarlier)
    }

    /// It rings once, whatever happens until somebody answers: what it keeps does not grow with each packet.
    @Test func aQuiltRingsOnce() {
        let quilt = Quilt(Fixture.sessionPair().0, QuiltConfiguration())
        let alarm = QuiltAlarm()
        _ = quilt.attach(alarm)
        for patch in 0..<2 {
            quilt.withState {
                $0.join(patch, Self.carriers[patch], remoteIndex: UInt32(patch + 1), mtu: 1400, now: at(0))
            }
        }
        for _ in 0..<100 { quilt.withState { $0.sent(100, on: 0) } }
        let rang = alarm.answer()
        let silent = alarm.answer()
        #expect(rang == [quilt.session.localIndex] && silent.isEmpty)
    }

    // MARK: - The choice

    /// Reports tell which way there is the shorter one.
    @Test func theShorterWayIsLearnt() {
        var state = fresh()
        probe(&state, at: 0, there: [40, 10])
        let chosen = send(&state, at: 100)
        #expect(chosen == 1)
    }

    /// §9, `minrtt`: three reports have to say that another patch is better. That time goes by says nothing.
    @Test func timeAloneChangesNoPreference() {
        var state = fresh(.minrtt)
        probe(&state, at: 0, answering: [1], there: [1, 5])
        for _ in 0..<10 { state.advance(now: at(20)) }
        let before = send(&state, at: 20)
        for time in [220, 420] { probe(&state, at: time, answering: [1], there: [1, 5]) }
        let after = send(&state, at: 450)
        #expect(before == 0 && after == 1)
    }

    /// What went twice needs no third time: it takes no memory.
    @Test func whatWentTwiceIsNotKept() {
        var (once, twice) = (fresh(), fresh(.redundant))
        let first = once.choose(for: Self.datagram, flow: 1, isExpress: false, now: at(0))
        let second = twice.choose(for: Self.datagram, flow: 1, isExpress: false, now: at(0))
        #expect(first?.copy == nil && once.keptBytes == Self.datagram.count)
        #expect(second?.copy != nil && twice.keptBytes == 0)
    }

    // MARK: - Silence

    /// Patch 0 does not answer: nothing new goes there, and what it had goes by the other one, at its pace.
    @Test func whatASilentPatchHadGoesElsewhere() {
        var state = fresh()
        probe(&state, at: 0)
        let before = (0..<3).map { _ in send(&state, at: 50) }
        probe(&state, at: 210, answering: [1])
        state.advance(now: at(500))
        #expect(before == [0, 0, 0] && state.patches[0]?.carries == true)
        state.advance(now: at(520))
        #expect(state.patches[0]?.health.state == .suspect)
        let first = state.nextAgain(now: at(520))
        let early = state.nextAgain(now: at(520))
        #expect(first?.datagram == Self.datagram && first?.way.patch == 1 && early == nil)
        let rest = (0..<3).map { state.nextAgain(now: at(530 + $0))?.way.patch }
        #expect(rest == [1, 1, nil] && state.sentAgain == 3)
        let after = send(&state, at: 540)
        #expect(after == 1)
    }

    /// Patch 0 is down since a while, and 64 packets with it, after it had shown what it does.
    private func down() -> QuiltState {
        var state = fresh()
        probe(&state, at: 0)
        for _ in 0..<10 { _ = send(&state, at: 100) }
        probe(&state, at: 300)
        let delivered = state.patches[0]?.estimator.delivered ?? 0
        #expect(delivered > 0)
        // It shows the same that it had shown before: what is known of it goes on.
        join(&state, 0, at: 310)
        #expect(state.patches[0]?.estimator.delivered == delivered)
        probe(&state, at: 600, answering: [1])
        for _ in 0..<64 { _ = send(&state, at: 610) }
        for time in stride(from: 620, through: 2000, by: 10) {
            state.advance(now: at(time))
            probe(&state, at: time, answering: [1])
        }
        #expect(state.patches[0]?.health.state == .down && state.patches[0]?.sent.packets == 74)
        return state
    }

    /// What it lost while it was down, and what it did before that, says nothing of a patch that is back.
    @Test func aPatchThatComesBackBeginsAnew() {
        var joined = down()
        join(&joined, 0, at: 2010)
        #expect(joined.patches[0]?.carries == true && joined.patches[0]?.estimator.delivered == 0)
        var answered = down()
        probe(&answered, at: 4000, lost: 64)
        #expect(answered.patches[0]?.carries == true && answered.patches[0]?.estimator.lossPerMille == 0)
        #expect(answered.patches[0]?.estimator.reported == 74)
    }
}
