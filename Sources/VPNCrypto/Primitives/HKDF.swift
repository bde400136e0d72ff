// SPDX-License-Identifier: Apache-2.0
// HKDF (RFC 5869) between secrets. swift-crypto's `SymmetricKey` clears its storage when it dies, so the copies made here
// do not stay; what HMAC leaves on the stack does, until the caller wipes that (StackMemory).

internal import Crypto

/// HKDF with HMAC-SHA512: the protocol's key derivation (§1).
public enum HKDF512 {
    /// The most that one ``expand(_:info:count:)`` can give: 255 blocks.
    public static let maximumCount = 255 * 64

    /// 64 bytes.
    public static func extract(salt: [UInt8], inputKeyMaterial: borrowing Secret) -> Secret {
        extract(SymmetricKey(data: salt), inputKeyMaterial)
    }

    /// 64 bytes.
    public static func extract(salt: borrowing Secret, inputKeyMaterial: borrowing Secret) -> Secret {
        extract(salt.symmetricKey, inputKeyMaterial)
    }

    /// `count` bytes, 1 to ``maximumCount``; traps outside, since every length in the protocol is a constant.
    public static func expand(_ prk: borrowing Secret, info: [UInt8], count: Int) -> Secret {
        precondition((1...maximumCount).contains(count), "HKDF-SHA512 gives 1 to \(maximumCount) bytes")
        return Secret(HKDF<SHA512>.expand(pseudoRandomKey: prk.symmetricKey, info: info, outputByteCount: count))
    }

    private static func extract(_ salt: SymmetricKey, _ material: borrowing Secret) -> Secret {
        // Extract is HMAC keyed by the salt; written so, because the library's own function wants the salt as plain data.
        var mac = HMAC<SHA512>(key: salt)
        // SAFETY: the secret's bytes are read while they are lent.
        material.withBytes { unsafe mac.update(data: $0) }
        let code = mac.finalize()
        // SAFETY: the target has 64 bytes, as many as a SHA-512 code.
        return Secret(count: 64) { target in unsafe code.withUnsafeBytes { unsafe target.copyMemory(from: $0) } }
    }
}

/// HKDF with HMAC-SHA256, for the sealing of cookies alone (§4).
public enum HKDF256 {
    /// Extract, then expand; `count` bytes, 1 to 8160.
    public static func derive(inputKeyMaterial: [UInt8], salt: [UInt8], info: [UInt8], count: Int) -> Secret {
        precondition((1...255 * 32).contains(count), "HKDF-SHA256 gives 1 to 8160 bytes")
        let material = SymmetricKey(data: inputKeyMaterial)
        return Secret(
            HKDF<SHA256>.deriveKey(inputKeyMaterial: material, salt: salt, info: info, outputByteCount: count))
    }
}

extension Secret {
    /// A copy in swift-crypto's own secret type, which is cleared when it dies but not locked in memory.
    var symmetricKey: SymmetricKey {
        // SAFETY: the library copies the bytes while they are lent.
        borrowing get { withBytes { unsafe SymmetricKey(data: $0) } }
    }

    init(_ key: SymmetricKey) {
        self.init(count: key.bitCount / 8) { target in
            // SAFETY: the target was made as long as the key.
            unsafe key.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
        }
    }
}
