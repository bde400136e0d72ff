// SPDX-License-Identifier: Apache-2.0
// AES-256-GCM and ChaCha20-Poly1305 against Wycheproof, on both backends.

import Testing

@testable import VPNCrypto

@Suite("AEAD vectors") struct AEADVectorTests {
    private struct Group: Decodable {
        struct Case: Decodable {
            let tcId: Int
            let result: String
            let key, iv, aad, msg, ct, tag: HexBytes
        }
        let keySize, ivSize, tagSize: Int
        let tests: [Case]
    }

    @Test(arguments: PacketCipher.allCases, PacketKey.Backend.allCases)
    func vectors(cipher: PacketCipher, backend: PacketKey.Backend) throws {
        let name = "wycheproof/\(cipher == .aes256GCM ? "aes_gcm" : "chacha20_poly1305")_test.json"
        guard let file = try VectorFiles.read(name, as: VectorFile<Group>.self) else { return }
        var tally = Tally("\(name) on \(backend)")
        for group in file.testGroups {
            guard group.keySize == 256, group.ivSize == 96, group.tagSize == 128 else {
                let what =
                    group.keySize != 256
                    ? "a key of \(group.keySize) bits, not 256" : "a nonce of another size than 96 bits"
                tally.skip(because: "with \(what)", group.tests.count)
                continue
            }
            for test in group.tests {
                let sealed = test.ct.bytes + test.tag.bytes
                let opened = Self.open(cipher, backend, test.key.bytes, test.iv.bytes, test.aad.bytes, sealed)
                if test.result == "valid" {
                    let made = Self.seal(
                        cipher, backend, test.key.bytes, test.iv.bytes, test.aad.bytes, test.msg.bytes)
                    tally.expect(opened == test.msg.bytes && made == sealed, "\(test.tcId)")
                } else {
                    tally.expectRefused(opened == nil, "\(test.tcId)")
                }
            }
        }
        tally.report()
    }

    private static func seal(
        _ cipher: PacketCipher, _ backend: PacketKey.Backend, _ key: [UInt8], _ nonce: [UInt8], _ ad: [UInt8],
        _ plaintext: [UInt8]
    ) -> [UInt8]? {
        let key = Secret(copying: key)
        switch backend {
        case .boringSSL:
            return SealedPayload.seal(cipher, key: key, nonce: nonce, associatedData: ad, plaintext: plaintext)
        case .openSSL:
            var data = plaintext + [UInt8](repeating: 0, count: 16)
            let context = OpenSSLPacketContext(cipher, key: key)
            return unsafe context.seal(nonce, ad, ad.count, &data, plaintext.count) ? data : nil
        }
    }

    private static func open(
        _ cipher: PacketCipher, _ backend: PacketKey.Backend, _ key: [UInt8], _ nonce: [UInt8], _ ad: [UInt8],
        _ sealed: [UInt8]
    ) -> [UInt8]? {
        let key = Secret(copying: key)
        switch backend {
        case .boringSSL:
            return SealedPayload.open(cipher, key: key, nonce: nonce, associatedData: ad, ciphertext: sealed)
        case .openSSL:
            var data = sealed
            let context = OpenSSLPacketContext(cipher, key: key)
            return unsafe context.open(nonce, ad, ad.count, &data, data.count) ? data.dropLast(16) : nil
        }
    }
}
