// SPDX-License-Identifier: Apache-2.0
// `down --no-daemon` as the unit calls it: after a failure all stays for the restart, and the words say how to go on.
import Foundation
import Testing

@testable import VPNNode

@Suite(.threads(.programs)) struct DownCommandTests {
    private func down(_ result: String?, _ words: [String], in scratch: Scratch) throws -> Program.Outcome {
        let variable = result.map { ["SERVICE_RESULT=\($0)"] } ?? ["-u", "SERVICE_RESULT"]
        return try Program.launch(
            ["/usr/bin/env"] + variable + [Program.path, "down"] + words + ["--state-dir", scratch.file("state")],
            in: scratch)
    }

    @Test(arguments: ["exit-code", "signal", "timeout", "watchdog", "protocol"])
    func afterAFailureNothingIsTakenBack(_ result: String) throws {
        let scratch = try Scratch()
        let outcome = try down(result, ["--no-daemon", "x"], in: scratch)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("'\(result)'") && outcome.errors.contains("stay for its restart"))
        #expect(outcome.errors.contains("sudo pqvpn down x"))
        #expect(!scratch.names.contains("state"), "nothing was looked at")
    }

    /// Else it goes to work: here there is nothing to take back, or no right to.
    @Test func afterASuccessItGoesToWork() throws {
        for (result, words) in [
            ("success", ["--no-daemon", "x"]), (nil, ["--no-daemon", "x"]), ("exit-code", ["x"]),
        ] as [(String?, [String])] {
            let scratch = try Scratch()
            let outcome = try down(result, words, in: scratch)
            #expect(outcome.status == (isRoot ? 3 : 4), "\(words): \(outcome.errors)")
            #expect(!outcome.errors.contains("stay for its restart"))
        }
    }
}
