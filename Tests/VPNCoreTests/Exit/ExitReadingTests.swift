// SPDX-License-Identifier: Apache-2.0
// What an exit reads out of packets and policies, and its guest out of a lease (§8): no more than is there, and
// nothing else.
import Testing

@testable import VPNCore

@Suite struct ExitReadingTests {
    private static let now = Instant.origin + .seconds(1000)

    private func gate() throws -> ExitGate {
        let surroundings = ExitSurroundings(addresses: [], port: 9000, closed: [])
        return ExitGate(ExitFence(try ExitPolicy(text: "accept *"), surroundings), .outward)
    }

    private func judge(_ gate: inout ExitGate, _ packet: [UInt8]) -> ExitVerdict {
        var bytes = packet
        let span = bytes.mutableSpan
        return gate.judge(span, 0..<span.count, now: Self.now)
    }

    // MARK: - Fragments

    /// A guest's UDP packet, or a fragment of one.
    private func packet(id: UInt16 = 0, fragment: UInt16 = 0) -> [UInt8] {
        var packet = Fixture.packet(from: "10.66.0.9", to: "1.1.1.1")
        packet.replaceSubrange(4..<6, with: PacketModel.bytes(id))
        packet.replaceSubrange(6..<8, with: PacketModel.bytes(fragment))
        return packet
    }

    /// A packet that is whole opens no way to fragments, not even to those of its own id.
    @Test func nothingFollowsAWholePacket() throws {
        var exit = try gate()
        #expect(judge(&exit, packet()) == .accept)
        #expect(judge(&exit, packet(id: 9)) == .accept)
        #expect(judge(&exit, packet(fragment: 3)) == .unreadable)
        #expect(judge(&exit, packet(id: 9, fragment: 3)) == .unreadable)
        #expect(judge(&exit, packet(id: 9, fragment: 0x2000)) == .accept)
        #expect(judge(&exit, packet(id: 9, fragment: 3)) == .accept)
    }

    /// There is room for so many packets in fragments, however many whole ones come between.
    @Test func wholePacketsTakeNoRoomOfFragments() throws {
        var exit = try gate()
        #expect(judge(&exit, packet(id: 7, fragment: 0x2000)) == .accept)
        for id in 0..<UInt16(2 * Limits.exitFragments) { #expect(judge(&exit, packet(id: id)) == .accept) }
        #expect(judge(&exit, packet(id: 7, fragment: 3)) == .accept)
        for id in 0..<UInt16(Limits.exitFragments) {
            #expect(judge(&exit, packet(id: 100 + id, fragment: 0x2000)) == .accept)
        }
        #expect(judge(&exit, packet(id: 7, fragment: 3)) == .unreadable)
    }

    // MARK: - Options

    /// An option in the last byte that there is has no length, and none is looked for behind the packet.
    @Test func optionsEndWithTheirPacket() throws {
        func verdict(_ options: [UInt8]) throws -> ExitVerdict {
            var exit = try gate()
            // Of a protocol without a name, so that nothing has to follow.
            let head: [UInt8] = [0x46, 0, 0, 24, 0, 0, 0, 0, 64, 47, 0, 0]
            return judge(&exit, head + IPAddress("10.66.0.9")!.bytes + IPAddress("1.1.1.1")!.bytes + options)
        }
        #expect(try verdict([1, 1, 1, 1]) == .accept)
        #expect(try verdict([1, 1, 1, 7]) == .unreadable)
        #expect(try verdict([7, 4, 1, 1]) == .accept)
        #expect(try verdict([1, 1, 7, 2]) == .accept)
    }

    // MARK: - Policies and leases

    /// A sign is no digit, and nothing is no number.
    @Test func portsAreDigits() throws {
        let texts = [("accept *:+80", "+80"), ("accept tcp/*:1-+9", "+9"), ("accept *:", ""), ("accept *:80,", "")]
        for (text, port) in texts {
            let error = #expect(throws: ExitPolicyError.self) { try ExitPolicy(text: text) }
            let told = try #require(error)
            #expect(told.advice == "'\(port)' is no port; ports are '443', '80,443', '1024-65535' or '*'")
        }
        #expect(try ExitPolicy(text: "accept tcp/*:1-9,80").description == "accept tcp/*:1-9,80")
    }

    @Test func aLeaseNamesFourServersAtMost() {
        func servers(_ count: UInt8) -> [IPAddress]? {
            var bytes: [UInt8] = [1, 0, 0, 0, 5, 0x9C, 1, count, 4, 32, 10, 66, 0, 9]
            for number in 0..<count { bytes += [4, 1, 1, 1, number] }
            guard case .granted(let lease)? = ExitLeaseMessage(bytes) else { return nil }
            return lease.servers
        }
        let counts: [Int?] = (0...6).map { servers($0)?.count }
        let expected: [Int?] = [0, 1, 2, 3, 4, nil, nil]
        #expect(counts == expected)
    }
}
