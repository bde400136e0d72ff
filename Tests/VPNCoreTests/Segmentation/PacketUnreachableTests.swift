// SPDX-License-Identifier: Apache-2.0
// What senders are told of packets for nobody, and how often.

import Testing

@testable import VPNCore

@Suite struct PacketUnreachableTests {
    private func message(about packet: [UInt8]) -> [UInt8]? {
        var (source, target) = (packet, [UInt8](repeating: 0, count: PacketUnreachable.largest))
        let span = source.mutableSpan
        var room = target.mutableSpan
        guard let length = PacketUnreachable.write(about: span, 0..<span.count, into: &room, at: 0) else { return nil }
        return Array(target[..<length])
    }

    private static let v4: [UInt8] = [
        0x45, 0, 0, 24, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 2, 3, 4,
    ]
    private static let v6: [UInt8] =
        [0x60, 0, 0, 0, 0, 4, 17, 64, 0xFD] + [UInt8](repeating: 0, count: 14) + [1, 0xFD]
        + [UInt8](repeating: 0, count: 14) + [2, 1, 2, 3, 4]

    @Test func itSaysThatNobodyIsThere() throws {
        let four = try #require(message(about: Self.v4))
        #expect(Array(four[20..<22]) == [3, 1] && Array(four[28...]) == Self.v4)
        #expect(Array(four[12..<20]) == [10, 0, 0, 2, 10, 0, 0, 1])
        let six = try #require(message(about: Self.v6))
        #expect(Array(six[40..<42]) == [1, 3] && Array(six[48...]) == Self.v6)
        #expect(Array(six[8..<24]) == Array(Self.v6[24..<40]) && Array(six[24..<40]) == Array(Self.v6[8..<24]))
    }

    @Test func nobodyIsToldOfErrorsAndGroups() throws {
        let four = try #require(message(about: Self.v4))
        let six = try #require(message(about: Self.v6))
        #expect(message(about: four) == nil && message(about: six) == nil)
        var group = Self.v6
        group[24] = 0xFF
        #expect(message(about: group) == nil)
    }

    @Test func itIsSaidSoOften() {
        var rate = AnswerRate()
        let now = Instant.origin + .seconds(5)
        var told = 0
        for _ in 0..<500 where rate.admit(now: now) { told += 1 }
        #expect(told == Limits.answersPerSecond)
        let isTold = rate.admit(now: now + .seconds(1))
        #expect(isTold)
    }
}
