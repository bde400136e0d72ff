// SPDX-License-Identifier: Apache-2.0
// Rotation and revocation statements: exact, signed by whom they must be, and good for nothing else.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct StatementTests {
    private func rotation(
        _ primitives: Primitives, serial: UInt64 = 7
    ) throws -> (old: any IdentitySigner, new: any IdentitySigner, statement: RotationStatement) {
        let identities = Scenario.identities(1, primitives)
        let descriptor = try Descriptor.make(
            signer: identities[1], nickname: "bob", notBefore: 1, notAfter: 2, serial: serial)
        let statement = try RotationStatement.make(
            old: identities[0], new: identities[1], descriptor: descriptor, serial: serial)
        return (identities[0], identities[1], statement)
    }

    @Test(arguments: Primitives.allCases)
    func aRotationComesBack(_ primitives: Primitives) throws {
        let cryptography = Scenario.cryptography(1, primitives)
        let (old, new, made) = try rotation(primitives)
        let read = try RotationStatement(decoding: made.encoded, using: cryptography)
        #expect(read == made && read.serial == 7)
        #expect(read.oldID == old.publicKeys.peerID && read.newID == new.publicKeys.peerID)
        try read.verify(oldKeys: old.publicKeys, using: cryptography)
        #expect(throws: StatementError.malformed("signed by another identity")) {
            try read.verify(oldKeys: new.publicKeys, using: cryptography)
        }
    }

    /// Whatever byte is changed, one of the two steps refuses; no step takes one of another kind.
    @Test(arguments: Primitives.allCases)
    func everyByteOfARotationCounts(_ primitives: Primitives) throws {
        let cryptography = Scenario.cryptography(1, primitives)
        let (old, _, made) = try rotation(primitives)
        for offset in stride(from: 0, to: made.encoded.count, by: primitives == .real ? 43 : 3) {
            #expect(throws: StatementError.self, "byte \(offset)") {
                try RotationStatement(decoding: made.encoded.flipping(offset), using: cryptography)
                    .verify(oldKeys: old.publicKeys, using: cryptography)
            }
        }
        for wrong in [[], Array(made.encoded.dropLast()), made.encoded + [0], Array(made.encoded.dropLast(4691))] {
            #expect(throws: StatementError.self) { try RotationStatement(decoding: wrong, using: cryptography) }
        }
        let revocation = try RevocationStatement.make(signer: old, serial: 7)
        #expect(throws: StatementError.self) {
            try RotationStatement(decoding: revocation.encoded, using: cryptography)
        }
        #expect(throws: StatementError.self) { try RevocationStatement(decoding: made.encoded, using: cryptography) }
    }

    /// What a statement is stands in its head, and is said before anything costly is done.
    @Test func aHeadOfAnotherKindIsNamed() throws {
        let cryptography = Scenario.cryptography(1, .rehearsal)
        let (old, _, made) = try rotation(.rehearsal)
        let revocation = try RevocationStatement.make(signer: old, serial: 7)
        for (offset, rotationReason, revocationReason) in [
            (1, "not a rotation", "not a revocation"), (2, "reserved bits are set", "reserved bits are set"),
            (3, "reserved bits are set", "reserved bits are set"),
        ] {
            #expect(throws: StatementError.malformed(rotationReason)) {
                try RotationStatement(decoding: made.encoded.flipping(offset), using: cryptography)
            }
            #expect(throws: StatementError.malformed(revocationReason)) {
                try RevocationStatement(decoding: revocation.encoded.flipping(offset), using: cryptography)
            }
        }
    }

    /// Texts of a descriptor end where it ends, and are cut at whole characters.
    @Test func textsOfADescriptorStayWithinIt() throws {
        let keys = [UInt8](repeating: 1, count: DescriptorLayout.keys.count)
        let whole = DescriptorLayout.encoded(
            roles: 0, capacity: 0, notBefore: 1, notAfter: 2, serial: 3, keys: keys, names: ["abc", "", ""],
            addresses: [])
        let signatures = [UInt8](repeating: 2, count: DescriptorLayout.signatureSize)
        #expect(try DescriptorLayout(whole + signatures).names == ["abc", "", ""])
        // The first name takes all that there is, so that the second one's length would be read from the signatures.
        let spoilt = Array(whole[..<DescriptorLayout.keys.upperBound]) + [6] + Array("abcdef".utf8)
        #expect(throws: DescriptorLayout.Malformed(reason: "a text runs past the end")) {
            try DescriptorLayout(spoilt + signatures)
        }
        #expect(DescriptorLayout.cut(String(repeating: "é", count: 40)) == String(repeating: "é", count: 31))
        #expect(DescriptorLayout.cut(String(repeating: "a", count: 64)) == String(repeating: "a", count: 63))
    }

    /// One signature of two is none, on either side; the two sides do not stand for each other.
    @Test(arguments: Primitives.allCases)
    func bothSidesSignWithBoth(_ primitives: Primitives) throws {
        let cryptography = Scenario.cryptography(1, primitives)
        let (old, new, made) = try rotation(primitives)
        for fault in SpoiltSigner.Fault.allCases where fault != .none {
            let byOld = try RotationStatement.make(
                old: SpoiltSigner(base: old, fault: fault), new: new, descriptor: made.descriptor, serial: 7)
            #expect(throws: StatementError.self, "\(fault)") {
                try RotationStatement(decoding: byOld.encoded, using: cryptography)
                    .verify(oldKeys: old.publicKeys, using: cryptography)
            }
            let byNew = try RotationStatement.make(
                old: old, new: SpoiltSigner(base: new, fault: fault), descriptor: made.descriptor, serial: 7)
            #expect(throws: StatementError.self, "\(fault)") {
                try RotationStatement(decoding: byNew.encoded, using: cryptography)
            }
        }
        // The new identity alone claims to follow somebody.
        let forged = try RotationStatement.make(
            old: Claimant(base: new, claims: old.publicKeys), new: new, descriptor: made.descriptor, serial: 7)
        let read = try RotationStatement(decoding: forged.encoded, using: cryptography)
        #expect(read.oldID == old.publicKeys.peerID)
        #expect(throws: StatementError.signature(.ed25519)) {
            try read.verify(oldKeys: old.publicKeys, using: cryptography)
        }
        // To oneself.
        let own = try Descriptor.make(signer: old, nickname: "", notBefore: 1, notAfter: 2, serial: 1)
        let circle = try RotationStatement.make(old: old, new: old, descriptor: own, serial: 8)
        #expect(throws: StatementError.malformed("the new identity is the old one")) {
            try RotationStatement(decoding: circle.encoded, using: cryptography)
        }
    }

    @Test(arguments: Primitives.allCases)
    func aRevocationIsItsOwnersWordOnly(_ primitives: Primitives) throws {
        let cryptography = Scenario.cryptography(1, primitives)
        let identities = Scenario.identities(1, primitives)
        let made = try RevocationStatement.make(signer: identities[0], serial: 9)
        #expect(made.encoded.count == RevocationStatement.size)
        let read = try RevocationStatement(decoding: made.encoded, using: cryptography)
        #expect(read == made && read.peerID == identities[0].publicKeys.peerID && read.serial == 9)
        for offset in stride(from: 0, to: made.encoded.count, by: primitives == .real ? 43 : 3) {
            #expect(throws: StatementError.self, "byte \(offset)") {
                try RevocationStatement(decoding: made.encoded.flipping(offset), using: cryptography)
            }
        }
        for wrong in [[], Array(made.encoded.dropLast()), made.encoded + [0]] {
            #expect(throws: StatementError.self) { try RevocationStatement(decoding: wrong, using: cryptography) }
        }
        let forged = try RevocationStatement.make(
            signer: Claimant(base: identities[1], claims: identities[0].publicKeys), serial: 9)
        #expect(throws: StatementError.signature(.ed25519)) {
            try RevocationStatement(decoding: forged.encoded, using: cryptography)
        }
    }
}

/// Signs with its own keys and shows another's.
private struct Claimant: IdentitySigner {
    let base: any IdentitySigner
    let claims: IdentityPublicKeys

    var publicKeys: IdentityPublicKeys { claims }

    func decapsulate(_ ciphertext: [UInt8]) throws -> Secret { try base.decapsulate(ciphertext) }

    func sign(_ hash: [UInt8], role: SignatureRole) throws -> [UInt8] { try base.sign(hash, role: role) }
}
