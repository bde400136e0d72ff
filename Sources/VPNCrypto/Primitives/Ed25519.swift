// SPDX-License-Identifier: Apache-2.0
// Ed25519 (RFC 8032) with the checks of public keys that the library leaves out: it accepts the all-zero key.

internal import CPacketAEAD
internal import Crypto

/// What a seed expands to: the public key, and the private key in BoringSSL's form.
struct ExpandedKey: ~Copyable {
    let publicKey: [UInt8]
    let privateKey: Secret
}

enum Ed25519 {
    static let seedSize = 32
    static let publicKeySize = 32
    static let signatureSize = 64

    /// y of the points of small order, little-endian, without the sign bit: order 4, 1, 2 and, twice, 8. With such a key a
    /// signature can verify for messages that nobody signed.
    private static let smallOrder: [[UInt8]] = [
        [UInt8](repeating: 0, count: 32),
        [1] + [UInt8](repeating: 0, count: 31),
        [0xec] + [UInt8](repeating: 0xff, count: 30) + [0x7f],
        Hex.decode("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")!,
        Hex.decode("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")!,
    ]

    /// Refuses wrong sizes, y not below p (a second encoding of a key would be a second name for it), and small order.
    /// The two canonical-looking encodings with x = 0 and the sign bit set are of small order too.
    static func checkPublicKey(_ key: [UInt8]) throws(KeyError) {
        guard key.count == publicKeySize else {
            throw .wrongSize(.ed25519, expected: publicKeySize, actual: key.count)
        }
        var y = key
        y[31] &= 0x7f
        // p = 2^255 - 19: only 19 values of 255 bits are not below it.
        if y[31] == 0x7f, y[1..<31].allSatisfy({ $0 == 0xff }), y[0] >= 0xed {
            throw .invalid(.ed25519, reason: "non-canonical encoding")
        }
        if smallOrder.contains(y) { throw .invalid(.ed25519, reason: "point of small order") }
    }

    /// Signatures with S not below the group's order are refused by the library. The key was checked when it was parsed.
    static func verify(_ signature: [UInt8], of message: [UInt8], by key: [UInt8]) -> Bool {
        guard let parsed = try? Curve25519.Signing.PublicKey(rawRepresentation: key) else { return false }
        return parsed.isValidSignature(signature, for: message)
    }

    /// The private key in BoringSSL's form (seed ‖ public key) and the public key.
    static func expand(seed: borrowing Secret) -> ExpandedKey {
        precondition(seed.count == seedSize)
        var publicKey = [UInt8](repeating: 0, count: publicKeySize)
        let privateKey = Secret(
            count: Int(PQVPN_ED25519_PRIVATE_KEY),
            writingOctets: { target in
                // SAFETY: the three buffers have the sizes that the prototype names.
                seed.withOctets { unsafe pqvpn_ed25519_expand(&publicKey, target, $0) }
            })
        return ExpandedKey(publicKey: publicKey, privateKey: privateKey)
    }

    /// 64 bytes, deterministic.
    static func sign(_ message: [UInt8], with privateKey: borrowing Secret) throws -> [UInt8] {
        var signature = [UInt8](repeating: 0, count: signatureSize)
        // SAFETY: the signature and the private key are 64 bytes long each, the message as long as it says.
        let done = privateKey.withOctets { unsafe pqvpn_ed25519_sign(&signature, $0, message, message.count) }
        guard done == 1 else { throw CryptographyFailure("Ed25519 signing") }
        return signature
    }
}
