// SPDX-License-Identifier: Apache-2.0
// One flipped bit at each byte of S1 and S2, and the dependence of the keys on every secret.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct TamperTests {
    @Test(arguments: Primitives.allCases)
    func eachByteOfS1(_ primitives: Primitives) throws {
        let bench = Bench(primitives)
        for kind in [InitiatorKind.brief, .full] {
            let s1 = try bench.composeS1(kind: kind)
            var refused = 0
            for offset in s1.message.indices {
                let result = bench.openS1(s1.message.flipping(offset, mask: 1 << UInt8(offset % 8)))
                #expect(!result.isSuccess, "byte \(offset) of a \(kind) S1")
                refused += 1
            }
            #expect(refused == (kind == .brief ? 8064 : 12_672))
            #expect(bench.openS1(s1.message).isSuccess)
            for wrong in [[], Array(s1.message.dropLast()), s1.message + [0], [UInt8](repeating: 0, count: 65_535)] {
                #expect(bench.openS1(wrong).failure == .malformed)
            }
        }
    }

    @Test(arguments: Primitives.allCases)
    func eachByteOfS2(_ primitives: Primitives) throws {
        let bench = Bench(primitives)
        let s1 = try bench.composeS1()
        let s2 = try bench.composeS2(bench.openS1(s1.message).get(), pinned: bench.initiator.publicKeys).get()
        for offset in s2.message.indices {
            let result = bench.openS2(s2.message.flipping(offset, mask: 1 << UInt8(offset % 8)), s1)
            #expect(!result.isSuccess, "byte \(offset) of S2")
        }
        // Bad input never aborts a pending handshake: after 8,344 forgeries the true answer still serves.
        #expect(bench.openS2(s2.message, s1).isSuccess)
        for wrong in [[], Array(s2.message.dropLast()), s2.message + [0]] {
            #expect(bench.openS2(wrong, s1).failure == .malformed)
        }
    }

    /// On the network: whichever byte of whichever datagram is hit, no session comes of that exchange, nothing is said,
    /// and nothing stays behind.
    @Test func eachByteOfEachDatagramOfTheHandshakeOnTheNetwork() {
        for type in [DatagramType.s0, .retry, .s1, .s2] {
            let size = type == .s1 || type == .s2 ? 1232 : 128
            for offset in 0..<size {
                let index = offset % 7
                let scenario = Scenario(seed: 77) { datagram in
                    guard datagram.type == type, type == .s0 || type == .retry || datagram.bytes[16] == UInt8(index)
                    else {
                        return .pass
                    }
                    return .replace(datagram.bytes.flipping(offset))
                }
                scenario.network.run(for: .seconds(12))
                #expect(scenario.alice.establishedSessions.isEmpty, "\(type) byte \(offset)")
                if type == .s1 {
                    #expect(scenario.bob.establishedSessions.isEmpty, "\(type) byte \(offset)")
                    #expect(
                        !scenario.network.capture.contains { $0.datagram.type == .s2 },
                        "answered \(type) byte \(offset)")
                }
                scenario.network.detach(scenario.alice)
                scenario.network.run(for: .seconds(150))
                #expect(scenario.bob.footprint.reassemblies == 0 && scenario.bob.footprint.inboundHandshakes == 0)
                #expect(scenario.bob.footprint.sessions == 0 && scenario.bob.footprint.receiverIndices == 0)
            }
        }
    }

    @Test func theKeysDependOnEverySecret() {
        let secrets = (0..<4).map { Secret.Box(byte: UInt8($0 + 1)) }
        func keys(_ changed: Int?, psk: [UInt8] = [], transcript: [UInt8] = [9]) -> [UInt8] {
            func value(_ index: Int) -> Secret {
                Secret(
                    copying: [UInt8](
                        repeating: secrets[index].byte ^ (changed == index ? 0x80 : 0), count: index == 2 ? 64 : 32))
            }
            let ck1 = HybridCombiner.first(h0: KeySchedule.protocolHash, responderStatic: value(0), h3: [3])
            let ck2 = HybridCombiner.second(
                ck1: ck1, ephemeralKEM: value(1), ephemeralECDH: value(2), initiatorStatic: value(3),
                preShared: Secret(copying: psk), h6: transcript)
            return HKDF512.expand(ck2, info: Labels.KeySchedule.master, count: 208).exposedCopy()
        }
        let base = keys(nil)
        let variants = (0..<4).map { keys($0) } + [keys(nil, psk: [1]), keys(nil, transcript: [8])]
        #expect(Set(variants + [base]).count == variants.count + 1)
        // Not one block of M survives a changed secret: keys, IVs and session id all move.
        for variant in variants {
            for start in stride(from: 0, to: 208, by: 16) {
                #expect(variant[start..<start + 16] != base[start..<start + 16])
            }
        }
    }

    /// H5: whoever holds every static key afterwards, and the recording, still lacks what both ends wiped.
    @Test(arguments: Primitives.allCases)
    func staticKeysThatLeakLaterOpenNoRecordedSession(_ primitives: Primitives) throws {
        let bench = Bench(primitives)
        let message = try bench.composeS1()
        let s1 = try #require(S1Message(message.message))
        let answer = try bench.composeS2(bench.openS1(message.message).get(), pinned: bench.initiator.publicKeys).get()
        let s2 = try #require(S2Message(answer.message))
        // The thief can do what the responder did first: read S1, and with it the initiator's identity (threat model).
        let opened = try bench.openS1(message.message).get()
        #expect(opened.payload.peerID == bench.initiator.publicKeys.peerID)
        let h6 = opened.h5.adding(s2.head)
        func opens(_ ephemeral: borrowing Secret, _ agreed: borrowing Secret) throws -> Bool {
            let own = try bench.initiator.decapsulate(s2.ciphertextToInitiator)
            let ck2 = KeySchedule.sessionChainingKey(
                opened.chainingKey, ephemeral: ephemeral, agreed: agreed, initiator: own, preshared: .none,
                h6)
            let key = KeySchedule.expand(ck2, Labels.KeySchedule.s2Encryption, h6)
            return SealedPayload.open(
                .aes256GCM, key: key, nonce: PayloadNonce.zero, associatedData: h6.hash, ciphertext: s2.sealedPayload)
                != nil
        }
        let ephemerals = message.ephemerals
        let trueKEM = try ephemerals.kem.decapsulate(s2.ciphertextToEphemeral)
        let trueAgreed = try ephemerals.agreement.sharedSecret(with: s2.ephemeralPoint)
        // The best guesses from static keys: the wrong decapsulation key, and a share of one's own.
        let guessKEM = try bench.responder.decapsulate(s2.ciphertextToEphemeral)
        let guessAgreed = try bench.cryptography.makeECDHKeyPair().sharedSecret(with: s1.ephemeralPoint)
        let (all, noKEM, noECDH, neither) = try (
            opens(trueKEM, trueAgreed), opens(guessKEM, trueAgreed), opens(trueKEM, guessAgreed),
            opens(guessKEM, guessAgreed)
        )
        #expect(all, "the check itself must be able to succeed")
        #expect(!noKEM && !noECDH && !neither)
    }

    @Test(arguments: Primitives.allCases)
    func changedOffersAreADowngrade(_ primitives: Primitives) throws {
        let bench = Bench(primitives)
        let s1 = try bench.composeS1()
        let opened = try bench.openS1(s1.message).get()
        let s2 = try bench.composeS2(opened, pinned: bench.initiator.publicKeys).get()
        // What stood in RETRY is not what R signed.
        #expect(bench.openS2(s2.message, s1, retry: Offers(hasAESHardware: false)).failure == .downgrade)
        #expect(bench.openS2(s2.message, s1).isSuccess)
    }

    @Test(arguments: Primitives.allCases)
    func noTwoHandshakesShareAKey(_ primitives: Primitives) throws {
        let bench = Bench(primitives)
        var ids: Set<[UInt8]> = []
        for _ in 0..<10 {
            let s1 = try bench.composeS1()
            let s2 = try bench.composeS2(bench.openS1(s1.message).get(), pinned: bench.initiator.publicKeys).get()
            let opened = try bench.openS2(s2.message, s1).get()
            let sameThere = opened.secrets.initiatorKey.isEqual(to: s2.secrets.initiatorKey)
            let sameBack = opened.secrets.responderKey.isEqual(to: s2.secrets.responderKey)
            let sameBoth = opened.secrets.initiatorKey.isEqual(to: opened.secrets.responderKey)
            #expect(sameThere && sameBack && !sameBoth)
            ids.insert(opened.secrets.sessionID)
        }
        #expect(ids.count == 10)
    }
}

extension Secret {
    /// A byte to make secrets of, since those cannot be put into an array.
    struct Box { let byte: UInt8 }
}
