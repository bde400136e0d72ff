// SPDX-License-Identifier: Apache-2.0
// Where DIRECTORY frames end (§7): names in a list, pieces of a descriptor, and its length.
import Testing

@testable import VPNCore

@Suite struct DirectoryMessageLimitTests {
    private static let name = DirectoryName(prefix: 7, serial: 1)

    private func piece(_ index: Int, of total: Int, _ bytes: [UInt8]) -> DirectoryMessage? {
        DirectoryMessage(DirectoryMessage.piece(Self.name, index: index, total: total, bytes: bytes).encoded)
    }

    /// Else a liar would have 64 KiB fetched and looked at, for what no descriptor can be.
    @Test func nothingIsLongerThanADescriptor() {
        let chunk = [UInt8](repeating: 1, count: DirectoryMessage.pieceSize)
        let most = DescriptorLayout.largest
        let lengths = [most, most + 1, 2 * most, Int(UInt16.max)].map { piece(0, of: $0, chunk) != nil }
        #expect(lengths == [true, false, false, false])
        let last = DirectoryMessage.mostPieces - 1
        let rest = [UInt8](repeating: 1, count: most - last * DirectoryMessage.pieceSize)
        #expect(piece(last, of: most, rest) != nil && piece(last, of: most, rest + [1]) == nil)
    }

    /// That there is nothing is said of pieces that there could be.
    @Test func noPieceComesAfterTheLast() {
        let found = (0...255).map { piece($0, of: 0, []) != nil }
        #expect(found.count { $0 } == DirectoryMessage.mostPieces)
        #expect(found[DirectoryMessage.mostPieces - 1] && !found[DirectoryMessage.mostPieces])
    }

    /// A list of one name more than fits would be longer than any that is made.
    @Test func aListHasSoManyNames() {
        func list(_ count: UInt8) -> DirectoryMessage? {
            var bytes: [UInt8] = [1, count, 0, 0] + [UInt8](repeating: 0, count: 8)
            for number in 1...UInt64(count) {
                bytes.append(bigEndian: number)
                bytes.append(bigEndian: UInt64(1))
            }
            return DirectoryMessage(bytes)
        }
        let most = UInt8(DirectoryMessage.mostNames)
        guard case .list(after: nil, names: let names, more: false)? = list(most) else {
            return fail("a full list is none")
        }
        #expect(names.count == DirectoryMessage.mostNames)
        #expect(list(most + 1) == nil && list(.max) == nil)
    }
}
