// SPDX-License-Identifier: Apache-2.0
// Packets that wait until a patch takes them (§9): how much room each peer has, and that there is some for all.
import Testing

@testable import VPNCore

@Suite struct PacedPacketsTests {
    private static let length = 1000

    /// Packets that a peer's line takes until one is refused.
    private func fill(_ paced: inout PacedPackets, _ slot: PeerSlot, limit: Int) -> Int {
        let packet = [UInt8](repeating: 7, count: Self.length)
        var count = 0
        while count < 100_000,
            paced.append(packet, for: slot, opens: Fixture.now, limit: limit, now: Fixture.now)
        { count += 1 }
        return count
    }

    /// What its patches do in 50 ms is what waits for a peer: more would come too late. Another peer has as much.
    @Test func aLineIsAsLongAsItsLimit() {
        var paced = PacedPackets()
        let counts = [0, 1].map { fill(&paced, $0, limit: Limits.pacedLeast) }
        #expect(counts == [65, 65] && paced.bytes == 2 * 65 * Self.length)
        _ = paced.removeFirst(0)
        let again = fill(&paced, 0, limit: Limits.pacedLeast)
        #expect(again == 1)
    }

    /// Whatever the reports of one peer say that its patches can do, others find room: half of what nobody has.
    @Test func nobodyTakesAllTheRoom() {
        var paced = PacedPackets()
        let counts = (0..<4).map { fill(&paced, $0, limit: .max) * Self.length }
        // A third of all, then of what that leaves, and so on.
        var left = Limits.pacedBytesOfAllPeers
        for count in counts {
            #expect(abs(count - left / 3) <= 2 * Self.length, "\(counts)")
            left -= count
        }
        #expect(left > Limits.pacedBytesOfAllPeers / 6)
    }

    /// A limit below a packet's length would let none through for ever: one always has room.
    @Test func onePacketAlwaysHasRoom() {
        var paced = PacedPackets()
        let packet = [UInt8](repeating: 7, count: 9000)
        let taken = (0..<2).map { _ in paced.append(packet, for: 3, opens: Fixture.now, limit: 100, now: Fixture.now) }
        #expect(taken == [true, false] && paced.bytes == 9000)
    }
}
