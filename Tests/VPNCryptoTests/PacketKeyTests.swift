// SPDX-License-Identifier: Apache-2.0
// Packet keys: in place, identical on both backends, nothing forged, shared between threads, nothing allocated.

import Testing

@testable import VPNCrypto

@Suite("packet keys") struct PacketKeyTests {
    private static func key(_ cipher: PacketCipher, _ backend: PacketKey.Backend) -> PacketKey {
        PacketKey(
            cipher, key: Secret(copying: [UInt8](1..<33)), iv: Secret(copying: [UInt8](101..<113)), backend: backend)
    }

    private static func datagram(_ plaintext: Int) -> [UInt8] {
        (0..<16 + plaintext).map { UInt8(truncatingIfNeeded: $0 &* 7) } + [UInt8](repeating: 0, count: 16)
    }

    private static func sealed(_ key: borrowing PacketKey, _ datagram: [UInt8], _ counter: UInt64) -> [UInt8] {
        var buffer = datagram
        var span = buffer.mutableSpan
        key.seal(&span, range: 0..<datagram.count, counter: counter)
        return buffer
    }

    private static func opened(_ key: borrowing PacketKey, _ datagram: [UInt8], _ counter: UInt64) -> [UInt8]? {
        var buffer = datagram
        var span = buffer.mutableSpan
        return key.open(&span, range: 0..<datagram.count, counter: counter) ? buffer : nil
    }

    @Test(arguments: PacketCipher.allCases) func bothBackendsAgree(cipher: PacketCipher) {
        let one = Self.key(cipher, .boringSSL)
        let two = Self.key(cipher, .openSSL)
        for plaintext in [0, 1, 15, 16, 17, 64, 1400, 9000] {
            for counter in [0, 1, 1 << 31, .max] as [UInt64] {
                let datagram = Self.datagram(plaintext)
                let sealed = Self.sealed(one, datagram, counter)
                #expect(sealed == Self.sealed(two, datagram, counter))
                #expect(sealed.prefix(16) == datagram.prefix(16))
                #expect(Self.opened(one, sealed, counter)?.dropLast(16) == datagram.dropLast(16))
                #expect(Self.opened(two, sealed, counter)?.dropLast(16) == datagram.dropLast(16))
            }
        }
    }

    @Test(arguments: PacketCipher.allCases, PacketKey.Backend.allCases)
    func everyFlippedByteIsRefused(cipher: PacketCipher, backend: PacketKey.Backend) {
        let key = Self.key(cipher, backend)
        let sealed = Self.sealed(key, Self.datagram(1400), 5)
        for index in sealed.indices {
            var forged = sealed
            forged[index] ^= 1 << UInt8(index % 8)
            #expect(Self.opened(key, forged, 5) == nil, "byte \(index)")
        }
        for counter in [4, 6, 5 | 1 << 32, .max] as [UInt64] { #expect(Self.opened(key, sealed, counter) == nil) }
        #expect(Self.opened(key, sealed, 5) != nil)
    }

    @Test(arguments: PacketCipher.allCases, PacketKey.Backend.allCases)
    func lengthsAreExact(cipher: PacketCipher, backend: PacketKey.Backend) {
        let key = Self.key(cipher, backend)
        let sealed = Self.sealed(key, Self.datagram(40), 5)
        for count in 0..<sealed.count { #expect(Self.opened(key, [UInt8](sealed.prefix(count)), 5) == nil) }
        #expect(Self.opened(key, sealed + [0], 5) == nil)
        #expect(Self.opened(key, [], 5) == nil)
    }

    /// What failed to open shows nothing of a plaintext, on either backend.
    @Test(arguments: PacketCipher.allCases, PacketKey.Backend.allCases)
    func aFailureLeavesNoPlaintext(cipher: PacketCipher, backend: PacketKey.Backend) {
        let key = Self.key(cipher, backend)
        let datagram = Self.datagram(256)
        var buffer = Self.sealed(key, datagram, 5)
        buffer[buffer.count - 1] ^= 1
        let range = buffer.indices
        var span = buffer.mutableSpan
        let accepted = key.open(&span, range: range, counter: 5)
        #expect(!accepted)
        #expect(buffer[16..<16 + 256].allSatisfy { $0 == 0 })
    }

    @Test func onlyTheRangeIsTouched() {
        let key = Self.key(.aes256GCM, .boringSSL)
        let datagram = Self.datagram(100)
        var buffer = [UInt8](repeating: 0xee, count: 64) + datagram + [UInt8](repeating: 0xee, count: 64)
        let range = 64..<64 + datagram.count
        var span = buffer.mutableSpan
        key.seal(&span, range: range, counter: 9)
        #expect([UInt8](buffer[range]) == Self.sealed(key, datagram, 9))
        #expect(buffer[..<64].allSatisfy { $0 == 0xee } && buffer[range.upperBound...].allSatisfy { $0 == 0xee })
    }

    /// §7: the nonce is iv XOR (0³² ‖ counter).
    @Test(arguments: PacketCipher.allCases) func nonce(cipher: PacketCipher) {
        let datagram = Self.datagram(50)
        let counter: UInt64 = 0x0102_0304_0506_0708
        var nonce = [UInt8](101..<113)
        for index in 0..<8 { nonce[4 + index] ^= UInt8(index + 1) }
        let expected = SealedPayload.seal(
            cipher, key: Secret(copying: [UInt8](1..<33)), nonce: nonce, associatedData: [UInt8](datagram.prefix(16)),
            plaintext: [UInt8](datagram[16..<66]))
        #expect([UInt8](Self.sealed(Self.key(cipher, .boringSSL), datagram, counter).dropFirst(16)) == expected)
    }

    private final class Shared: Sendable {
        let key: PacketKey
        init(_ key: consuming PacketKey) { self.key = key }
    }

    @Test(arguments: PacketCipher.allCases, PacketKey.Backend.allCases)
    func manyThreadsShareAKey(cipher: PacketCipher, backend: PacketKey.Backend) async {
        let shared = Shared(Self.key(cipher, backend))
        let failures = await withTaskGroup(of: Int.self) { group in
            for worker in 0..<8 {
                group.addTask {
                    (0..<2_000).count { index in
                        let counter = UInt64(worker * 1_000_000 + index)
                        let datagram = Self.datagram(index % 97)
                        let sealed = Self.sealed(shared.key, datagram, counter)
                        return Self.opened(shared.key, sealed, counter)?.dropLast(16) != datagram.dropLast(16)
                    }
                }
            }
            return await group.reduce(0, +)
        }
        #expect(failures == 0)
    }

    @Test func payloads() {
        let key = Secret(random: 32)
        let nonce = [UInt8](repeating: 0, count: 12)
        for cipher in PacketCipher.allCases {
            let sealed = SealedPayload.seal(
                cipher, key: key, nonce: nonce, associatedData: [1, 2], plaintext: [3, 4, 5])
            #expect(sealed.count == 19)
            func open(_ ciphertext: [UInt8], _ ad: [UInt8] = [1, 2]) -> [UInt8]? {
                SealedPayload.open(cipher, key: key, nonce: nonce, associatedData: ad, ciphertext: ciphertext)
            }
            #expect(open(sealed) == [3, 4, 5])
            #expect(open(sealed, [1, 3]) == nil && open(sealed, []) == nil)
            #expect(open([UInt8](sealed.dropLast())) == nil && open(sealed + [0]) == nil && open([]) == nil)
            for index in sealed.indices {
                var forged = sealed
                forged[index] ^= 1
                #expect(open(forged) == nil)
            }
        }
    }

    @Test func sealingWithoutRoomTraps() async {
        await #expect(processExitsWith: .failure) {
            var buffer = [UInt8](repeating: 0, count: 31)
            var span = buffer.mutableSpan
            let key = PacketKey(.aes256GCM, key: Secret(random: 32), iv: Secret(random: 12))
            key.seal(&span, range: 0..<31, counter: 0)
        }
        await #expect(processExitsWith: .failure) {
            var buffer = [UInt8](repeating: 0, count: 40)
            var span = buffer.mutableSpan
            let key = PacketKey(.aes256GCM, key: Secret(random: 32), iv: Secret(random: 12))
            _ = key.open(&span, range: 0..<41, counter: 0)
        }
    }
}
