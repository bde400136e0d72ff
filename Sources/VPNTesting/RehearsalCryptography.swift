@_spi(Simulation) public import VPNCrypto
// SPDX-License-Identifier: Apache-2.0
// A stand-in for the dear primitives of a handshake: the same sizes, the same dependence of every output on every
// input, seeded, a hundred times cheaper, and no security at all. Only simulations link it: no product target depends
// on VPNTesting. Hashes, key schedule and packet cipher stay the real ones.
import VPNLock

/// Seeded primitives for long simulations.
public final class RehearsalCryptography: HandshakeCryptography {
    private let random: Guarded<SeededRandom>

    public init(seed: UInt64) { random = Guarded(SeededRandom(seed: seed)) }

    public func randomBytes(_ count: Int) -> [UInt8] { random.withLock { $0.bytes(count) } }

    public func makeKEMKeyPair() throws -> any KEMKeyPair { RehearsalKEM(publicKey: randomBytes(1568)) }

    public func encapsulate(to publicKey: [UInt8]) throws -> Encapsulation {
        guard publicKey.count == 1568 else { throw KeyError.wrongSize(.mlkem, expected: 1568, actual: publicKey.count) }
        let ciphertext = randomBytes(1568)
        return Encapsulation(
            ciphertext: ciphertext, sharedSecret: RehearsalKEM.secret(publicKey: publicKey, ciphertext: ciphertext))
    }

    public func makeECDHKeyPair() throws -> any ECDHKeyPair { RehearsalECDH(publicPoint: [4] + randomBytes(128)) }

    public func verify(
        _ signatures: [UInt8], of hash: [UInt8], role: SignatureRole, by keys: IdentityPublicKeys
    ) throws(SignatureFailure) {
        guard signatures.count == 4691 else { throw .length(signatures.count) }
        let expected = RehearsalIdentity.signature(of: hash, role: role, by: keys)
        guard signatures[..<64] == expected[..<64] else { throw .ed25519 }
        guard signatures[64...] == expected[64...] else { throw .mldsa }
    }

    public func verifyPostQuantumHalf(
        _ signatures: [UInt8], of hash: [UInt8], role: SignatureRole, by keys: IdentityPublicKeys
    ) throws(SignatureFailure) {
        guard signatures.count == 4691 else { throw .length(signatures.count) }
        let expected = RehearsalIdentity.signature(of: hash, role: role, by: keys)
        guard signatures[64...] == expected[64...] else { throw .mldsa }
    }

    public func parsePublicKeys(_ encoded: [UInt8]) throws(KeyError) -> IdentityPublicKeys {
        guard encoded.count == IdentityPublicKeys.encodedSize else {
            throw .wrongSize(.brainpool, expected: IdentityPublicKeys.encodedSize, actual: encoded.count)
        }
        return try IdentityPublicKeys(uncheckedEncoding: encoded)
    }

    public func makeIdentity() throws -> any IdentitySigner {
        RehearsalIdentity(seed: random.withLock { $0.next() })
    }
}

/// An identity whose "private" operations follow from its public keys.
public struct RehearsalIdentity: IdentitySigner {
    public let publicKeys: IdentityPublicKeys

    public init(seed: UInt64) {
        var random = SeededRandom(seed: seed ^ 0x1D)
        var bytes = random.bytes(IdentityPublicKeys.encodedSize)
        bytes[0] = 4
        do {
            publicKeys = try IdentityPublicKeys(uncheckedEncoding: bytes)
        } catch { preconditionFailure("the size is right") }
    }

    public func sign(_ hash: [UInt8], role: SignatureRole) throws -> [UInt8] {
        Self.signature(of: hash, role: role, by: publicKeys)
    }

    public func decapsulate(_ ciphertext: [UInt8]) throws -> Secret {
        RehearsalKEM.secret(publicKey: publicKeys.mlkem, ciphertext: ciphertext)
    }

    static func signature(of hash: [UInt8], role: SignatureRole, by keys: IdentityPublicKeys) -> [UInt8] {
        let message = Array(role.rawValue.utf8) + hash
        let classical = Hash.sha512(keys.ed25519, message)
        let seed = Hash.sha512(keys.mldsa, message)
        var postQuantum = [UInt8]()
        while postQuantum.count < 4627 { postQuantum += seed }
        return classical + postQuantum[..<4627]
    }
}

private final class RehearsalKEM: KEMKeyPair {
    let publicKey: [UInt8]

    init(publicKey: [UInt8]) { self.publicKey = publicKey }

    /// Any ciphertext decapsulates to something, as with the real one: only the AEAD tells.
    func decapsulate(_ ciphertext: [UInt8]) throws -> Secret {
        Self.secret(publicKey: publicKey, ciphertext: ciphertext)
    }

    static func secret(publicKey: [UInt8], ciphertext: [UInt8]) -> Secret {
        Secret(copying: Hash.sha256(publicKey, ciphertext))
    }
}

private final class RehearsalECDH: ECDHKeyPair {
    let publicPoint: [UInt8]

    init(publicPoint: [UInt8]) { self.publicPoint = publicPoint }

    func sharedSecret(with point: [UInt8]) throws -> Secret {
        guard point.count == 129, point[0] == 4 else { throw KeyError.invalid(.brainpool, reason: "not a point") }
        let isSmaller = publicPoint.lexicographicallyPrecedes(point)
        return Secret(copying: Hash.sha512(isSmaller ? publicPoint : point, isSmaller ? point : publicPoint))
    }
}
