// SPDX-License-Identifier: Apache-2.0
// `pqvpn reload`: what SIGHUP does, with an answer; and a trial of it that changes nothing.
import Foundation
import Testing

@testable import VPNNode

@Suite(.serialized, .threads(.programs))
struct ReloadCommandTests {
    private static let quiet =
        "peer: { nickname: n }\nnetwork: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n"
    private static let other =
        quiet.replacingOccurrences(of: "listen_port: 0", with: "listen_port: 7") + "logging: { level: NOTICE }\n"

    private func reload(_ arguments: [String], in scratch: Scratch) throws -> ReloadReport {
        let outcome = try Program.run(["reload", "--json"] + arguments, in: scratch)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try JSONSchema("reload").faults(in: outcome.output) == [], "\(outcome.output)")
        return try JSONDecoder().decode(ReloadReport.self, from: Data(outcome.output.utf8))
    }

    @Test func aTrialSaysWhatWouldBeAndDoesNothing() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(daemon.event("node.ready") != nil)
        #expect(try Program.run(["reload", "--dry-run"], in: scratch).output.contains("nothing differs"))
        try scratch.write(Self.other, to: "c.yaml")
        let before = daemon.text
        for _ in 0..<2 {
            let trial = try reload(["--dry-run"], in: scratch)
            #expect(trial.isTrial && trial.applied == ["logging.level"] && trial.pending == ["network.listen_port"])
        }
        #expect(daemon.text == before, "a trial leaves no trace")
        #expect(try Program.run(["log-level"], in: scratch).output == "log level INFO\n")
        let words = try Program.run(["reload", "--dry-run"], in: scratch).output
        #expect(
            words.contains("nothing was changed") && words.contains("would wait for a restart  network.listen_port"))

        let done = try reload([], in: scratch)
        #expect(!done.isTrial && done.applied == ["logging.level"] && done.pending == ["network.listen_port"])
        #expect(daemon.event("control.command")?["verb"] as? String == "reload")
        #expect(daemon.event("config.reloaded") != nil && daemon.event("config.pending") != nil)
        #expect(try Program.run(["log-level"], in: scratch).output == "log level NOTICE\n")
        #expect(try reload([], in: scratch).applied == [])
        #expect(daemon.end(with: SIGTERM) == 0)
    }

    @Test func aBadFileIsRefusedWithAllItsErrors() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(daemon.event("node.ready") != nil)
        try scratch.write(Self.quiet + "logging: { level: ERROR, levl: 3 }\nrekey: { thresold: 1 }\n", to: "c.yaml")
        for arguments in [["--dry-run"], []] {
            let outcome = try Program.run(["reload"] + arguments, in: scratch)
            #expect(outcome.status == 2, "\(outcome.errors)")
            for word in ["levl", "thresold"] { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
            let json = try Program.run(["reload", "--json"] + arguments, in: scratch)
            #expect(try JSONSchema("error").faults(in: json.output) == [], "\(json.output)")
        }
        try FileManager.default.removeItem(atPath: scratch.file("c.yaml"))
        #expect(try Program.run(["reload"], in: scratch).errors.contains("No such file"))
        #expect(try Program.run(["log-level"], in: scratch).output == "log level INFO\n")
        // One line for each that was no trial.
        #expect(daemon.text.split(separator: "\n").filter { $0.contains("config.refused") }.count == 3)
        try scratch.write(Self.quiet, to: "c.yaml")
        #expect(try reload([], in: scratch).applied == [])
        #expect(daemon.end(with: SIGTERM) == 0)
    }

    /// Two doors to one reload: neither sees half of the other's.
    @Test func signalsAndCommandsTakeTurns() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(daemon.event("node.ready") != nil)
        for round in 0..<10 {
            try scratch.write(
                Self.quiet + "logging: { level: \(round % 2 == 0 ? "DEBUG" : "INFO") }\n", to: "c.yaml")
            kill(daemon.process.processIdentifier, SIGHUP)
            #expect(try Program.run(["reload"], in: scratch).status == 0)
        }
        #expect(daemon.event("config.reloaded", number: 11) != nil)
        let applied = daemon.text.split(separator: "\n").filter {
            $0.contains("config.reloaded") && $0.contains("logging.level")
        }
        #expect(applied.count == 10, "each change is taken once, by one of the two")
        #expect(daemon.end(with: SIGTERM) == 0)
    }
}
