// SPDX-License-Identifier: Apache-2.0
// What an end can speak, as it stands in S0, RETRY, S1 and S2 (§4, §6), and the one choice that is left.
internal import VPNCrypto

/// Protocol versions, suites and packet ciphers that an end supports: 4 bytes.
public struct Offers: Hashable, Sendable {
    /// Bit n: version n + 1.
    var versions: UInt16
    /// Bit n: suite n + 1.
    var suites: UInt8
    /// Bit 0: AES-256-GCM, always set. Bit 1: this end lacks AES hardware (§1).
    var ciphers: UInt8

    public init(hasAESHardware: Bool) {
        versions = 1
        suites = 1
        ciphers = hasAESHardware ? 1 : 3
    }

    static let encodedSize = 4

    /// Offers that a peer of this version can accept: version 1, suite 1 and AES-256-GCM must be among them, and no
    /// cipher bit may be set that this version does not know.
    init?(_ bytes: [UInt8], at offset: Int) {
        versions = bytes.u16(at: offset)
        suites = bytes[offset + 2]
        ciphers = bytes[offset + 3]
        guard versions & 1 == 1, suites & 1 == 1, ciphers == 1 || ciphers == 3 else { return nil }
    }

    var encoded: [UInt8] { [UInt8(versions >> 8), UInt8(versions & 0xFF), suites, ciphers] }
}

/// The packet cipher of a session as its byte in S2 (§6): the bit number of the table in §1, plus one.
enum CipherChoice {
    /// §1: ChaCha20-Poly1305 exactly if both ends lack AES hardware.
    static func choose(initiator: UInt8, responder: UInt8) -> PacketCipher {
        initiator & responder & 2 != 0 ? .chaCha20Poly1305 : .aes256GCM
    }

    static func code(_ cipher: PacketCipher) -> UInt8 {
        switch cipher {
        case .aes256GCM: 1
        case .chaCha20Poly1305: 2
        }
    }
}
