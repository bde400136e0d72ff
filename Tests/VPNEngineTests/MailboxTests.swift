// SPDX-License-Identifier: Apache-2.0
// Bounds, order and wake-ups of the boxes between threads, and the job pool.

import Dispatch
import Synchronization
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite struct MailboxTests {
        private final class Count: Sendable {
            let value = Atomic<Int>(0)
        }

        private let carrier = Carrier.udp(Fixture.loopback)

        @Test func aFloodOfStrangersDisplacesNothingElse() {
            let box = EventMailbox(capacity: 3, share: 3, onWake: {})
            let (session, _) = Fixture.sessionPair()
            for number in 0..<10 { #expect(box.post(.datagram([UInt8(number)], carrier)) == (number < 3)) }
            for number in 0..<10 { #expect(box.post(.control(session, .keepalive, [], carrier)) == (number < 3)) }
            #expect(!box.post(.wantSession(0)))
            for _ in 0..<10 {
                #expect(box.post(.firstData(session, carrier)))
                #expect(box.post(.violation(session, .padding)))
            }
            #expect(box.post(.tunGone))
            let events = box.drain()
            #expect(events.count == 3 + 3 + 20 + 1)
            let datagrams = events.compactMap { event -> [UInt8]? in
                if case .datagram(let bytes, _) = event { bytes } else { nil }
            }
            #expect(datagrams == [[0], [1], [2]])
            #expect(box.drain().isEmpty)
            #expect(box.post(.datagram([9], carrier)) && box.post(.wantSession(1)))
        }

        @Test func oneSessionLeavesRoomForTheFramesOfOthers() {
            let box = EventMailbox(capacity: 8, share: 2, onWake: {})
            let (one, other) = Fixture.sessionPair()
            for _ in 0..<2 {
                for number in 0..<10 { #expect(box.post(.control(one, .end, [], carrier)) == (number < 2)) }
                for number in 0..<10 { #expect(box.post(.control(other, .keepalive, [], carrier)) == (number < 2)) }
                #expect(box.post(.wantSession(0)))
                #expect(box.drain().count == 5)
            }
        }

        /// Whoever shows a new address with each datagram leaves them as much.
        @Test func oneSessionThatChangesCarriersLeavesRoomForOthers() {
            let box = EventMailbox(capacity: 8, share: 2, onWake: {})
            let (one, other) = Fixture.sessionPair()
            for _ in 0..<2 {
                for number in 0..<10 {
                    #expect(box.post(.changedCarrier(one, carrier, bytes: 100)) == (number < 2))
                }
                #expect(!box.post(.control(one, .keepalive, [], carrier)))
                for number in 0..<10 { #expect(box.post(.control(other, .keepalive, [], carrier)) == (number < 2)) }
                #expect(!box.post(.changedCarrier(other, carrier, bytes: 100)))
                #expect(box.post(.wantSession(0)))
                #expect(box.drain().count == 5)
            }
        }

        @Test func theNodeIsWokenOncePerDrain() {
            let wakes = Count()
            let box = EventMailbox(
                capacity: 100, share: 100, onWake: { wakes.value.wrappingAdd(1, ordering: .relaxed) })
            box.wakeNode()
            #expect(wakes.value.load(ordering: .relaxed) == 0)
            for _ in 0..<10 {
                _ = box.post(.wantSession(0))
                box.wakeNode()
            }
            #expect(wakes.value.load(ordering: .relaxed) == 1)
            #expect(box.drain().count == 10)
            _ = box.post(.wantSession(0))
            box.wakeNode()
            #expect(wakes.value.load(ordering: .relaxed) == 2)
        }

        @Test func commandsAreNeverLostAndTransmitsAreBounded() throws {
            let box = try CommandMailbox(capacity: 2)
            for number in 0..<5 { #expect(box.post(.transmit([1], carrier)) == (number < 2)) }
            // What comes in from elsewhere takes no place of what the node wants sent.
            for number in 0..<5 {
                #expect(box.post(.received([1], carrier, trafficClass: 0)) == (number < 2))
            }
            for index in 0..<1000 as Range<UInt32> { #expect(box.post(.plane(.retire(index)))) }
            let commands = box.drain()
            #expect(commands.count == 1004)
            #expect(box.post(.transmit([1], carrier)))
        }

        @Test func jobsRunOnThreadsAndTheQueueIsBounded() throws {
            let pool = try JobPool(threads: 2, capacity: 3)
            let (gate, done, count) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), Count())
            let started = DispatchSemaphore(value: 0)
            for _ in 0..<2 {
                #expect(
                    pool.submit {
                        started.signal()
                        gate.wait()
                        count.value.wrappingAdd(1, ordering: .relaxed)
                        done.signal()
                    })
            }
            for _ in 0..<2 { #expect(started.wait(timeout: .now() + .seconds(patienceSeconds)) == .success) }
            // Both threads are busy: three may wait, no more.
            for number in 0..<6 {
                let taken = pool.submit {
                    count.value.wrappingAdd(1, ordering: .relaxed)
                    done.signal()
                }
                #expect(taken == (number < 3))
            }
            #expect(pool.load == 5)
            for _ in 0..<2 { gate.signal() }
            for _ in 0..<5 { #expect(done.wait(timeout: .now() + .seconds(patienceSeconds)) == .success) }
            #expect(count.value.load(ordering: .relaxed) == 5)
            pool.stop()
            #expect(!pool.submit {})
            pool.stop()
        }

        @Test func aStoppedPoolDropsWhatWaits() throws {
            let pool = try JobPool(threads: 1, capacity: 100)
            let (started, gate, count) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), Count())
            #expect(
                pool.submit {
                    started.signal()
                    gate.wait()
                    count.value.wrappingAdd(1, ordering: .relaxed)
                })
            #expect(started.wait(timeout: .now() + .seconds(patienceSeconds)) == .success)
            for _ in 0..<50 { #expect(pool.submit { count.value.wrappingAdd(1, ordering: .relaxed) }) }
            DispatchQueue.global().async {
                while pool.load > 1 {}
                gate.signal()
            }
            pool.stop()
            #expect(count.value.load(ordering: .relaxed) == 1)
        }
    }
}
