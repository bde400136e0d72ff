// SPDX-License-Identifier: Apache-2.0
// For how long packets are kept for repairs (§9), at both ends: what is older costs no memory, whatever a repair says.
import Testing

@testable import VPNCore

@Suite struct RepairMemoryTests {
    private static let newest: UInt64 = 1000
    /// The oldest that is kept beside it.
    private static let oldest = newest - UInt64(Limits.repairMemory) + 1

    private static func packet(_ counter: UInt64) -> [UInt8] { [UInt8(truncatingIfNeeded: counter), 9] }

    /// A repair of two packets.
    private func repair(of counters: UInt64...) throws -> RepairMessage {
        var encoder = RepairEncoder(seed: 1)
        for counter in counters { _ = encoder.sent(Self.packet(counter), under: counter) }
        let message = encoder.repair()
        return try #require(message)
    }

    private func receive(_ decoder: inout RepairDecoder, _ counter: UInt64) -> [UInt64] {
        decoder.received(Self.packet(counter), under: counter).map(\.counter)
    }

    @Test func aPacketThatIsTooOldIsNotKept() {
        var decoder = RepairDecoder()
        let found = [Self.newest, Self.oldest - 1, 0, 1].map { receive(&decoder, $0) }
        #expect(found == [[], [], [], []] && decoder.footprint.packets == 1)
        _ = receive(&decoder, Self.oldest)
        #expect(decoder.footprint.packets == 2)
    }

    /// Of what is forgotten nobody can tell what it adds: a repair that covers some of it does not wait for it.
    @Test func aRepairOfWhatIsForgottenIsIdle() throws {
        var decoder = RepairDecoder()
        for counter in [Self.newest, Self.oldest + 40] { _ = receive(&decoder, counter) }
        let late = try decoder.received(repair(of: Self.oldest - 1, Self.oldest + 40))
        let footprint = decoder.footprint
        #expect(late.isEmpty && footprint.packets == 2 && footprint.equations == 0)
        let inTime = try decoder.received(repair(of: Self.oldest, Self.oldest + 40))
        #expect(inTime.map(\.counter) == [Self.oldest] && inTime.first?.packet == Self.packet(Self.oldest))
    }

    /// A packet that comes late moves nothing: others are kept for as long as without it.
    @Test func whatComesLateForgetsNothing() {
        var decoder = RepairDecoder()
        for counter in [Self.newest, Self.oldest + 7, Self.oldest] { _ = receive(&decoder, counter) }
        #expect(decoder.footprint.packets == 3)
        _ = receive(&decoder, Self.newest + 1)
        #expect(decoder.footprint.packets == 3)
        _ = receive(&decoder, Self.newest + 8)
        #expect(decoder.footprint.packets == 3)
    }

    /// A repair covers the last packets of its window and no others, so that nobody keeps all that ever went.
    @Test(arguments: [4, Limits.repairWindow]) func aWindowIsAsLongAsItIs(window: Int) throws {
        var encoder = RepairEncoder(window: window, seed: 1)
        for counter in UInt64(1)...100 { _ = encoder.sent(Self.packet(counter), under: counter) }
        let message = encoder.repair()
        let counters = try #require(message).counters
        #expect(counters == Array(UInt64(101 - window)...100))
    }
}
