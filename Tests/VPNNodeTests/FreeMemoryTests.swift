// SPDX-License-Identifier: Apache-2.0
// When memory is given back: once after a crowd of handshakes, never without one.
import Testing
import VPNCore

@testable import VPNNode

@Suite struct FreeMemoryTests {
    private let start = Instant.origin + .seconds(100)

    @Test func onceAfterACrowd() {
        var memory = FreeMemory()
        #expect(!isDue(&memory, 1000))
        for second in 0..<30 { memory.note(now: start + .seconds(second)) }
        #expect(!isDue(&memory, 68))
        #expect(isDue(&memory, 69))
        #expect(!isDue(&memory, 70) && !isDue(&memory, 1000))
    }

    @Test func withoutCalmEveryFiveMinutes() {
        var memory = FreeMemory()
        var due: [Int] = []
        for second in 0..<900 {
            memory.note(now: start + .seconds(second))
            if isDue(&memory, second) { due.append(second) }
        }
        #expect(due == [300, 601])
    }

    private func isDue(_ memory: inout FreeMemory, _ second: Int) -> Bool {
        memory.isDue(now: start + .seconds(second))
    }
}
