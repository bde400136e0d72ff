// SPDX-License-Identifier: Apache-2.0
// What the protocol asks of the holder of an identity's private keys, and nothing more.

/// Whatever holds the four private keys: memory today, an HSM later. Methods are called on worker threads only, and may be
/// called on several at once.
public protocol IdentitySigner: Sendable {
    var publicKeys: IdentityPublicKeys { get }

    /// 4691 bytes: Ed25519 64 ‖ ML-DSA-87 4627, both over M' of §6; ML-DSA is hedged, with context "PQVPN/1 " ‖ role.
    /// `hash` is 64 bytes.
    func sign(_ hash: [UInt8], role: SignatureRole) throws -> [UInt8]

    /// The 32-byte secret of a 1568-byte ciphertext under the static key k. A ciphertext that was tampered with gives another
    /// secret and no error (FIPS 203, implicit rejection).
    func decapsulate(_ ciphertext: [UInt8]) throws -> Secret
}
