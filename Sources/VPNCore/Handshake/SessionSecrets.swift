// SPDX-License-Identifier: Apache-2.0
// What a finished handshake yields (§6): the 208 bytes of M, cut up. Wiped with the last reference.
public import VPNCrypto

/// Keys of a session that nobody has used yet.
public final class SessionSecrets: Sendable {
    /// Of the session, the same at both ends; not secret.
    public let sessionID: [UInt8]
    public let cipher: PacketCipher
    let initiatorKey: Secret
    let initiatorIV: Secret
    let responderKey: Secret
    let responderIV: Secret
    /// next_psk: for the next handshake of the association.
    let nextKey: PresharedKey

    /// M = Expand(ck2, "master" ‖ h8, 208). The exporter and spare bytes are for later protocols and leave no copy here.
    init(chainingKey: borrowing Secret, transcript h8: Transcript, cipher: PacketCipher) {
        let master = KeySchedule.expand(chainingKey, Labels.KeySchedule.master, h8, count: 208)
        initiatorKey = master.slice(0..<32)
        initiatorIV = master.slice(32..<44)
        responderKey = master.slice(44..<76)
        responderIV = master.slice(76..<88)
        sessionID = master.slice(88..<104).exposedCopy()
        nextKey = PresharedKey(next: master.slice(136..<168), sessionID: sessionID)
        self.cipher = cipher
    }

    /// The keys with which one end seals, from phase 0 on.
    func ratchet(of sender: SessionRole) -> KeyRatchet {
        switch sender {
        case .initiator: KeyRatchet(cipher, key: initiatorKey, iv: initiatorIV)
        case .responder: KeyRatchet(cipher, key: responderKey, iv: responderIV)
        }
    }
}
