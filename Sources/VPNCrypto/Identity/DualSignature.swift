// SPDX-License-Identifier: Apache-2.0
// The dual signature of §6: Ed25519 and ML-DSA-87 over one message, both required. It is not strongly unforgeable, so its
// bytes are never an identifier or a replay key.

/// What a signature is for. A signature made in one role does not verify in another.
public enum SignatureRole: String, Sendable, CaseIterable {
    case initiator = "S1-initiator"
    case responder = "S2-responder"
    case descriptor = "descriptor"
    /// §2: an identity that goes on as another one, and that other one.
    case rotationFrom = "rotation-from"
    case rotationTo = "rotation-to"
    case revocation = "revocation"
}

/// Why a dual signature was refused; the first reason in the order of the checks.
public enum SignatureFailure: Error, Equatable, Sendable {
    /// Not exactly 4691 bytes; the value is the length.
    case length(Int)
    case ed25519
    case mldsa
}

/// The format of the dual signature and its verification; signing is the business of an ``IdentitySigner``.
public enum DualSignature {
    /// Ed25519 64 ‖ ML-DSA-87 4627, in bytes.
    public static let size = 4691
    /// What is signed is always a SHA-512 value.
    public static let hashSize = 64

    /// §6: M' = label ‖ u8 length ‖ role ‖ h.
    public static func message(_ hash: [UInt8], role: SignatureRole) -> [UInt8] {
        precondition(hash.count == hashSize, "signatures cover a hash of 64 bytes")
        let name = [UInt8](role.rawValue.utf8)
        return Labels.Signature.composite + [UInt8(name.count)] + name + hash
    }

    /// Returns only if both signatures verify. Ed25519 first, being cheaper.
    public static func verify(
        _ signatures: [UInt8], of hash: [UInt8], role: SignatureRole, by keys: IdentityPublicKeys
    ) throws(SignatureFailure) {
        guard signatures.count == size else { throw .length(signatures.count) }
        let ed25519 = [UInt8](signatures[..<Ed25519.signatureSize])
        guard Ed25519.verify(ed25519, of: message(hash, role: role), by: keys.ed25519) else { throw .ed25519 }
        try verifyPostQuantumHalf(signatures, of: hash, role: role, by: keys)
    }

    /// Returns only if the ML-DSA half verifies and both halves are there. It says nothing of Ed25519: for the degraded mode
    /// of §2 alone.
    public static func verifyPostQuantumHalf(
        _ signatures: [UInt8], of hash: [UInt8], role: SignatureRole, by keys: IdentityPublicKeys
    ) throws(SignatureFailure) {
        guard signatures.count == size else { throw .length(signatures.count) }
        let mldsa = [UInt8](signatures[Ed25519.signatureSize...])
        let context = Labels.Signature.context(role)
        guard MLDSA.verify(mldsa, of: message(hash, role: role), context: context, by: keys.mldsa) else { throw .mldsa }
    }
}
