// SPDX-License-Identifier: Apache-2.0
// Signs of life: workers that run give them, and those that do not are found out.
import Glibc
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite struct WorkerSignTests {
        private func engine() throws -> Engine {
            try Engine(EngineConfiguration(tunnel: nil, listen: Fixture.loopback)) {}
        }

        /// Asks until that is the answer; false where it never is.
        private func comes(_ answer: Bool, of engine: Engine) -> Bool {
            for _ in 0..<(patienceSeconds * 100) {
                if engine.areWorkersAlive() == answer { return true }
                usleep(10_000)
            }
            return false
        }

        @Test func workersThatRunGiveSigns() throws {
            let engine = try engine()
            try engine.start()
            defer { engine.stop() }
            // The first has nothing to compare with; each of the others answers for the one before.
            for _ in 0..<4 { #expect(comes(true, of: engine)) }
        }

        @Test func workersThatNeverRanAreFoundOut() throws {
            let engine = try engine()
            defer { engine.stop() }
            let isFirst = engine.areWorkersAlive()
            #expect(isFirst, "nobody was asked before")
            #expect(comes(false, of: engine))
        }

        @Test func workersThatEndedAreFoundOut() throws {
            let engine = try engine()
            try engine.start()
            #expect(comes(true, of: engine))
            engine.stop()
            #expect(comes(false, of: engine))
            // It may be stopped again.
            engine.stop()
        }
    }
}
