// SPDX-License-Identifier: Apache-2.0
// Reading an S1 (§6): one decapsulation and one AEAD, enough to learn who calls. No signature is checked here: first the
// core decides whether it wants to hear from that id at all (§2).
internal import VPNCrypto

/// A complete S1 whose cookie held.
struct S1Opening: Sendable {
    var signer: any IdentitySigner
    var cookie: [UInt8]
    var message: [UInt8]

    func perform() -> Result<OpenedS1, HandshakeFailure> {
        guard let s1 = S1Message(message) else { return .failure(.malformed) }
        let h3 = Transcript.start(responder: signer.publicKeys.peerID, cookie: cookie).adding(s1.head)
        guard let secret = try? signer.decapsulate(s1.ciphertextToResponder) else { return .failure(.local) }
        let ck1 = KeySchedule.initiatorChainingKey(responderSecret: secret, h3)
        let k1 = KeySchedule.expand(ck1, Labels.KeySchedule.s1Encryption, h3)
        guard
            let plaintext = SealedPayload.open(
                .aes256GCM, key: k1, nonce: PayloadNonce.zero, associatedData: h3.hash, ciphertext: s1.sealedPayload)
        else { return .failure(.seal) }
        guard let (payload, signatures) = S1Payload.decode(plaintext) else { return .failure(.malformed) }
        return .success(
            OpenedS1(
                s1: s1, payload: payload, signatures: signatures, h4: h3.adding(payload.unsigned),
                h5: h3.adding(s1.sealedPayload), chainingKey: ck1))
    }
}

/// A readable S1 whose signatures are not checked yet. Wiped with the last reference.
final class OpenedS1: Sendable {
    let s1: S1Message
    let payload: S1Payload
    let signatures: [UInt8]
    /// What the initiator signed; also the replay key, since signature bytes are malleable.
    let h4: Transcript
    let h5: Transcript
    let chainingKey: Secret

    init(
        s1: S1Message, payload: S1Payload, signatures: [UInt8], h4: Transcript, h5: Transcript,
        chainingKey: consuming Secret
    ) {
        self.s1 = s1
        self.payload = payload
        self.signatures = signatures
        self.h4 = h4
        self.h5 = h5
        self.chainingKey = chainingKey
    }

    /// The datagram that asks a brief initiator for its keys.
    func needFullDatagram() -> [UInt8] {
        let key = KeySchedule.expand(chainingKey, Labels.KeySchedule.needFull, h5)
        return NeedFull.encoded(receiverIndex: s1.senderIndex, key: key)
    }
}
