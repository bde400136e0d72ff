// SPDX-License-Identifier: Apache-2.0
// Preshared keys (§6): what they add to a handshake, what becomes of one that an end does not have, and that each is used once.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct PresharedKeyTests {
    private static let first = PresharedKey(
        next: Secret(copying: [UInt8](repeating: 0x51, count: 32)), sessionID: [UInt8](repeating: 0x7A, count: 16))
    private static let configured = PresharedKey(configured: Secret(copying: [UInt8](repeating: 0x52, count: 32)))
    private static let chained = PresharedKeys(configured: nil, chained: first)

    private static func configuredKey(_ byte: UInt8) -> PresharedKey {
        PresharedKey(configured: Secret(copying: [UInt8](repeating: byte, count: 32)))
    }

    // MARK: - One handshake

    @Test func namesAreOfThePage() {
        #expect(Self.first.name == 0x7A7A_7A7A)
        let high = PresharedKey(next: Secret(copying: [1]), sessionID: [UInt8](repeating: 0xFF, count: 16))
        #expect(high.name == 0x7FFF_FFFF)
        for start in [[UInt8](repeating: 0, count: 4), [0x80, 0, 0, 0]] {
            let key = PresharedKey(next: Secret(copying: [1]), sessionID: start + [UInt8](repeating: 9, count: 12))
            #expect(key.name == 1, "0 means none")
        }
        #expect(PresharedKeys.none.id == 0 && Self.chained.id == 0x7A7A_7A7A)
        #expect(PresharedKeys(configured: Self.configured, chained: nil).id == 0x8000_0000)
        #expect(PresharedKeys(configured: Self.configured, chained: Self.first).id == 0xFA7A_7A7A)
    }

    @Test(arguments: Primitives.allCases)
    func bothEndsMixWhatBothHave(_ primitives: Primitives) throws {
        let all = PresharedKeys(configured: Self.configured, chained: Self.first)
        for (offered, had) in [
            (PresharedKeys.none, PresharedKeys.none), (Self.chained, Self.chained), (Self.chained, .none),
            (all, all), (all, all.unchained), (all.unchained, all.unchained),
        ] {
            let bench = Bench(primitives)
            let s1 = try bench.composeS1(preshared: offered)
            let opened = try bench.openS1(s1.message).get()
            #expect(opened.payload.presharedKeyID == offered.id)
            let s2 = try bench.composeS2(opened, pinned: bench.initiator.publicKeys, preshared: had).get()
            #expect(s2.message[3] == (had.chained == nil ? 0 : 1))
            let done = try bench.openS2(s2.message, s1, preshared: offered).get()
            let isSame = done.secrets.initiatorKey.isEqual(to: s2.secrets.initiatorKey)
            let isSameNext = done.secrets.nextKey.secret.isEqual(to: s2.secrets.nextKey.secret)
            #expect(isSame && isSameNext && done.secrets.nextKey.name == s2.secrets.nextKey.name)
            #expect(done.usedKey === s2.usedKey && done.usedKey === had.chained)
        }
    }

    /// The flag cannot be turned by anybody between the ends, and a key that nobody named cannot be claimed.
    @Test func theFlagIsBound() throws {
        let bench = Bench(.real)
        for had in [PresharedKeys.none, Self.chained] {
            let s1 = try bench.composeS1(preshared: Self.chained)
            let opened = try bench.openS1(s1.message).get()
            let s2 = try bench.composeS2(opened, pinned: bench.initiator.publicKeys, preshared: had).get()
            #expect(bench.openS2(s2.message.flipping(3), s1, preshared: Self.chained).failure == .seal)
            #expect(bench.openS2(s2.message.flipping(3, mask: 2), s1, preshared: Self.chained).failure == .malformed)
            #expect(bench.openS2(s2.message, s1, preshared: Self.chained).isSuccess)
        }
        let s1 = try bench.composeS1()
        let opened = try bench.openS1(s1.message).get()
        let s2 = try bench.composeS2(opened, pinned: bench.initiator.publicKeys, preshared: Self.chained).get()
        #expect(bench.openS2(s2.message, s1).failure == .malformed)
    }

    @Test func differentKeysOfOneNameOpenNothing() throws {
        let bench = Bench(.real)
        let other = PresharedKey(
            next: Secret(copying: [UInt8](repeating: 0x53, count: 32)), sessionID: [UInt8](repeating: 0x7A, count: 16))
        let s1 = try bench.composeS1(preshared: Self.chained)
        let opened = try bench.openS1(s1.message).get()
        let s2 = try bench.composeS2(
            opened, pinned: bench.initiator.publicKeys, preshared: PresharedKeys(configured: nil, chained: other)
        ).get()
        #expect(bench.openS2(s2.message, s1, preshared: Self.chained).failure == .seal)
    }

    /// Every static key and every ephemeral secret of the handshake is known to the thief: without the psk nothing opens.
    @Test(arguments: Primitives.allCases)
    func allOtherSecretsTogetherAreNotEnough(_ primitives: Primitives) throws {
        let bench = Bench(primitives)
        let s1 = try bench.composeS1(preshared: Self.chained)
        let opened = try bench.openS1(s1.message).get()
        let s2 = try bench.composeS2(opened, pinned: bench.initiator.publicKeys, preshared: Self.chained).get()
        let parsed = try #require(S2Message(s2.message))
        let h6 = opened.h5.adding(parsed.head)
        let ephemeral = try s1.ephemerals.kem.decapsulate(parsed.ciphertextToEphemeral)
        let agreed = try s1.ephemerals.agreement.sharedSecret(with: parsed.ephemeralPoint)
        let own = try bench.initiator.decapsulate(parsed.ciphertextToInitiator)
        func opens(_ preshared: PresharedKeys) -> Bool {
            let ck2 = KeySchedule.sessionChainingKey(
                opened.chainingKey, ephemeral: ephemeral, agreed: agreed, initiator: own, preshared: preshared, h6)
            let key = KeySchedule.expand(ck2, Labels.KeySchedule.s2Encryption, h6)
            return SealedPayload.open(
                .aes256GCM, key: key, nonce: PayloadNonce.zero, associatedData: h6.hash,
                ciphertext: parsed.sealedPayload) != nil
        }
        #expect(opens(Self.chained), "the check itself must be able to succeed")
        #expect(!opens(.none) && !opens(PresharedKeys(configured: Self.first, chained: Self.first)))
    }

    // MARK: - Associations

    private func renewing(_ seed: UInt64, both: Bool = false) -> Scenario {
        var options = NodeOptions()
        options.rekeyThreshold = .seconds(20)
        var answering = both ? options : Scenario.answering
        answering.rekeyThreshold = .seconds(20)
        return Scenario(seed: seed, alice: options, bob: answering)
    }

    @Test func everyHandshakeButTheFirstMixesTheOneBefore() {
        let scenario = renewing(61)
        scenario.network.run(for: .seconds(400))
        for host in [scenario.alice, scenario.bob] {
            let chained = host.establishedSessions.map(\.isChained)
            #expect(chained.count > 15 && chained == [false] + [Bool](repeating: true, count: chained.count - 1))
            #expect(host.footprint.chainedKeys == 1, "used keys are gone")
        }
        #expect(scenario.carriesTraffic())
    }

    @Test func anEndThatLostItsStateIsMetWithoutThem() {
        let scenario = renewing(62)
        scenario.network.run(for: .seconds(50))
        scenario.network.detach(scenario.bob)
        let reborn = Scenario.host(
            "bob", Scenario.bobEndpoint, scenario.bob.identity, peer: scenario.alice.identity,
            peerEndpoint: Scenario.aliceEndpoint, Scenario.answering, seed: 555, .rehearsal, now: scenario.network.now)
        scenario.network.attach(reborn)
        scenario.network.run(for: .seconds(200))
        let chained = reborn.establishedSessions.map(\.isChained)
        #expect(chained.count > 2 && chained.first == false && chained.dropFirst().allSatisfy { $0 })
        #expect(scenario.alice.footprint.chainedKeys == 1 && reborn.footprint.chainedKeys == 1)
    }

    /// Both ends renew; some handshakes cross. Whatever becomes of their keys, the association goes on and stays chained.
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func crossingHandshakesStayChained(_ seed: UInt64) {
        let scenario = renewing(seed, both: true)
        var conditions = LinkConditions(loss: seed % 2 == 0 ? 0.1 : 0, latency: .milliseconds(150))
        conditions.jitter = .milliseconds(50)
        scenario.network.conditions = conditions
        scenario.network.run(for: .seconds(600))
        for host in [scenario.alice, scenario.bob] {
            let sessions = host.establishedSessions
            #expect(sessions.count > 20)
            // Not the first two, which may have been begun at once; nor one that lost its S2 or its first DATA.
            let unchained = sessions.dropFirst(2).count { !$0.isChained }
            #expect(unchained * 5 <= sessions.count, "seed \(seed): \(unchained) of \(sessions.count)")
            #expect(host.footprint.chainedKeys <= Limits.chainedKeys)
        }
        scenario.network.conditions = LinkConditions()
        #expect(scenario.carriesTraffic(), "\(scenario.describe())")
    }

    // MARK: - Configured keys

    @Test func aConfiguredKeyIsMixedByBothOrNobody() {
        for (alice, bob, connects) in [
            (nil, nil, true), (1, 1, true), (1, nil, false), (nil, 1, false), (1, 2, false),
        ] as [(UInt8?, UInt8?, Bool)] {
            var aliceOptions = NodeOptions()
            aliceOptions.presharedKey = alice.map(Self.configuredKey)
            var bobOptions = Scenario.answering
            bobOptions.presharedKey = bob.map(Self.configuredKey)
            let scenario = Scenario(seed: 63, alice: aliceOptions, bob: bobOptions)
            #expect(scenario.connect(within: .seconds(30)) == connects, "\(alice as Any), \(bob as Any)")
            #expect(scenario.alice.establishedSessions.isEmpty != connects)
            let refusals = (scenario.alice.events + scenario.bob.events).compactMap { entry -> HandshakeFailure? in
                if case .handshakeRefused(_, _, let failure, _) = entry.event { failure } else { nil }
            }
            #expect(refusals.isEmpty == connects)
            if alice == nil || bob == nil { #expect(Set(refusals).isSubset(of: [.presharedKey])) }
            if alice == 1 && bob == 2 { #expect(Set(refusals) == [.seal]) }
        }
    }
}
