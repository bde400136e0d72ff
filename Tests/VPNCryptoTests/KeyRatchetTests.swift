// SPDX-License-Identifier: Apache-2.0
// The ratchet of packet keys (§7): the very keys that the page says, and no way back.

import Testing

@testable import VPNCrypto

@Suite struct KeyRatchetTests {
    private static let key = (0..<32).map { UInt8($0) }
    private static let iv = (0..<12).map { UInt8(200 + $0) }

    private func sealed(_ key: borrowing PacketKey, counter: UInt64) -> [UInt8] {
        var bytes = [UInt8](repeating: 7, count: 64)
        var span = bytes.mutableSpan
        key.seal(&span, range: 0..<64, counter: counter)
        return bytes
    }

    /// Phase n has the key that n times Expand(k, "PQVPN/1 ku", 32) gives, and the iv of the session.
    @Test(arguments: [PacketCipher.aes256GCM, .chaCha20Poly1305], PacketKey.Backend.allCases)
    func phasesHaveTheKeysOfThePage(_ cipher: PacketCipher, _ backend: PacketKey.Backend) {
        let iv = Secret(copying: Self.iv)
        var ratchet = KeyRatchet(cipher, key: Secret(copying: Self.key), iv: iv, backend: backend)
        var expected = Self.key
        for phase in UInt64(0)..<5 {
            let given = ratchet.next()
            let byHand = PacketKey(cipher, key: Secret(copying: expected), iv: iv)
            #expect(sealed(given, counter: phase) == sealed(byHand, counter: phase))
            expected = HKDF512.expand(Secret(copying: expected), info: Array("PQVPN/1 ku".utf8), count: 32)
                .exposedCopy()
        }
    }

    @Test func aPhasesKeyDoesNotOpenItsNeighbours() {
        var ratchet = KeyRatchet(.aes256GCM, key: Secret(copying: Self.key), iv: Secret(copying: Self.iv))
        let first = ratchet.next()
        let second = ratchet.next()
        var bytes = sealed(first, counter: 9)
        var span = bytes.mutableSpan
        #expect(!second.open(&span, range: 0..<64, counter: 9))
        bytes = sealed(second, counter: 9)
        span = bytes.mutableSpan
        #expect(!first.open(&span, range: 0..<64, counter: 9))
    }
}
