// SPDX-License-Identifier: Apache-2.0
// Finding and reading the public test vectors, and saying what became of them. The vectors are not part of the project:
// PQVPN_VECTORS names their directory, or ../shared/vectors next to the package is used.

import Foundation
import Testing

enum VectorFiles {
    /// All files that these tests read, relative to the directory.
    static let all = [
        "acvp/ML-DSA-keyGen-FIPS204/internalProjection.json", "acvp/ML-DSA-sigGen-FIPS204/internalProjection.json",
        "acvp/ML-DSA-sigVer-FIPS204/internalProjection.json", "acvp/ML-KEM-encapDecap-FIPS203/internalProjection.json",
        "acvp/ML-KEM-keyGen-FIPS203/internalProjection.json", "swift-crypto/mldsa_nist_keygen_87_tests.json",
        "wycheproof/aes_gcm_test.json", "wycheproof/chacha20_poly1305_test.json",
        "wycheproof/ecdh_brainpoolP512r1_test.json", "wycheproof/ed25519_test.json", "wycheproof/hkdf_sha256_test.json",
        "wycheproof/hkdf_sha512_test.json", "wycheproof/mldsa_87_sign_noseed_test.json",
        "wycheproof/mldsa_87_sign_seed_test.json", "wycheproof/mldsa_87_verify_test.json",
        "wycheproof/mlkem_1024_encaps_test.json", "wycheproof/mlkem_1024_keygen_seed_test.json",
        "wycheproof/mlkem_1024_semi_expanded_decaps_test.json", "wycheproof/mlkem_1024_test.json",
    ]

    static let directory: URL? = {
        if let path = ProcessInfo.processInfo.environment["PQVPN_VECTORS"] { return URL(fileURLWithPath: path) }
        // Tests/VPNCryptoTests/Vectors/VectorFiles.swift: the package is four levels up, its neighbour five.
        var package = URL(fileURLWithPath: #filePath)
        for _ in 0..<4 { package.deleteLastPathComponent() }
        let directory = package.deletingLastPathComponent().appendingPathComponent("shared/vectors")
        return FileManager.default.fileExists(atPath: directory.path) ? directory : nil
    }()

    static func exists(_ name: String) -> Bool {
        guard let directory else { return false }
        return FileManager.default.isReadableFile(atPath: directory.appendingPathComponent(name).path)
    }

    /// Nil, with a line that says so, where the file is absent.
    static func read<File: Decodable>(_ name: String, as type: File.Type) throws -> File? {
        guard let directory, exists(name) else {
            print("SKIPPED: vectors \(name): no such file")
            return nil
        }
        return try JSONDecoder().decode(type, from: Data(contentsOf: directory.appendingPathComponent(name)))
    }

    @Test("which vector files are there") static func inventory() {
        let absent = all.filter { !exists($0) }
        print("VECTORS: \(all.count - absent.count) of \(all.count) files found, \(absent.count) skipped")
    }
}

/// Test groups of one file, each with its own fields and its tests.
struct VectorFile<Group: Decodable>: Decodable {
    let testGroups: [Group]
}

/// What became of the cases of one file. Every case ends in exactly one of the four.
struct Tally {
    private let name: String
    private var passed = 0
    private var refused = 0
    private var notApplicable: [String: Int] = [:]
    private var failed: [String] = []

    init(_ name: String) { self.name = name }

    /// A case whose result must be what the vectors say.
    mutating func expect(_ holds: Bool, _ label: String) {
        if holds { passed += 1 } else { failed.append(label) }
    }

    /// A case that must be refused.
    mutating func expectRefused(_ refusedIndeed: Bool, _ label: String) {
        if refusedIndeed { refused += 1 } else { failed.append(label) }
    }

    mutating func skip(because reason: String, _ count: Int = 1) { notApplicable[reason, default: 0] += count }

    /// Prints the counts and fails the test if a case failed.
    func report(sourceLocation: SourceLocation = #_sourceLocation) {
        let reasons = notApplicable.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
        let skipped = notApplicable.values.reduce(0, +)
        print(
            "VECTORS: \(name): \(passed) passed, \(refused) refused as expected, \(skipped) not applicable"
                + (reasons.isEmpty ? "" : " (" + reasons.joined(separator: "; ") + ")")
                + (failed.isEmpty ? "" : ", \(failed.count) FAILED"))
        #expect(failed.isEmpty, "\(failed.prefix(10))", sourceLocation: sourceLocation)
        #expect(passed + refused > 0, "no case was applicable", sourceLocation: sourceLocation)
    }
}

/// Bytes in hexadecimal, as the vector files write them.
struct HexBytes: Decodable {
    let bytes: [UInt8]

    init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let bytes = hex(text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "no hex"))
        }
        self.bytes = bytes
    }
}

func hex(_ text: String) -> [UInt8]? {
    guard text.utf8.count.isMultiple(of: 2) else { return nil }
    var bytes: [UInt8] = []
    var rest = Substring(text)
    while !rest.isEmpty {
        guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
        bytes.append(byte)
        rest = rest.dropFirst(2)
    }
    return bytes
}
