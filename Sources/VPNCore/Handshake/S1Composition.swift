// SPDX-License-Identifier: Apache-2.0
// Making an S1 (§6). Every call yields an entirely new message: nonce, ephemerals and keys are never used twice.
internal import VPNCrypto

/// What the initiator must know to write S1.
struct S1Composition: Sendable {
    var signer: any IdentitySigner
    var responder: IdentityPublicKeys
    var cookie: [UInt8]
    var ciphers: UInt8
    var senderIndex: UInt32
    var kind: InitiatorKind
    var mtu: UInt16
    var keepaliveSeconds: UInt16
    /// psk_id.
    var presharedKeyID: UInt32 = 0
    var capabilities: Capabilities = []
    /// One solution serves its cookie's life (§4).
    var puzzleSolution: [UInt8]?

    func perform(_ cryptography: any HandshakeCryptography) -> Result<ComposedS1, HandshakeFailure> {
        do {
            let kem = try cryptography.makeKEMKeyPair()
            let agreement = try cryptography.makeECDHKeyPair()
            let toResponder = try cryptography.encapsulate(to: responder.mlkem)
            let head = S1Message.head(
                ciphers: ciphers, senderIndex: senderIndex, nonce: cryptography.randomBytes(16),
                ephemeralKEM: kem.publicKey, ciphertextToResponder: toResponder.ciphertext,
                ephemeralPoint: agreement.publicPoint)
            let h3 = Transcript.start(responder: responder.peerID, cookie: cookie).adding(head)
            let ck1 = KeySchedule.initiatorChainingKey(responderSecret: toResponder.sharedSecret, h3)
            var payload = S1Payload(
                peerID: signer.publicKeys.peerID, kind: kind, mtu: mtu, keepaliveSeconds: keepaliveSeconds,
                presharedKeyID: presharedKeyID, keys: kind == .brief ? nil : signer.publicKeys.encoded)
            payload.capabilities = capabilities.rawValue
            let unsigned = payload.unsigned
            let signatures = try signer.sign(h3.adding(unsigned).hash, role: .initiator)
            let k1 = KeySchedule.expand(ck1, Labels.KeySchedule.s1Encryption, h3)
            let sealed = SealedPayload.seal(
                .aes256GCM, key: k1, nonce: PayloadNonce.zero, associatedData: h3.hash, plaintext: unsigned + signatures
            )
            let h5 = h3.adding(sealed)
            let ephemerals = InitiatorEphemerals(kem: kem, agreement: agreement, chainingKey: ck1, transcript: h5)
            // The puzzle comes last, so that an aborted handshake costs no hashing (§4).
            let solution =
                puzzleSolution
                ?? Puzzle.solve(
                    cookie: cookie, senderIndex: senderIndex,
                    difficulty: min(cookie[1], Limits.puzzleMaximumDifficulty),
                    from: cryptography.randomBytes(8).u64(at: 0))
            return .success(ComposedS1(message: head + sealed, ephemerals: ephemerals, puzzleSolution: solution))
        } catch is KeyError {
            return .failure(.publicKey)
        } catch {
            return .failure(.local)
        }
    }
}

/// k1 and k2 seal exactly one message each, so their nonce is a constant.
enum PayloadNonce {
    static let zero = [UInt8](repeating: 0, count: 12)
}

struct ComposedS1: Sendable {
    var message: [UInt8]
    var ephemerals: InitiatorEphemerals
    var puzzleSolution: [UInt8]
}

/// What the initiator keeps between S1 and S2; wiped with the last reference. A failed S2 leaves it usable, because bad
/// input never aborts a pending handshake.
final class InitiatorEphemerals: Sendable {
    let kem: any KEMKeyPair
    let agreement: any ECDHKeyPair
    let chainingKey: Secret
    /// h5.
    let transcript: Transcript
    /// Authenticates the fragments of S2.
    let fragmentKey: Secret
    /// Authenticates a NEED_FULL.
    let needFullKey: Secret

    init(kem: any KEMKeyPair, agreement: any ECDHKeyPair, chainingKey: consuming Secret, transcript h5: Transcript) {
        self.kem = kem
        self.agreement = agreement
        fragmentKey = KeySchedule.expand(chainingKey, Labels.KeySchedule.s2Fragments, h5)
        needFullKey = KeySchedule.expand(chainingKey, Labels.KeySchedule.needFull, h5)
        self.chainingKey = chainingKey
        transcript = h5
    }
}
