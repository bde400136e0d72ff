// SPDX-License-Identifier: Apache-2.0
// Several ask whether the workers live: the watchdog, and whoever looks at /livez. At times one asks right after the
// other.
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite struct SharedSignTests {
        @Test func whoAsksRightAfterAnotherIsNotToldThatWorkersAreStuck() throws {
            let engine = try Engine(EngineConfiguration(tunnel: nil, listen: Fixture.loopback)) {}
            defer { engine.stop() }
            // No worker had a turn in between, since none runs. One that stays silent is found out: WorkerSignTests.
            let (first, second) = (engine.areWorkersAlive(), engine.areWorkersAlive())
            #expect(first && second)
        }
    }
}
