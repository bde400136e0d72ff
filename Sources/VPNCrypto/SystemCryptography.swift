// SPDX-License-Identifier: Apache-2.0
// The real primitives. There is no way to leave one of the four out.

/// ML-KEM-1024, brainpoolP512r1, Ed25519 and ML-DSA-87, with the kernel's randomness.
public struct SystemCryptography: HandshakeCryptography {
    private let ephemeralPool: EphemeralPool?

    /// With a pool, ``makeECDHKeyPair()`` takes from it while it has any.
    public init(ephemeralPool: EphemeralPool? = nil) {
        self.ephemeralPool = ephemeralPool
    }

    public func randomBytes(_ count: Int) -> [UInt8] { SystemRandom.bytes(count) }

    public func makeKEMKeyPair() throws -> any KEMKeyPair { MLKEMKeyPair() }

    public func encapsulate(to publicKey: [UInt8]) throws -> Encapsulation { try MLKEM.encapsulate(to: publicKey) }

    public func makeECDHKeyPair() throws -> any ECDHKeyPair {
        if let ready = ephemeralPool?.take() { return ready }
        return try BrainpoolKeyPair()
    }

    public func verify(
        _ signatures: [UInt8], of hash: [UInt8], role: SignatureRole, by keys: IdentityPublicKeys
    ) throws(SignatureFailure) {
        try DualSignature.verify(signatures, of: hash, role: role, by: keys)
    }

    public func verifyPostQuantumHalf(
        _ signatures: [UInt8], of hash: [UInt8], role: SignatureRole, by keys: IdentityPublicKeys
    ) throws(SignatureFailure) {
        try DualSignature.verifyPostQuantumHalf(signatures, of: hash, role: role, by: keys)
    }

    public func parsePublicKeys(_ encoded: [UInt8]) throws(KeyError) -> IdentityPublicKeys {
        try IdentityPublicKeys(encoded: encoded)
    }

    public func makeIdentity() throws -> any IdentitySigner { try SoftwareIdentity() }
}
