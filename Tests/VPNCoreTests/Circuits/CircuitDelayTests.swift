// SPDX-License-Identifier: Apache-2.0
// What building a circuit takes apart from public-key work (§8): the ways there and back, and no timer in between.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct CircuitDelayTests {
    /// Virtual time from the wish for a circuit until it is ready, over links that nobody has used yet.
    private func delay(hops: Int, latency: TimeSpan, job: TimeSpan) throws -> TimeSpan {
        let scenario = CircuitScenario(
            seed: 11, relays: hops, conditions: LinkConditions(loss: 0, latency: latency))
        for host in [scenario.client] + scenario.relays { host.jobDuration = job }
        let start = scenario.network.now
        let number = try scenario.build(Array(1...hops))
        let isReady = scenario.network.run(for: .seconds(20)) { scenario.isReady(number) }
        try #require(isReady, "\(scenario.describe())")
        return scenario.network.now.since(start)
    }

    @Test func onAnIdleLocalNetworkItTakesLittle() throws {
        let local = try delay(hops: 3, latency: .microseconds(100), job: .zero)
        print("MEASURED: 3 hops at 0.1 ms are ready after \(local.nanoseconds / 1000) µs without public-key work")
        #expect(local <= .milliseconds(60))
        // It was no stub that answered: ways take what they take.
        #expect(local > .milliseconds(2))
    }

    /// The difference between long and short ways is the ways alone: each handshake and each EXTEND crosses so many links.
    @Test(arguments: [2, 3, 5]) func onlyWaysTakeLonger(hops: Int) throws {
        let near = try delay(hops: hops, latency: .microseconds(100), job: .zero)
        let far = try delay(hops: hops, latency: .milliseconds(20), job: .zero)
        // Hop k is met over k links: S0 and its answer, S1 and S2, before that EXTEND over k − 1; and link k, new, by itself.
        let ways = (1...hops).reduce(0) { $0 + 4 * $1 + ($1 > 1 ? 2 * ($1 - 1) + 4 : 0) }
        #expect(far <= near + .milliseconds(20 * ways), "\(far) \(near)")
    }
}
