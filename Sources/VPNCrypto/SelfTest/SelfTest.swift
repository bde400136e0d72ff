// SPDX-License-Identifier: Apache-2.0
// The start-up self-test: one known answer per primitive, and the time of its operations. It reports; what a failure means for
// the process is the caller's decision (§1: exit status 1, with the primitive's name).

/// What became of one primitive.
public struct SelfTestResult: Sendable, Equatable {
    /// As in §1, for instance "ML-KEM-1024".
    public let name: String
    public let passed: Bool
    /// By operation; empty unless the times were asked for, and where the primitive failed.
    public let nanosecondsPerOperation: [String: Double]
}

public enum SelfTest {
    /// Runs every primitive against a known answer. Without measuring it takes about 15 ms, with it about half a second.
    public static func run(measure: Bool) -> [SelfTestResult] {
        run(measure: measure, answers: SelfTestAnswers())
    }

    static func run(measure: Bool, answers: SelfTestAnswers) -> [SelfTestResult] {
        primitives.map { name, test in
            let stopwatch = Stopwatch(running: measure)
            let passed = (try? test(answers, stopwatch)) ?? false
            return SelfTestResult(
                name: name, passed: passed, nanosecondsPerOperation: passed ? stopwatch.nanoseconds : [:])
        }
    }

    private typealias Test = (SelfTestAnswers, Stopwatch) throws -> Bool

    private static var primitives: [(String, Test)] {
        [
            ("ML-KEM-1024", mlkem), ("brainpoolP512r1", brainpool), ("Ed25519", ed25519), ("ML-DSA-87", mldsa),
            ("SHA-2", hash), ("HKDF", hkdf),
            ("AES-256-GCM", { try packet(.aes256GCM, .boringSSL, $0.aes256GCM, $1) }),
            ("ChaCha20-Poly1305", { try packet(.chaCha20Poly1305, .boringSSL, $0.chaCha20Poly1305, $1) }),
            ("AES-256-GCM (OpenSSL)", { try packet(.aes256GCM, .openSSL, $0.aes256GCM, $1) }),
            ("ChaCha20-Poly1305 (OpenSSL)", { try packet(.chaCha20Poly1305, .openSSL, $0.chaCha20Poly1305, $1) }),
        ]
    }

    private static let message = [UInt8]("self-test".utf8)

    private static func mlkem(_ answers: SelfTestAnswers, _ stopwatch: Stopwatch) throws -> Bool {
        let seed = Secret(copying: [UInt8](0..<64))
        let key = MLKEM.expand(seed: seed)
        let publicKey = key.publicKey
        var flipped = answers.mlkemCiphertext
        flipped[0] ^= 1
        let passed =
            try Hash.sha256(publicKey) == answers.mlkemPublicKeyDigest
            && matches(MLKEM.decapsulate(answers.mlkemCiphertext, with: key.privateKey), answers.mlkemSharedSecret)
            && matches(MLKEM.decapsulate(flipped, with: key.privateKey), answers.mlkemRejectedSecret)
        let encapsulation = try MLKEM.encapsulate(to: publicKey)
        let back = try MLKEM.decapsulate(encapsulation.ciphertext, with: key.privateKey)
        stopwatch.measure("keygen", 200) { _ = MLKEMKeyPair() }
        try stopwatch.measure("encapsulate", 200) { _ = try MLKEM.encapsulate(to: publicKey) }
        try stopwatch.measure("decapsulate", 200) {
            _ = try MLKEM.decapsulate(answers.mlkemCiphertext, with: key.privateKey)
        }
        return passed && back.isEqual(to: encapsulation.sharedSecret)
    }

    private static func brainpool(_ answers: SelfTestAnswers, _ stopwatch: Stopwatch) throws -> Bool {
        let own = try BrainpoolKeyPair(scalar: Secret(copying: [UInt8](1..<65)))
        let peer = try BrainpoolKeyPair(scalar: Secret(copying: [UInt8](65..<129)))
        try stopwatch.measure("keygen", 20) { _ = try BrainpoolKeyPair() }
        try stopwatch.measure("derive", 20) { _ = try own.sharedSecret(with: answers.brainpoolPeerPoint) }
        return try own.publicPoint == answers.brainpoolPoint && peer.publicPoint == answers.brainpoolPeerPoint
            && matches(own.sharedSecret(with: peer.publicPoint), answers.brainpoolSharedSecret)
            && matches(peer.sharedSecret(with: own.publicPoint), answers.brainpoolSharedSecret)
    }

    private static func ed25519(_ answers: SelfTestAnswers, _ stopwatch: Stopwatch) throws -> Bool {
        let seed = Secret(copying: [UInt8](96..<128))
        let key = Ed25519.expand(seed: seed)
        let signature = try Ed25519.sign(message, with: key.privateKey)
        stopwatch.measure("keygen", 200) { _ = Ed25519.expand(seed: seed) }
        try stopwatch.measure("sign", 200) { _ = try Ed25519.sign(message, with: key.privateKey) }
        stopwatch.measure("verify", 200) { _ = Ed25519.verify(signature, of: message, by: key.publicKey) }
        return key.publicKey == answers.ed25519PublicKey && signature == answers.ed25519Signature
            && Ed25519.verify(answers.ed25519Signature, of: message, by: answers.ed25519PublicKey)
            && !Ed25519.verify(answers.ed25519Signature, of: message + [0], by: answers.ed25519PublicKey)
    }

    private static func mldsa(_ answers: SelfTestAnswers, _ stopwatch: Stopwatch) throws -> Bool {
        let seed = Secret(copying: [UInt8](64..<96))
        let key = try MLDSA.expand(seed: seed)
        let context = Labels.Signature.context(.descriptor)
        let hedged = try MLDSA.sign(message, context: context, with: key.privateKey)
        func verify(_ signature: [UInt8], _ text: [UInt8]) -> Bool {
            MLDSA.verify(signature, of: text, context: context, by: key.publicKey)
        }
        try stopwatch.measure("keygen", 50) { _ = try MLDSA.expand(seed: seed) }
        try stopwatch.measure("sign", 200) { _ = try MLDSA.sign(message, context: context, with: key.privateKey) }
        stopwatch.measure("verify", 50) { _ = verify(answers.mldsaSignature, message) }
        return Hash.sha256(key.publicKey) == answers.mldsaPublicKeyDigest && verify(answers.mldsaSignature, message)
            && verify(hedged, message) && !verify(answers.mldsaSignature, message + [0])
    }

    private static func hash(_ answers: SelfTestAnswers, _ stopwatch: Stopwatch) -> Bool {
        let key = [UInt8](0..<32)
        let block = [UInt8](repeating: 0, count: 1_400)
        stopwatch.measure("SHA-512 of 1400 bytes", 1_000) { _ = Hash.sha512(block) }
        stopwatch.measure("HMAC-SHA256 of 1400 bytes", 1_000) { _ = Hash.hmacSHA256(key: key, block) }
        return Hash.sha512(message) == answers.sha512 && Hash.sha256(message) == answers.sha256
            && Hash.hmacSHA256(key: key, message) == answers.hmacSHA256
    }

    private static func hkdf(_ answers: SelfTestAnswers, _ stopwatch: Stopwatch) -> Bool {
        let (salt, info) = ([UInt8]("salt".utf8), [UInt8]("info".utf8))
        let material = Secret(copying: [UInt8](0..<32))
        let prk = HKDF512.extract(salt: salt, inputKeyMaterial: material)
        stopwatch.measure("extract", 500) { _ = HKDF512.extract(salt: salt, inputKeyMaterial: material) }
        stopwatch.measure("expand to 208 bytes", 500) { _ = HKDF512.expand(prk, info: info, count: 208) }
        let short = HKDF256.derive(inputKeyMaterial: [UInt8](0..<32), salt: salt, info: info, count: 32)
        return matches(HKDF512.expand(prk, info: info, count: 96), answers.hkdfSHA512)
            && matches(short, answers.hkdfSHA256)
    }

    private static func packet(
        _ cipher: PacketCipher, _ backend: PacketKey.Backend, _ answer: [UInt8], _ stopwatch: Stopwatch
    ) throws -> Bool {
        let key = PacketKey(
            cipher, key: Secret(copying: [UInt8](32..<64)), iv: Secret(copying: [UInt8](0..<12)), backend: backend)
        let counter: UInt64 = 0x0102_0304_0506_0708
        let plain = [UInt8](16..<32) + [UInt8](64..<112) + [UInt8](repeating: 0, count: 16)
        var datagram = plain
        var span = datagram.mutableSpan
        key.seal(&span, range: 0..<plain.count, counter: counter)
        let sealed = datagram
        span = datagram.mutableSpan
        let opened = key.open(&span, range: 0..<plain.count, counter: counter)
        let restored = datagram.dropLast(16) == plain.dropLast(16)
        datagram = sealed
        datagram[20] ^= 1
        span = datagram.mutableSpan
        let forged = key.open(&span, range: 0..<plain.count, counter: counter)
        measure(key, stopwatch)
        return [UInt8](sealed.dropFirst(16)) == answer && opened && restored && !forged
    }

    /// 1,400 bytes of plaintext, 64 datagrams at a time: opening destroys what sealing made.
    private static func measure(_ key: borrowing PacketKey, _ stopwatch: Stopwatch) {
        let (size, count) = (16 + 1_400 + 16, 64)
        var buffer = [UInt8](repeating: 0, count: size * count)
        var span = buffer.mutableSpan
        for _ in 0..<20 {
            stopwatch.measure("seal 1400 bytes", operations: count) {
                for index in 0..<count { key.seal(&span, range: index * size..<(index + 1) * size, counter: 1) }
            }
            stopwatch.measure("open 1400 bytes", operations: count) {
                for index in 0..<count { _ = key.open(&span, range: index * size..<(index + 1) * size, counter: 1) }
            }
        }
    }

    private static func matches(_ secret: borrowing Secret, _ expected: [UInt8]) -> Bool {
        secret.isEqual(to: Secret(copying: expected))
    }
}

/// Times of operations, if they are wanted.
private final class Stopwatch {
    private let running: Bool
    private(set) var nanoseconds: [String: Double] = [:]

    init(running: Bool) { self.running = running }

    /// Five batches, `count` operations in all.
    func measure(_ operation: String, _ count: Int, _ body: () throws -> Void) rethrows {
        for _ in 0..<5 {
            try measure(operation, operations: count / 5) { for _ in 0..<count / 5 { try body() } }
        }
    }

    /// One batch. What is kept is the quickest one: whatever else the machine does can only make a batch slower.
    func measure(_ operation: String, operations: Int, batch: () throws -> Void) rethrows {
        guard running else { return }
        let clock = ContinuousClock()
        let start = clock.now
        try batch()
        let (seconds, attoseconds) = (clock.now - start).components
        let time = (Double(seconds) * 1e9 + Double(attoseconds) / 1e9) / Double(operations)
        nanoseconds[operation] = min(time, nanoseconds[operation] ?? .infinity)
    }
}
