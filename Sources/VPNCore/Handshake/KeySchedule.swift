// SPDX-License-Identifier: Apache-2.0
// The keys of §6, by name. How secrets are combined: VPNCrypto's HybridCombiner; what the hashes cover: Transcript.
internal import VPNCrypto

enum KeySchedule {
    /// h0, the hash of the protocol's name.
    static let protocolHash = Hash.sha512(Labels.KeySchedule.protocolName)

    /// Expand(key, label ‖ transcript, count).
    static func expand(_ key: borrowing Secret, _ label: [UInt8], _ transcript: Transcript, count: Int = 32) -> Secret {
        HKDF512.expand(key, info: label + transcript.hash, count: count)
    }

    /// ck1 = Extract(h0, lv(ss_r) ‖ h3).
    static func initiatorChainingKey(responderSecret: borrowing Secret, _ h3: Transcript) -> Secret {
        HybridCombiner.first(h0: protocolHash, responderStatic: responderSecret, h3: h3.hash)
    }

    /// ck2 = Extract(ck1, lv(ss_e) ‖ lv(ECDH) ‖ lv(ss_i) ‖ lv(psk or "") ‖ h6).
    static func sessionChainingKey(
        _ ck1: borrowing Secret, ephemeral: borrowing Secret, agreed: borrowing Secret, initiator: borrowing Secret,
        preshared: PresharedKeys, _ h6: Transcript
    ) -> Secret {
        HybridCombiner.second(
            ck1: ck1, ephemeralKEM: ephemeral, ephemeralECDH: agreed, initiatorStatic: initiator,
            preShared: preshared.mixed, h6: h6.hash)
    }
}
