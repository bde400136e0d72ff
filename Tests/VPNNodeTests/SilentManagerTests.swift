// SPDX-License-Identifier: Apache-2.0
// A service manager that stopped reading: a node that tells it something goes on all the same, and can end.
import Foundation
import Glibc
import Synchronization
import Testing

@testable import VPNNode

@Suite(.threads(.programs)) struct SilentManagerTests {
    private final class Flag: Sendable {
        private let state = Mutex(false)
        var isSet: Bool { state.withLock { $0 } }
        func set() { state.withLock { $0 = true } }
    }

    @Test func aManagerThatReadsNothingHoldsNobodyUp() throws {
        let scratch = try Scratch()
        let address = scratch.file("notify")
        let manager = try ListeningManager(address)
        let text = try String(contentsOfFile: "/proc/sys/net/unix/max_dgram_qlen", encoding: .utf8)
        // As many as wait for a reader, and some for which there is no room.
        let count = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines))) + 4
        let notifier = ServiceNotifier(environment: ["NOTIFY_SOCKET": address])
        let done = Flag()
        Thread.detachNewThread {
            for _ in 0..<count { notifier.isAlive() }
            done.set()
        }
        for _ in 0..<3000 where !done.isSet { usleep(10_000) }
        #expect(done.isSet, "it waits for a reader")
        // What there was room for has come. Whoever waits still goes on when this socket closes.
        #expect(manager.next() == ["WATCHDOG=1"])
    }
}
