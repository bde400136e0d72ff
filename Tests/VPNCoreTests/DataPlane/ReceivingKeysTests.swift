// SPDX-License-Identifier: Apache-2.0
// What forgers may ask of the keys that a session opens with (§7), and what of its replay window stays.

import Testing

@testable import VPNCore

@Suite struct ReceivingKeysTests {
    private let now = Fixture.now

    private func frame(_ session: Session, _ mark: UInt8) throws -> [UInt8] {
        try #require(session.sealFrame(type: .keepalive, payload: [mark], now: now))
    }

    /// The next phase's key is derived when a datagram first asks for it, forged or not, and no further one by all
    /// that follow: else one turned bit would leave both ends without a key in common.
    @Test(arguments: [1, 2, 100]) func forgedPhaseBitsTakeNoKeys(count: Int) throws {
        let (a, b) = Fixture.sessionPair()
        let (there, back) = (b.openFrame(try frame(a, 1), now: now), a.openFrame(try frame(b, 2), now: now))
        #expect(there == .frame(.keepalive, [1]) && back == .frame(.keepalive, [2]))
        for _ in 0..<count {
            let forged = try frame(a, 3).flipping(1)
            #expect(b.openFrame(forged, now: now) == .drop(.authentication))
        }
        #expect(a.startPhase(now: now))
        let next = b.openFrame(try frame(a, 4), now: now)
        #expect(next == .frame(.keepalive, [4]) && b.phase.receiving == 1)
        let answer = a.openFrame(try frame(b, 5), now: now)
        #expect(answer == .frame(.keepalive, [5]) && a.phase.mayEnd)
    }

    /// What a wide window knows is not forgotten by a word for a narrower one.
    @Test func aWindowIsNeverNarrowed() {
        var window = ReplayWindow(width: 200)
        for counter in UInt64(1000)..<1200 { window.mark(counter) }
        for width in [100, 200] {
            window.widen(to: width)
            #expect(window.width == 200 && window.check(1001) == .duplicate, "\(width)")
        }
        window.widen(to: 400)
        #expect(window.width == 400 && window.check(1001) == .duplicate)
        // Of what was too old nobody knows; what was never seen within the window is fresh.
        #expect(window.check(999) == .duplicate && window.check(1200) == .fresh)
    }
}
