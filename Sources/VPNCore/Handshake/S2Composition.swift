// SPDX-License-Identifier: Apache-2.0
// Answering an S1 (§6): both signatures first, Ed25519 before ML-DSA because it is cheaper, then the answer.
internal import VPNCrypto

/// What the responder must know to verify an S1 and to write S2.
struct S2Composition: Sendable {
    var signer: any IdentitySigner
    var opened: OpenedS1
    /// Pinned keys of a known initiator; nil for one whose keys came along and must hash to its id.
    var pinnedKeys: IdentityPublicKeys?
    var senderIndex: UInt32
    var offers: Offers
    var token: [UInt8]
    var mtu: UInt16
    var keepaliveSeconds: UInt16
    var lifetimeSeconds: UInt32
    /// What S1 asked for and this end has.
    var preshared = PresharedKeys.none
    var capabilities: Capabilities = []
    /// §2, degraded mode: ML-DSA alone may do. Only ever for pinned keys.
    var acceptsPartial = false

    func perform(_ cryptography: any HandshakeCryptography) -> Result<ComposedS2, HandshakeFailure> {
        let initiator: IdentityPublicKeys
        do throws(KeyError) {
            if let pinnedKeys {
                initiator = pinnedKeys
            } else {
                initiator = try cryptography.parsePublicKeys(opened.payload.keys ?? [])
            }
        } catch { return .failure(.publicKey) }
        guard initiator.peerID == opened.payload.peerID else { return .failure(.publicKey) }
        let grade: SignatureGrade
        do throws(SignatureFailure) {
            grade = try cryptography.grade(
                opened.signatures, of: opened.h4.hash, role: .initiator, by: initiator,
                acceptsPartial: acceptsPartial && pinnedKeys != nil)
        } catch { return .failure(HandshakeFailure(error)) }
        do {
            return .success(try answer(initiator, grade, cryptography))
        } catch is KeyError {
            return .failure(.publicKey)
        } catch {
            return .failure(.local)
        }
    }

    private func answer(
        _ initiator: IdentityPublicKeys, _ grade: SignatureGrade, _ cryptography: any HandshakeCryptography
    ) throws -> ComposedS2 {
        let s1 = opened.s1
        let cipher = CipherChoice.choose(initiator: s1.ciphers, responder: offers.ciphers)
        let agreement = try cryptography.makeECDHKeyPair()
        let agreed = try agreement.sharedSecret(with: s1.ephemeralPoint)
        let toEphemeral = try cryptography.encapsulate(to: s1.ephemeralKEM)
        let toInitiator = try cryptography.encapsulate(to: initiator.mlkem)
        let head = S2Message.head(
            cipher: CipherChoice.code(cipher), mixesChainedKey: preshared.chained != nil, senderIndex: senderIndex,
            receiverIndex: s1.senderIndex,
            nonce: cryptography.randomBytes(16), ephemeralPoint: agreement.publicPoint,
            ciphertextToEphemeral: toEphemeral.ciphertext, ciphertextToInitiator: toInitiator.ciphertext)
        let h6 = opened.h5.adding(head)
        let ck2 = KeySchedule.sessionChainingKey(
            opened.chainingKey, ephemeral: toEphemeral.sharedSecret, agreed: agreed,
            initiator: toInitiator.sharedSecret, preshared: preshared, h6)
        var payload = S2Payload(
            token: token, mtu: mtu, keepaliveSeconds: keepaliveSeconds, lifetime: lifetimeSeconds, offers: offers)
        payload.capabilities = capabilities.rawValue
        let unsigned = payload.unsigned
        let signatures = try signer.sign(h6.adding(unsigned).hash, role: .responder)
        let k2 = KeySchedule.expand(ck2, Labels.KeySchedule.s2Encryption, h6)
        let sealed = SealedPayload.seal(
            .aes256GCM, key: k2, nonce: PayloadNonce.zero, associatedData: h6.hash, plaintext: unsigned + signatures)
        return ComposedS2(
            message: head + sealed, initiator: initiator, usedKey: preshared.chained, grade: grade,
            secrets: SessionSecrets(chainingKey: ck2, transcript: h6.adding(sealed), cipher: cipher),
            fragmentKey: KeySchedule.expand(opened.chainingKey, Labels.KeySchedule.s2Fragments, opened.h5, count: 32))
    }
}

/// A verified initiator, the answer to it and the session that follows.
final class ComposedS2: Sendable {
    let message: [UInt8]
    let initiator: IdentityPublicKeys
    /// The next_psk of an earlier session that went into this one.
    let usedKey: PresharedKey?
    /// Of the initiator's signatures.
    let grade: SignatureGrade
    let secrets: SessionSecrets
    let fragmentKey: Secret

    init(
        message: [UInt8], initiator: IdentityPublicKeys, usedKey: PresharedKey?, grade: SignatureGrade,
        secrets: SessionSecrets,
        fragmentKey: consuming Secret
    ) {
        self.message = message
        self.initiator = initiator
        self.usedKey = usedKey
        self.grade = grade
        self.secrets = secrets
        self.fragmentKey = fragmentKey
    }
}
