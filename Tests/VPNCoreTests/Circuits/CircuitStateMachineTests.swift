// SPDX-License-Identifier: Apache-2.0
// The steps of one path by themselves (§8): when an EXTEND is said again, when it is too late, what comes when.
import Testing
import VPNTesting

@testable import VPNCore

@Suite struct CircuitStateMachineTests {
    private let start = Instant.origin + .seconds(10)

    @Test func extendIsSaidAgainUntilEightSecondsAreOver() {
        var machine = CircuitStateMachine(hops: 2)
        #expect(machine.start(isEntered: true, now: start) == [.extend(hop: 1)])
        var sent: [UInt64] = []
        var end: (UInt64, [CircuitEffect])?
        while let due = machine.deadline, end == nil {
            let effects = machine.timeout(now: due)
            let at = due.since(start).nanoseconds / 1_000_000
            if effects == [.extend(hop: 1)] { sent.append(at) } else if !effects.isEmpty { end = (at, effects) }
        }
        #expect(sent == [500, 1000, 1500, 2000, 3000, 4000, 5000, 6000])
        #expect(end?.0 == 8000 && end?.1 == [.failed(.noAnswer, hop: 1)])
        #expect(machine.timeout(now: start + .seconds(100)) == [])
    }

    @Test func stepsFollowEachOther() {
        var machine = CircuitStateMachine(hops: 3)
        #expect(machine.start(isEntered: false, now: start) == [.enter])
        #expect(machine.extended(hop: 1, .ready(largest: 1400), now: start) == [])
        #expect(machine.greeted(hop: 1, now: start) == [])
        #expect(machine.entered(now: start) == [.extend(hop: 1)])
        #expect(machine.entered(now: start) == [])
        #expect(machine.extended(hop: 2, .ready(largest: 1400), now: start) == [])
        #expect(machine.extended(hop: 1, .ready(largest: 1400), now: start) == [.identify(hop: 1)])
        // A second answer changes nothing.
        #expect(machine.extended(hop: 1, .refused(.busy), now: start) == [])
        #expect(machine.identified(hop: 1, true, now: start) == [.greet(hop: 1)])
        #expect(machine.greeted(hop: 2, now: start) == [])
        #expect(machine.greeted(hop: 1, now: start) == [.extend(hop: 2)])
        #expect(machine.extended(hop: 2, .ready(largest: 872), now: start) == [.identify(hop: 2)])
        #expect(machine.identified(hop: 2, true, now: start) == [.greet(hop: 2)])
        #expect(machine.greeted(hop: 2, now: start) == [.ready])
        #expect(machine.deadline == nil && !machine.isBuilding)
        machine.drain(now: start)
        #expect(machine.timeout(now: start + .seconds(9)) == [])
        #expect(machine.timeout(now: start + .seconds(10)) == [.drained])
    }

    @Test func everyWaitEnds() {
        func failure(_ prepare: (inout CircuitStateMachine) -> Void) -> [CircuitEffect] {
            var machine = CircuitStateMachine(hops: 2)
            _ = machine.start(isEntered: false, now: start)
            prepare(&machine)
            for _ in 0..<10 {
                guard let due = machine.deadline else { break }
                let effects = machine.timeout(now: due)
                if case .failed? = effects.first {
                    #expect(due.since(start) <= .seconds(20))
                    return effects
                }
            }
            return []
        }
        #expect(failure { _ in } == [.failed(.noEntry, hop: 0)])
        #expect(failure { _ = $0.entered(now: start) } == [.failed(.noAnswer, hop: 1)])
        #expect(
            failure {
                _ = $0.entered(now: start)
                _ = $0.extended(hop: 1, .ready(largest: 1400), now: start)
            } == [.failed(.local, hop: 1)])
        #expect(
            failure {
                _ = $0.entered(now: start)
                _ = $0.extended(hop: 1, .ready(largest: 1400), now: start)
                _ = $0.identified(hop: 1, true, now: start)
            } == [.failed(.handshake, hop: 1)])
        var machine = CircuitStateMachine(hops: 2)
        _ = machine.start(isEntered: true, now: start)
        #expect(machine.extended(hop: 1, .ready(largest: 871), now: start) == [.failed(.tooNarrow, hop: 1)])
        #expect(machine.fail(.lost, hop: 1) == [])
    }
}
