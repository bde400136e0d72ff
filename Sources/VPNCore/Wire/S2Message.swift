// SPDX-License-Identifier: Apache-2.0
// S2 (§6), the responder's half of the handshake: offsets and exact lengths. What is done with it: Handshake/.
internal import VPNCrypto

/// The clear part of S2, and its sealed payload as bytes.
struct S2Message {
    /// Everything before C2.
    static let headSize = 3293
    static let size = headSize + S2Payload.size + 16

    var cipher: UInt8
    /// Flag bit 0: the next_psk that S1 named is mixed in.
    var mixesChainedKey: Bool
    var senderIndex: UInt32
    var receiverIndex: UInt32
    var ephemeralPoint: [UInt8]
    /// To the initiator's ephemeral KEM key: forward secrecy.
    var ciphertextToEphemeral: [UInt8]
    /// To the initiator's static KEM key: authenticates it independently of its signatures.
    var ciphertextToInitiator: [UInt8]
    var head: [UInt8]
    var sealedPayload: [UInt8]

    init?(_ message: [UInt8]) {
        guard message.count == Self.size, message[0] == 1, message[1] == 1, message[2] == 1 || message[2] == 2,
            message[3] & ~1 == 0
        else { return nil }
        cipher = message[2]
        mixesChainedKey = message[3] == 1
        senderIndex = message.u32(at: 4)
        receiverIndex = message.u32(at: 8)
        guard senderIndex != 0 else { return nil }
        ephemeralPoint = message.bytes(at: 28, count: 129)
        ciphertextToEphemeral = message.bytes(at: 157, count: 1568)
        ciphertextToInitiator = message.bytes(at: 1725, count: 1568)
        head = Array(message[0..<Self.headSize])
        sealedPayload = Array(message[Self.headSize...])
    }

    static func head(
        cipher: UInt8, mixesChainedKey: Bool, senderIndex: UInt32, receiverIndex: UInt32, nonce: [UInt8],
        ephemeralPoint: [UInt8], ciphertextToEphemeral: [UInt8], ciphertextToInitiator: [UInt8]
    ) -> [UInt8] {
        var bytes: [UInt8] = [1, 1, cipher, mixesChainedKey ? 1 : 0]
        bytes.append(bigEndian: senderIndex)
        bytes.append(bigEndian: receiverIndex)
        bytes += nonce
        bytes += ephemeralPoint
        bytes += ciphertextToEphemeral
        bytes += ciphertextToInitiator
        precondition(bytes.count == headSize)
        return bytes
    }
}

/// payload2 of §6.
struct S2Payload {
    /// Zeros before the signatures that make S2 seven fragments of exactly `Limits.handshakeDatagram` (§5).
    static let padding = 296
    static let unsignedSize = 48 + padding
    static let size = unsignedSize + S1Payload.signatures

    var token: [UInt8]
    var mtu: UInt16
    var keepaliveSeconds: UInt16
    var capabilities: UInt32 = 0
    /// Seconds after which the responder drops the session's keys.
    var lifetime: UInt32
    var offers: Offers

    /// All but the signatures: what h7 covers.
    var unsigned: [UInt8] {
        var bytes = token
        bytes.append(bigEndian: mtu)
        bytes.append(bigEndian: keepaliveSeconds)
        bytes.append(bigEndian: capabilities)
        bytes.append(bigEndian: lifetime)
        bytes += offers.encoded
        bytes.append(zeros: Self.padding)
        return bytes
    }

    /// The token; nil for one that no honest responder gives (§4): its second byte would be the difficulty of a puzzle.
    var usableToken: [UInt8]? { token[0] & 0x80 != 0 && token.isZero(1..<4) ? token : nil }

    static func decode(_ bytes: [UInt8]) -> (payload: S2Payload, signatures: [UInt8])? {
        guard bytes.count == size, let offers = Offers(bytes, at: 44), bytes.isZero(48..<unsignedSize) else {
            return nil
        }
        let payload = S2Payload(
            token: bytes.bytes(at: 0, count: 32), mtu: bytes.u16(at: 32), keepaliveSeconds: bytes.u16(at: 34),
            capabilities: bytes.u32(at: 36), lifetime: bytes.u32(at: 40), offers: offers)
        return (payload, Array(bytes[unsignedSize...]))
    }
}
