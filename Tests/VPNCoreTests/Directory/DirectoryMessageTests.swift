// SPDX-License-Identifier: Apache-2.0
// DIRECTORY frames to the byte (§7).
import Testing

@testable import VPNCore

struct DirectoryMessageTests {
    private static let name = DirectoryName(prefix: 0x0102_0304_0506_0708, serial: 9)

    private static let samples: [DirectoryMessage] = [
        .ask(after: nil), .ask(after: 0), .ask(after: .max), .list(after: nil, names: [], more: false),
        .list(after: 5, names: [DirectoryName(prefix: 6, serial: 1), DirectoryName(prefix: 7, serial: 0)], more: true),
        .list(after: nil, names: (0..<64).map { DirectoryName(prefix: $0, serial: $0) }, more: false),
        .fetch(name, index: 0), .fetch(name, index: DirectoryMessage.mostPieces - 1),
        .piece(name, index: 0, total: 0, bytes: []), .piece(name, index: 3, total: 0, bytes: []),
        .piece(name, index: 0, total: 9242, bytes: [UInt8](repeating: 1, count: 1024)),
        .piece(name, index: 9, total: 9242, bytes: [UInt8](repeating: 1, count: 26)),
    ]

    @Test(arguments: samples) func roundTrip(_ message: DirectoryMessage) {
        #expect(DirectoryMessage(message.encoded) == message)
    }

    @Test(arguments: samples) func anyOtherLengthIsNone(_ message: DirectoryMessage) {
        #expect(DirectoryMessage(message.encoded + [0]) == nil)
        #expect(DirectoryMessage(Array(message.encoded.dropLast())) == nil)
    }

    @Test func theyAreSmall() {
        #expect(Self.samples.allSatisfy { $0.encoded.count <= 1048 })
        // With header, frame header and tag, IPv6 and UDP.
        #expect(1048 + Limits.layerOverhead + 48 <= 1280)
    }

    @Test func bytesAreWhereThePageSays() {
        #expect(DirectoryMessage.ask(after: 5).encoded == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5])
        #expect(
            DirectoryMessage.fetch(Self.name, index: 2).encoded == [
                2, 2, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9,
            ])
        #expect(
            DirectoryMessage.list(after: nil, names: [Self.name], more: true).encoded
                == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9])
    }

    @Test func whatContradictsItselfIsNone() {
        func changed(_ message: DirectoryMessage, _ place: Int, _ byte: UInt8) -> DirectoryMessage? {
            var bytes = message.encoded
            bytes[place] = byte
            return DirectoryMessage(bytes)
        }
        let list = DirectoryMessage.list(after: 5, names: [Self.name], more: false)
        let piece = DirectoryMessage.piece(Self.name, index: 0, total: 100, bytes: [UInt8](repeating: 0, count: 100))
        #expect(changed(.ask(after: nil), 0, 4) == nil)
        #expect(changed(.ask(after: nil), 1, 1) == nil)
        #expect(changed(.ask(after: nil), 3, 2) == nil)
        #expect(changed(.ask(after: nil), 11, 1) == nil)
        #expect(changed(list, 1, 2) == nil)
        #expect(changed(list, 2, 2) == nil)
        // A list that begins at what was asked for already goes in a circle.
        #expect(changed(list, 4, 9) == nil)
        #expect(changed(.list(after: nil, names: [], more: false), 2, 1) == nil)
        #expect(changed(.fetch(Self.name, index: 0), 1, UInt8(DirectoryMessage.mostPieces)) == nil)
        #expect(changed(piece, 21, 99) == nil)
        #expect(changed(piece, 20, 255) == nil)
        #expect(changed(piece, 1, 1) == nil)
        #expect(changed(piece, 22, 1) == nil)
        let twice = [Self.name, Self.name]
        #expect(DirectoryMessage(DirectoryMessage.list(after: nil, names: twice, more: false).encoded) == nil)
        #expect(DirectoryMessage([]) == nil)
    }
}
