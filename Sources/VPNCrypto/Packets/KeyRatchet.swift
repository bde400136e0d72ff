// SPDX-License-Identifier: Apache-2.0
// The keys of one direction of a session, phase after phase (§7): each is made of the one before, and none leads back. When a
// phase begins or ends is not known here.

/// A one-way chain of packet keys.
///
/// It holds the key of the next phase only: whoever seizes it learns nothing of the phases that were given out.
public struct KeyRatchet: ~Copyable, Sendable {
    private let cipher: PacketCipher
    private let backend: PacketKey.Backend
    /// The key of the phase that `next` will give.
    private var key: Secret
    /// The same in all phases: the ratchet gives 32 bytes, and a new key makes every nonce new.
    private let iv: Secret

    /// The chain that begins with a key of 32 bytes and an iv of 12, the key of phase 0; traps for other sizes.
    public init(
        _ cipher: PacketCipher, key: borrowing Secret, iv: borrowing Secret, backend: PacketKey.Backend = .boringSSL
    ) {
        precondition(key.count == PacketCipher.keySize && iv.count == PacketCipher.nonceSize, "packet key sizes")
        self.cipher = cipher
        self.backend = backend
        self.key = key.copy()
        self.iv = iv.copy()
    }

    /// The key of the next phase, phase 0 first; the chain moves on by k' = Expand(k, "ku", 32) and forgets k.
    public mutating func next() -> PacketKey {
        defer { StackMemory.wipe() }
        let given = PacketKey(cipher, key: key, iv: iv, backend: backend)
        key = HKDF512.expand(key, info: Labels.KeySchedule.keyUpdate, count: PacketCipher.keySize)
        return given
    }
}
