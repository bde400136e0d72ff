// SPDX-License-Identifier: Apache-2.0
// Every committed input of the fuzzer for texts, and what once crashed, run again; and around each of them a seeded cloud of
// neighbours.
import Foundation
import Testing
import VPNTesting

@Suite struct TextFuzzReplayTests {
    private static let directory = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fuzz")

    /// Names and contents; empty where there is no such directory.
    private func inputs(_ kind: String, _ target: TextFuzzTarget) throws -> [(name: String, bytes: [UInt8])] {
        let place = Self.directory.appending(path: "\(kind)/\(target.rawValue)")
        guard FileManager.default.fileExists(atPath: place.path) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: place.path).sorted().map {
            ($0, [UInt8](try Data(contentsOf: place.appending(path: $0))))
        }
    }

    @Test(arguments: TextFuzzTarget.allCases) func committedInputsHold(target: TextFuzzTarget) throws {
        let corpus = try inputs("corpus", target)
        #expect(!corpus.isEmpty)
        for (name, bytes) in try corpus + inputs("crashes", target) {
            #expect(throws: Never.self, "\(name)") { try target.run(bytes) }
        }
    }

    @Test(arguments: TextFuzzTarget.allCases) func neighboursHold(target: TextFuzzTarget) throws {
        var random = SeededRandom(seed: 6)
        for (name, bytes) in try inputs("corpus", target) where !bytes.isEmpty {
            for _ in 0..<20 {
                var bytes = bytes
                for _ in 0...Int.random(in: 0..<4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
                }
                #expect(throws: Never.self, "\(name): \(bytes)") { try target.run(bytes) }
            }
        }
    }
}
