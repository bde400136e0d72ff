// SPDX-License-Identifier: Apache-2.0
// ML-DSA-87 (FIPS 204), pure, hedged, with context. Verification goes through swift-crypto's interface, signing through its
// BoringSSL on locked memory.

internal import CPacketAEAD
internal import Crypto

enum MLDSA {
    static let seedSize = 32
    static let publicKeySize = 2592
    static let signatureSize = 4627

    /// False for any signature that is not exactly 4627 bytes, and for any key that is not 2592.
    static func verify(_ signature: [UInt8], of message: [UInt8], context: [UInt8], by key: [UInt8]) -> Bool {
        guard signature.count == signatureSize, context.count <= 255,
            let parsed = try? MLDSA87.PublicKey(rawRepresentation: key)
        else { return false }
        return parsed.isValidSignature(signature, for: message, context: context)
    }

    /// The expanded private key (23,680 bytes, process-local form) and the public key.
    static func expand(seed: borrowing Secret) throws -> ExpandedKey {
        precondition(seed.count == seedSize)
        var publicKey = [UInt8](repeating: 0, count: publicKeySize)
        let privateKey = try Secret(
            count: Int(PQVPN_MLDSA87_PRIVATE_KEY),
            writingOctets: { target in
                // SAFETY: the three buffers have the sizes that the prototype names; secret memory is 32-aligned.
                let done = seed.withOctets { unsafe pqvpn_mldsa87_expand(&publicKey, target, $0) }
                guard done == 1 else { throw CryptographyFailure("ML-DSA-87 key generation") }
            })
        return ExpandedKey(publicKey: publicKey, privateKey: privateKey)
    }

    /// 4627 bytes; the randomness is BoringSSL's, so two signatures of one message differ.
    static func sign(_ message: [UInt8], context: [UInt8], with privateKey: borrowing Secret) throws -> [UInt8] {
        var signature = [UInt8](repeating: 0, count: signatureSize)
        // SAFETY: the key comes from `expand`, the signature has its exact size, the rest is as long as it says.
        let done = privateKey.withOctets {
            unsafe pqvpn_mldsa87_sign(&signature, $0, message, message.count, context, context.count)
        }
        guard done == 1 else { throw CryptographyFailure("ML-DSA-87 signing") }
        return signature
    }
}
