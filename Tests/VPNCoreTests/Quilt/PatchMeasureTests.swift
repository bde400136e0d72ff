// SPDX-License-Identifier: Apache-2.0
// What is remembered of a patch (§9): for how long the best and the worst of it count, what its probes are held
// against, and clocks that tell nothing.
import Testing

@testable import VPNCore

private func at(_ milliseconds: Int) -> Instant { .origin + .seconds(5) + .milliseconds(milliseconds) }

/// A patch whose probes are all answered: ten packets of 1,000 bytes go before each, where nothing else is said.
private struct Probed {
    /// Of the reporter's clock, in microseconds.
    static let clock = 777_000_000

    var estimator = PatchEstimator()
    private var sent: UInt64 = 0
    private var came: UInt64 = 0

    /// - Parameter there: how long the way there takes; the way back takes 10 ms.
    mutating func round(
        _ time: Int, packets: UInt64 = 10, lost: UInt64 = 0, there: Int = 10, clock: Int = Probed.clock
    ) {
        sent += packets
        came += packets - lost
        let probe = estimator.probe(patch: 1, packets: sent, bytes: sent * 1000, now: at(time))
        let report = PatchReport(
            answering: probe, receivedAt: UInt64(clock + (time + there) * 1000), packets: came, bytes: came * 1000)
        let isBelieved = estimator.receive(report, now: at(time + there + 10))
        #expect(isBelieved)
    }
}

@Suite struct PatchMeasureTests {
    // MARK: - What is believed for how long

    /// A way that became longer is not held against what it once was for ever.
    @Test func theShortestRoundTripIsForgotten() {
        var patch = Probed()
        for step in 0..<20 { patch.round(step * 100) }
        for step in 20..<118 { patch.round(step * 100, there: 40) }
        #expect(patch.estimator.shortest == .milliseconds(20))
        for step in 118..<121 { patch.round(step * 100, there: 40) }
        #expect(patch.estimator.shortest == .milliseconds(50))
    }

    /// Nor is what looks like a queue one for ever.
    @Test func aWayThatStaysLongHasNoQueue() {
        var patch = Probed()
        for step in 0..<20 { patch.round(step * 100) }
        for step in 20..<90 { patch.round(step * 100, there: 40) }
        let offset = Int64(Probed.clock - 5_000_000)
        #expect(patch.estimator.offset == offset + 10_000 && patch.estimator.queue == .milliseconds(30))
        for step in 90..<250 { patch.round(step * 100, there: 40) }
        #expect(patch.estimator.offset == offset + 40_000 && patch.estimator.queue == .zero)
    }

    /// The reporter's clock stood still, or ran backwards: nobody can tell how fast anything came, and what the patch
    /// can do stays unknown. With a clock that goes on the same losses tell it.
    @Test(arguments: [(0, nil), (-1_000_000, nil), (100_000, 100_000)] as [(Int, UInt64?)])
    func aClockThatDoesNotGoOnTellsNoRate(_ clock: (step: Int, rate: UInt64?)) {
        var patch = Probed()
        patch.round(0)
        patch.round(100, packets: 100, lost: 90, clock: Probed.clock - 100_000 + clock.step)
        #expect(patch.estimator.lossPerMille > Limits.patchLossTold)
        #expect(patch.estimator.capacity == clock.rate && patch.estimator.isSaturated == (clock.rate != nil))
    }

    /// It had more than it could do, and now does all that is asked of it: it is taken for one that can do more.
    @Test func whatIsWellUsedIsThoughtToDoMore() {
        var patch = Probed()
        for step in 0..<20 { patch.round(step * 100, packets: 100, lost: 30) }
        #expect(patch.estimator.isSaturated && patch.estimator.capacity == patch.estimator.delivered)
        for step in 20..<50 { patch.round(step * 100, packets: 100) }
        let capacity = patch.estimator.capacity ?? 0
        #expect(!patch.estimator.isSaturated && patch.estimator.delivered == 1_000_000)
        #expect((1_030_000...1_500_000).contains(capacity), "\(capacity)")
        // Where little is asked of it nothing more is learnt.
        for step in 50..<70 { patch.round(step * 100, packets: 10) }
        #expect(patch.estimator.capacity == capacity)
    }

    // MARK: - Probes

    private func fresh() -> Patch { Patch(carrier: Fixture.carrierToA, remoteIndex: 5, mtu: 1400, now: at(0)) }

    private func answer(_ probe: PatchProbe) -> PatchReport {
        PatchReport(answering: probe, receivedAt: probe.sentAt, packets: 0, bytes: 0)
    }

    /// Probes are as long as what went, until one as long was answered: one that lets short ones pass alone stays down.
    @Test func aShortAnswerSaysNothingOfLongDatagrams() {
        var patch = fresh()
        let account = PatchAccount(busy: .milliseconds(7), corrected: 3)
        let short = patch.probe(1, account: account, now: at(0))
        patch.went(1236)
        patch.went(300)
        let first = patch.receive(answer(short), now: at(20))
        #expect(first == account && patch.longest == 1236)
        let long = patch.probe(1, account: PatchAccount(), now: at(100))
        let second = patch.receive(answer(long), now: at(120))
        #expect(second == PatchAccount() && patch.longest == 0)
    }

    /// A patch that is down is asked once a second, for as long as it is.
    @Test func whatUnansweredProbesWaitForIsBounded() {
        var patch = fresh()
        for step in 0..<1000 { _ = patch.probe(1, account: PatchAccount(), now: at(step * 1000)) }
        let accounts = Mirror(reflecting: patch).children.first { $0.label == "accounts" }?.value as? any Collection
        #expect((accounts?.count ?? .max) == Limits.patchProbesKept)
        #expect(patch.estimator.unanswered == Limits.patchProbesKept)
    }

    /// How far apart packets may come is told by all probes of a while, not by the last ones; and by none of long ago.
    @Test func theWayHereIsKnownForAWhile() {
        var patch = fresh()
        func arrive(_ time: Int, took milliseconds: UInt64) {
            let sentAt = at(time).nanoseconds / 1000 - milliseconds * 1000
            patch.arrived(PatchProbe(patch: 1, number: 1, sentAt: sentAt, packets: 0, bytes: 0), now: at(time))
        }
        for (step, took) in ([60, 10, 30, 30, 30] as [UInt64]).enumerated() { arrive(step * 100, took: took) }
        #expect(patch.transit == (10_000...60_000))
        arrive(2100, took: 30)
        #expect(patch.transit == (10_000...60_000))
        arrive(4200, took: 30)
        #expect(patch.transit == (30_000...30_000))
    }

    // MARK: - Messages

    @Test func probesAndAnswersHaveOneLengthEach() {
        func bytes(_ count: Int) -> [UInt8] { [PatchProbe.kind] + [UInt8](repeating: 0, count: count - 1) }
        let probes = [33, 40, 31, 32].map { PatchProbe(bytes($0)) != nil }
        let answers = [41, 64, 39, 40].map { PatchReport(bytes($0)) != nil }
        #expect(probes == [false, false, false, true] && answers == [false, false, false, true])
    }
}
