// SPDX-License-Identifier: Apache-2.0
// `--hops` and `--exit` on the command line: what is no path is refused before anything is opened, and words name what to do.
import Foundation
import Testing

@testable import VPNNode

@Suite(.serialized, .timeLimit(.minutes(1))) struct PathOptionTests {
    private func write(_ scratch: Scratch, circuit: String) throws {
        try scratch.write(
            "tunnel: { enabled: false }\nnetwork: { bind_host: 127.0.0.1, listen_port: 0 }\n\(circuit)\n",
            to: "c.yaml")
    }

    static let wrong: [([String], String)] = [
        (["--hops", "0"], "--hops is between 2 and 8"), (["--hops", "1"], "--hops is between 2 and 8"),
        (["--hops", "9"], "--hops is between 2 and 8"),
        (["--hops", "9223372036854775807"], "--hops is between 2 and 8"),
        (["--hops=-3"], "--hops is between 2 and 8"), (["--hops", "three"], "--hops"),
        (["--hops", "99999999999999999999"], "--hops"), (["--hops", ""], "--hops"), (["--exit", ""], "--exit"),
        (["--exit", "x\u{1B}[2J"], "--exit"), (["--exit", String(repeating: "x", count: 65)], "--exit"),
        (["--exit"], "--exit"), (["--hops"], "--hops"), (["--exit", "a", "b"], "'b'"),
    ]

    @Test(arguments: wrong) func nonsenseIsAnsweredWithWhatToDo(_ words: [String], _ part: String) throws {
        let scratch = try Scratch()
        try write(scratch, circuit: "circuit: { allowed_ips: [10.99.0.0/16] }")
        let outcome = try Program.run(["run", "--config", "c.yaml"] + words, in: scratch)
        #expect(outcome.status == 2 && outcome.errors.contains(part), "\(words): \(outcome)")
        #expect(!outcome.errors.contains("\u{1B}"), "\(words)")
    }

    @Test func withoutNetworksThereIsNoCircuitToChoose() throws {
        let scratch = try Scratch()
        try write(scratch, circuit: "")
        for words in [["--hops", "3"], ["--exit", "auto"]] {
            let outcome = try Program.run(["run", "--config", "c.yaml"] + words, in: scratch)
            #expect(outcome.status == 2 && outcome.errors.contains("circuit.allowed_ips"), "\(words): \(outcome)")
        }
    }

    /// It may be imported later, so that the node waits for it, and says so.
    @Test func anExitThatNobodyKnowsIsNamed() throws {
        let scratch = try Scratch()
        try write(scratch, circuit: "circuit: { allowed_ips: [10.99.0.0/16] }")
        let daemon = try RunningDaemon(["--config", "c.yaml", "--exit", "nobody", "--hops", "2"], in: scratch)
        let told = try #require(daemon.event("circuit.no_exit"), "\(daemon.text)")
        #expect((told["msg"] as? String)?.contains("'nobody'") == true, "\(told)")
        #expect(daemon.end(with: SIGTERM) == 0)
    }
}
