// SPDX-License-Identifier: Apache-2.0
// An identity whose private keys are in this process's locked memory. It knows nothing of files.

/// The four private keys in memory. Seeds and expanded keys are locked and wiped.
public final class SoftwareIdentity: IdentitySigner {
    public let publicKeys: IdentityPublicKeys
    private let scalar: Secret
    private let ed25519Key: Secret
    private let mldsaSeedBytes: Secret
    private let mldsaKey: Secret
    private let mlkemSeedBytes: Secret
    private let mlkemKey: Secret

    /// Four fresh keys.
    public convenience init() throws {
        try self.init(
            brainpoolScalar: BrainpoolKeyPair().scalar(), ed25519Seed: Secret(random: Ed25519.seedSize),
            mldsaSeed: Secret(random: MLDSA.seedSize), mlkemSeed: Secret(random: MLKEM.seedSize))
    }

    /// From stored seeds: 64, 32, 32 and 64 bytes. Throws ``KeyError`` for another size or a scalar out of range.
    public init(
        brainpoolScalar: borrowing Secret, ed25519Seed: borrowing Secret, mldsaSeed: borrowing Secret,
        mlkemSeed: borrowing Secret
    ) throws {
        try Self.check(ed25519Seed, .ed25519, Ed25519.seedSize)
        try Self.check(mldsaSeed, .mldsa, MLDSA.seedSize)
        try Self.check(mlkemSeed, .mlkem, MLKEM.seedSize)
        let brainpool = try BrainpoolKeyPair(scalar: brainpoolScalar)
        let ed25519 = Ed25519.expand(seed: ed25519Seed)
        let mldsa = try MLDSA.expand(seed: mldsaSeed)
        let mlkem = MLKEM.expand(seed: mlkemSeed)
        publicKeys = try IdentityPublicKeys(
            brainpool: brainpool.publicPoint, ed25519: ed25519.publicKey, mldsa: mldsa.publicKey,
            mlkem: mlkem.publicKey)
        scalar = brainpoolScalar.copy()
        ed25519Key = ed25519.privateKey
        mldsaSeedBytes = mldsaSeed.copy()
        mldsaKey = mldsa.privateKey
        mlkemSeedBytes = mlkemSeed.copy()
        mlkemKey = mlkem.privateKey
    }

    private static func check(_ seed: borrowing Secret, _ kind: KeyKind, _ size: Int) throws(KeyError) {
        if seed.count != size { throw .wrongSize(kind, expected: size, actual: seed.count) }
    }

    public func sign(_ hash: [UInt8], role: SignatureRole) throws -> [UInt8] {
        let message = DualSignature.message(hash, role: role)
        return try Ed25519.sign(message, with: ed25519Key)
            + MLDSA.sign(message, context: Labels.Signature.context(role), with: mldsaKey)
    }

    public func decapsulate(_ ciphertext: [UInt8]) throws -> Secret {
        try MLKEM.decapsulate(ciphertext, with: mlkemKey)
    }

    /// A copy for the writer of key files, 64 bytes, big-endian.
    public var brainpoolScalar: Secret { scalar.copy() }
    /// A copy for the writer of key files, 32 bytes.
    public var ed25519Seed: Secret { ed25519Key.slice(0..<Ed25519.seedSize) }
    /// A copy for the writer of key files, 32 bytes.
    public var mldsaSeed: Secret { mldsaSeedBytes.copy() }
    /// A copy for the writer of key files, 64 bytes: d ‖ z.
    public var mlkemSeed: Secret { mlkemSeedBytes.copy() }
}

extension SoftwareIdentity: CustomStringConvertible, CustomReflectable {
    public var description: String { "identity \(publicKeys.peerID)" }
    public var customMirror: Mirror { Mirror(self, children: ["peerID": publicKeys.peerID.hex]) }
}
