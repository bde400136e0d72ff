// SPDX-License-Identifier: Apache-2.0
// What a run leaves on disk while it lives, and what must be gone after it; and its log lines.
import Foundation
import Glibc
import Logging
import Synchronization
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

struct ProcessTests {
    private func open(_ scratch: Scratch) throws -> RuntimeKeyDirectory {
        let descriptor = try Identities.descriptor(Identities.alice, "alice")
        return try RuntimeKeyDirectory(prefix: "t", descriptor: descriptor, base: scratch.path)
    }

    @Test func theRuntimeDirectoryHoldsNoSecretAndEndsWithTheRun() throws {
        let scratch = try Scratch()
        var directory: RuntimeKeyDirectory? = try open(scratch)
        let path = try #require(directory?.path)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o700)
        #expect(
            Set(try FileManager.default.contentsOfDirectory(atPath: path)) == ["identity.pub", "pid", "pqvpn.lock"])
        #expect(try DescriptorFile.read("\(path)/identity.pub").keys == Identities.alice.publicKeys)
        var everything: [UInt8] = []
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            everything += [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")))
        }
        let text = String(decoding: everything, as: UTF8.self)
        for seed in [Identities.alice.ed25519Seed.exposedCopy(), Identities.alice.mlkemSeed.exposedCopy()] {
            #expect(!text.contains(Data(seed).base64EncodedString()) && !text.contains(Hex.encode(seed)))
        }
        directory = nil
        #expect(scratch.names.isEmpty)
    }

    /// A directory as a killed run leaves it: complete, and its lock held by nobody.
    private func leftover(_ scratch: Scratch, _ name: String) throws {
        let path = scratch.file(name)
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try Data(RuntimeKeyDirectory.markerText.utf8).write(
            to: URL(fileURLWithPath: "\(path)/\(RuntimeKeyDirectory.markerName)"))
        try Data("1\n".utf8).write(to: URL(fileURLWithPath: "\(path)/pid"))
    }

    @Test func theNextStartSweepsDeadRunsAndNothingElse() throws {
        let scratch = try Scratch()
        let living = try open(scratch)
        try leftover(scratch, "t-1-dead")
        try leftover(scratch, "other-1-dead")
        try leftover(scratch, "t-1-with-more")
        try Data().write(to: URL(fileURLWithPath: scratch.file("t-1-with-more/letter")))
        try leftover(scratch, "t-1-open")
        try scratch.setMode(0o755, of: "t-1-open")
        try leftover(scratch, "t-1-unmarked")
        try scratch.write("something else\n", to: "t-1-unmarked/pqvpn.lock")
        try leftover(scratch, "elsewhere")
        try scratch.link("t-1-link", to: scratch.file("elsewhere"))
        try leftover(scratch, "t-1-linked-marker")
        try FileManager.default.removeItem(atPath: scratch.file("t-1-linked-marker/pqvpn.lock"))
        try scratch.link("t-1-linked-marker/pqvpn.lock", to: scratch.file("elsewhere/pqvpn.lock"))
        try scratch.write("", to: "t-file")
        if isRoot {
            try leftover(scratch, "t-1-foreign")
            try scratch.giveAway("t-1-foreign")
        }
        let before = Set(scratch.names)
        let next = try open(scratch)
        let names = Set(scratch.names).subtracting([URL(fileURLWithPath: next.path).lastPathComponent])
        #expect(before.subtracting(names) == ["t-1-dead"])
        #expect(FileManager.default.fileExists(atPath: living.path))
    }

    @Test(arguments: ["peer: { nickname: n }\n", "12\n13\n", "x", "7 \n", String(repeating: "1", count: 40)])
    func whatIsNoProcessIDIsNotOverwritten(_ text: String) throws {
        let scratch = try Scratch()
        try scratch.write(text, to: "c.yaml")
        let failed = failure(of: { _ = try PIDFile(path: scratch.file("c.yaml")) })
        #expect(failed?.message.contains("is not overwritten") == true, "\(failed?.message ?? "taken")")
        #expect(try scratch.read("c.yaml") == text)
    }

    @Test func aPIDFileIsForOne() throws {
        let scratch = try Scratch()
        let path = scratch.file("p.pid")
        // Left behind by a run that was killed.
        try scratch.write("999999999\n", to: "p.pid")
        let file = try PIDFile(path: path)
        #expect(try scratch.read("p.pid") == "\(getpid())\n")
        let second = failure(of: { _ = try PIDFile(path: path) })
        #expect(second?.message == "pid file \(path) is held by a running pqvpn (process \(getpid())): stop it first")
        file.remove()
        #expect(scratch.names.isEmpty)
        try scratch.write("7\n", to: "p.pid")
        file.remove()
        #expect(try scratch.read("p.pid") == "7\n", "a successor's file stays")
        try FileManager.default.removeItem(atPath: path)
        try scratch.link("p.pid", to: "/etc/hostname")
        #expect(failure(of: { _ = try PIDFile(path: path) })?.message.contains("symbolic link") == true)
    }

    // MARK: Logs

    private func record(_ metadata: Logger.Metadata, _ message: String = "session established") -> LogRecord {
        LogRecord(
            time: 1_795_435_445.123, level: .info, component: "handshake", message: message, metadata: metadata)
    }

    @Test func jsonLinesHaveTheDocumentedShape() throws {
        let line = record([
            "event": "session.established", "hs": "5f2c", "role": "responder", "dur_s": .stringConvertible(0.0041),
            "s1_bytes": .stringConvertible(8604), "temporary": .stringConvertible(true), "list": ["a", "b"],
            "map": ["k": "v"], "quote": "\"\\\n\u{1b}",
        ]).json
        #expect(
            line.hasPrefix(
                #"{"ts":"2026-11-23T12:04:05.123Z","level":"info","component":"handshake","msg":"session established","#
                    + #""event":"session.established","hs":"5f2c","role":"responder","dur_s":0.0041,"#))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect(object["s1_bytes"] as? Int == 8604 && object["temporary"] as? Bool == true)
        #expect(object["list"] as? [String] == ["a", "b"] && object["quote"] as? String == "\"\\\n\u{1b}")
        #expect(!line.contains("\n"))
    }

    @Test func textLinesCannotMoveTheCursor() {
        let line = record(["event": "x.y", "peer": "7f3a", "hs": "5f2c", "z": "a b"], "ok\u{1b}[2J\n").text(
            secondsFromGMT: 0)
        #expect(line == "12:04:05.123 INFO  handshake hs=5f2c peer=7f3a z=\"a b\"  ok\\u{1b}[2J\\u{a}")
    }

    @Test func datesAreRight() {
        for (seconds, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"), (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199.999, "2024-02-29T23:59:59.999Z"), (4_102_444_800, "2100-01-01T00:00:00.000Z"),
        ] {
            #expect(Timestamp(seconds).rfc3339 == text)
        }
    }

    @Test func loggersObeyTheirLevelAndKeepTheirFields() {
        let lines = Mutex<[String]>([])
        let output = LogOutput(format: .json) { line in lines.withLock { $0.append(line) } }
        var logger = output.logger("node", level: .warning)
        logger[metadataKey: "hs"] = "1234"
        logger.info("no")
        logger.warning("yes", metadata: ["event": "a.b"])
        let written = lines.withLock { $0 }
        #expect(written.count == 1)
        #expect(written.first?.contains(#""msg":"yes","event":"a.b","hs":"1234""#) == true)
    }

    @Test func aLineMayNameItsComponent() {
        let lines = Mutex<[String]>([])
        let output = LogOutput(format: .json) { line in lines.withLock { $0.append(line) } }
        output.logger("node", level: .info).info("x", metadata: ["component": "session"])
        #expect(lines.withLock { $0.first?.contains(#""component":"session","msg":"x"}"#) } == true)
    }

    /// Every event of the sources has a row in docs/logging.md, and every row an event.
    @Test func eventsAreDocumented() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let sources = root.appendingPathComponent("Sources").path
        let files = try #require(FileManager.default.enumerator(atPath: sources)).compactMap { $0 as? String }
        var events: Set<String> = []
        for file in files where file.hasSuffix(".swift") {
            let text = try String(contentsOfFile: "\(sources)/\(file)", encoding: .utf8)
            for match in text.matches(of: /"event": "([a-z_]+\.[a-z_]+)"/) { events.insert(String(match.1)) }
            guard file.contains("/EventLog") else { continue }
            for match in text.matches(of: /"([a-z_]+\.[a-z_]+)", (?:id|nil|summary)/) { events.insert(String(match.1)) }
        }
        let page = try String(contentsOf: root.appendingPathComponent("docs/logging.md"), encoding: .utf8)
        let documented = Set(page.matches(of: /(?m)^\| `([a-z_]+\.[a-z_]+)` \|/).map { String($0.1) })
        #expect(events == documented)
        #expect(events.contains("session.established") && events.contains("identity.loaded"))
    }

    @Test func logFilesAreForTheirOwner() throws {
        let scratch = try Scratch()
        try LogOutput.file(scratch.file("l.json")).logger("node", level: .info).info("one")
        try LogOutput.file(scratch.file("l.json")).logger("node", level: .info).info("two")
        #expect(try scratch.read("l.json").split(separator: "\n").count == 2)
        let mode = try FileManager.default.attributesOfItem(atPath: scratch.file("l.json"))[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try scratch.setMode(0o666, of: "l.json")
        #expect(failure(of: { _ = try LogOutput.file(scratch.file("l.json")) })?.status == .permission)
        try scratch.link("s.json", to: "/dev/null")
        #expect(
            failure(of: { _ = try LogOutput.file(scratch.file("s.json")) })?.message.contains("symbolic link") == true)
    }

    /// Secrets have no printable form.
    @Test func identitiesPrintTheirIDAndNoMore() throws {
        let identity = Identities.alice
        let loaded = try LoadedIdentity(signer: identity, nickname: "a", isTemporary: true)
        let printed = "\(identity) \(String(reflecting: identity)) \(loaded)"
        for seed in [identity.ed25519Seed.exposedCopy(), identity.mldsaSeed.exposedCopy()] {
            #expect(!printed.contains(Hex.encode(seed)) && !printed.contains(Data(seed).base64EncodedString()))
        }
    }
}
