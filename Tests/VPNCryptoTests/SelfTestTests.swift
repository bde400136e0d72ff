// SPDX-License-Identifier: Apache-2.0
// The self-test passes, and a wrong answer of any primitive is noticed and named.

import Testing

@testable import VPNCrypto

@Suite("self-test") struct SelfTestTests {
    @Test func everyPrimitivePasses() {
        let results = SelfTest.run(measure: false)
        #expect(results.count == 10)
        for result in results {
            #expect(result.passed, "\(result.name)")
            #expect(result.nanosecondsPerOperation.isEmpty)
        }
    }

    @Test func timesAreReported() {
        for result in SelfTest.run(measure: true) {
            #expect(!result.nanosecondsPerOperation.isEmpty, "\(result.name)")
            for (operation, time) in result.nanosecondsPerOperation.sorted(by: { $0.key < $1.key }) {
                print("TIME: \(result.name): \(operation): \(time.rounded()) ns")
            }
        }
    }

    private static let answers: [(any WritableKeyPath<SelfTestAnswers, [UInt8]> & Sendable, Set<String>)] = [
        (\.mlkemPublicKeyDigest, ["ML-KEM-1024"]), (\.mlkemCiphertext, ["ML-KEM-1024"]),
        (\.mlkemSharedSecret, ["ML-KEM-1024"]), (\.mlkemRejectedSecret, ["ML-KEM-1024"]),
        (\.mldsaPublicKeyDigest, ["ML-DSA-87"]), (\.mldsaSignature, ["ML-DSA-87"]),
        (\.ed25519PublicKey, ["Ed25519"]), (\.ed25519Signature, ["Ed25519"]),
        (\.brainpoolPoint, ["brainpoolP512r1"]), (\.brainpoolPeerPoint, ["brainpoolP512r1"]),
        (\.brainpoolSharedSecret, ["brainpoolP512r1"]), (\.sha512, ["SHA-2"]), (\.sha256, ["SHA-2"]),
        (\.hmacSHA256, ["SHA-2"]), (\.hkdfSHA512, ["HKDF"]), (\.hkdfSHA256, ["HKDF"]),
        (\.aes256GCM, ["AES-256-GCM", "AES-256-GCM (OpenSSL)"]),
        (\.chaCha20Poly1305, ["ChaCha20-Poly1305", "ChaCha20-Poly1305 (OpenSSL)"]),
    ]

    @Test(arguments: answers.indices) func aWrongAnswerIsNamed(index: Int) {
        let (path, names) = Self.answers[index]
        var answers = SelfTestAnswers()
        answers[keyPath: path][answers[keyPath: path].count / 2] ^= 0x10
        let failed = Set(SelfTest.run(measure: false, answers: answers).filter { !$0.passed }.map(\.name))
        #expect(failed == names)
    }
}
