// SPDX-License-Identifier: Apache-2.0
// No secret that is on disk comes out of a node by any of its doors, in any of the usual forms; and none may get into a core dump.
// Keys of sessions never leave the process and cannot be known here: their type has no printable form (SecretTests).
import Foundation
import Testing

@testable import VPNNode

@Suite(.serialized, .threads(.programs))
struct SecretsTests {
    /// Looks for a secret, or a part of one, in whatever was said.
    private struct Search {
        private let needles: [(name: String, bytes: Data)]

        init(_ name: String, _ secret: Data) {
            var found: [(String, Data)] = []
            // 15 bytes are 20 digits of base64 wherever they begin; less than that is found by chance.
            for start in stride(from: 0, through: max(0, secret.count - 15), by: 1) {
                let part = secret.dropFirst(start).prefix(15)
                let hex = part.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
                let base64 = Data(part).base64EncodedString()
                let url = base64.replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
                found.append(("\(name) from byte \(start), raw", Data(part)))
                for (form, text) in [
                    ("hex", hex), ("HEX", hex.uppercased()), ("base64", base64), ("base64url", url),
                ] { found.append(("\(name) from byte \(start), \(form)", Data(text.utf8))) }
            }
            needles = found
        }

        func hits(in text: Data) -> [String] { needles.filter { text.range(of: $0.bytes) != nil }.map(\.name) }
    }

    private func body(_ file: String, in scratch: Scratch) throws -> Data {
        let lines = try scratch.read(file).split(separator: "\n", omittingEmptySubsequences: false)
        let content = lines.drop { !$0.isEmpty }.dropFirst().prefix { !$0.hasPrefix("-----") }.joined()
        return try #require(Data(base64Encoded: content), "\(file)")
    }

    @Test func noSecretComesOutByAnyDoor() throws {
        let pair = try DaemonPair(
            alice: "metrics: { prometheus: true, bind_port: 0, per_peer: true }\nlogging: { level: TRACE }\n",
            bob: "logging: { level: TRACE }\n", sharesKey: true)
        _ = try #require(try pair.status { $0.verdict == .protected }, "\(pair.alice.text)")
        #expect(try pair.run(["rekey", "bob"]).status == 0)
        let keys = ["brainpoolP512r1", "ed25519", "mldsa87", "mlkem1024"]
        var secrets: [Search] = []
        for owner in ["alice", "bob"] {
            for key in keys {
                secrets.append(Search("\(owner)'s \(key)", try body("\(owner)-keys/\(key).key", in: pair.scratch)))
            }
        }
        let shared = try #require(Data(base64Encoded: try pair.scratch.read("psk").trimmingCharacters(in: .newlines)))
        secrets.append(Search("the preshared key", shared))

        var said: [(String, Data)] = []
        for name in ["alice", "bob"] {
            #expect(try pair.run(["log-level"], node: name).output == "log level TRACE\n")
            let id = try #require(try pair.status(name)?.peers.first?.peerID)
            for command in [
                ["status", "-v"], ["status", "-v", "--json"], ["sessions"], ["sessions", "--json"],
                ["ping", id, "-c", "1", "--json"], ["rekey", id, "--json"], ["logs", "-n", "1000"],
                ["logs", "-n", "1000", "--json"], ["reload", "--json"], ["reload", "--dry-run"], ["log-level"],
                ["drop", id], ["drop", "nobody"],
            ] {
                let outcome = try pair.run(command, node: name)
                said.append((command.joined(separator: " "), Data((outcome.output + outcome.errors).utf8)))
            }
            for command in [
                ["config", "show", "\(name).yaml"], ["config", "show", "\(name).yaml", "--json"],
                ["config", "check", "\(name).yaml"], ["doctor", "--config", "\(name).yaml"],
                ["doctor", "--config", "\(name).yaml", "--json"], ["peers", "list", "--known-peers", "\(name).known"],
                ["peerid", "\(name)-keys"], ["identity", "export", "--keys", "\(name)-keys"],
            ] {
                let outcome = try Program.run(command, in: pair.scratch)
                #expect(!(outcome.output + outcome.errors).isEmpty, "\(command)")
                said.append((command.joined(separator: " "), Data((outcome.output + outcome.errors).utf8)))
            }
            said.append(("\(name).known", try Data(contentsOf: URL(filePath: pair.scratch.file("\(name).known")))))
        }
        let address = try #require(pair.alice.event("metrics.listening")?["address"] as? String)
        let port = try #require(address.split(separator: ":").last.flatMap { UInt16($0) })
        let page = try #require(LoopbackHTTP.ask(port, "/metrics"))
        said.append(("/metrics", Data((page.head + page.body).utf8)))
        for daemon in [pair.alice, pair.bob] {
            for file in ["cmdline", "environ"] {
                let path = "/proc/\(daemon.process.processIdentifier)/\(file)"
                // Closed to others of the same user, as it should be.
                if let text = FileManager.default.contents(atPath: path) { said.append((path, text)) }
            }
            #expect(daemon.end(with: SIGTERM) == 0)
            #expect(daemon.text.contains("session.established"))
            said.append(("the log", Data(daemon.text.utf8)))
        }
        #expect(said.count > 40 && said.allSatisfy { $0.1.count < 4 << 20 })
        for (place, text) in said {
            for secret in secrets { #expect(secret.hits(in: text) == [], "in \(place)") }
        }
        // The same search finds what was planted, whatever its form and wherever it begins.
        for (_, text) in said.prefix(3) {
            for form in [
                shared.dropFirst(3).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined(),
                shared.base64EncodedString(), shared.dropFirst(7).base64EncodedString(),
                shared.dropFirst(5).base64EncodedString().replacingOccurrences(of: "/", with: "_")
                    .replacingOccurrences(of: "+", with: "-"),
            ] {
                #expect(secrets.last?.hits(in: text + Data(form.utf8) + text).isEmpty == false, "\(form)")
            }
            #expect(secrets.last?.hits(in: text + shared.dropFirst(2).prefix(20)).isEmpty == false)
        }
        #expect(secrets.allSatisfy { $0.hits(in: Data((0...255).map { UInt8($0) })) == [] })
    }

    /// A core dump of a daemon would hold all of its keys.
    @Test func aDaemonLeavesNoCore() throws {
        let scratch = try Scratch()
        try scratch.write(
            "network: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n", to: "c.yaml")
        // Whoever started it may have allowed some.
        let process = try Program.start(
            ["/bin/sh", "-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" run --config c.yaml", Program.path],
            in: scratch, output: "d.out", errors: "d.log")
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        for _ in 0..<1500 where try !scratch.read("d.log").contains("node.ready") { usleep(20_000) }
        let limits = try String(contentsOfFile: "/proc/\(process.processIdentifier)/limits", encoding: .utf8)
        let line = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") })
        let words = line.dropFirst("Max core file size".count).split(separator: " ")
        #expect(words.prefix(2) == ["0", "0"], "\(line)")
        // A process that may not be dumped belongs to root in /proc, whoever runs it; for root that looks alike, so that the
        // kernel is asked by killing it.
        kill(process.processIdentifier, SIGABRT)
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal && process.terminationStatus == SIGABRT)
        #expect(!scratch.names.contains { $0.hasPrefix("core") }, "\(scratch.names)")
    }
}
