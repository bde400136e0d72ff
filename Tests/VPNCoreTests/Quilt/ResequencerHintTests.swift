// SPDX-License-Identifier: Apache-2.0
// Counters that are said to bring no packet (§9), and packets that come all the same: a hint is about one counter, not
// about all that share its place.
import Testing

@testable import VPNCore

@Suite struct ResequencerHintTests {
    private static let now = Instant.origin + .seconds(1)

    /// Both patches have brought something; counter 3 is missing, and 5 brings no packet.
    private func waiting() -> Resequencer {
        var resequencer = Resequencer(cell: 8)
        for (patch, counter) in [1, 2].enumerated() { _ = arrive(&resequencer, UInt64(counter), on: patch) }
        resequencer.pass(5, on: 0, now: Self.now)
        return resequencer
    }

    private func arrive(_ resequencer: inout Resequencer, _ counter: UInt64, on patch: Int = 0) -> Resequencer.Verdict {
        resequencer.arrive(counter, length: 4, on: patch, now: Self.now)
    }

    /// Whoever said that it brings none was mistaken, or lies: it comes out at once, late, and nothing is spoilt by it.
    @Test func whatWasSaidToBeNoneComesAllTheSame() {
        var resequencer = waiting()
        let verdict = arrive(&resequencer, 5)
        #expect(verdict == .deliver && resequencer.statistics.late == 1)
    }

    /// As many counters later the same place is another packet's, for which there is no room yet.
    @Test func thePlaceOfAHintIsNotThatOfALaterPacket() {
        var resequencer = waiting()
        let far = 5 + UInt64(Limits.resequencedPackets)
        let verdict = arrive(&resequencer, far)
        #expect(verdict == .full && resequencer.statistics == .init(crowded: 1))
        let released = resequencer.nextReleased()
        let again = arrive(&resequencer, far)
        guard case .hold = again else { return fail("\(again)") }
        #expect(released == nil && resequencer.statistics.held == 1)
    }
}
