// SPDX-License-Identifier: Apache-2.0
// KEM, ECDH, the pool of ephemerals, the combiner and key derivation, as the handshake uses them.

import Testing

@testable import VPNCrypto

@Suite("key exchange") struct KeyExchangeTests {
    private let cryptography = SystemCryptography()

    @Test func kemAgrees() throws {
        let pair = try cryptography.makeKEMKeyPair()
        let encapsulation = try cryptography.encapsulate(to: pair.publicKey)
        let secret = try pair.decapsulate(encapsulation.ciphertext)
        #expect(secret.count == 32)
        #expect(secret.isEqual(to: encapsulation.takeSharedSecret()) == true)
    }

    /// Every byte of the ciphertext flipped in turn: another secret, always another one, and never an error (§1).
    @Test func tamperedCiphertextGivesAnotherSecretAndNoError() throws {
        let identity = try SoftwareIdentity()
        let encapsulation = try cryptography.encapsulate(to: identity.publicKeys.mlkem)
        var seen: Set<[UInt8]> = [try identity.decapsulate(encapsulation.ciphertext).exposedCopy()]
        for index in encapsulation.ciphertext.indices {
            var changed = encapsulation.ciphertext
            changed[index] ^= 0x80
            let secret = try identity.decapsulate(changed).exposedCopy()
            #expect(seen.insert(secret).inserted, "byte \(index)")
        }
        #expect(seen.count == 1569)
    }

    @Test func ecdhAgrees() throws {
        let (one, two) = (try cryptography.makeECDHKeyPair(), try cryptography.makeECDHKeyPair())
        #expect(one.publicPoint.count == 129 && one.publicPoint != two.publicPoint)
        let secret = try one.sharedSecret(with: two.publicPoint)
        #expect(secret.count == 64)
        #expect(secret.isEqual(to: try two.sharedSecret(with: one.publicPoint)) == true)
        #expect(secret.isEqual(to: try one.sharedSecret(with: one.publicPoint)) == false)
    }

    @Test func poolIsBoundedAndHandsOutOnce() async throws {
        let pool = EphemeralPool(capacity: 12)
        #expect(pool.take() == nil)
        try pool.refill(upTo: 3)
        #expect(pool.count == 3)
        // Two threads refill at once: never more than the bound.
        try await withThrowingTaskGroup { group in
            for _ in 0..<2 { group.addTask { try pool.refill(upTo: 1_000) } }
            try await group.waitForAll()
        }
        #expect(pool.count == 12)
        // Four take at once: each pair goes to one of them.
        let taken = await withTaskGroup(of: [[UInt8]].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var points: [[UInt8]] = []
                    while let pair = pool.take() { points.append(pair.publicPoint) }
                    return points
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(taken.count == 12 && Set(taken).count == 12)
        // An empty pool is no failure.
        let fresh = try SystemCryptography(ephemeralPool: pool).makeECDHKeyPair()
        #expect(!taken.contains(fresh.publicPoint))
        try pool.refill(upTo: 1)
        let expected = pool.count
        _ = try SystemCryptography(ephemeralPool: pool).makeECDHKeyPair()
        #expect(expected == 1 && pool.count == 0)
    }

    /// Changing any one input of the combiner changes the chain key, and so does moving a byte from one input to the next.
    @Test func combinerBindsEveryInput() {
        let inputs: [[UInt8]] = [[1, 1], [2, 2], [3, 3], [4, 4], [], [5, 5]]
        func second(_ parts: [[UInt8]]) -> [UInt8] {
            HybridCombiner.second(
                ck1: Secret(copying: parts[0]), ephemeralKEM: Secret(copying: parts[1]),
                ephemeralECDH: Secret(copying: parts[2]), initiatorStatic: Secret(copying: parts[3]),
                preShared: Secret(copying: parts[4]), h6: parts[5]
            ).exposedCopy()
        }
        var seen: Set<[UInt8]> = [second(inputs)]
        for index in inputs.indices {
            var changed = inputs
            changed[index] = changed[index].isEmpty ? [9] : changed[index].map { $0 ^ 0x40 }
            #expect(seen.insert(second(changed)).inserted)
        }
        for index in 1..<4 {
            var moved = inputs
            moved[index + 1] = [moved[index].removeLast()] + moved[index + 1]
            #expect(seen.insert(second(moved)).inserted)
        }
        // §6, by hand.
        let material: [UInt8] = [0, 0, 0, 2, 2, 2, 0, 0, 0, 2, 3, 3, 0, 0, 0, 2, 4, 4, 0, 0, 0, 0, 5, 5]
        let byHand = HKDF512.extract(salt: [1, 1], inputKeyMaterial: Secret(copying: material))
        #expect(byHand.exposedCopy() == second(inputs))
        let first = HybridCombiner.first(h0: [1], responderStatic: Secret(copying: [2, 3]), h3: [4])
        let expected = HKDF512.extract(salt: [1], inputKeyMaterial: Secret(copying: [0, 0, 0, 2, 2, 3, 4]))
        #expect(first.isEqual(to: expected) == true)
    }

    @Test func expandingBeyondTheLimitTraps() async {
        await #expect(processExitsWith: .failure) {
            _ = HKDF512.expand(Secret(random: 64), info: [], count: HKDF512.maximumCount + 1).count
        }
        await #expect(processExitsWith: .failure) {
            var buffer = SecretBuffer(capacity: 1)
            buffer.append([1, 2])
        }
    }

    @Test func comparison() {
        #expect(constantTimeEquals([], []))
        #expect(constantTimeEquals([1, 2], [1, 2]))
        #expect(!constantTimeEquals([1, 2], [1, 3]))
        #expect(!constantTimeEquals([1, 2], [1, 2, 0]))
    }

    @Test func hashesJoinTheirParts() {
        #expect(Hash.sha512([1, 2], [], [3]) == Hash.sha512([[1, 2, 3]]))
        #expect(Hash.sha256([1, 2], [], [3]) == Hash.sha256([[1], [2, 3]]))
        let key = Secret(copying: [1, 2, 3])
        #expect(Hash.hmacSHA256(key: key, [1], [2]) == Hash.hmacSHA256(key: [1, 2, 3], [1, 2]))
        #expect(cryptography.randomBytes(0).isEmpty && cryptography.randomBytes(40).count == 40)
        #expect(cryptography.randomBytes(16) != cryptography.randomBytes(16))
    }

    /// No two labels are equal and none is the start of another: with what follows them they could otherwise collide.
    @Test func labelsAreApart() {
        let labels =
            [
                Labels.Identity.peerID, Labels.Cookie.mac1, Labels.Cookie.cookie, Labels.Cookie.carrier,
                Labels.Cookie.puzzle, Labels.Token.token, Labels.KeySchedule.protocolName,
                Labels.KeySchedule.s1Encryption, Labels.KeySchedule.s2Fragments, Labels.KeySchedule.s2Encryption,
                Labels.KeySchedule.master, Labels.KeySchedule.needFull, Labels.KeySchedule.keyUpdate,
                Labels.Signature.composite,
            ] + SignatureRole.allCases.map { Labels.Signature.context($0) }
        for (index, label) in labels.enumerated() {
            #expect(String(decoding: label, as: UTF8.self).hasPrefix("PQVPN"))
            for other in labels[..<index] { #expect(!label.starts(with: other) && !other.starts(with: label)) }
        }
        // "cookie seal" starts as "cookie" does; it is an HKDF info by itself, under another key.
        #expect(Labels.Cookie.seal == [UInt8]("PQVPN/1 cookie seal".utf8))
    }
}
