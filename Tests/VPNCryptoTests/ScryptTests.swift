// SPDX-License-Identifier: Apache-2.0
// scrypt against RFC 7914 §12, its bounds, and secrets sealed under what it gives.
import Testing

@testable import VPNCrypto

@Suite struct ScryptTests {
    private func key(_ passphrase: String, _ salt: String, _ parameters: ScryptParameters) throws -> String {
        let secret = Secret(copying: [UInt8](passphrase.utf8))
        return Hex.encode(
            try Scrypt.deriveKey(passphrase: secret, salt: [UInt8](salt.utf8), parameters: parameters).exposedCopy())
    }

    /// The first 32 bytes of the answers of 64: PBKDF2's blocks stand side by side.
    @Test func knownAnswers() throws {
        #expect(
            try key("password", "NaCl", #require(ScryptParameters(n: 1024, r: 8, p: 16)))
                == "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162")
        #expect(
            try key("pleaseletmein", "SodiumChloride", #require(ScryptParameters(n: 16384, r: 8, p: 1)))
                == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2")
    }

    @Test func absurdParametersAreRefusedBeforeAnyWork() {
        for (n, r, p) in [
            (0, 8, 1), (1, 8, 1), (512, 8, 1), (1000, 8, 1), (131_073, 8, 1), (1 << 21, 1, 1), (1 << 40, 8, 1),
            (Int.max, 8, 1), (-1024, 8, 1), (1024, 0, 1), (1024, 33, 1), (1024, -8, 1), (1024, Int.max, 1),
            (1024, 8, 0),
            (1024, 8, 17), (1024, 8, Int.max), (1 << 20, 16, 1), (1 << 20, 8, 4), (1 << 18, 32, 8),
        ] {
            #expect(ScryptParameters(n: n, r: r, p: p) == nil, "\(n) \(r) \(p)")
        }
        let standard = ScryptParameters.standard
        #expect(ScryptParameters(n: standard.n, r: standard.r, p: standard.p) == standard)
        #expect(128 * standard.n * standard.r == 128 << 20)
    }

    @Test func sealedSecretsOpenOnlyAsTheyWere() {
        let key = Secret(random: 32)
        let other = Secret(random: 32)
        for size in [0, 1, 15, 16, 17, 64, 1000] {
            let secret = Secret(random: size)
            let nonce = [UInt8](repeating: UInt8(size & 0xFF), count: 12)
            let sealed = SealedSecret.seal(secret, key: key, nonce: nonce, associatedData: [1, 2, 3])
            #expect(sealed.count == size + 16)
            // The same bytes as the one-shot AEAD gives.
            #expect(
                sealed
                    == SealedPayload.seal(
                        .aes256GCM, key: key, nonce: nonce, associatedData: [1, 2, 3], plaintext: secret.exposedCopy()))
            func opens(_ bytes: [UInt8], _ key: borrowing Secret, _ nonce: [UInt8], _ data: [UInt8]) -> Bool {
                guard let opened = SealedSecret.open(bytes, key: key, nonce: nonce, associatedData: data) else {
                    return false
                }
                return opened.isEqual(to: secret)
            }
            // Not inside the macro, which would copy the keys.
            let opened = opens(sealed, key, nonce, [1, 2, 3])
            let openedByAnother = opens(sealed, other, nonce, [1, 2, 3])
            let openedUnderAnotherNonce = opens(sealed, key, [UInt8](repeating: 0xEE, count: 12), [1, 2, 3])
            let openedWithOtherData = opens(sealed, key, nonce, [1, 2])
            #expect(opened && !openedByAnother && !openedUnderAnotherNonce && !openedWithOtherData)
            for place in sealed.indices {
                var changed = sealed
                changed[place] ^= 1
                let openedChanged = opens(changed, key, nonce, [1, 2, 3])
                #expect(!openedChanged, "byte \(place)")
            }
            for length in 0..<min(sealed.count, 40) {
                let openedShort = opens(Array(sealed.prefix(length)), key, nonce, [1, 2, 3])
                #expect(!openedShort, "\(length) bytes")
            }
        }
    }
}
