// SPDX-License-Identifier: Apache-2.0
// A secret under a key, for files: AES-256-GCM in secret memory, so that no plaintext touches an ordinary array.

/// Sealing and opening of secrets. Keys are 32 bytes, nonces 12, the tag 16 at the end; a nonce serves a key once.
public enum SealedSecret {
    public static let keySize = PacketCipher.keySize
    public static let nonceSize = PacketCipher.nonceSize
    public static let tagSize = PacketCipher.tagSize

    /// Ciphertext ‖ tag, which is public. Traps for wrong sizes of key or nonce.
    public static func seal(
        _ secret: borrowing Secret, key: borrowing Secret, nonce: [UInt8], associatedData: [UInt8]
    ) -> [UInt8] {
        precondition(nonce.count == nonceSize, "AEAD nonce size")
        let size = secret.count
        let context = AEADContext(.aes256GCM, key: key)
        let block = Secret(
            count: size + tagSize,
            writingOctets: { room in
                // SAFETY: the room has the secret's bytes and 16 more for the tag; the other lengths are the arrays' own.
                secret.withOctets { unsafe room.update(from: $0, count: size) }
                let sealed = unsafe context.seal(nonce, associatedData, associatedData.count, room, size)
                precondition(sealed, "sealing failed")
            })
        return block.exposedCopy()
    }

    /// The secret, or nil if anything does not match. Traps for wrong sizes of key or nonce.
    public static func open(
        _ ciphertext: [UInt8], key: borrowing Secret, nonce: [UInt8], associatedData: [UInt8]
    ) -> Secret? {
        guard ciphertext.count >= tagSize else { return nil }
        precondition(nonce.count == nonceSize, "AEAD nonce size")
        let context = AEADContext(.aes256GCM, key: key)
        var isAuthentic = false
        let block = Secret(
            count: ciphertext.count,
            writingOctets: { room in
                // SAFETY: the room is as long as the ciphertext; the other lengths are the arrays' own.
                unsafe ciphertext.withUnsafeBufferPointer { unsafe room.update(from: $0.baseAddress!, count: $0.count) }
                isAuthentic = unsafe context.open(nonce, associatedData, associatedData.count, room, ciphertext.count)
            })
        return isAuthentic ? block.slice(0..<ciphertext.count - tagSize) : nil
    }
}
