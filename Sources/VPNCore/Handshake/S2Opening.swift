// SPDX-License-Identifier: Apache-2.0
// Reading an S2 (§6): the initiator's last step. Whatever is wrong, the pending handshake stays as it was.
internal import VPNCrypto

/// A complete S2 whose fragments were authentic.
struct S2Opening: Sendable {
    var signer: any IdentitySigner
    var ephemerals: InitiatorEphemerals
    var responder: IdentityPublicKeys
    var senderIndex: UInt32
    var offers: Offers
    /// What RETRY said the responder speaks; nil where a token replaced that round trip.
    var offersInRetry: Offers?
    var message: [UInt8]
    /// What S1 offered to mix.
    var preshared = PresharedKeys.none
    /// §2, degraded mode: ML-DSA alone may do. Only ever for pinned keys.
    var acceptsPartial = false

    func perform(_ cryptography: any HandshakeCryptography) -> Result<OpenedS2, HandshakeFailure> {
        guard let s2 = S2Message(message), s2.receiverIndex == senderIndex,
            !s2.mixesChainedKey || preshared.chained != nil
        else { return .failure(.malformed) }
        do {
            return try open(s2, cryptography)
        } catch is KeyError {
            return .failure(.publicKey)
        } catch {
            return .failure(.local)
        }
    }

    private func open(
        _ s2: S2Message, _ cryptography: any HandshakeCryptography
    ) throws -> Result<OpenedS2, HandshakeFailure> {
        let h6 = ephemerals.transcript.adding(s2.head)
        let ephemeralSecret = try ephemerals.kem.decapsulate(s2.ciphertextToEphemeral)
        let agreed = try ephemerals.agreement.sharedSecret(with: s2.ephemeralPoint)
        let ownSecret = try signer.decapsulate(s2.ciphertextToInitiator)
        // §6: a next_psk that the responder does not have is skipped; its flag is in h6.
        let mixed = s2.mixesChainedKey ? preshared : preshared.unchained
        let ck2 = KeySchedule.sessionChainingKey(
            ephemerals.chainingKey, ephemeral: ephemeralSecret, agreed: agreed, initiator: ownSecret, preshared: mixed,
            h6)
        let k2 = KeySchedule.expand(ck2, Labels.KeySchedule.s2Encryption, h6)
        guard
            let plaintext = SealedPayload.open(
                .aes256GCM, key: k2, nonce: PayloadNonce.zero, associatedData: h6.hash, ciphertext: s2.sealedPayload)
        else { return .failure(.seal) }
        guard let (payload, signatures) = S2Payload.decode(plaintext) else { return .failure(.malformed) }
        let grade: SignatureGrade
        do throws(SignatureFailure) {
            grade = try cryptography.grade(
                signatures, of: h6.adding(payload.unsigned).hash, role: .responder, by: responder,
                acceptsPartial: acceptsPartial)
        } catch { return .failure(HandshakeFailure(error)) }
        // §6: what RETRY showed in clear must be what the responder signed.
        let cipher = CipherChoice.choose(initiator: offers.ciphers, responder: payload.offers.ciphers)
        guard offersInRetry == nil || offersInRetry == payload.offers, s2.cipher == CipherChoice.code(cipher) else {
            return .failure(.downgrade)
        }
        let secrets = SessionSecrets(chainingKey: ck2, transcript: h6.adding(s2.sealedPayload), cipher: cipher)
        return .success(
            OpenedS2(
                senderIndex: s2.senderIndex, payload: payload, usedKey: mixed.chained, grade: grade, secrets: secrets))
    }
}

/// A verified answer and the session that follows.
struct OpenedS2: Sendable {
    /// The responder's receiver index.
    var senderIndex: UInt32
    var payload: S2Payload
    /// The next_psk of an earlier session that went into this one.
    var usedKey: PresharedKey?
    /// Of the responder's signatures.
    var grade: SignatureGrade
    var secrets: SessionSecrets
}
