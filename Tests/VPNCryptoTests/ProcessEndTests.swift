// SPDX-License-Identifier: Apache-2.0
// A process that ends while its threads make keys ends with the status that it wanted to leave.
import Foundation
import Testing

@testable import VPNCrypto

@Suite struct ProcessEndTests {
    private static let mark = "PQVPN_ENDS_BUSY"

    /// The end is that of a process of its own, some times, since it is a matter of chance what a thread does at that moment.
    @Test func threadsThatMakeKeysDoNotSpoilTheEnd() throws {
        if ProcessInfo.processInfo.environment[Self.mark] != nil { try endBusily() }
        for _ in 0..<12 {
            let child = Process()
            child.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
            child.arguments = ["--testing-library", "swift-testing", "--filter", "ProcessEndTests"]
            child.environment = ProcessInfo.processInfo.environment.merging([Self.mark: "1"]) { $1 }
            (child.standardOutput, child.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
            try child.run()
            child.waitUntilExit()
            #expect(child.terminationReason == .exit && child.terminationStatus == 7, "\(child.terminationStatus)")
        }
    }

    private func endBusily() throws -> Never {
        let point = try BrainpoolKeyPair().publicPoint
        for _ in 0..<4 {
            Thread.detachNewThread {
                while true { _ = try? BrainpoolKeyPair().sharedSecret(with: point) }
            }
        }
        Thread.sleep(forTimeInterval: 0.05)
        exit(7)
    }
}
