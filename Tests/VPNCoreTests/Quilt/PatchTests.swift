// SPDX-License-Identifier: Apache-2.0
// What is learnt of a patch by its probes, when it is given up, and which patch a packet goes by.

import Testing

@testable import VPNCore

private func at(_ milliseconds: Int) -> Instant { .origin + .seconds(5) + .milliseconds(milliseconds) }

/// A patch with a delay each way, a rate and a loss, probed every 100 ms under a load.
private struct Path {
    var there = 10
    var back = 10
    var estimator = PatchEstimator()
    var (sentPackets, sentBytes, gotPackets, gotBytes): (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    /// Of the reporter's clock.
    var clock = 777_000_000

    /// One interval of 100 ms.
    mutating func round(_ time: Int, packets: UInt64, lost: UInt64 = 0, queue: Int = 0) -> Bool {
        sentPackets += packets
        sentBytes += packets * 1400
        gotPackets += packets - lost
        gotBytes += (packets - lost) * 1400
        let probe = estimator.probe(patch: 1, packets: sentPackets, bytes: sentBytes, now: at(time))
        let report = PatchReport(
            answering: PatchProbe(probe.encoded)!, receivedAt: UInt64(clock + (time + there + queue) * 1000),
            packets: gotPackets, bytes: gotBytes)
        return estimator.receive(PatchReport(report.encoded)!, now: at(time + there + queue + back))
    }
}

@Suite struct PatchTests {
    @Test func aQuietPathIsMeasured() {
        var path = Path()
        for step in 0..<50 {
            let isBelieved = path.round(step * 100, packets: 50)
            #expect(isBelieved)
        }
        #expect(path.estimator.roundTrip == .milliseconds(20))
        #expect(path.estimator.variation < .milliseconds(1))
        #expect(path.estimator.jitter == .zero)
        #expect(path.estimator.lossPerMille == 0)
        // 50 packets of 1,400 bytes in 100 ms.
        #expect((690_000...710_000).contains(path.estimator.delivered))
        #expect(!path.estimator.isSaturated)
        #expect(path.estimator.offset == Int64(777_000_000 + 10_000 - 5_000_000))
    }

    @Test func lossAndQueuesAreSeen() {
        var path = Path()
        for step in 0..<100 { _ = path.round(step * 100, packets: 100, lost: 3) }
        #expect((27...33).contains(path.estimator.lossPerMille))
        #expect(!path.estimator.isSaturated, "a radio loses as much")
        var slow = Path()
        for step in 0..<20 { _ = slow.round(step * 100, packets: 10) }
        #expect(!slow.estimator.isSaturated)
        for step in 20..<30 { _ = slow.round(step * 100, packets: 100, queue: 30) }
        #expect(slow.estimator.isSaturated)
        #expect(slow.estimator.shortest == .milliseconds(20))
    }

    /// It would never be asked for more again.
    @Test func anIdlePathIsNoFullOne() {
        var path = Path()
        for step in 0..<20 { _ = path.round(step * 100, packets: 100, lost: 5, queue: step < 5 ? 0 : 30) }
        let full = path.estimator.capacity
        #expect((full ?? 0) > 1_000_000)
        // Losses that nothing new makes good, and answers that come late.
        for step in 20..<60 { _ = path.round(step * 100, packets: 2, queue: step % 3 * 20) }
        #expect(!path.estimator.isSaturated && path.estimator.capacity == full)
        var fresh = Path()
        for step in 0..<30 { _ = fresh.round(step * 100, packets: 2, queue: step % 5 == 4 ? 40 : 0) }
        #expect(!fresh.estimator.isSaturated && fresh.estimator.capacity == nil)
    }

    /// A peer may say that it got more, less, or nothing of what it was asked: no report changes more than it can.
    @Test func lyingReports() {
        var path = Path()
        for step in 0..<10 { _ = path.round(step * 100, packets: 10) }
        let before = path.estimator.delivered
        let probe = path.estimator.probe(patch: 1, packets: 100, bytes: 140_000, now: at(2000))
        func report(_ change: (inout PatchReport) -> Void) -> Bool {
            var report = PatchReport(answering: probe, receivedAt: 0, packets: 100, bytes: 140_000)
            change(&report)
            var copy = path.estimator
            let isBelieved = copy.receive(report, now: at(2020))
            #expect(copy.lossPerMille <= 1000)
            return isBelieved
        }
        #expect(report { _ in })
        #expect(!report { $0.number &+= 1 }, "a probe that never went")
        #expect(!report { $0.sentAt += 1 }, "a time that nobody told")
        #expect(!report { $0.bytes = 1 }, "less than before")
        #expect(report { $0.bytes = .max })
        // Once answered, a probe is answered.
        _ = path.estimator.receive(
            PatchReport(answering: probe, receivedAt: 1, packets: 100, bytes: 140_000), now: at(2020))
        let result1 = path.estimator.receive(
            PatchReport(answering: probe, receivedAt: 1, packets: 100, bytes: 140_000), now: at(2021))
        #expect(!result1)
        #expect(path.estimator.delivered <= max(before, 1_400_000))
    }

    /// Whatever the reports of one patch say, the other one goes on, and what is kept for either is bounded.
    @Test(arguments: 0..<200) func absurdReportsChangeLittle(seed: Int) {
        var random = SeededGenerator(UInt64(seed))
        var state = QuiltState(QuiltConfiguration(scheduler: QuiltScheduler.allCases[seed % 5]))
        for patch in 0..<2 {
            state.join(
                patch, .udp(Endpoint(v4: UInt32(patch), port: 1)), remoteIndex: UInt32(patch + 1), mtu: 1400, now: at(0)
            )
        }
        let clock: [UInt64] = [0, 1, 1 << 40, 1 << 62, 1 << 63 - 1, 1 << 63, .max - 1, .max]
        var counts: [UInt64] = [0, 0]
        var carried = 0
        let datagram = [UInt8](repeating: 1, count: 1236)
        for step in 1..<300 {
            let now = at(step * 60)
            for _ in 0..<20 {
                guard let way = state.choose(for: datagram, flow: UInt32(step), isExpress: false, now: now) else {
                    continue
                }
                carried += 1
                if way.first.patch == 0 { counts[0] += 1 }
            }
            state.advance(now: now)
            while let due = state.nextProbe(now: now) {
                // Patch 0 is honest; the other one claims what it likes, and now and then something that may be.
                var report = PatchReport(
                    answering: due.probe, receivedAt: now.nanoseconds / 1000 &+ 7_000_000, packets: due.probe.packets,
                    bytes: due.probe.bytes)
                if due.way.patch == 1, Int.random(in: 0..<10, using: &random) > 0 {
                    report.receivedAt =
                        clock.randomElement(using: &random)! &+ UInt64.random(in: 0...1 << 24, using: &random)
                    counts[1] = max(counts[1], clock.randomElement(using: &random)!)
                    (report.packets, report.bytes) = (counts[1], counts[1])
                }
                _ = state.receive(report, now: now + .milliseconds(20))
            }
            #expect(state.pacedBytes <= Limits.pacedMost)
            for case let patch? in state.patches {
                #expect((0...1000).contains(patch.estimator.lossPerMille))
                #expect((patch.estimator.capacity ?? 0) <= 2 * Limits.patchRateMost)
            }
        }
        #expect(carried > 5000 && state.patches[0]?.carries == true, "\(carried)")
    }

    @Test func unansweredProbesAreBounded() {
        var estimator = PatchEstimator()
        for step in 0..<1000 { _ = estimator.probe(patch: 0, packets: 0, bytes: 0, now: at(step)) }
        #expect(estimator.unanswered == 32)
        #expect(PatchProbe([2, 8] + Array(repeating: 0, count: 30)) == nil, "there are eight patches")
        #expect(PatchReport(Array(repeating: 0, count: 40)) == nil, "another kind")
    }

    /// §9: from the last sign of life to service elsewhere in at most 0.6 s, however the probes fall.
    @Test(arguments: 0..<100) func silenceIsNoticedInTime(seed: Int) {
        var random = SeededGenerator(UInt64(seed))
        var health = PatchHealth(now: at(0))
        var estimator = PatchEstimator()
        let result2 = health.answered(now: at(0))
        #expect(result2)
        let death = Int.random(in: 1000...2000, using: &random)
        var time = 0
        var noticed: Int?
        while noticed == nil, time < 10_000 {
            if at(time) >= health.nextProbe {
                let probe = estimator.probe(patch: 0, packets: 0, bytes: 0, now: at(time))
                health.probed(isBusy: true, random: UInt8.random(in: 0...255, using: &random), now: at(time))
                if time < death {
                    let report = PatchReport(answering: probe, receivedAt: UInt64(time), packets: 0, bytes: 0)
                    let result3 = estimator.receive(report, now: at(time + 20))
                    #expect(result3)
                    let result4 = health.answered(now: at(time + 20))
                    #expect(!result4)
                }
            }
            let change = health.advance(
                roundTrip: estimator.roundTrip, unansweredSince: estimator.unansweredSince, now: at(time))
            if let change {
                #expect(change == .suspect && time >= death)
                noticed = time
            }
            time += 1
        }
        let took = noticed.map { $0 - death } ?? .max
        #expect(took <= 600, "\(took) ms")
    }

    @Test func aSuspectIsDownAfterTwoMoreProbes() {
        var health = PatchHealth(now: at(0))
        _ = health.answered(now: at(0))
        let result5 = health.advance(roundTrip: .milliseconds(20), unansweredSince: at(10), now: at(309))
        #expect(result5 == nil)
        let result6 = health.advance(roundTrip: .milliseconds(20), unansweredSince: at(10), now: at(310))
        #expect(result6 == .suspect)
        #expect(health.nextProbe == at(310))
        health.probed(isBusy: true, random: 128, now: at(310))
        #expect(health.deadline(roundTrip: nil, unansweredSince: at(10)) == nil)
        health.probed(isBusy: true, random: 128, now: at(410))
        let result7 = health.advance(roundTrip: nil, unansweredSince: at(10), now: at(610))
        #expect(result7 == .down)
        let result8 = health.answered(now: at(700))
        #expect(result8)
        #expect(health.state == .up)
    }

    // MARK: - Schedulers

    private func condition(_ delay: Int, rate: Double, loss: Int = 0, state: PatchState = .up) -> PatchCondition {
        PatchCondition(
            state: state, roundTrip: .milliseconds(2 * delay), variation: .zero, delay: .milliseconds(delay),
            rate: UInt64(rate * 1e6 / 8), isRateKnown: true, lossPerMille: loss)
    }

    /// Bytes by patch of a load for a second, and for `edpf` when the last of them arrives.
    private func load(_ scheduler: inout PatchScheduler, megabits: Double, flows: UInt32 = 1) -> [Int] {
        var bytes = [Int](repeating: 0, count: scheduler.conditions.count)
        let count = Int(megabits * 1e6 / 8 / 1400)
        for step in 0..<count {
            let now = at(0) + TimeSpan(nanoseconds: UInt64(step) * 1_000_000_000 / UInt64(count))
            if let choice = scheduler.choose(flow: UInt32(step) % flows, bytes: 1400, now: now) {
                bytes[choice.first] += 1400
                if let copy = choice.copy { bytes[copy] += 1400 }
            }
        }
        return bytes
    }

    @Test func aLightLoadTakesTheQuickestPatch() {
        for kind in [QuiltScheduler.edpf, .minrtt, .fec] {
            var scheduler = PatchScheduler(kind)
            scheduler.update([condition(10, rate: 100), condition(30, rate: 100)])
            let bytes = load(&scheduler, megabits: 20)
            #expect(bytes[1] == 0, "\(kind)")
        }
    }

    /// One flow that needs both patches gets both, in proportion to what they can do.
    @Test(arguments: [(100.0, 100.0), (300.0, 80.0)]) func aHeavyLoadTakesAll(rates: (Double, Double)) {
        var scheduler = PatchScheduler(.edpf)
        scheduler.update([condition(10, rate: rates.0), condition(30, rate: rates.1)])
        let bytes = load(&scheduler, megabits: rates.0 + rates.1)
        let share = Double(bytes[1]) / Double(bytes[0] + bytes[1])
        let wanted = rates.1 / (rates.0 + rates.1)
        #expect(abs(share - wanted) < 0.03, "\(share) of \(wanted)")
    }

    @Test func weightsAreKept() {
        var scheduler = PatchScheduler(.weighted)
        scheduler.update([condition(10, rate: 30), condition(90, rate: 10), condition(5, rate: 10, loss: 500)])
        let bytes = load(&scheduler, megabits: 40)
        let total = Double(bytes.reduce(0, +))
        // 30 : 10 : 10 · 0.25.
        for (part, wanted) in zip(bytes, [30.0, 10, 2.5]) { #expect(abs(Double(part) / total - wanted / 42.5) < 0.01) }
        // A patch that comes back is not flooded with what it missed.
        scheduler.update([condition(10, rate: 30, state: .down), condition(90, rate: 10), condition(5, rate: 10)])
        _ = load(&scheduler, megabits: 20)
        scheduler.update([condition(10, rate: 10), condition(90, rate: 10), condition(5, rate: 10)])
        let after = load(&scheduler, megabits: 30)
        #expect(after.max()! - after.min()! < after.reduce(0, +) / 50)
    }

    @Test func copiesGoElsewhere() {
        var scheduler = PatchScheduler(.redundant)
        scheduler.update([
            condition(10, rate: 100), condition(20, rate: 100), condition(15, rate: 100, state: .suspect),
        ])
        let choice1 = scheduler.choose(flow: 1, bytes: 1400, now: at(0))
        #expect(choice1 == PatchChoice(first: 0, copy: 1))
        var small = PatchScheduler(.redundant, doublesSmallOnly: true)
        small.update([condition(10, rate: 100), condition(20, rate: 100)])
        let choice2 = small.choose(flow: 1, bytes: 1400, now: at(0))
        #expect(choice2?.copy == nil)
        let choice3 = small.choose(flow: 1, bytes: 1400, isExpress: true, now: at(0))
        #expect(choice3?.copy == 1)
        let choice4 = small.choose(flow: 1, bytes: 100, now: at(0))
        #expect(choice4?.copy == 1)
        let choice5 = small.other(than: 0, bytes: 1400, now: at(0))
        #expect(choice5 == 1)
    }

    @Test func nothingGoesWhereNothingCarries() {
        for kind in QuiltScheduler.allCases {
            var scheduler = PatchScheduler(kind)
            let choice6 = scheduler.choose(flow: 1, bytes: 100, now: at(0))
            #expect(choice6 == nil)
            for state in [PatchState.joining, .suspect, .down] {
                scheduler.update([condition(1, rate: 1, state: state)])
                let choice7 = scheduler.choose(flow: 1, bytes: 100, now: at(0))
                #expect(choice7 == nil, "\(kind) \(state)")
            }
            scheduler.update([condition(1, rate: 1, state: .down), condition(9, rate: 1)])
            let choice8 = scheduler.choose(flow: 1, bytes: 100, now: at(0))
            #expect(choice8?.first == 1, "\(kind)")
        }
    }

    /// minrtt changes only for a patch that is clearly better, three times in a row.
    @Test func minrttDoesNotFlap() {
        var scheduler = PatchScheduler(.minrtt)
        scheduler.update([condition(20, rate: 1), condition(30, rate: 1)])
        func pick() -> Int? { scheduler.choose(flow: 1, bytes: 1, now: at(0))?.first }
        #expect(pick() == 0)
        for _ in 0..<10 { scheduler.update([condition(20, rate: 1), condition(19, rate: 1)]) }
        #expect(pick() == 0)
        for round in 0..<3 {
            scheduler.update([condition(20, rate: 1), condition(10, rate: 1)])
            #expect(pick() == (round < 2 ? 0 : 1))
        }
    }

    /// A flow that fits its patch stays there while others come and go.
    @Test func flowsStay() {
        var scheduler = PatchScheduler(.edpf)
        scheduler.update([condition(10, rate: 100), condition(12, rate: 100)])
        var changes = 0
        var last = -1
        for step in 0..<2000 {
            let now = at(step)
            let own = scheduler.choose(flow: 7, bytes: 200, now: now)!.first
            for other in UInt32(20)..<26 { _ = scheduler.choose(flow: other, bytes: 1400, now: now) }
            if last >= 0, own != last { changes += 1 }
            last = own
        }
        #expect(changes <= 2, "\(changes)")
    }
}
