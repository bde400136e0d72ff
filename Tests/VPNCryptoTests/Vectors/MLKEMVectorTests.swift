// SPDX-License-Identifier: Apache-2.0
// ML-KEM-1024 against Wycheproof and ACVP.

import Testing

@testable import VPNCrypto

@Suite("ML-KEM-1024 vectors") struct MLKEMVectorTests {
    private struct Case: Decodable {
        let tcId: Int
        let result: String?
        let flags: [String]?
        let seed, ek, m, c, K, dk, d, z, k: HexBytes?
    }

    private struct Group: Decodable {
        let parameterSet: String
        let function: String?
        let dk: HexBytes?
        let tests: [Case]
    }

    @Test func keyGeneration() throws {
        let name = "wycheproof/mlkem_1024_keygen_seed_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for test in file.testGroups.flatMap(\.tests) {
            let seed = Secret(copying: test.seed!.bytes)
            tally.expect(MLKEM.expand(seed: seed).publicKey == test.ek!.bytes, "\(test.tcId)")
        }
        tally.report()
    }

    @Test func keyGenerationACVP() throws {
        let name = "acvp/ML-KEM-keyGen-FIPS203/internalProjection.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for group in file.testGroups {
            guard group.parameterSet == "ML-KEM-1024" else {
                tally.skip(because: "\(group.parameterSet), which the protocol does not use", group.tests.count)
                continue
            }
            for test in group.tests {
                let seed = Secret(copying: test.d!.bytes + test.z!.bytes)
                tally.expect(MLKEM.expand(seed: seed).publicKey == test.ek!.bytes, "\(test.tcId)")
            }
        }
        tally.report()
    }

    @Test func encapsulation() throws {
        let name = "wycheproof/mlkem_1024_encaps_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for test in file.testGroups.flatMap(\.tests) {
            let key = test.ek!.bytes
            if test.result == "valid" {
                let made = DeterministicBoringSSL.encapsulate(to: key, entropy: test.m!.bytes)
                let accepted = (try? MLKEM.encapsulate(to: key).ciphertext.count) == MLKEM.ciphertextSize
                tally.expect(
                    accepted && made?.ciphertext == test.c!.bytes && made?.secret == test.K!.bytes, "\(test.tcId)")
            } else {
                // Wrong lengths and coefficients not below q. Both our own check and the library's must see it.
                let ours = (try? MLKEM.checkPublicKey(key)) == nil
                let refused = (try? MLKEM.encapsulate(to: key).ciphertext.count) == nil
                let library =
                    key.count != MLKEM.publicKeySize
                    || DeterministicBoringSSL.encapsulate(to: key, entropy: [UInt8](repeating: 0, count: 32)) == nil
                tally.expectRefused(ours && refused && library, "\(test.tcId)")
            }
        }
        tally.report()
    }

    @Test func decapsulation() throws {
        let name = "wycheproof/mlkem_1024_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for test in file.testGroups.flatMap(\.tests) {
            let seed = Secret(copying: test.seed!.bytes)
            if test.result == "valid" {
                let secret = try MLKEM.decapsulate(test.c!.bytes, with: MLKEM.expand(seed: seed).privateKey)
                    .exposedCopy()
                tally.expect(
                    secret == test.K!.bytes && MLKEM.expand(seed: seed).publicKey == test.ek!.bytes, "\(test.tcId)")
            } else if seed.count != MLKEM.seedSize {
                tally.expectRefused(Self.identityRefuses(mlkemSeed: seed), "\(test.tcId)")
            } else {
                let got = (try? MLKEM.decapsulate(test.c!.bytes, with: MLKEM.expand(seed: seed).privateKey).count)
                tally.expectRefused(got == nil, "\(test.tcId)")
            }
        }
        tally.report()
    }

    /// Stored seeds come in through `SoftwareIdentity` alone, which is where their size is checked.
    private static func identityRefuses(mlkemSeed: borrowing Secret) -> Bool {
        do {
            _ = try SoftwareIdentity(
                brainpoolScalar: Secret(random: 64), ed25519Seed: Secret(random: 32), mldsaSeed: Secret(random: 32),
                mlkemSeed: mlkemSeed)
            return false
        } catch {
            return error as? KeyError == .wrongSize(.mlkem, expected: 64, actual: mlkemSeed.count)
        }
    }

    @Test func encapsulationAndDecapsulationACVP() throws {
        let name = "acvp/ML-KEM-encapDecap-FIPS203/internalProjection.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for group in file.testGroups {
            guard group.parameterSet == "ML-KEM-1024" else {
                tally.skip(because: "\(group.parameterSet), which the protocol does not use", group.tests.count)
                continue
            }
            for test in group.tests {
                if group.function == "encapsulation" {
                    let made = DeterministicBoringSSL.encapsulate(to: test.ek!.bytes, entropy: test.m!.bytes)
                    tally.expect(made?.ciphertext == test.c!.bytes && made?.secret == test.k!.bytes, "\(test.tcId)")
                } else {
                    // Among these are ciphertexts that were modified: the secret is then the implicit rejection's.
                    let secret = DeterministicBoringSSL.decapsulate(test.c!.bytes, expandedKey: group.dk!.bytes)
                    tally.expect(secret == test.k!.bytes, "\(test.tcId)")
                }
            }
        }
        tally.report()
    }

    @Test func decapsulationWithExpandedKeys() throws {
        let name = "wycheproof/mlkem_1024_semi_expanded_decaps_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally(name)
        for test in file.testGroups.flatMap(\.tests) {
            if test.flags?.contains("InvalidDecapsulationKey") == true {
                tally.skip(because: "stored expanded key that contradicts itself: the product stores seeds alone")
                continue
            }
            let secret = DeterministicBoringSSL.decapsulate(test.c!.bytes, expandedKey: test.dk!.bytes)
            if test.result == "valid" {
                if let expected = test.K {
                    tally.expect(secret == expected.bytes, "\(test.tcId)")
                } else {
                    tally.expect(secret != nil, "\(test.tcId)")
                }
            } else {
                tally.expectRefused(secret == nil, "\(test.tcId)")
            }
        }
        tally.report()
    }
}
