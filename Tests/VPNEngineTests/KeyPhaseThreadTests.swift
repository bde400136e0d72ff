// SPDX-License-Identifier: Apache-2.0
// Threads that seal for one session while its key phases go by: the model test of VPNCoreTests with real threads.

import Dispatch
import Testing
import VPNLock

@testable import VPNCore

@Suite struct KeyPhaseThreadTests {
    @Test func noCounterTwiceAndEachWithTheKeyOfItsPhase() throws {
        let (a, b) = Fixture.sessionPair(isConfirmedAtB: true)
        let now = Instant.origin + .seconds(1)
        let (threads, phases) = (3, UInt64(200))
        let taken = Guarded<[[(counter: UInt64, phase: UInt64)]]>([])
        DispatchQueue.concurrentPerform(iterations: threads + 1) { thread in
            if thread == threads {
                // The two ends move on as fast as they can: far faster than any rule lets them.
                while a.phase.sending < phases {
                    if let there = a.sealFrame(type: .keepalive, payload: [], now: now) {
                        _ = b.openFrame(there, now: now)
                    }
                    if let back = b.sealFrame(type: .keepalive, payload: [], now: now) {
                        _ = a.openFrame(back, now: now)
                    }
                    _ = a.startPhase(now: now)
                }
                return
            }
            var block = CounterBlock()
            var mine: [(counter: UInt64, phase: UInt64)] = []
            while let turn = block.take(of: a, now: now) {
                let phase = turn.key.withObject { $0.phase }
                mine.append((turn.counter, phase))
                if phase >= phases || mine.count == 300_000 { break }
            }
            let all = mine
            taken.withLock { $0.append(all) }
        }
        let all = taken.withLock { $0 }.flatMap { $0 }.sorted { $0.counter < $1.counter }
        #expect(all.count > threads)
        for (one, next) in zip(all, all.dropFirst()) {
            guard one.counter < next.counter, one.phase <= next.phase else {
                Issue.record("\(one) and \(next)")
                return
            }
        }
        #expect(a.phase.sending == phases)
    }
}
