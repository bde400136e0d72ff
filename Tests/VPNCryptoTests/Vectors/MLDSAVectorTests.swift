// SPDX-License-Identifier: Apache-2.0
// ML-DSA-87 against Wycheproof, ACVP and swift-crypto's key generation vectors.

import Testing

@testable import VPNCrypto

@Suite("ML-DSA-87 vectors") struct MLDSAVectorTests {
    private struct Case: Decodable {
        let tcId: Int
        let result: String?
        let testPassed: Bool?
        let flags: [String]?
        let seed, pk, sk, msg, message, ctx, sig, signature, rnd: HexBytes?
    }

    private struct Group: Decodable {
        let parameterSet: String?
        let privateSeed, privateKey, publicKey, pk: HexBytes?
        let tests: [Case]
    }

    private struct SeedFile: Decodable {
        struct Case: Decodable { let seed, pub: HexBytes }
        let testVectors: [Case]
    }

    private static let noRandomness = [UInt8](repeating: 0, count: 32)

    @Test func keyGeneration() throws {
        let name = "swift-crypto/mldsa_nist_keygen_87_tests.json"
        guard let file = try VectorFiles.read(name, as: SeedFile.self) else { return }
        var tally = Tally(name)
        for (index, test) in file.testVectors.enumerated() {
            let made = try MLDSA.expand(seed: Secret(copying: test.seed.bytes)).publicKey
            tally.expect(made == test.pub.bytes, "\(index)")
        }
        tally.report()
    }

    @Test func keyGenerationACVP() throws {
        let name = "acvp/ML-DSA-keyGen-FIPS204/internalProjection.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for group in file.testGroups {
            guard group.parameterSet == "ML-DSA-87" else {
                tally.skip(because: "\(group.parameterSet!), which the protocol does not use", group.tests.count)
                continue
            }
            for test in group.tests {
                let made = try MLDSA.expand(seed: Secret(copying: test.seed!.bytes))
                let parsed = DeterministicBoringSSL.parsePrivateKey(test.sk!.bytes)
                tally.expect(
                    made.publicKey == test.pk!.bytes && parsed == made.privateKey.exposedCopy(), "\(test.tcId)")
            }
        }
        tally.report()
    }

    @Test func verification() throws {
        let name = "wycheproof/mldsa_87_verify_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for group in file.testGroups {
            for test in group.tests {
                let holds = MLDSA.verify(
                    test.sig!.bytes, of: test.msg!.bytes, context: test.ctx?.bytes ?? [], by: group.publicKey!.bytes)
                if test.result == "valid" {
                    tally.expect(holds, "\(test.tcId)")
                } else {
                    tally.expectRefused(!holds, "\(test.tcId)")
                }
            }
        }
        tally.report()
    }

    @Test func verificationACVP() throws {
        let name = "acvp/ML-DSA-sigVer-FIPS204/internalProjection.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for group in file.testGroups {
            guard group.parameterSet == "ML-DSA-87" else {
                tally.skip(because: "\(group.parameterSet!), which the protocol does not use", group.tests.count)
                continue
            }
            for test in group.tests {
                // These cases are of the internal interface, without a context; the product always has one.
                let holds = DeterministicBoringSSL.verifyInternal(
                    test.signature!.bytes, of: test.message!.bytes, by: group.pk!.bytes)
                if test.testPassed! {
                    tally.expect(holds, "\(test.tcId)")
                } else {
                    tally.expectRefused(!holds, "\(test.tcId)")
                }
            }
        }
        tally.report()
    }

    @Test func signingFromSeeds() throws {
        let name = "wycheproof/mldsa_87_sign_seed_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for group in file.testGroups {
            let seed = Secret(copying: group.privateSeed?.bytes ?? [])
            for test in group.tests {
                guard seed.count == MLDSA.seedSize else {
                    tally.expectRefused(Self.identityRefuses(mldsaSeed: seed), "\(test.tcId)")
                    continue
                }
                guard let message = test.msg?.bytes else {
                    tally.skip(because: "given by mu alone, which the product never signs")
                    continue
                }
                let context = test.ctx?.bytes ?? []
                let key = try MLDSA.expand(seed: seed)
                let hedged = try? MLDSA.sign(message, context: context, with: key.privateKey)
                guard test.result == "valid" else {
                    tally.expectRefused(hedged == nil, "\(test.tcId)")
                    continue
                }
                let fixed = DeterministicBoringSSL.sign(
                    message, prefix: [0, UInt8(context.count)], context: context,
                    randomizer: test.rnd?.bytes ?? Self.noRandomness, key: key.privateKey)
                let verified = MLDSA.verify(hedged ?? [], of: message, context: context, by: key.publicKey)
                tally.expect(
                    key.publicKey == group.publicKey!.bytes && fixed == test.sig!.bytes && verified
                        && hedged != fixed, "\(test.tcId)")
            }
        }
        tally.report()
    }

    private static func identityRefuses(mldsaSeed: borrowing Secret) -> Bool {
        do {
            _ = try SoftwareIdentity(
                brainpoolScalar: Secret(random: 64), ed25519Seed: Secret(random: 32), mldsaSeed: mldsaSeed,
                mlkemSeed: Secret(random: 64))
            return false
        } catch {
            return error as? KeyError == .wrongSize(.mldsa, expected: 32, actual: mldsaSeed.count)
        }
    }

    @Test func signingWithExpandedKeys() throws {
        let name = "wycheproof/mldsa_87_sign_noseed_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for group in file.testGroups {
            let parsed = DeterministicBoringSSL.parsePrivateKey(group.privateKey!.bytes)
            for test in group.tests {
                let context = test.ctx?.bytes ?? []
                guard let message = test.msg?.bytes else {
                    tally.skip(because: "given by mu alone, which the product never signs")
                    continue
                }
                guard test.result == "valid" else {
                    let key = Secret(copying: parsed ?? [])
                    let made = parsed == nil ? nil : try? MLDSA.sign(message, context: context, with: key)
                    tally.expectRefused(made == nil, "\(test.tcId)")
                    continue
                }
                guard let parsed else {
                    tally.skip(because: "expanded key that BoringSSL refuses to read; the product reads seeds only")
                    continue
                }
                let fixed = DeterministicBoringSSL.sign(
                    message, prefix: [0, UInt8(context.count)], context: context,
                    randomizer: test.rnd?.bytes ?? Self.noRandomness, key: Secret(copying: parsed))
                tally.expect(fixed == test.sig!.bytes, "\(test.tcId)")
            }
        }
        tally.report()
    }

    @Test func signingACVP() throws {
        let name = "acvp/ML-DSA-sigGen-FIPS204/internalProjection.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for group in file.testGroups {
            guard group.parameterSet == "ML-DSA-87" else {
                tally.skip(because: "\(group.parameterSet!), which the protocol does not use", group.tests.count)
                continue
            }
            for test in group.tests {
                // The internal interface again: neither prefix nor context.
                let key = DeterministicBoringSSL.parsePrivateKey(test.sk!.bytes) ?? []
                let fixed = DeterministicBoringSSL.sign(
                    test.message!.bytes, prefix: [], context: [], randomizer: test.rnd?.bytes ?? Self.noRandomness,
                    key: Secret(copying: key))
                tally.expect(!key.isEmpty && fixed == test.signature!.bytes, "\(test.tcId)")
            }
        }
        tally.report()
    }
}
