// SPDX-License-Identifier: Apache-2.0
// The seam between the protocol and the dear primitives. The product has one implementation, `SystemCryptography`.

/// The dear primitives of a handshake, injected so that long simulations can use a seeded stand-in of identical sizes.
public protocol HandshakeCryptography: Sendable {
    /// Public randomness: nonces, indices. Secrets come from ``Secret``.
    func randomBytes(_ count: Int) -> [UInt8]
    func makeKEMKeyPair() throws -> any KEMKeyPair
    /// Throws ``KeyError`` for a wrong size or a coefficient that is not below q.
    func encapsulate(to publicKey: [UInt8]) throws -> Encapsulation
    func makeECDHKeyPair() throws -> any ECDHKeyPair
    /// Returns only if both signatures hold: exact length, Ed25519 first, then ML-DSA.
    func verify(
        _ signatures: [UInt8], of hash: [UInt8], role: SignatureRole, by keys: IdentityPublicKeys
    ) throws(SignatureFailure)
    /// Exact length and the ML-DSA half; says nothing of Ed25519. For the degraded mode of §2 alone.
    func verifyPostQuantumHalf(
        _ signatures: [UInt8], of hash: [UInt8], role: SignatureRole, by keys: IdentityPublicKeys
    ) throws(SignatureFailure)
    /// Identity keys, B ‖ e ‖ d ‖ k, parsed and checked.
    func parsePublicKeys(_ encoded: [UInt8]) throws(KeyError) -> IdentityPublicKeys
    /// A throwaway identity, for an anonymous initiator.
    func makeIdentity() throws -> any IdentitySigner
}

/// An ephemeral ML-KEM-1024 key pair, for one handshake.
public protocol KEMKeyPair: AnyObject, Sendable {
    /// 1568 bytes.
    var publicKey: [UInt8] { get }
    /// 32 bytes from a ciphertext of 1568. A ciphertext that was tampered with gives another secret and no error.
    func decapsulate(_ ciphertext: [UInt8]) throws -> Secret
}

/// An ephemeral brainpoolP512r1 key pair, for one handshake.
public protocol ECDHKeyPair: AnyObject, Sendable {
    /// 129 bytes, uncompressed.
    var publicPoint: [UInt8] { get }
    /// 64 bytes. Throws ``KeyError`` for a point that is not 129 bytes, uncompressed and on the curve.
    func sharedSecret(with point: [UInt8]) throws -> Secret
}

/// What an encapsulation gives.
@frozen
public struct Encapsulation: ~Copyable, Sendable {
    /// 1568 bytes.
    public let ciphertext: [UInt8]
    /// 32 bytes.
    public let sharedSecret: Secret

    public init(ciphertext: [UInt8], sharedSecret: consuming Secret) {
        self.ciphertext = ciphertext
        self.sharedSecret = sharedSecret
    }

    /// The secret, when the ciphertext has been read.
    public consuming func takeSharedSecret() -> Secret { sharedSecret }
}
