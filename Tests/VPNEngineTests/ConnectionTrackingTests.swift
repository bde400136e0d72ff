// SPDX-License-Identifier: Apache-2.0
// What the kernel says of the connections that it forwards, and what makes it forget one, to the byte. That it does is seen where guests
// of an exit come and go (VPNNodeTests/Namespaces/ExitGuestsTests).
import Testing
import VPNCore

@testable import VPNEngine

@Suite struct ConnectionTrackingTests {
    /// 10.66.0.9:40000 to 198.41.1.4:5201 by TCP, as the tuple of its first packet.
    private static let original: [UInt8] = [
        52, 0, 1, 0x80, 20, 0, 1, 0x80, 8, 0, 1, 0, 10, 66, 0, 9, 8, 0, 2, 0, 198, 41, 1, 4, 28, 0, 2, 0x80, 5, 0, 1, 0,
        6, 0, 0, 0, 6, 0, 2, 0, 0x9C, 0x40, 0, 0, 6, 0, 3, 0, 0x14, 0x51, 0, 0,
    ]
    /// Its answers go to 10.96.0.3.
    private static let reply: [UInt8] = [
        52, 0, 2, 0x80, 20, 0, 1, 0x80, 8, 0, 1, 0, 198, 41, 1, 4, 8, 0, 2, 0, 10, 96, 0, 3, 28, 0, 2, 0x80, 5, 0, 1, 0,
        6, 0, 0, 0, 6, 0, 2, 0, 0x14, 0x51, 0, 0, 6, 0, 3, 0, 0xEA, 0x60, 0, 0,
    ]
    private static let status: [UInt8] = [8, 0, 3, 0, 0, 0, 1, 0x8E]
    private static let id: [UInt8] = [8, 0, 12, 0, 0x12, 0x34, 0x56, 0x78]
    private static let zone: [UInt8] = [6, 0, 18, 0, 0, 7, 0, 0]

    private static func message(_ type: UInt16, family: UInt8 = 2, _ attributes: [UInt8]) -> [UInt8] {
        let (length, kind) = (UInt16(20 + attributes.count), type)
        let header: [UInt8] = [
            UInt8(length & 255), UInt8(length >> 8), 0, 0, UInt8(kind & 255), UInt8(kind >> 8), 2, 0, 1, 0, 0, 0, 9, 9,
            0, 0,
            family, 0, 0, 0,
        ]
        return header + attributes
    }

    private func connections(_ bytes: [UInt8]) -> [Connection] {
        ConnectionMessage.all(in: bytes[...]).compactMap { message in
            if case .connection(let connection) = message { return connection }
            return nil
        }
    }

    private func ends(_ bytes: [UInt8]) -> [Int32] {
        ConnectionMessage.all(in: bytes[...]).compactMap { message in
            if case .end(let code) = message { return code }
            return nil
        }
    }

    @Test func theQuestionIsForBothFamilies() {
        #expect(ConnectionMessage.question == [20, 0, 0, 0, 1, 1, 1, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test func oneIsForgottenByWhatTheKernelCalledIt() throws {
        let bytes = Self.message(0x100, Self.original + Self.reply + Self.status + Self.id + Self.zone)
        let connection = try #require(connections(bytes).first)
        #expect(connection.family == 2)
        for (address, isMeant) in [
            ("10.66.0.9", true), ("198.41.1.4", true), ("10.96.0.3", false), ("10.66.0.8", false),
        ] {
            let isFound = connection.isFrom { $0 == IPAddress(address) }
            #expect(isFound == isMeant, "\(address)")
        }
        let head: [UInt8] = [88, 0, 0, 0, 2, 1, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]
        #expect(ConnectionMessage.deletion(of: connection) == head + Self.original + Self.id + Self.zone)
        // Without a zone and a number there is the tuple alone.
        let bare = try #require(connections(Self.message(0x100, Self.reply + Self.original)).first)
        #expect(ConnectionMessage.deletion(of: bare).dropFirst(20).elementsEqual(Self.original))
    }

    @Test func addressesOfIPv6AreRead() throws {
        let guest = try #require(IPAddress("fd66:7071::9"))
        let other = try #require(IPAddress("2606:4700:1::4"))
        var tuple: [UInt8] = [48, 0, 1, 0x80, 44, 0, 1, 0x80, 20, 0, 3, 0]
        tuple += guest.bytes
        tuple += [20, 0, 4, 0]
        tuple += other.bytes
        let connection = try #require(connections(Self.message(0x100, family: 10, tuple)).first)
        let (isGuests, isOthers) = (connection.isFrom { $0 == guest }, connection.isFrom { $0 == other })
        #expect(connection.family == 10 && isGuests && !isOthers)
    }

    @Test func answersHaveAnEnd() {
        let done: [UInt8] = [20, 0, 0, 0, 3, 0, 2, 0, 1, 0, 0, 0, 9, 9, 0, 0, 0, 0, 0, 0]
        let acknowledged: [UInt8] =
            [36, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9, 9, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 16)
        let refused: [UInt8] = [20, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9, 9, 0, 0, 0xEA, 0xFF, 0xFF, 0xFF]
        #expect(ends(done + acknowledged + refused) == [0, 0, -22])
        let one = Self.message(0x100, Self.original)
        #expect(connections(one + one + done).count == 2 && ends(one + one + done) == [0])
    }

    /// Nobody but the kernel writes these: all the same nothing is read that is not there.
    @Test func whatIsCutShortIsNotRead() {
        let whole = Self.message(0x100, Self.original + Self.reply + Self.id)
        for length in 0..<whole.count { #expect(connections(Array(whole.prefix(length))).isEmpty, "\(length)") }
        for place in 20..<whole.count {
            for value in [0, 1, 3, 255] as [UInt8] {
                var bytes = whole
                bytes[place] = value
                for connection in connections(bytes) {
                    _ = connection.isFrom { _ in false }
                    #expect(ConnectionMessage.deletion(of: connection).count <= whole.count)
                }
            }
        }
    }
}
