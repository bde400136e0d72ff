// SPDX-License-Identifier: Apache-2.0
// A node counts as up when all that was asked for is there, and once.
import Synchronization
import Testing

@testable import VPNNode

@Suite struct StartGateTests {
    private final class Count: Sendable {
        private let number = Mutex(0)
        var value: Int { number.withLock { $0 } }
        func add() { number.withLock { $0 += 1 } }
    }

    @Test func itOpensWithTheLast() {
        let opened = Count()
        let gate = StartGate { opened.add() }
        gate.expectOneMore()
        gate.expectOneMore()
        gate.arrive()
        gate.arrive()
        #expect(opened.value == 0)
        gate.arrive()
        #expect(opened.value == 1)
        // Whoever says twice that it serves opens nothing again.
        gate.arrive()
        #expect(opened.value == 1)
    }

    @Test func aloneItOpensAtOnce() {
        let opened = Count()
        let gate = StartGate { opened.add() }
        #expect(opened.value == 0)
        gate.arrive()
        #expect(opened.value == 1)
    }
}
