// SPDX-License-Identifier: Apache-2.0
// The sizes of handshake datagrams (§3 to §5): two, 128 and 1232, whatever the handshake; and what may not hide in their padding.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct HandshakeSizeTests {
    @Test func messagesFillTheirFragments() {
        for (total, overhead, count) in [
            (S1Message.briefSize, 80, 7), (S1Message.fullSize, 80, 11), (S2Message.size, 40, 7),
        ] {
            let shape = FragmentShape.fitting(total: total, datagram: Limits.handshakeDatagram, overhead: overhead)
            #expect(shape == FragmentShape(total: total, count: count))
            #expect(shape.map { $0.chunk + overhead } == Limits.handshakeDatagram && shape?.padding == 0)
        }
    }

    /// First contact by INFO, a brief call of a stranger with NEED_FULL, and a brief one of an acquaintance.
    @Test(arguments: Primitives.allCases) func everyHandshakeShowsTwoSizes(primitives: Primitives) {
        var seen: [DatagramType: Set<Int>] = [:]
        func note(_ scenario: Scenario) {
            for entry in scenario.network.capture {
                guard let type = entry.datagram.type, !type.isData else { continue }
                seen[type, default: []].insert(entry.datagram.bytes.count)
            }
        }
        let trusting = TrustPolicy(trustsOnFirstUse: true, isStrict: false)
        var (alice, bob) = (NodeOptions(), Scenario.answering)
        note(connected(31, primitives, alice, bob))
        (alice.trust, bob.trust) = (trusting, trusting)
        bob.knowsPeer = false
        bob.namesPeer = false
        note(connected(32, primitives, alice, bob))
        alice.knowsPeer = false
        alice.namesPeer = false
        note(connected(33, primitives, alice, bob))
        let long: Set<Int> = [1232]
        let short: Set<Int> = [128]
        #expect(
            seen == [
                .s0: short, .retry: short, .needFull: short, .infoRequest: long, .infoResponse: long, .s1: long,
                .s2: long,
            ])
    }

    private func connected(
        _ seed: UInt64, _ primitives: Primitives, _ alice: NodeOptions, _ bob: NodeOptions
    ) -> Scenario {
        let scenario = Scenario(seed: seed, primitives: primitives, alice: alice, bob: bob)
        #expect(scenario.connect(), "\(scenario.describe())")
        return scenario
    }

    /// Each byte of padding is looked at, and nothing fits behind it or in less of it.
    @Test func nothingHidesInThePaddingOfPayloads() throws {
        let id = try #require(PeerID(bytes: [UInt8](repeating: 7, count: 32)))
        for kind in [InitiatorKind.brief, .full] {
            let keys = kind == .full ? [UInt8](repeating: 9, count: IdentityPublicKeys.encodedSize) : nil
            let payload = S1Payload(peerID: id, kind: kind, mtu: 1436, keepaliveSeconds: 0, keys: keys)
            let bytes = payload.unsigned + [UInt8](repeating: 1, count: S1Payload.signatures)
            #expect(S1Payload.decode(bytes)?.payload.unsigned == payload.unsigned)
            #expect(S1Payload.decode(bytes)?.signatures == [UInt8](repeating: 1, count: S1Payload.signatures))
            let end = payload.unsigned.count
            for offset in end - S1Payload.paddingSize(kind)..<end {
                #expect(S1Payload.decode(bytes.flipping(offset)) == nil, "byte \(offset) of \(kind)")
            }
            #expect(S1Payload.decode([UInt8](bytes[0..<end]) + [0] + bytes[end...]) == nil)
            #expect(S1Payload.decode([UInt8](bytes[0..<end - 1]) + bytes[end...]) == nil)
        }
        let payload = S2Payload(
            token: [UInt8](repeating: 3, count: 32), mtu: 1436, keepaliveSeconds: 0, lifetime: 3600,
            offers: Offers(hasAESHardware: true))
        let bytes = payload.unsigned + [UInt8](repeating: 1, count: S1Payload.signatures)
        #expect(S2Payload.decode(bytes)?.payload.unsigned == payload.unsigned)
        for offset in 48..<S2Payload.unsignedSize {
            #expect(S2Payload.decode(bytes.flipping(offset)) == nil, "byte \(offset)")
        }
        #expect(S2Payload.decode(bytes + [0]) == nil && S2Payload.decode(bytes.dropLast()) == nil)
    }

    @Test func nothingHidesBehindADescriptorsFragment() throws {
        let descriptor = [UInt8](repeating: 5, count: 9001)
        let request = InfoRequest(index: 2, senderIndex: 77, cookie: [UInt8](repeating: 1, count: 32))
        let bytes = try #require(InfoResponse.encoded(descriptor, hash: 4, answering: request))
        let response = try #require(InfoResponse(bytes))
        #expect(bytes.count == InfoRequest.size && response.chunk.count < InfoResponse.maximumChunk)
        for offset in InfoResponse.overhead + response.chunk.count..<bytes.count {
            #expect(InfoResponse(bytes.flipping(offset)) == nil, "byte \(offset)")
        }
        #expect(InfoResponse(bytes + [0]) == nil && InfoResponse(Array(bytes.dropLast())) == nil)
        // A shape whose chunk is longer than a datagram has room for.
        var boastful = bytes
        boastful.replaceSubrange(17..<20, with: [1, 0xFF, 0xFF])
        #expect(InfoResponse(boastful) == nil)
    }
}
