// SPDX-License-Identifier: Apache-2.0
// One-shot AEAD for handshake payloads and RETRY cookies, where a key seals once. For packets see `PacketKey`.

/// Sealing and opening of byte strings. Keys are 32 bytes, nonces 12, the tag 16 at the end.
public enum SealedPayload {
    /// Ciphertext ‖ tag. Traps for wrong sizes of key or nonce.
    public static func seal(
        _ cipher: PacketCipher, key: borrowing Secret, nonce: [UInt8], associatedData: [UInt8], plaintext: [UInt8]
    ) -> [UInt8] {
        var data = plaintext + [UInt8](repeating: 0, count: PacketCipher.tagSize)
        precondition(nonce.count == PacketCipher.nonceSize, "AEAD nonce size")
        // SAFETY: the array has 16 bytes of room behind the plaintext; the other lengths are the arrays' own.
        let sealed = unsafe AEADContext(cipher, key: key).seal(
            nonce, associatedData, associatedData.count, &data, plaintext.count)
        precondition(sealed, "sealing failed")
        return data
    }

    /// The plaintext, or nil if anything does not match. Traps for wrong sizes of key or nonce.
    public static func open(
        _ cipher: PacketCipher, key: borrowing Secret, nonce: [UInt8], associatedData: [UInt8], ciphertext: [UInt8]
    ) -> [UInt8]? {
        guard ciphertext.count >= PacketCipher.tagSize else { return nil }
        var data = ciphertext
        precondition(nonce.count == PacketCipher.nonceSize, "AEAD nonce size")
        // SAFETY: every length is that of its array.
        let opened = unsafe AEADContext(cipher, key: key).open(
            nonce, associatedData, associatedData.count, &data, data.count)
        guard opened else { return nil }
        data.removeLast(PacketCipher.tagSize)
        return data
    }
}
