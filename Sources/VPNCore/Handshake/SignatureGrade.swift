// SPDX-License-Identifier: Apache-2.0
// How much of a message's dual signature held: all of it, or what the degraded mode of §2 settles for. Who may be met in
// that mode is not decided here (TrustStore).
internal import VPNCrypto

/// What the signatures of S1 or S2 were worth.
enum SignatureGrade: Sendable {
    /// Ed25519 and ML-DSA-87 verified.
    case full
    /// ML-DSA-87 verified, Ed25519 did not; both are there with their exact lengths.
    case degraded
}

extension HandshakeCryptography {
    /// Verifies both signatures. Where Ed25519 alone fails and `acceptsPartial`, ML-DSA alone decides.
    func grade(
        _ signatures: [UInt8], of hash: [UInt8], role: SignatureRole, by keys: IdentityPublicKeys, acceptsPartial: Bool
    ) throws(SignatureFailure) -> SignatureGrade {
        do throws(SignatureFailure) {
            try verify(signatures, of: hash, role: role, by: keys)
            return .full
        } catch {
            guard acceptsPartial, error == .ed25519 else { throw error }
            try verifyPostQuantumHalf(signatures, of: hash, role: role, by: keys)
            return .degraded
        }
    }
}
