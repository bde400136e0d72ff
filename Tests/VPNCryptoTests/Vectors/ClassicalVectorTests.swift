// SPDX-License-Identifier: Apache-2.0
// brainpoolP512r1, Ed25519 and HKDF against Wycheproof.

import Testing

@testable import VPNCrypto

@Suite("classical vectors") struct ClassicalVectorTests {
    private struct EcdhGroup: Decodable {
        struct Case: Decodable {
            let tcId: Int
            let result, `private`: String
            let `public`, shared: HexBytes
        }
        let tests: [Case]
    }

    /// SubjectPublicKeyInfo of an uncompressed point of the named curve: everything before 0x04 ‖ X ‖ Y.
    private static let spkiPrefix = hex("30819b301406072a8648ce3d020106092b240303020801010d03818200")!

    /// The vectors' ASN.1 integer as 64 bytes.
    private static func scalar(_ text: String) -> [UInt8] {
        let bytes = (hex(text) ?? hex("0" + text)!).drop { $0 == 0 }
        return [UInt8](repeating: 0, count: max(0, 64 - bytes.count)) + bytes
    }

    @Test func brainpoolECDH() throws {
        let name = "wycheproof/ecdh_brainpoolP512r1_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<EcdhGroup>.self) else { return }
        var tally = Tally(name)
        var refusedByEncoding = 0
        for test in file.testGroups.flatMap(\.tests) {
            let der = test.public.bytes
            let named = der.starts(with: Self.spkiPrefix) && der.count == Self.spkiPrefix.count + 129
            guard named else {
                // Another curve, explicit parameters, a compressed point, loose DER: the wire has none of these, a point is
                // 129 bytes there. What the vectors call "acceptable" is refused as well.
                refusedByEncoding += 1
                tally.expectRefused(test.result != "valid", "\(test.tcId)")
                continue
            }
            let point = [UInt8](der.dropFirst(Self.spkiPrefix.count))
            let own = try BrainpoolKeyPair(scalar: Secret(copying: Self.scalar(test.private)))
            let secret = try? own.sharedSecret(with: point).exposedCopy()
            if test.result == "valid" {
                tally.expect(secret == test.shared.bytes, "\(test.tcId)")
            } else {
                tally.expectRefused(secret == nil, "\(test.tcId)")
            }
        }
        print("VECTORS: \(name): \(refusedByEncoding) of the refusals are of the encoding, before any curve check")
        tally.report()
    }

    private struct EddsaGroup: Decodable {
        struct Key: Decodable { let pk: HexBytes }
        struct Case: Decodable {
            let tcId: Int
            let result: String
            let msg, sig: HexBytes
        }
        let publicKey: Key
        let tests: [Case]
    }

    @Test func ed25519() throws {
        let name = "wycheproof/ed25519_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<EddsaGroup>.self) else { return }
        var tally = Tally(name)
        for group in file.testGroups {
            let key = group.publicKey.pk.bytes
            let accepted = (try? Ed25519.checkPublicKey(key)) != nil
            for test in group.tests {
                let holds = accepted && Ed25519.verify(test.sig.bytes, of: test.msg.bytes, by: key)
                if test.result == "valid" {
                    tally.expect(holds, "\(test.tcId)")
                } else {
                    tally.expectRefused(!holds, "\(test.tcId)")
                }
            }
        }
        tally.report()
    }

    private struct HkdfGroup: Decodable {
        struct Case: Decodable {
            let tcId, size: Int
            let result: String
            let ikm, salt, info, okm: HexBytes
        }
        let tests: [Case]
    }

    @Test func hkdfSHA512() throws {
        let name = "wycheproof/hkdf_sha512_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<HkdfGroup>.self) else { return }
        var tally = Tally(name)
        for test in file.testGroups.flatMap(\.tests) {
            guard test.size <= HKDF512.maximumCount else {
                // Asking for more is a defect of the program, and traps: see KeyDerivationTests.
                tally.expectRefused(test.result == "invalid", "\(test.tcId)")
                continue
            }
            let prk = HKDF512.extract(salt: test.salt.bytes, inputKeyMaterial: Secret(copying: test.ikm.bytes))
            let salted = HKDF512.extract(
                salt: Secret(copying: test.salt.bytes), inputKeyMaterial: Secret(copying: test.ikm.bytes))
            let output = HKDF512.expand(prk, info: test.info.bytes, count: test.size).exposedCopy()
            tally.expect(
                test.result == "valid" && output == test.okm.bytes && salted.isEqual(to: prk), "\(test.tcId)")
        }
        tally.report()
    }

    @Test func hkdfSHA256() throws {
        let name = "wycheproof/hkdf_sha256_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<HkdfGroup>.self) else { return }
        var tally = Tally(name)
        for test in file.testGroups.flatMap(\.tests) {
            guard test.size <= 255 * 32 else {
                tally.expectRefused(test.result == "invalid", "\(test.tcId)")
                continue
            }
            let output = HKDF256.derive(
                inputKeyMaterial: test.ikm.bytes, salt: test.salt.bytes, info: test.info.bytes, count: test.size)
            tally.expect(test.result == "valid" && output.exposedCopy() == test.okm.bytes, "\(test.tcId)")
        }
        tally.report()
    }
}
