// SPDX-License-Identifier: Apache-2.0
// The hybrid combiner of §6: how the shared secrets of all primitives enter the chain key. The transcript hashes are the
// caller's business.

/// ck1 and ck2. Each secret enters with its length, in a fixed order, and the transcript follows; no input may be left out.
public enum HybridCombiner {
    /// ck1 = Extract(h0, lv(ss_r) ‖ h3), 64 bytes.
    public static func first(h0: [UInt8], responderStatic: borrowing Secret, h3: [UInt8]) -> Secret {
        var input = SecretBuffer(capacity: 4 + responderStatic.count + h3.count)
        input.append(lengthPrefixed: responderStatic)
        input.append(h3)
        return HKDF512.extract(salt: h0, inputKeyMaterial: input.finish())
    }

    /// ck2 = Extract(ck1, lv(ss_e) ‖ lv(ECDH(e_i, e_r)) ‖ lv(ss_i) ‖ lv(psk or "") ‖ h6), 64 bytes. Without a pre-shared key
    /// give an empty secret.
    public static func second(
        ck1: borrowing Secret, ephemeralKEM: borrowing Secret, ephemeralECDH: borrowing Secret,
        initiatorStatic: borrowing Secret, preShared: borrowing Secret, h6: [UInt8]
    ) -> Secret {
        let secrets = ephemeralKEM.count + ephemeralECDH.count + initiatorStatic.count + preShared.count
        var input = SecretBuffer(capacity: 4 * 4 + secrets + h6.count)
        input.append(lengthPrefixed: ephemeralKEM)
        input.append(lengthPrefixed: ephemeralECDH)
        input.append(lengthPrefixed: initiatorStatic)
        input.append(lengthPrefixed: preShared)
        input.append(h6)
        return HKDF512.extract(salt: ck1, inputKeyMaterial: input.finish())
    }
}
