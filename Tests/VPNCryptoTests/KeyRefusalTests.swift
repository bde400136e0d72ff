// SPDX-License-Identifier: Apache-2.0
// Keys that must be refused, and the four keys bound into one id.

import Testing

@testable import VPNCrypto

@Suite("refused keys") struct KeyRefusalTests {
    private static let identity: SoftwareIdentity = try! SoftwareIdentity()
    private static var keys: IdentityPublicKeys { identity.publicKeys }

    private static func error(_ body: () throws -> Void) -> KeyError? {
        do {
            try body()
            return nil
        } catch {
            return error as? KeyError
        }
    }

    private static func isInvalid(_ error: KeyError?, _ kind: KeyKind) -> Bool {
        if case .invalid(kind, _) = error { true } else { false }
    }

    // MARK: Ed25519

    /// y of small order, its two signs, and everything from p up: in all, each of RFC 8032's malformed or weak encodings.
    @Test func ed25519WeakAndNonCanonical() {
        let order8 = [
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        ].map { hex($0)! }
        let zero = [UInt8](repeating: 0, count: 32)
        var one = zero
        one[0] = 1
        var top = [UInt8](repeating: 0xff, count: 32)
        top[31] = 0x7f
        // p - 1, then p to 2^255 - 1.
        let high = (0xec...0xff).map { low in
            var key = top
            key[0] = UInt8(low)
            return key
        }
        for key in [zero, one] + order8 + high {
            for sign in [0, 0x80] as [UInt8] {
                var signed = key
                signed[31] |= sign
                let refused = Self.error {
                    _ = try IdentityPublicKeys(
                        brainpool: Self.keys.brainpool, ed25519: signed, mldsa: Self.keys.mldsa, mlkem: Self.keys.mlkem)
                }
                #expect(Self.isInvalid(refused, .ed25519), "\(signed)")
            }
        }
        // The largest y that is neither: p - 2.
        var fine = top
        fine[0] = 0xeb
        #expect(Self.error { try Ed25519.checkPublicKey(fine) } == nil)
    }

    /// Why the refusal matters: the library itself takes a signature of zeros under the all-zero key for some messages.
    @Test func ed25519LibraryAcceptsTheZeroKey() {
        let zero = [UInt8](repeating: 0, count: 32)
        let signature = [UInt8](repeating: 0, count: 64)
        let accepted = (0..<64).filter { Ed25519.verify(signature, of: [UInt8($0)], by: zero) }
        #expect(!accepted.isEmpty, "if the library refuses it now, the comment in Ed25519.swift is out of date")
    }

    // MARK: brainpoolP512r1

    @Test func brainpoolPoints() throws {
        let good = Self.keys.brainpool
        var cases: [[UInt8]] = []
        for position in [1, 64, 65, 128] {  // off the curve
            var point = good
            point[position] ^= 1
            cases.append(point)
        }
        for tag in [0, 1, 2, 3, 5, 6, 7, 0xff] as [UInt8] {  // infinite, compressed, hybrid, unknown
            cases.append([tag] + good.dropFirst())
        }
        cases.append([4] + [UInt8](repeating: 0, count: 128))
        cases.append([4] + [UInt8](repeating: 0xff, count: 128))
        cases.append([UInt8](repeating: 0, count: 129))
        // X + p, where it fits 64 bytes, would be a second name for the point.
        let p = hex(
            "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330871"
                + "7d4d9b009bc66842aecda12ae6a380e62881ff2f2d82c68528aa6056583a48f3")!
        cases.append([4] + p + p)
        for point in cases {
            #expect(Self.isInvalid(Self.error { _ = try BrainpoolPoint(point) }, .brainpool), "\(point)")
            let pair = try BrainpoolKeyPair()
            #expect(Self.isInvalid(Self.error { _ = try pair.sharedSecret(with: point).count }, .brainpool))
            let encoded = point + Self.keys.encoded.dropFirst(129)
            #expect(Self.isInvalid(Self.error { _ = try IdentityPublicKeys(encoded: encoded) }, .brainpool))
        }
    }

    @Test(arguments: [0, 1, 65, 128, 130, 258]) func brainpoolSizes(size: Int) throws {
        let point = [UInt8]((Self.keys.brainpool + Self.keys.brainpool).prefix(size))
        let expected = KeyError.wrongSize(.brainpool, expected: 129, actual: size)
        #expect(Self.error { _ = try BrainpoolPoint(point) } == expected)
        let pair = try BrainpoolKeyPair()
        #expect(Self.error { _ = try pair.sharedSecret(with: point).count } == expected)
    }

    /// The points of another curve, and the compressed form of a good one.
    @Test func brainpoolCompressed() {
        let point = [2 + (Self.keys.brainpool[128] & 1)] + Self.keys.brainpool[1..<65]
        #expect(
            Self.error { _ = try BrainpoolPoint(point) }
                == .wrongSize(.brainpool, expected: 129, actual: 65))
    }

    @Test func brainpoolScalars() {
        let n = hex(
            "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330870"
                + "553e5c414ca92619418661197fac10471db1d381085ddaddb58796829ca90069")!
        var last = n
        last[63] -= 1
        for scalar in [[UInt8](repeating: 0, count: 64), n, [UInt8](repeating: 0xff, count: 64)] {
            #expect(
                Self.isInvalid(Self.error { _ = try BrainpoolKeyPair(scalar: Secret(copying: scalar)) }, .brainpool))
        }
        for scalar in [last, [UInt8](repeating: 0, count: 63) + [1]] {
            #expect(Self.error { _ = try BrainpoolKeyPair(scalar: Secret(copying: scalar)) } == nil)
        }
        #expect(
            Self.error { _ = try BrainpoolKeyPair(scalar: Secret(random: 63)) }
                == .wrongSize(.brainpool, expected: 64, actual: 63))
    }

    // MARK: ML-KEM

    /// Each coefficient in turn set to q, and to the largest 12-bit value.
    @Test func mlkemCoefficients() {
        for value in [3329, 4095] {
            for index in 0..<1024 {
                var key = Self.keys.mlkem
                let position = index / 2 * 3
                if index.isMultiple(of: 2) {
                    key[position] = UInt8(value & 0xff)
                    key[position + 1] = key[position + 1] & 0xf0 | UInt8(value >> 8)
                } else {
                    key[position + 1] = key[position + 1] & 0x0f | UInt8(value & 15) << 4
                    key[position + 2] = UInt8(value >> 4)
                }
                let refused = KeyError.invalid(.mlkem, reason: "coefficient not below q")
                #expect(Self.error { _ = try MLKEM.encapsulate(to: key).ciphertext } == refused)
                let zeros = [UInt8](repeating: 0, count: 32)
                #expect(DeterministicBoringSSL.encapsulate(to: key, entropy: zeros) == nil)
            }
        }
    }

    @Test(arguments: [0, 1567, 1569]) func mlkemSizes(size: Int) {
        let key = [UInt8]((Self.keys.mlkem + [0]).prefix(size))
        let expected = KeyError.wrongSize(.mlkem, expected: 1568, actual: size)
        #expect(Self.error { _ = try SystemCryptography().encapsulate(to: key).ciphertext } == expected)
        let pair = MLKEMKeyPair()
        #expect(Self.error { _ = try pair.decapsulate(key).count } == expected)
        #expect(Self.error { _ = try Self.identity.decapsulate(key).count } == expected)
    }

    // MARK: the four together

    @Test func encodingIsExact() throws {
        let keys = Self.keys
        #expect(keys.encoded.count == IdentityPublicKeys.encodedSize)
        #expect(try IdentityPublicKeys(encoded: keys.encoded) == keys)
        #expect(try SystemCryptography().parsePublicKeys(keys.encoded) == keys)
        for encoded in [[], [UInt8](keys.encoded.dropLast()), keys.encoded + [0]] {
            guard case .wrongSize = Self.error({ _ = try IdentityPublicKeys(encoded: encoded) }) else {
                Issue.record("accepted \(encoded.count) bytes")
                continue
            }
        }
    }

    /// A fresh key in the place of any one makes another id: an id cannot be taken over with three keys of one's own.
    @Test func everyKeyIsBoundIntoTheID() throws {
        let (own, other) = (Self.keys, try SoftwareIdentity().publicKeys)
        let mixed = [
            try IdentityPublicKeys(
                brainpool: other.brainpool, ed25519: own.ed25519, mldsa: own.mldsa, mlkem: own.mlkem),
            try IdentityPublicKeys(
                brainpool: own.brainpool, ed25519: other.ed25519, mldsa: own.mldsa, mlkem: own.mlkem),
            try IdentityPublicKeys(
                brainpool: own.brainpool, ed25519: own.ed25519, mldsa: other.mldsa, mlkem: own.mlkem),
            try IdentityPublicKeys(
                brainpool: own.brainpool, ed25519: own.ed25519, mldsa: own.mldsa, mlkem: other.mlkem),
        ]
        #expect(Set(mixed.map(\.peerID) + [own.peerID, other.peerID]).count == 6)
        #expect(own.peerID != .zero)
    }

    /// §2, computed once more by hand.
    @Test func peerIDFollowsTheProtocol() {
        let keys = Self.keys
        var input = [UInt8]("PQVPN/1 peer-id".utf8)
        for (tag, key) in zip([1, 2, 3, 4] as [UInt8], [keys.brainpool, keys.ed25519, keys.mldsa, keys.mlkem]) {
            input += [tag, UInt8(key.count >> 8), UInt8(key.count & 0xff)] + key
        }
        #expect(keys.peerID.bytes == [UInt8](Hash.sha512(input).prefix(32)))
    }

    @Test func peerIDTextAndOrder() {
        let bytes = [UInt8](0..<32)
        let id = PeerID(bytes: bytes)!
        #expect(id.bytes == bytes)
        #expect(id.hex == "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
        #expect(id.short == "00010203")
        #expect("\(id)" == id.hex)
        #expect(PeerID(hex: id.hex) == id && PeerID(hex: id.hex.uppercased()) == id)
        for text in ["", "0", String(id.hex.dropLast()), id.hex + "0", id.hex + "00", "g" + id.hex.dropFirst()] {
            #expect(PeerID(hex: text) == nil)
        }
        #expect(PeerID(bytes: []) == nil && PeerID(bytes: bytes + [0]) == nil)
        #expect(PeerID.zero < id && !(id < id))
        for index in 0..<32 {
            var larger = bytes
            larger[index] += 1
            #expect(id < PeerID(bytes: larger)! && !(PeerID(bytes: larger)! < id))
        }
    }

    @Test func storedSeedsGiveTheSameIdentity() throws {
        let own = Self.identity
        let again = try SoftwareIdentity(
            brainpoolScalar: own.brainpoolScalar, ed25519Seed: own.ed25519Seed, mldsaSeed: own.mldsaSeed,
            mlkemSeed: own.mlkemSeed)
        #expect(again.publicKeys == own.publicKeys)
        #expect(try SoftwareIdentity().publicKeys.peerID != own.publicKeys.peerID)
    }
}
