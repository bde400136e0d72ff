// SPDX-License-Identifier: Apache-2.0
// S1 (§6), the initiator's half of the handshake: offsets and exact lengths. What is done with it: Handshake/.
internal import VPNCrypto

/// How much of itself an initiator shows in the sealed part of S1.
enum InitiatorKind: UInt8 {
    /// peer_id only: for a responder that has the keys.
    case brief = 0
    /// With all four keys.
    case full = 1
    /// With four throwaway keys; only on circuits (§2, §8).
    case anonymous = 2
}

/// The clear part of S1, and its sealed payload as bytes.
struct S1Message {
    /// Everything before C1.
    static let headSize = 3289
    static let briefSize = headSize + S1Payload.size(.brief) + 16
    static let fullSize = headSize + S1Payload.size(.full) + 16

    var ciphers: UInt8
    var senderIndex: UInt32
    var ephemeralKEM: [UInt8]
    var ciphertextToResponder: [UInt8]
    var ephemeralPoint: [UInt8]
    /// Bytes 0..<3289, the part that h3 covers.
    var head: [UInt8]
    var sealedPayload: [UInt8]

    init?(_ message: [UInt8]) {
        // §1, §6: version 1, suite 1, flags 0.
        guard message.count == Self.briefSize || message.count == Self.fullSize, message[0] == 1, message[1] == 1,
            message[2] == 1 || message[2] == 3, message[3] == 0
        else { return nil }
        ciphers = message[2]
        senderIndex = message.u32(at: 4)
        ephemeralKEM = message.bytes(at: 24, count: 1568)
        ciphertextToResponder = message.bytes(at: 1592, count: 1568)
        ephemeralPoint = message.bytes(at: 3160, count: 129)
        head = Array(message[0..<Self.headSize])
        sealedPayload = Array(message[Self.headSize...])
    }

    static func head(
        ciphers: UInt8, senderIndex: UInt32, nonce: [UInt8], ephemeralKEM: [UInt8], ciphertextToResponder: [UInt8],
        ephemeralPoint: [UInt8]
    ) -> [UInt8] {
        var bytes: [UInt8] = [1, 1, ciphers, 0]
        bytes.append(bigEndian: senderIndex)
        bytes += nonce
        bytes += ephemeralKEM
        bytes += ciphertextToResponder
        bytes += ephemeralPoint
        precondition(bytes.count == headSize)
        return bytes
    }
}

/// payload1 of §6.
struct S1Payload {
    static let signatures = 4691

    var peerID: PeerID
    var kind: InitiatorKind
    var versions: UInt16
    var mtu: UInt16
    var keepaliveSeconds: UInt16
    var capabilities: UInt32
    /// psk_id: bit 31 = a configured key; below, the name of a next_psk or 0.
    var presharedKeyID: UInt32
    /// B ‖ e ‖ d ‖ k, 4321 bytes, of a full payload.
    var keys: [UInt8]?

    static func size(_ kind: InitiatorKind) -> Int {
        48 + (kind == .brief ? 0 : IdentityPublicKeys.encodedSize) + paddingSize(kind) + signatures
    }

    /// Zeros before the signatures that make S1 7 or 11 fragments of exactly `Limits.handshakeDatagram` (§5).
    static func paddingSize(_ kind: InitiatorKind) -> Int { kind == .brief ? 20 : 307 }

    /// All but the signatures: what h4 covers.
    var unsigned: [UInt8] {
        var bytes = peerID.bytes
        bytes += [kind.rawValue, 0]
        bytes.append(bigEndian: versions)
        bytes.append(bigEndian: mtu)
        bytes.append(bigEndian: keepaliveSeconds)
        bytes.append(bigEndian: capabilities)
        bytes.append(bigEndian: presharedKeyID)
        bytes += keys ?? []
        bytes.append(zeros: Self.paddingSize(kind))
        return bytes
    }

    init(
        peerID: PeerID, kind: InitiatorKind, mtu: UInt16, keepaliveSeconds: UInt16, presharedKeyID: UInt32 = 0,
        keys: [UInt8]?
    ) {
        self.peerID = peerID
        self.kind = kind
        versions = 1
        self.mtu = mtu
        self.keepaliveSeconds = keepaliveSeconds
        capabilities = 0
        self.presharedKeyID = presharedKeyID
        self.keys = keys
    }

    /// The payload and its signatures.
    static func decode(_ bytes: [UInt8]) -> (payload: S1Payload, signatures: [UInt8])? {
        guard bytes.count >= 48, let kind = InitiatorKind(rawValue: bytes[32]), bytes.count == size(kind),
            bytes[33] == 0,
            bytes.isZero(bytes.count - signatures - paddingSize(kind)..<bytes.count - signatures),
            let peerID = PeerID(bytes: bytes.bytes(at: 0, count: 32)), bytes.u16(at: 34) & 1 == 1
        else { return nil }
        var payload = S1Payload(
            peerID: peerID, kind: kind, mtu: bytes.u16(at: 36), keepaliveSeconds: bytes.u16(at: 38),
            keys: kind == .brief ? nil : bytes.bytes(at: 48, count: IdentityPublicKeys.encodedSize))
        payload.versions = bytes.u16(at: 34)
        payload.capabilities = bytes.u32(at: 40)
        payload.presharedKeyID = bytes.u32(at: 44)
        return (payload, Array(bytes[(bytes.count - signatures)...]))
    }
}
