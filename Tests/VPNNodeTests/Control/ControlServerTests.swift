// SPDX-License-Identifier: Apache-2.0
// The local socket in front of a node that is none: what of a request reaches the node, what leaves a trace, and what
// is left when it closes.
import Foundation
import Glibc
import Logging
import Synchronization
import Testing

@testable import VPNNode

@Suite(.threads(.programs)) struct ControlServerTests {
    private final class Written: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    /// A server and those who call it.
    private final class Door {
        let scratch: Scratch
        let control: StubControl
        let path: String
        let server: ControlServer
        private let written: Written

        init(group: String? = nil) throws {
            let (scratch, control, written) = (try Scratch(), StubControl(), Written())
            let output = LogOutput(format: .json) { written.add($0) }
            (self.scratch, self.control, self.written) = (scratch, control, written)
            path = scratch.file("n.sock")
            server = try ControlServer(
                path: scratch.file("n.sock"), group: group, control: control,
                logger: output.logger("node", level: .info))
        }

        deinit { server.stop() }

        func ask(_ rest: String) throws -> String {
            var connection = try LocalConnection(path: path, seconds: 300)
            try connection.write(line: "{\"version\":1,\"verb\":\(rest)}")
            return String(decoding: try connection.readLine(limit: 1 << 20) ?? [], as: UTF8.self)
        }

        /// Lines of the log that tell of this event.
        func lines(_ event: String) -> [String] { written.all.filter { $0.contains("\"event\":\"\(event)\"") } }
    }

    private static func isError(_ answer: String, _ status: Int) throws -> Bool {
        try JSONSchema("error").faults(in: answer) == [] && answer.contains("\"status\":\(status)")
    }

    @Test func timesAreWithinBounds() throws {
        let door = try Door()
        var wanted: [String] = []
        for (given, milliseconds) in [
            ("", 5000), (",\"timeout\":250", 250), (",\"timeout\":1", 1), (",\"timeout\":0", 1),
            (",\"timeout\":-1000000000000", 1), (",\"timeout\":30000", 30_000), (",\"timeout\":30001", 30_000),
            (",\"timeout\":1000000000000", 30_000),
        ] {
            _ = try door.ask("\"ping\",\"peer\":\"bob\"\(given)")
            _ = try door.ask("\"trace\",\"peer\":\"bob\"\(given)")
            _ = try door.ask("\"netcheck\"\(given)")
            wanted += [
                "ping bob \(milliseconds)", "trace bob \(milliseconds)", "netcheck \(milliseconds)",
            ]
        }
        #expect(door.control.asked == wanted)
    }

    @Test func whatIsAboutSomebodyNeedsAName() throws {
        let door = try Door()
        let verbs = ["rekey", "drop", "ping", "trace", "circuit-build", "circuit-close", "circuit-renew"]
        for verb in verbs {
            for peer in ["", ",\"peer\":\"\"", ",\"peer\":null"] {
                let answer = try door.ask("\"\(verb)\"\(peer)")
                #expect(try Self.isError(answer, 2) && answer.contains("\(verb) needs a peer"), "\(answer)")
            }
        }
        #expect(door.control.asked == [], "nothing of it reached the node")
        for verb in verbs {
            let answer = try door.ask("\"\(verb)\",\"peer\":\"x\"")
            #expect(!answer.contains("pqvpn.error"), "\(verb): \(answer)")
        }
        #expect(door.control.asked.count == verbs.count)
        // All of them, where nobody is named.
        _ = try door.ask("\"quilt\"")
        #expect(door.control.asked.last == "quilt -")
    }

    @Test func anOrderIsPassedOnWhole() throws {
        let door = try Door()
        _ = try door.ask("\"circuit-build\",\"peer\":\"mine\"")
        _ = try door.ask(
            "\"circuit-build\",\"peer\":\"mine\",\"ways\":[[\"a\",\"b\"],[\"c\"]],\"networks\":[\"10.0.0.0/8\"],"
                + "\"together\":\"fec\"")
        #expect(door.control.asked == ["circuit-build mine   -", "circuit-build mine a,b|c 10.0.0.0/8 fec"])
    }

    @Test func onlyASaidTrialIsOne() throws {
        let door = try Door()
        for rest in ["", ",\"dry_run\":null", ",\"dry_run\":false", ",\"dry_run\":true"] {
            _ = try door.ask("\"reload\"\(rest)")
        }
        #expect(door.control.asked == ["reload false", "reload false", "reload false", "reload true"])
        let unclear = try door.ask("\"reload\",\"dry_run\":\"yes\"")
        #expect(try Self.isError(unclear, 2), "what is unclear is no order: \(unclear)")
        #expect(door.control.asked.count == 4)
    }

    /// Whatever changes something leaves a trace of who did it, and nothing else does.
    @Test func ordersLeaveATrace() throws {
        let door = try Door()
        for rest in [
            "\"status\"", "\"look\"", "\"metrics\"", "\"circuits\"", "\"quilt\"", "\"logs\"", "\"netcheck\"",
            "\"ping\",\"peer\":\"x\"", "\"trace\",\"peer\":\"x\"", "\"log-level\"", "\"reload\",\"dry_run\":true",
        ] {
            _ = try door.ask(rest)
        }
        #expect(door.control.asked.count == 11)
        #expect(door.lines("control.command") == [])
        let orders = [
            ("rekey", ",\"peer\":\"bob\"", "\"peer_name\":\"bob\""),
            ("drop", ",\"peer\":\"b\\u001b[2J\"", "\"peer_name\":\"b\\u001b[2J\""),
            ("circuit-build", ",\"peer\":\"x\"", "\"peer_name\":\"x\""),
            ("circuit-close", ",\"peer\":\"x\"", "\"peer_name\":\"x\""),
            ("circuit-renew", ",\"peer\":\"x\"", "\"peer_name\":\"x\""),
            ("log-level", ",\"level\":\"debug\"", "\"level_name\":\"debug\""), ("reload", "", "\"verb\":\"reload\""),
        ]
        for (number, (verb, rest, trace)) in orders.enumerated() {
            _ = try door.ask("\"\(verb)\"\(rest)")
            let lines = door.lines("control.command")
            #expect(lines.count == number + 1, "\(verb)")
            let line = lines.last ?? ""
            #expect(line.contains("\"verb\":\"\(verb)\"") && line.contains(trace), "\(line)")
            // By the kernel's word.
            #expect(line.contains("\"uid\":\"\(getuid())\"") && line.contains("\"pid\":\"\(getpid())\""), "\(line)")
        }
    }

    @Test func whatTheNodeRefusesKeepsItsStatus() throws {
        let door = try Door()
        let answer = try door.ask("\"netcheck\"")
        #expect(try Self.isError(answer, 5) && answer.contains("nobody to ask"), "\(answer)")
        // Of another version, whose verbs may mean something else, nothing is done.
        var connection = try LocalConnection(path: door.path, seconds: 300)
        try connection.write(line: "{\"version\":2,\"verb\":\"drop\",\"peer\":\"bob\"}")
        let other = String(decoding: try connection.readLine(limit: 4096) ?? [], as: UTF8.self)
        #expect(try Self.isError(other, 2), "\(other)")
        #expect(door.control.asked == ["netcheck 5000"] && door.lines("control.command") == [])
    }

    @Test func severalRequestsOfOneCallerAreAnsweredInOrder() throws {
        let door = try Door()
        var connection = try LocalConnection(path: door.path, seconds: 300)
        let lines = ["\"status\"", "\"nonsense\"", "\"look\""].map { "{\"version\":1,\"verb\":\($0)}" }
        try connection.write(line: lines.joined(separator: "\n"))
        for part in ["pqvpn.status/1", "pqvpn.error/1", "pqvpn.control/1"] {
            let answer = String(decoding: try connection.readLine(limit: 1 << 20) ?? [], as: UTF8.self)
            #expect(answer.contains(part), "\(answer)")
        }
        #expect(door.control.asked == ["status", "look "])
    }

    @Test func aRequestWithoutAnEndIsToldOnce() throws {
        let door = try Door()
        var connection = try LocalConnection(path: door.path, seconds: 300)
        try? connection.write(line: String(repeating: "x", count: 1 << 20))
        let answer = try? connection.readLine(limit: 1 << 20)
        #expect(answer == nil)
        for _ in 0..<2000 where door.lines("control.refused").isEmpty { usleep(10_000) }
        let told = door.lines("control.refused")
        #expect(told.count == 1 && told.first?.contains("\"uid\":\"\(getuid())\"") == true, "\(told)")
        #expect(try door.ask("\"status\"").contains("pqvpn.status/1"), "others are served")
    }

    @Test func whoIsConnectedAtTheEndIsLetGo() throws {
        let door = try Door()
        var connection = try LocalConnection(path: door.path, seconds: 300)
        try connection.write(line: "{\"version\":1,\"verb\":\"status\"}")
        let first = try connection.readLine(limit: 1 << 20)
        #expect(first != nil)
        door.server.stop()
        let second = try? connection.readLine(limit: 1 << 20)
        #expect(second == nil)
        #expect(!FileManager.default.fileExists(atPath: door.path) && !ControlPlace.isServed(door.path))
        door.server.stop()
    }

    @Test func aGroupThatIsNotThereLetsNobodyIn() throws {
        let door = try Door(group: "no-such-group-\(UInt32.random(in: 0 ... .max))")
        let attributes = try FileManager.default.attributesOfItem(atPath: door.path)
        #expect(attributes[.posixPermissions] as? Int == 0o660)
        #expect(try door.ask("\"status\"").contains("pqvpn.status/1"))
    }

    @Test func placesThatCannotBeHadAreNamed() throws {
        let door = try Door()
        func refusal(_ name: String) -> NodeFailure? {
            failure {
                _ = try ControlServer(
                    path: door.scratch.file(name), group: nil, control: StubControl(),
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            }
        }
        #expect(refusal(String(repeating: "x", count: 120))?.message.contains("longer than 107 bytes") == true)
        try door.scratch.write("precious", to: "file")
        #expect(refusal("file")?.message.contains("is another kind of file") == true)
        let below = refusal("file/x/n.sock")
        #expect(below?.message.contains("control.socket") == true, "\(below?.message ?? "made")")
        try door.scratch.link("link.sock", to: door.path)
        #expect(refusal("link.sock")?.message.contains("is another kind of file") == true)
        #expect(refusal("n.sock")?.message.contains("is served by a running node") == true)
        #expect(try door.scratch.read("file") == "precious")
        #expect(try door.ask("\"status\"").contains("pqvpn.status/1"), "who was there is there")
    }
}
