// SPDX-License-Identifier: Apache-2.0
// By which patch a packet goes (§9): flows that stay and flows that leave, patches that are down, far, full or not
// known yet, and who is paced.
import Testing

@testable import VPNCore

private func at(_ milliseconds: Int) -> Instant { .origin + .seconds(5) + .milliseconds(milliseconds) }

@Suite struct SchedulerChoiceTests {
    /// - Parameter delay: over that of the quickest patch, in milliseconds.
    private func condition(
        _ delay: Int = 0, megabits: Double = 100, isKnown: Bool = true, state: PatchState = .up
    ) -> PatchCondition {
        PatchCondition(
            state: state, roundTrip: .milliseconds(2 * delay), variation: .zero, delay: .milliseconds(delay),
            rate: UInt64(megabits * 1e6 / 8), isRateKnown: isKnown)
    }

    private func made(_ kind: QuiltScheduler, _ conditions: PatchCondition...) -> PatchScheduler {
        var scheduler = PatchScheduler(kind)
        scheduler.update(conditions)
        return scheduler
    }

    private func choose(_ scheduler: inout PatchScheduler, flow: UInt32 = 7, now: Instant = at(0)) -> Int? {
        scheduler.choose(flow: flow, bytes: 1400, now: now)?.first
    }

    /// A report tells that so much stands in a patch's queue.
    private func fill(_ scheduler: inout PatchScheduler, _ patch: Int, _ queue: TimeSpan, now: Instant = at(0)) {
        let account = scheduler.account(patch: patch, now: now)
        scheduler.correct(patch: patch, measured: queue, expected: account, now: now)
    }

    // MARK: - Flows

    /// A little later is no reason to leave: a change costs disorder. Another flow goes by what is free.
    @Test func aFlowStaysWhereItIs() {
        var scheduler = made(.edpf, condition(), condition())
        let chosen = [7, 7, 8].map { choose(&scheduler, flow: $0) }
        #expect(chosen == [0, 0, 1])
    }

    @Test func aFlowLeavesAPatchThatIsDown() {
        for state in [PatchState.suspect, .down] {
            var scheduler = made(.edpf, condition(), condition())
            let before = choose(&scheduler)
            scheduler.update([condition(state: state), condition()])
            let after = choose(&scheduler)
            #expect(before == 0 && after == 1, "\(state)")
        }
    }

    /// Its patch takes no more for now: waiting there is no better than a change.
    @Test func aFlowLeavesAPatchThatIsFull() {
        for (queue, wanted) in [(4900, 0), (5300, 1)] {
            var scheduler = made(.edpf, condition(), condition())
            _ = choose(&scheduler)
            fill(&scheduler, 0, .microseconds(queue))
            fill(&scheduler, 1, .microseconds(500))
            let chosen = choose(&scheduler)
            #expect(chosen == wanted, "after \(queue) us")
        }
    }

    /// A way that is so much longer than one that came since is left, also by those who are there.
    @Test func aFlowLeavesAWayThatIsFarLonger() {
        for (delay, wanted) in [(4, 0), (30, 1)] {
            var scheduler = made(.edpf, condition(delay), condition(state: .down))
            let before = choose(&scheduler)
            scheduler.update([condition(delay), condition()])
            let after = choose(&scheduler)
            #expect(before == 0 && after == wanted, "\(delay) ms")
        }
    }

    // MARK: - Load

    /// The near patch, of 100 Mbit/s, with about all that it can do for 200 ms.
    private func loaded() -> (scheduler: PatchScheduler, now: Instant) {
        var scheduler = made(.edpf, condition(), condition(state: .down))
        var now = at(0)
        for _ in 0..<1700 {
            _ = choose(&scheduler, now: now)
            now += .microseconds(118)
        }
        return (scheduler, now)
    }

    /// Then a flow needs all patches: it goes by whatever is free.
    @Test func underLoadAFlowGoesByWhatIsFree() {
        var (scheduler, now) = loaded()
        scheduler.update([condition(), condition()])
        let chosen = [choose(&scheduler, now: now), choose(&scheduler, now: now)]
        #expect(chosen == [0, 1])
        // The load is over.
        now += .seconds(1)
        let later = [choose(&scheduler, now: now), choose(&scheduler, now: now)]
        #expect(Set(later).count == 1)
    }

    /// Packets of a burst of 22 ms that go by another patch, under load.
    private func burst(_ far: PatchCondition) -> Int {
        var (scheduler, now) = loaded()
        scheduler.update([condition(), far])
        now += .microseconds(1)
        return (0..<200).count { _ in choose(&scheduler, flow: 1, now: now) == 1 }
    }

    /// How long a way is does not count then, but for one that nobody could wait for; a patch that has not shown what
    /// it can do gets what it needs for that.
    @Test func underLoadLongerWaysAreUsed() {
        let (near, far) = (burst(condition(30, megabits: 20)), burst(condition(80, megabits: 20)))
        let unknown = burst(condition(30, megabits: 0, isKnown: false))
        #expect(near > 0 && far == 0 && unknown > 0, "\(near), \(far) and \(unknown) packets")
    }

    @Test func withoutLoadTheShortWayIsTaken() {
        var scheduler = made(.edpf, condition(20), condition())
        let chosen = (0..<20).map { choose(&scheduler, flow: UInt32($0), now: at($0)) }
        #expect(chosen == Array(repeating: 1, count: 20))
    }

    // MARK: - What is not known

    /// What carried little so far is not slow for that, and is not thought to be busy with it.
    @Test func aPatchIsNotSlowSinceLittleWentThere() {
        var scheduler = made(.edpf, condition(megabits: 0.008, isKnown: false), condition(5))
        let chosen = (0..<3).map { choose(&scheduler, flow: UInt32($0)) }
        #expect(chosen == [0, 0, 0])
        let account = scheduler.account(patch: 0, now: at(0))
        #expect(account.busy == .zero)
    }

    /// A copy that would stand in a queue comes too late to be of use; where no queue is known it goes.
    @Test func copiesDoNotQueue() {
        for (isKnown, queue, isCopied) in [(false, 100, true), (true, 100, false), (true, 40, true)] {
            var scheduler = made(.redundant, condition(), condition(10, isKnown: isKnown))
            fill(&scheduler, 1, .milliseconds(queue))
            let choice = scheduler.choose(flow: 1, bytes: 1400, now: at(0))
            #expect(choice == PatchChoice(first: 0, copy: isCopied ? 1 : nil), "\(isKnown), \(queue) ms")
        }
    }

    // MARK: - Pace

    /// What a patch was given beyond 5 ms waits here, but with `minrtt`, which fills one as if there were no other.
    @Test(arguments: QuiltScheduler.allCases) func whatIsTooMuchWaits(kind: QuiltScheduler) {
        var scheduler = made(kind, condition(megabits: 1))
        let before = scheduler.opens(now: at(0))
        // 11.2 ms each.
        for _ in 0..<10 { _ = choose(&scheduler) }
        let after = scheduler.opens(now: at(0))
        #expect(before == nil && after == (kind == .minrtt ? nil : at(107)))
    }

    // MARK: - Weights and preferences

    /// Reports come between any two packets: what each patch had is not forgotten with them.
    @Test func weightsOutliveReports() {
        var scheduler = PatchScheduler(.weighted)
        var packets = [0, 0]
        for step in 0..<400 {
            scheduler.update([condition(10, megabits: 30), condition(10, megabits: 10)])
            if let chosen = choose(&scheduler, now: at(step * 10)) { packets[chosen] += 1 }
        }
        #expect((295...305).contains(packets[0]) && packets[0] + packets[1] == 400, "\(packets)")
    }

    /// A patch that was down has to be better three times in a row, as any other that is to take over.
    @Test func whoComesBackIsNotPreferredAtOnce() {
        var scheduler = made(.minrtt, condition(20), condition(30))
        var chosen = [choose(&scheduler)]
        scheduler.update([condition(20, state: .down), condition(30)])
        chosen.append(choose(&scheduler))
        for _ in 0..<3 {
            scheduler.update([condition(20), condition(30)])
            chosen.append(choose(&scheduler))
        }
        #expect(chosen == [0, 1, 1, 1, 0])
    }
}
