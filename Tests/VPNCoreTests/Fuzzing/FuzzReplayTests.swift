// SPDX-License-Identifier: Apache-2.0
// Every committed input of the fuzzer, and what once crashed, run again; and around each of them a seeded cloud of neighbours.

import Foundation
import Testing
import VPNTesting

@Suite struct FuzzReplayTests {
    private static let directory = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fuzz")

    /// Names and contents; empty where there is no such directory.
    private func inputs(_ kind: String, _ target: FuzzTarget) throws -> [(name: String, bytes: [UInt8])] {
        let place = Self.directory.appending(path: "\(kind)/\(target.rawValue)")
        guard FileManager.default.fileExists(atPath: place.path) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: place.path).sorted().map {
            ($0, [UInt8](try Data(contentsOf: place.appending(path: $0))))
        }
    }

    @Test(arguments: FuzzTarget.allCases) func committedInputsHold(target: FuzzTarget) throws {
        let corpus = try inputs("corpus", target)
        #expect(!corpus.isEmpty)
        for (name, bytes) in try corpus + inputs("crashes", target) {
            #expect(throws: Never.self, "\(name)") { try target.run(bytes) }
        }
    }

    @Test(arguments: FuzzTarget.allCases) func neighboursHold(target: FuzzTarget) throws {
        var random = SeededGenerator(6)
        for (name, bytes) in try inputs("corpus", target) where !bytes.isEmpty {
            for _ in 0..<(target.isDear ? 2 : 100) {
                var bytes = bytes
                for _ in 0...Int.random(in: 0..<4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
                }
                #expect(throws: Never.self, "\(name): \(bytes)") { try target.run(bytes) }
            }
        }
    }

    /// The properties can fail: each of them sees a finding, and says what it is.
    @Test func findingsAreSeen() {
        #expect(throws: FuzzFinding.self) { try FuzzFinding.unless(false, "text") }
        var joined = JoinedPackets([PacketModel().encoded()])
        #expect(joined.fault == nil)
        joined.alter { $0[0].packet[0] ^= 1 }
        #expect(joined.fault != nil)
    }
}
