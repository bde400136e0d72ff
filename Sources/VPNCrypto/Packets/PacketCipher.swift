// SPDX-License-Identifier: Apache-2.0
// The two ciphers a session may use (§1). Which one is settled inside the signed transcript, not here.

internal import CPacketAEAD

/// Keys are 32 bytes, nonces 12, tags 16 for both.
public enum PacketCipher: UInt8, Sendable, CaseIterable {
    case aes256GCM = 0
    case chaCha20Poly1305 = 1

    /// Key, nonce and tag in bytes.
    public static let keySize = 32
    public static let nonceSize = 12
    public static let tagSize = 16

    /// Whether this processor runs AES-GCM on instructions of its own, fast and in constant time. Bit 1 of `aeads` (§1) is
    /// the negation.
    public static var hasAESHardware: Bool { pqvpn_has_aes_hardware() == 1 }
}
