// SPDX-License-Identifier: Apache-2.0
// S0 and RETRY (§4): the two 128-byte datagrams that prove a return address before anybody keeps state.
// Not here: what a cookie contains (CookieJar).
internal import VPNCrypto

/// S0: "I would like to talk"; carries nothing that identifies the sender.
struct S0Message: Equatable {
    static let size = 128
    static let nonceSize = 88
    private static let macOffset = 112

    var offers: Offers
    /// The initiator's receiver index of the session to be; random, not zero.
    var senderIndex: UInt32
    /// As long as the datagram has room: its only purpose beyond being new is that no byte is foreseeable.
    var nonce: [UInt8]

    func encoded(macKey: MAC1Key) -> [UInt8] {
        var bytes = OuterHeader.bytes(.s0, bodyLength: Self.size - OuterHeader.size, receiverIndex: 0, word: 0)
        bytes += offers.encoded
        bytes.append(bigEndian: senderIndex)
        bytes += nonce
        bytes += macKey.mac(bytes)
        return bytes
    }

    /// `datagram` has passed the outer header's length gate.
    init?(_ datagram: [UInt8]) {
        guard datagram.count == Self.size, datagram.u32(at: 4) == 0, datagram.u64(at: 8) == 0,
            let offers = Offers(datagram, at: 16), datagram.u32(at: 20) != 0
        else { return nil }
        self.offers = offers
        senderIndex = datagram.u32(at: 20)
        nonce = datagram.bytes(at: 24, count: Self.nonceSize)
    }

    init(offers: Offers, senderIndex: UInt32, nonce: [UInt8]) {
        self.offers = offers
        self.senderIndex = senderIndex
        self.nonce = nonce
    }

    static func isAuthentic(_ datagram: [UInt8], macKey: MAC1Key) -> Bool {
        macKey.verifies(datagram, macOffset: macOffset)
    }
}

/// RETRY: the responder's cookie, readable only for one who knows the responder's id and sent that S0.
struct RetryMessage {
    static let size = 128

    var offers: Offers
    var salt: [UInt8]
    var sealedCookie: [UInt8]
    /// Of what is sealed: the cookie, then zeros.
    private static let cookieSize = 32
    private static let fillingSize = size - 36 - cookieSize - 16

    /// `sealingID`: the responder's peer_id, or 32 zero bytes for an initiator that does not know it (§4).
    static func encoded(
        offers: Offers, cookie: [UInt8], salt: [UInt8], answering s0: [UInt8], senderIndex: UInt32, sealingID: [UInt8]
    ) -> [UInt8] {
        let key = HKDF256.derive(
            inputKeyMaterial: sealingID, salt: salt, info: Labels.Cookie.seal, count: 32)
        // §4: nonce 0¹²: the fresh salt makes the key single-use.
        let sealed = SealedPayload.seal(
            .chaCha20Poly1305, key: key, nonce: [UInt8](repeating: 0, count: 12), associatedData: s0,
            plaintext: cookie + [UInt8](repeating: 0, count: fillingSize))
        var bytes = OuterHeader.bytes(.retry, bodyLength: size - OuterHeader.size, receiverIndex: senderIndex, word: 0)
        bytes += offers.encoded
        bytes += salt
        bytes += sealed
        return bytes
    }

    init?(_ datagram: [UInt8]) {
        guard datagram.count == Self.size, datagram.u64(at: 8) == 0, let offers = Offers(datagram, at: 16)
        else { return nil }
        self.offers = offers
        salt = datagram.bytes(at: 20, count: 16)
        sealedCookie = datagram.bytes(at: 36, count: Self.size - 36)
    }

    /// The cookie, or nil where this is no answer to `s0` from the one whose id is `sealingID`.
    func openCookie(answering s0: [UInt8], sealingID: [UInt8]) -> [UInt8]? {
        let key = HKDF256.derive(inputKeyMaterial: sealingID, salt: salt, info: Labels.Cookie.seal, count: 32)
        guard
            let sealed = SealedPayload.open(
                .chaCha20Poly1305, key: key, nonce: [UInt8](repeating: 0, count: 12), associatedData: s0,
                ciphertext: sealedCookie),
            sealed.count == Self.cookieSize + Self.fillingSize, sealed.isZero(Self.cookieSize..<sealed.count)
        else { return nil }
        let cookie = Array(sealed[..<Self.cookieSize])
        return cookie[1] <= Limits.puzzleMaximumDifficulty ? cookie : nil
    }
}

/// The key of mac1 (§4): whoever knows the responder's id can compute it, a scanner cannot.
struct MAC1Key: Equatable, Sendable {
    private let key: [UInt8]

    init(responder: PeerID) { key = Hash.sha256(Labels.Cookie.mac1, responder.bytes) }

    private init(unkeyed: Void) { key = [UInt8](repeating: 0, count: 32) }

    /// For an initiator that does not know the responder.
    static let unknownResponder = MAC1Key(unkeyed: ())

    func mac(_ bytes: [UInt8]) -> [UInt8] { Array(Hash.hmacSHA256(key: key, bytes)[0..<16]) }

    func verifies(_ datagram: [UInt8], macOffset: Int) -> Bool {
        constantTimeEquals(mac(Array(datagram[0..<macOffset])), datagram.bytes(at: macOffset, count: 16))
    }
}
