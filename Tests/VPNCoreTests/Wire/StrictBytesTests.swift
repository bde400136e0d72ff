// SPDX-License-Identifier: Apache-2.0
// §4 to §6: what is decoded means exactly its bytes. Each byte of each handshake datagram is changed; what is still taken must come out
// the same when it is written again, so that no reserved byte carries anything. Then what the outer form alone does not show.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct StrictBytesTests {
    private static let key = MAC1Key(responder: PeerID(bytes: [UInt8](repeating: 7, count: 32))!)
    private static let offers = Offers(hasAESHardware: true)

    /// Behind type, version and body length, which the outer header's own gate sees to.
    private func everyByte(
        of bytes: [UInt8], but mac: Range<Int>, _ again: ([UInt8]) -> [UInt8]?,
        _ place: SourceLocation = #_sourceLocation
    ) {
        #expect(again(bytes).map { unmarked($0, mac) } == unmarked(bytes, mac), sourceLocation: place)
        var refused = 0
        for offset in 4..<bytes.count where !mac.contains(offset) {
            for mask: UInt8 in [0x01, 0x80] {
                let changed = bytes.flipping(offset, mask: mask)
                guard let found = again(changed) else {
                    refused += 1
                    continue
                }
                #expect(unmarked(found, mac) == unmarked(changed, mac), "byte \(offset)", sourceLocation: place)
            }
        }
        #expect(refused > 0, sourceLocation: place)
    }

    private func unmarked(_ bytes: [UInt8], _ mac: Range<Int>) -> [UInt8] {
        bytes.indices.map { mac.contains($0) ? 0 : bytes[$0] }
    }

    @Test func s0() {
        let made = S0Message(offers: Self.offers, senderIndex: 0x0102_0304, nonce: (0..<88).map { UInt8($0) })
        everyByte(of: made.encoded(macKey: Self.key), but: 112..<128) { S0Message($0)?.encoded(macKey: Self.key) }
        let nameless = S0Message(offers: Self.offers, senderIndex: 0, nonce: made.nonce)
        #expect(S0Message(nameless.encoded(macKey: Self.key)) == nil)
    }

    @Test func infoRequest() {
        let made = InfoRequest(index: 3, senderIndex: 9, cookie: [UInt8](repeating: 5, count: 32))
        everyByte(of: made.encoded(macKey: Self.key), but: 56..<72) { InfoRequest($0)?.encoded(macKey: Self.key) }
        let nameless = InfoRequest(index: 3, senderIndex: 0, cookie: made.cookie)
        #expect(InfoRequest(nameless.encoded(macKey: Self.key)) == nil)
    }

    @Test func infoResponse() throws {
        let descriptor = (0..<9500).map { UInt8(truncatingIfNeeded: $0 * 13) }
        let request = InfoRequest(index: 8, senderIndex: 9, cookie: [UInt8](repeating: 5, count: 32))
        let made = try #require(InfoResponse.encoded(descriptor, hash: 77, answering: request))
        func again(_ bytes: [UInt8]) -> [UInt8]? {
            guard let found = InfoResponse(bytes) else { return nil }
            var again = Array(made[..<4])
            again.append(bigEndian: found.receiverIndex)
            again.append(bigEndian: found.descriptorHash)
            again += [UInt8(found.index), UInt8(found.shape.count)]
            again.append(bigEndian: UInt16(found.shape.total))
            again.append(bigEndian: found.receiverIndex)
            again += found.chunk
            again.append(zeros: InfoResponse.size - again.count)
            return again
        }
        everyByte(of: made, but: 0..<0, again)
        // Nothing at all, and more in one fragment than fits.
        for total: UInt8 in [0, 0xFF] {
            var wrong = made
            (wrong[16], wrong[17]) = (0, 1)
            (wrong[18], wrong[19]) = (total, total)
            #expect(InfoResponse(wrong) == nil)
        }
    }

    /// A descriptor whose fragments do not agree on how it is cut is nobody's.
    @Test func fragmentsOfADescriptorAreOfOneShape() throws {
        func response(_ index: Int, of descriptor: [UInt8]) throws -> InfoResponse {
            let request = InfoRequest(index: index, senderIndex: 9, cookie: [UInt8](repeating: 5, count: 32))
            let bytes = try #require(InfoResponse.encoded(descriptor, hash: 77, answering: request))
            return try #require(InfoResponse(bytes))
        }
        let (one, other) = ([UInt8](repeating: 1, count: 3000), [UInt8](repeating: 1, count: 3001))
        var reassembly = DescriptorReassembly(try response(0, of: one))
        let added = [
            reassembly.add(try response(0, of: one)), reassembly.add(try response(1, of: other)),
            reassembly.add(try response(1, of: one)),
        ]
        #expect(added == [true, false, true])
        #expect(reassembly.missing == [2])
    }

    @Test func needFull() {
        let secret = Secret(copying: [UInt8](repeating: 3, count: 32))
        let made = NeedFull.encoded(receiverIndex: 9, key: secret)
        let isGenuine = NeedFull.isAuthentic(made, key: secret)
        #expect(isGenuine)
        for offset in made.indices {
            let isTaken = NeedFull.isAuthentic(made.flipping(offset), key: secret)
            #expect(!isTaken, "byte \(offset)")
        }
    }

    /// What a responder seals beside its cookie is nothing but zeros, and no other length.
    @Test func aCookieComesWithZerosOnly() throws {
        let (id, salt, s0) = (
            [UInt8](repeating: 7, count: 32), [UInt8](repeating: 1, count: 16), [UInt8](repeating: 2, count: 128)
        )
        func retry(_ filling: [UInt8]) throws -> RetryMessage {
            let key = HKDF256.derive(inputKeyMaterial: id, salt: salt, info: Labels.Cookie.seal, count: 32)
            let sealed = SealedPayload.seal(
                .chaCha20Poly1305, key: key, nonce: [UInt8](repeating: 0, count: 12), associatedData: s0,
                plaintext: [UInt8](repeating: 0, count: 32) + filling)
            let header = OuterHeader.bytes(.retry, bodyLength: 112, receiverIndex: 9, word: 0)
            return try #require(RetryMessage(header + Self.offers.encoded + salt + sealed))
        }
        let zeros = [UInt8](repeating: 0, count: 44)
        #expect(try retry(zeros).openCookie(answering: s0, sealingID: id) != nil)
        for offset in zeros.indices {
            #expect(try retry(zeros.flipping(offset)).openCookie(answering: s0, sealingID: id) == nil)
        }
    }

    // MARK: - Fragments of a handshake

    private func s1(_ count: Int = 7, index: UInt32 = 9) -> [[UInt8]] {
        S1Fragment.datagrams(
            of: [UInt8](repeating: 1, count: S1Message.briefSize),
            shape: FragmentShape(total: S1Message.briefSize, count: count),
            senderIndex: index, cookie: [UInt8](repeating: 5, count: 32),
            puzzleSolution: [UInt8](repeating: 0, count: 8),
            macKey: Self.key)
    }

    private func s2(_ count: Int) -> [S2Fragment] {
        let secret = Secret(copying: [UInt8](repeating: 3, count: 32))
        return S2Fragment.datagrams(
            of: [UInt8](repeating: 1, count: S2Message.size), shape: FragmentShape(total: S2Message.size, count: count),
            receiverIndex: 9, senderIndex: 8, key: secret
        ).compactMap { S2Fragment($0) }
    }

    @Test func anS1IsOfSomebody() {
        #expect(s1().allSatisfy { S1Fragment($0) != nil })
        #expect(s1(index: 0).allSatisfy { S1Fragment($0) == nil })
    }

    @Test func noMoreThanSixteenFragments() throws {
        #expect(s1(16).allSatisfy { S1Fragment($0) != nil } && s1(17).allSatisfy { S1Fragment($0) == nil })
        #expect(s2(16).count == 16 && s2(17).isEmpty)
        #expect(FragmentShape.fitting(total: 100, datagram: 80, overhead: 80) == nil)
        var none = s1()[0]
        none[17] = 0
        #expect(S1Fragment(none) == nil)
    }

    @Test func fragmentsOfAnS2AreOfOneShape() throws {
        let (seven, eight) = (s2(7), s2(8))
        var reassembly = S2Reassembly(try #require(seven.first))
        let added = [reassembly.add(seven[0]), reassembly.add(eight[1]), reassembly.add(seven[1])]
        #expect(added == [true, false, true])
    }

    /// Behind the message the last fragment has zeros, which the hash of the message does not cover.
    @Test func nothingHidesBehindAMessage() throws {
        let shape = FragmentShape(total: 10, count: 3)
        let message = (1...10).map { UInt8($0) }
        let chunks = (0..<3).map { shape.chunk($0, of: message) }
        #expect(shape.padding == 2 && shape.join(chunks) == message)
        var spoilt = chunks
        spoilt[2][3] = 1
        #expect(shape.join(spoilt) == nil)
    }

    // MARK: - Messages

    @Test func anS2IsOfSomebody() {
        func message(_ index: UInt32) -> [UInt8] {
            let head = S2Message.head(
                cipher: 1, mixesChainedKey: false, senderIndex: index, receiverIndex: 9,
                nonce: [UInt8](repeating: 1, count: 16), ephemeralPoint: [UInt8](repeating: 4, count: 129),
                ciphertextToEphemeral: [UInt8](repeating: 5, count: 1568),
                ciphertextToInitiator: [UInt8](repeating: 6, count: 1568))
            return head + [UInt8](repeating: 7, count: S2Message.size - head.count)
        }
        #expect(S2Message(message(8)) != nil)
        #expect(S2Message(message(0)) == nil)
    }

    @Test func aPayloadThatReservesOrSpeaksNoVersionIsNone() throws {
        let id = try #require(PeerID(bytes: [UInt8](repeating: 7, count: 32)))
        let payload = S1Payload(peerID: id, kind: .brief, mtu: 1420, keepaliveSeconds: 25, keys: nil)
        let bytes = payload.unsigned + [UInt8](repeating: 1, count: S1Payload.signatures)
        #expect(S1Payload.decode(bytes) != nil)
        for offset in Array(32..<36) + Array(48..<68) {
            // Version 1 must be among those that it speaks, others may be.
            #expect((S1Payload.decode(bytes.flipping(offset)) == nil) == (offset != 34), "byte \(offset)")
        }
    }
}
