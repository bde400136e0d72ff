// SPDX-License-Identifier: Apache-2.0
// Descriptors and statements that are none by their form (§2): versions, lengths, and texts that nobody should be
// shown.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct FormRefusalTests {
    // MARK: - Descriptors

    private static let signatures = [UInt8](repeating: 2, count: DescriptorLayout.signatureSize)
    private static let head = Array(
        DescriptorLayout.encoded(
            roles: 0, capacity: 0, notBefore: 1, notAfter: 2, serial: 3,
            keys: [UInt8](repeating: 1, count: DescriptorLayout.keys.count), names: ["", "", ""], addresses: []
        )[..<DescriptorLayout.keys.upperBound])

    /// Why a descriptor is none that has these bytes between its keys and its signatures; nil where it is one.
    private func refusal(_ rest: [UInt8]) -> String? {
        do throws(DescriptorLayout.Malformed) {
            _ = try DescriptorLayout(Self.head + rest + Self.signatures)
            return nil
        } catch { return error.reason }
    }

    private func text(_ count: Int) -> [UInt8] { [UInt8(count)] + [UInt8](repeating: 0x61, count: count) }

    private let noNames: [UInt8] = [0, 0, 0]

    @Test func aDescriptorIsNoLongerThanItsTextsMayBe() {
        let name = text(DescriptorLayout.longestText)
        var longest = name + name + name + [UInt8(DescriptorLayout.mostAddresses)]
        for _ in 0..<DescriptorLayout.mostAddresses { longest += name }
        #expect(Self.head.count + longest.count + Self.signatures.count == DescriptorLayout.largest)
        #expect(refusal(longest) == nil)
        #expect(refusal(noNames + [UInt8](repeating: 0, count: longest.count - 2)) == "too long")
    }

    @Test func textsAreShortAndEndWhereTheDescriptorDoes() {
        let tooLong = "a text runs past the end"
        for (count, reason) in [(63, nil), (64, tooLong), (255, tooLong)] as [(Int, String?)] {
            #expect(refusal(text(count) + [0, 0, 0]) == reason, "a name of \(count) bytes")
            #expect(refusal(noNames + [1] + text(count)) == reason, "an address of \(count) bytes")
        }
        // The last one says that it is two bytes longer than what is left before the signatures.
        #expect(refusal(noNames + [1, 5] + Array("abc".utf8)) == tooLong)
        #expect(refusal(noNames + [1, 3] + Array("abc".utf8)) == nil)
    }

    @Test func addressesAreEightAtMost() {
        for (count, reason) in [(0, nil), (8, nil), (9, "too many addresses")] as [(Int, String?)] {
            var rest = noNames + [UInt8(count)]
            for _ in 0..<count { rest += text(1) }
            #expect(refusal(rest) == reason, "\(count) addresses")
        }
        // Names that take all that there is leave no room for the count: it is not read from the signatures.
        #expect(refusal(text(1) + [0, 0]) == "too many addresses")
        #expect(refusal(text(0) + [0, 0, 0]) == nil)
    }

    /// They are shown on terminals.
    @Test(arguments: ["\u{1B}[2J", "a\u{7}", "\u{0}", "line\nline", "\u{7F}", "\u{9B}31m", "\u{202E}txt", "\u{200B}"])
    func nothingThatATerminalObeysIsAText(name: String) {
        let bytes = [UInt8(name.utf8.count)] + Array(name.utf8)
        let unprintable = "a text is not printable UTF-8"
        #expect(refusal(bytes + [0, 0, 0]) == unprintable)
        #expect(refusal(noNames + [1] + bytes) == unprintable)
        #expect(refusal([2, 0xC3, 0x28] + [0, 0, 0]) == unprintable, "no UTF-8")
        let plain = Array("Älice's 中".utf8)
        #expect(refusal([UInt8(plain.count)] + plain + [0, 0, 0]) == nil)
    }

    // MARK: - Statements

    private let cryptography = RehearsalCryptography(seed: 1)
    private let identities = Scenario.identities(1, .rehearsal)

    private func rotation() throws -> [UInt8] {
        let descriptor = try Descriptor.make(
            signer: identities[1], nickname: "bob", notBefore: 1, notAfter: 2, serial: 7)
        return try RotationStatement.make(
            old: identities[0], new: identities[1], descriptor: descriptor, serial: 7
        ).encoded
    }

    /// Another version is another form: it is not looked at further.
    @Test func statementsHaveOneVersion() throws {
        let move = try rotation()
        let end = try RevocationStatement.make(signer: identities[0], serial: 7).encoded
        for version: UInt8 in [0, 2, 255] {
            let reason = StatementError.malformed("version \(version), expected 1")
            #expect(throws: reason) {
                try RotationStatement(decoding: [version] + move.dropFirst(), using: cryptography)
            }
            #expect(throws: reason) {
                try RevocationStatement(decoding: [version] + end.dropFirst(), using: cryptography)
            }
        }
        #expect(try RotationStatement(decoding: move, using: cryptography).serial == 7)
        #expect(try RevocationStatement(decoding: end, using: cryptography).serial == 7)
    }

    /// A rotation is as long as its descriptor says, and that has an end.
    @Test func aRotationIsAsLongAsItSays() throws {
        let made = try rotation()
        let reason = StatementError.malformed("its length does not fit its descriptor")
        for wrong in [made.flipping(47), made.flipping(46), made + [0], Array(made.dropLast())] {
            #expect(throws: reason) { try RotationStatement(decoding: wrong, using: cryptography) }
        }
        for (size, failure) in [
            (16 << 10, .descriptor(.malformed("too long"))), ((16 << 10) + 1, reason),
        ] as [(Int, StatementError)] {
            var bytes = Array(made[..<44])
            bytes.append(bigEndian: UInt32(size))
            bytes.append(zeros: size + 2 * DescriptorLayout.signatureSize)
            #expect(throws: failure, "\(size) bytes") { try RotationStatement(decoding: bytes, using: cryptography) }
        }
    }
}
