// SPDX-License-Identifier: Apache-2.0
// A pool whose jobs may block in somebody else's code, as looking up names does, is left and not waited for.
import Dispatch
import Testing

@testable import VPNEngine

extension Threads {
    @Suite struct JobPoolLeaveTests {
        @Test func aJobThatBlocksHoldsNobodyUp() throws {
            let (started, gate, done) = (
                DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)
            )
            do {
                let pool = try JobPool(threads: 1, capacity: 2)
                #expect(
                    pool.submit {
                        started.signal()
                        gate.wait()
                        done.signal()
                    })
                #expect(started.wait(timeout: .now() + .seconds(30)) == .success)
                #expect(pool.submit { Issue.record("a job that waited was done") })
                // With a wait in it, neither this nor the pool's end would come back.
                pool.leave()
                #expect(!pool.submit {})
                pool.stop()
            }
            // What ran goes on, without its pool.
            gate.signal()
            #expect(done.wait(timeout: .now() + .seconds(30)) == .success)
        }
    }
}
