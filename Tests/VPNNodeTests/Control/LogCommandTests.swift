// SPDX-License-Identifier: Apache-2.0
// The log of a running node over its control socket: bounds, losses, levels, and questions that mean no good.
import Foundation
import Logging
import Testing

@testable import VPNNode

@Suite(.serialized, .threads(.programs))
struct LogCommandTests {
    private static let quiet =
        "peer: { nickname: n }\nnetwork: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n"

    private func started(_ arguments: [String] = []) throws -> (Scratch, RunningDaemon) {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"] + arguments, in: scratch)
        #expect(daemon.event("node.ready") != nil, "\(daemon.text)")
        return (scratch, daemon)
    }

    private func report(_ arguments: [String], in scratch: Scratch) throws -> LogsReport {
        let outcome = try Program.run(["logs", "--json"] + arguments, in: scratch)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try JSONSchema("logs").faults(in: outcome.output) == [], "\(outcome.output.prefix(300))")
        return try JSONDecoder().decode(LogsReport.self, from: Data(outcome.output.utf8))
    }

    @Test func theLogIsSeenFromOutside() throws {
        let (scratch, daemon) = try started()
        let report = try report([], in: scratch)
        let lines = daemon.text.split(separator: "\n").map(String.init)
        #expect(report.lines.map(\.line) == lines && report.lost == 0 && report.level == "info")
        #expect(report.next == UInt64(lines.count) && report.lines.map(\.sequence) == Array(1...report.next))
        #expect(try self.report(["-n", "2"], in: scratch).lines.map(\.line) == Array(lines.suffix(2)))
        #expect(try self.report(["-n", "0"], in: scratch).lines.isEmpty)
        // The text is what a terminal would have shown.
        let words = try Program.run(["logs", "--level", "info"], in: scratch).output
        #expect(words.contains(" INFO  node  node is up"), "\(words)")
        #expect(words.split(separator: "\n").count == lines.filter { !$0.contains("\"level\":\"debug\"") }.count)
        #expect(try Program.run(["logs", "--level", "error"], in: scratch).output == "")
        for (arguments, status) in [
            (["logs", "-n", "1001"], 2), (["logs", "-n", "-1"], 2), (["logs", "--level", "lots"], 2),
            (["log-level", "lots"], 2),
        ] as [([String], Int32)] {
            let outcome = try Program.run(arguments, in: scratch)
            #expect(outcome.status == status && !outcome.errors.isEmpty, "\(arguments): \(outcome.errors)")
        }
        #expect(try Program.run(["log-level", "debgu"], in: scratch).errors.contains("did you mean 'DEBUG'?"))
        #expect(daemon.end(with: SIGTERM) == 0)
        for command in [["logs"], ["logs", "-f"], ["log-level"], ["reload"]] {
            #expect(try Program.run(command, in: scratch).status == 3)
        }
    }

    @Test func hostileQuestionsGetAnErrorEach() throws {
        let (_, daemon) = try started()
        let path = try #require(daemon.event("control.listening")?["path"] as? String)
        func ask(_ rest: String) throws -> String {
            var connection = try LocalConnection(path: path)
            try connection.write(line: "{\"version\":1,\"verb\":\"logs\"\(rest)}")
            return String(decoding: try connection.readLine(limit: 8 << 20) ?? [], as: UTF8.self)
        }
        for bad in [
            ",\"limit\":1001", ",\"limit\":-1", ",\"limit\":1e30", ",\"since\":-1", ",\"since\":\"x\"",
            ",\"level\":\"loud\"", ",\"level\":7",
        ] {
            let answer = try ask(bad)
            #expect(try JSONSchema("error").faults(in: answer) == [] && answer.contains("\"status\":2"), "\(answer)")
        }
        // A number that this run has not given out is of an earlier one.
        let answer = try ask(",\"since\":18446744073709551615,\"limit\":1000")
        #expect(try JSONSchema("logs").faults(in: answer) == [] && answer.contains("node.ready"), "\(answer)")
        #expect(daemon.end(with: SIGTERM) == 0)
    }

    @Test func theLevelChangesWhileItRuns() throws {
        let (scratch, daemon) = try started()
        #expect(try Program.run(["log-level"], in: scratch).output == "log level INFO\n")
        let debug = try Program.run(["log-level", "debug", "--json"], in: scratch)
        #expect(try JSONSchema("log-level").faults(in: debug.output) == [], "\(debug.output)")
        #expect(debug.json?["old"] as? String == "info" && debug.json?["new"] as? String == "debug")
        #expect(daemon.event("control.command")?["verb"] as? String == "log-level")
        let status = try Program.run(["status", "--json"], in: scratch)
        #expect(status.json?["log_level"] as? String == "debug")
        #expect(try JSONSchema("status").faults(in: status.output) == [], "\(status.output)")
        #expect(try Program.run(["status", "-v"], in: scratch).output.contains("Log        DEBUG and above"))
        // Silence, and the way out of it, are on record both.
        #expect(try Program.run(["log-level", "CRITICAL"], in: scratch).status == 0)
        #expect(try Program.run(["drop", "nobody"], in: scratch).status == 2)
        #expect(try Program.run(["log-level", "notice"], in: scratch).status == 0)
        let changes = daemon.text.split(separator: "\n").filter { $0.contains("\"event\":\"log.level\"") }
        #expect(changes.count == 3 && changes[1].contains("\"new\":\"critical\""), "\(changes)")
        #expect(!daemon.text.contains("nobody"))
        // A reload goes by the file again.
        #expect(try Program.run(["reload"], in: scratch).status == 0)
        #expect(try Program.run(["log-level"], in: scratch).output == "log level INFO\n")
        #expect(daemon.end(with: SIGTERM) == 0)
    }

    @Test func followingSaysWhatComesAndWhenTheNodeEnds() throws {
        let (scratch, daemon) = try started()
        let follower = try Program.start(
            [Program.path, "logs", "-f", "-n", "0"], in: scratch, output: "f.out", errors: "f.err")
        defer { if follower.isRunning { kill(follower.processIdentifier, SIGKILL) } }
        // What comes before its first look is not told.
        for round in 0..<100 where try !scratch.read("f.out").contains("level of the log changes") {
            let level = round % 2 == 0 ? "debug" : "info"
            #expect(try Program.run(["log-level", level], in: scratch).status == 0)
            usleep(100_000)
        }
        let seen = try scratch.read("f.out")
        #expect(seen.contains("the level of the log changes") && !seen.contains("node is up"), "\(seen)")
        #expect(daemon.end(with: SIGTERM) == 0)
        follower.waitUntilExit()
        #expect(follower.terminationStatus == 3)
        #expect(try scratch.read("f.err").contains("ended"))
    }

    @Test func aLookTellsWhatItMissedAndIsBounded() throws {
        let ring = LogRing()
        #expect(ring.look(after: nil, limit: 10, level: .trace).next == 0)
        #expect(ring.look(after: 5, limit: 10, level: .trace).lost == 0)
        for number in 1...10 { ring.append("\(number)", level: number % 2 == 0 ? .info : .debug) }
        let first = ring.look(after: nil, limit: 3, level: .info)
        #expect(first.lines.map(\.text) == ["6", "8", "10"] && first.next == 10 && first.lost == 0)
        // What is of no interest is passed over, and not asked for again.
        ring.append("11", level: .debug)
        let second = ring.look(after: first.next, limit: 3, level: .info)
        #expect(second.lines.isEmpty && second.next == 11)
        for number in 12...(LogRing.capacity + 111) { ring.append("\(number)", level: .info) }
        // 12…111 are gone from the ring; the rest comes in pieces without a gap.
        var (since, lost, seen) = (second.next, UInt64(0), [String]())
        while true {
            let look = ring.look(after: since, limit: 300, level: .info)
            if look.lines.isEmpty { break }
            #expect(look.lines.count <= 300)
            lost += look.lost
            seen += look.lines.map(\.text)
            since = look.next
        }
        #expect(lost == 100 && seen == (112...(LogRing.capacity + 111)).map(String.init))
        // Another run: its numbers begin anew.
        #expect(ring.look(after: 1 << 40, limit: 1, level: .trace).lines.map(\.text) == ["112"])
        // Long lines: by size, too, and always at least one.
        let long = String(repeating: "x", count: LogRing.longestLine)
        for _ in 0..<LogRing.capacity { ring.append(long, level: .info) }
        let bounded = ring.look(after: nil, limit: 1000, level: .info)
        #expect(bounded.lines.count == LogRing.longestLook / LogRing.longestLine)
        let next = ring.look(after: bounded.next - 1000, limit: 1000, level: .info)
        #expect(next.lines.count == bounded.lines.count && next.next < bounded.next)
    }

    @Test func linesForPeopleAreSafeToShow() {
        let record = LogRecord(
            time: 1_790_000_000.123, level: .warning, component: "node", message: "words",
            metadata: [
                "event": "a.b", "peer": "7f3a", "bytes": .stringConvertible(12), "list": ["x", "y"],
                "evil": "\u{1B}[2J",
            ])
        #expect(LogRecord.text(ofLine: record.json, secondsFromGMT: 0) == record.text(secondsFromGMT: 0))
        #expect(LogRecord.text(ofLine: "{\"ts\":\"2026-\u{1B}[31m", secondsFromGMT: 0) == "{\"ts\":\"2026-\\u{1b}[31m")
        let named =
            #"{"ts":"2026-01-02T03:04:05.678Z","level":"info","component":"no\#u{7F}de","msg":"m","pe\#u{9B}er":"x"}"#
        #expect(
            LogRecord.text(ofLine: named, secondsFromGMT: 0)
                == #"03:04:05.678 INFO  no\u{7f}de pe\u{9b}er=x  m"#)
        for line in ["", "[]", "{}", "{\"ts\":1,\"level\":\"info\",\"component\":\"x\",\"msg\":\"y\"}"] {
            #expect(LogRecord.text(ofLine: line, secondsFromGMT: 0) == line)
        }
    }
}
