// SPDX-License-Identifier: Apache-2.0
// The dual signature: both halves required, exact lengths, roles kept apart.

import Testing

@testable import VPNCrypto

@Suite("dual signature") struct DualSignatureTests {
    private static let identity: SoftwareIdentity = try! SoftwareIdentity()
    private static let hash = Hash.sha512([1, 2, 3])
    private static let signature = try! identity.sign(hash, role: .initiator)

    private static func failure(
        _ signature: [UInt8], hash: [UInt8] = hash, role: SignatureRole = .initiator,
        keys: IdentityPublicKeys = identity.publicKeys
    ) -> SignatureFailure? {
        do throws(SignatureFailure) {
            try SystemCryptography().verify(signature, of: hash, role: role, by: keys)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: SignatureRole.allCases) func verifies(role: SignatureRole) throws {
        let signature = try Self.identity.sign(Self.hash, role: role)
        #expect(signature.count == DualSignature.size)
        #expect(Self.failure(signature, role: role) == nil)
        for other in SignatureRole.allCases where other != role {
            #expect(Self.failure(signature, role: other) == .ed25519, "made as \(role), taken as \(other)")
        }
    }

    /// ML-DSA alone keeps roles apart too, both by M' and by its context.
    @Test func rolesAreInBothHalves() throws {
        let asResponder = try Self.identity.sign(Self.hash, role: .responder)
        let mixed = Self.signature.prefix(64) + asResponder.dropFirst(64)
        #expect(Self.failure([UInt8](mixed)) == .mldsa)
        let mldsa = [UInt8](Self.signature.dropFirst(64))
        let message = DualSignature.message(Self.hash, role: .initiator)
        let key = Self.identity.publicKeys.mldsa
        #expect(MLDSA.verify(mldsa, of: message, context: Labels.Signature.context(.initiator), by: key))
        #expect(!MLDSA.verify(mldsa, of: message, context: Labels.Signature.context(.responder), by: key))
        #expect(!MLDSA.verify(mldsa, of: message, context: [], by: key))
    }

    @Test(arguments: [0, 64, 4627, 4690, 4692, 9382]) func lengths(length: Int) {
        let bytes = [UInt8]((Self.signature + Self.signature).prefix(length))
        #expect(Self.failure(bytes) == .length(length))
    }

    /// Good and bad halves: only both good pass.
    @Test func matrix() {
        var badEd25519 = Self.signature
        badEd25519[10] ^= 1
        var badMLDSA = Self.signature
        badMLDSA[64 + 2000] ^= 1
        var bad = badMLDSA
        bad[10] ^= 1
        #expect(Self.failure(Self.signature) == nil)
        #expect(Self.failure(badEd25519) == .ed25519)
        #expect(Self.failure(badMLDSA) == .mldsa)
        #expect(Self.failure(bad) == .ed25519)
        #expect(Self.failure([UInt8](repeating: 0, count: DualSignature.size)) == .ed25519)
    }

    /// What the degraded mode of §2 looks at: ML-DSA decides, and both halves must be there.
    @Test func thePostQuantumHalfAlone() {
        func failure(_ signature: [UInt8], role: SignatureRole = .initiator) -> SignatureFailure? {
            do throws(SignatureFailure) {
                try SystemCryptography().verifyPostQuantumHalf(
                    signature, of: Self.hash, role: role, by: Self.identity.publicKeys)
                return nil
            } catch {
                return error
            }
        }
        #expect(failure(Self.signature) == nil)
        for index in 0..<64 {
            var changed = Self.signature
            changed[index] ^= 0x55
            #expect(failure(changed) == nil)
        }
        for index in stride(from: 64, to: DualSignature.size, by: 97) {
            var changed = Self.signature
            changed[index] ^= 1
            #expect(failure(changed) == .mldsa)
        }
        #expect(failure(Self.signature, role: .responder) == .mldsa)
        for length in [0, 64, 4627, 4690] {
            #expect(failure([UInt8](Self.signature.suffix(length))) == .length(length))
        }
        #expect(failure(Self.signature + [0]) == .length(4692))
    }

    @Test func swappedHalves() {
        let swapped = Self.signature.dropFirst(64) + Self.signature.prefix(64)
        #expect(Self.failure([UInt8](swapped)) == .ed25519)
    }

    @Test func everyByteCounts() {
        for index in Self.signature.indices {
            var changed = Self.signature
            changed[index] ^= 1 << UInt8(index % 8)
            let expected: SignatureFailure = index < 64 ? .ed25519 : .mldsa
            #expect(Self.failure(changed) == expected, "byte \(index)")
        }
    }

    @Test func anotherHashOrAnotherSigner() throws {
        #expect(Self.failure(Self.signature, hash: Hash.sha512([1, 2, 4])) == .ed25519)
        let other = try SoftwareIdentity().publicKeys
        #expect(Self.failure(Self.signature, keys: other) == .ed25519)
        // One key of each: a bundle put together by an attacker.
        let own = Self.identity.publicKeys
        let bundle = try IdentityPublicKeys(
            brainpool: own.brainpool, ed25519: own.ed25519, mldsa: other.mldsa, mlkem: own.mlkem)
        #expect(Self.failure(Self.signature, keys: bundle) == .mldsa)
    }

    @Test func hedged() throws {
        let again = try Self.identity.sign(Self.hash, role: .initiator)
        #expect(again.prefix(64) == Self.signature.prefix(64))
        #expect(again.dropFirst(64) != Self.signature.dropFirst(64))
        #expect(Self.failure(again) == nil)
    }

    /// §6, byte for byte.
    @Test func messageFormat() {
        let expected = [UInt8]("PQVPN-CompositeSig-v1".utf8) + [12] + [UInt8]("S1-initiator".utf8) + Self.hash
        #expect(DualSignature.message(Self.hash, role: .initiator) == expected)
        #expect(Labels.Signature.context(.descriptor) == [UInt8]("PQVPN/1 descriptor".utf8))
    }
}
