// SPDX-License-Identifier: Apache-2.0
// When patches are asked, and what is thought of their silence.

import Testing

@testable import VPNCore

@Suite struct PatchHealthTests {
    /// A patch that is down is asked once a second; one that is up again must not be left alone for as long.
    @Test func aPatchThatComesBackIsLookedAtAtOnce() {
        var (health, now) = (PatchHealth(now: .origin), Instant.origin)
        var isNews = health.answered(now: now)
        #expect(isNews)
        health.probed(isBusy: true, random: 128, now: now)
        let asked = now
        while health.state != .down {
            now += .milliseconds(10)
            if health.nextProbe <= now { health.probed(isBusy: true, random: 128, now: now) }
            _ = health.advance(roundTrip: .milliseconds(10), unansweredSince: asked, now: now)
        }
        now += .seconds(2)
        health.probed(isBusy: true, random: 255, now: now)
        #expect(now.since(asked) < .seconds(4) && health.nextProbe >= now + .seconds(1))
        now += .milliseconds(10)
        isNews = health.answered(now: now)
        #expect(isNews && health.nextProbe <= now + Limits.patchProbeBusy)
        // One that was up keeps its time.
        health.probed(isBusy: false, random: 0, now: now)
        let next = health.nextProbe
        isNews = health.answered(now: now)
        #expect(!isNews && health.nextProbe == next && next > now + Limits.patchProbeBusy)
    }
}
