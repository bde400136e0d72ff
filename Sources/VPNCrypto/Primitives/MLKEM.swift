// SPDX-License-Identifier: Apache-2.0
// ML-KEM-1024 (FIPS 203). Expanded keys live in locked memory; what is stored in files is the 64-byte seed.

internal import CPacketAEAD

enum MLKEM {
    static let seedSize = 64
    static let publicKeySize = 1568
    static let ciphertextSize = 1568
    static let sharedSecretSize = 32
    /// q of FIPS 203; an encapsulation key is 4 × 256 coefficients of 12 bits below it, then a 32-byte seed.
    private static let modulus = 3329

    /// The modulus check of FIPS 203, 7.2.
    static func checkPublicKey(_ key: [UInt8]) throws(KeyError) {
        guard key.count == publicKeySize else {
            throw .wrongSize(.mlkem, expected: publicKeySize, actual: key.count)
        }
        for position in stride(from: 0, to: publicKeySize - 32, by: 3) {
            let (low, middle, high) = (Int(key[position]), Int(key[position + 1]), Int(key[position + 2]))
            if low | (middle & 15) << 8 >= modulus || middle >> 4 | high << 4 >= modulus {
                throw .invalid(.mlkem, reason: "coefficient not below q")
            }
        }
    }

    /// The expanded private key (12,384 bytes, process-local form) and the public key.
    static func expand(seed: borrowing Secret) -> ExpandedKey {
        precondition(seed.count == seedSize)
        var publicKey = [UInt8](repeating: 0, count: publicKeySize)
        let privateKey = Secret(
            count: Int(PQVPN_MLKEM1024_PRIVATE_KEY),
            writingOctets: { target in
                // SAFETY: the three buffers have the sizes that the prototype names; secret memory is 32-aligned.
                seed.withOctets { unsafe pqvpn_mlkem1024_expand(&publicKey, target, $0) }
            })
        return ExpandedKey(publicKey: publicKey, privateKey: privateKey)
    }

    static func encapsulate(to publicKey: [UInt8]) throws -> Encapsulation {
        try checkPublicKey(publicKey)
        var ciphertext = [UInt8](repeating: 0, count: ciphertextSize)
        let secret = try Secret(
            count: sharedSecretSize,
            writingOctets: { target in
                // SAFETY: the three buffers have the sizes that the prototype names.
                guard unsafe pqvpn_mlkem1024_encapsulate(&ciphertext, target, publicKey) == 1 else {
                    throw KeyError.invalid(.mlkem, reason: "refused by the library")
                }
            })
        return Encapsulation(ciphertext: ciphertext, sharedSecret: secret)
    }

    /// 32 bytes. A ciphertext of the right size never fails: one that was tampered with gives another secret (§1).
    static func decapsulate(_ ciphertext: [UInt8], with privateKey: borrowing Secret) throws -> Secret {
        guard ciphertext.count == ciphertextSize else {
            throw KeyError.wrongSize(.mlkem, expected: ciphertextSize, actual: ciphertext.count)
        }
        return try Secret(
            count: sharedSecretSize,
            writingOctets: { target in
                // SAFETY: the key comes from `expand`, the other two buffers have the sizes that the prototype names.
                let done = privateKey.withOctets { unsafe pqvpn_mlkem1024_decapsulate(target, ciphertext, $0) }
                guard done == 1 else { throw CryptographyFailure("ML-KEM-1024 decapsulation") }
            })
    }
}

/// An ephemeral ML-KEM-1024 key pair; it is wiped when it dies.
final class MLKEMKeyPair: KEMKeyPair {
    private let privateKey: Secret
    let publicKey: [UInt8]

    init() {
        let key = MLKEM.expand(seed: Secret(random: MLKEM.seedSize))
        publicKey = key.publicKey
        privateKey = key.privateKey
    }

    func decapsulate(_ ciphertext: [UInt8]) throws -> Secret {
        try MLKEM.decapsulate(ciphertext, with: privateKey)
    }
}

extension MLKEMKeyPair: CustomStringConvertible, CustomReflectable {
    var description: String { "ML-KEM-1024 key pair" }
    var customMirror: Mirror { Mirror(self, children: [:]) }
}
