// SPDX-License-Identifier: Apache-2.0
// The built program and its passphrases: from a file, the environment, a credential, a person at a terminal.
import Foundation
import Glibc
import Testing

@testable import VPNNode

@Suite(.serialized, .threads(.programs))
struct PassphraseCommandTests {
    private static let passphrase = "a passphrase of the tests"

    private func run(
        _ arguments: [String], in scratch: Scratch, environment: [String: String] = [:]
    ) throws -> Program.Outcome {
        let assignments = environment.map { "\($0.key)=\($0.value)" }
        // In a session of its own, since it would ask at the terminal of whoever runs the tests.
        return try Program.launch(
            ["/usr/bin/env"] + assignments + ["/usr/bin/setsid", "--wait", Program.path] + arguments, in: scratch)
    }

    @Test func everyPlaceOfAPassphraseServes() throws {
        let scratch = try Scratch()
        try scratch.write(Self.passphrase + "\n", to: "pass")
        let made = try run(
            ["keygen", "--out", "keys", "--encrypt", "--passphrase-file", "pass", "--json"], in: scratch)
        #expect(made.status == 0 && made.json?["encrypted"] as? Bool == true, "\(made.errors)")
        let id = try #require(made.json?["peer_id"] as? String)
        #expect(try scratch.read("keys/mldsa87.key").contains("KDF: scrypt 131072 8 1"))

        #expect(try run(["peerid", "keys", "--passphrase-file", "pass"], in: scratch).output == "\(id)\n")
        let byEnvironment = ["PQVPN_PASSPHRASE": Self.passphrase]
        #expect(try run(["peerid", "keys"], in: scratch, environment: byEnvironment).output == "\(id)\n")
        try FileManager.default.createDirectory(
            atPath: scratch.file("credentials"), withIntermediateDirectories: true)
        try scratch.write(Self.passphrase, to: "credentials/pqvpn-passphrase", mode: 0o440)
        let byCredential = ["CREDENTIALS_DIRECTORY": scratch.file("credentials")]
        #expect(try run(["peerid", "keys"], in: scratch, environment: byCredential).output == "\(id)\n")
        try scratch.write("keys: { runtime_temp_keys: false, passphrase_file: pass }\n", to: "c.yaml")
        #expect(try run(["identity", "export", "--config", "c.yaml"], in: scratch).status == 0)

        let none = try run(["identity", "export"], in: scratch)
        #expect(none.status == 2 && none.errors.contains("there is no passphrase"), "\(none.errors)")
        let wrong = try run(["identity", "export"], in: scratch, environment: ["PQVPN_PASSPHRASE": "wrong"])
        #expect(wrong.status == 4 && wrong.errors.contains("keys/brainpoolP512r1.key does not open"))
        try scratch.setMode(0o444, of: "credentials/pqvpn-passphrase")
        #expect(try run(["peerid", "keys"], in: scratch, environment: byCredential).status == 4)

        #expect(try run(["identity", "decrypt", "--passphrase-file", "pass"], in: scratch).status == 0)
        #expect(try run(["peerid", "keys"], in: scratch).output == "\(id)\n")
        let encrypted = try run(["identity", "encrypt", "--config", "c.yaml", "--json"], in: scratch)
        #expect(encrypted.status == 0 && encrypted.json?["schema"] as? String == "pqvpn.identity-files/1")
        try scratch.write("the next passphrase", to: "new")
        let changed = try run(
            ["identity", "passphrase", "--passphrase-file", "pass", "--new-passphrase-file", "new"], in: scratch)
        #expect(changed.status == 0, "\(changed.errors)")
        #expect(try run(["peerid", "keys", "--passphrase-file", "new"], in: scratch).output == "\(id)\n")
        for outcome in [made, none, wrong, encrypted, changed] {
            #expect(!(outcome.output + outcome.errors).contains(Self.passphrase))
        }
    }

    /// The daemon opens its keys and pins, in front and in the background, and inherits the passphrase to nobody.
    @Test func aDaemonOpensItsFiles() throws {
        let scratch = try Scratch()
        try scratch.write(Self.passphrase + "\n", to: "pass")
        _ = try run(["keygen", "--out", "keys", "--encrypt", "--passphrase-file", "pass"], in: scratch)
        _ = try run(["keygen", "--out", "other", "--nickname", "bob"], in: scratch)
        #expect(try run(["peers", "add", "other/identity.pub"], in: scratch).status == 0)
        #expect(try run(["peers", "encrypt", "--passphrase-file", "pass"], in: scratch).status == 0)
        let listed = try run(["peers", "list", "--passphrase-file", "pass"], in: scratch)
        #expect(listed.output.hasPrefix("bob "))
        let quiet =
            "network: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\nlogging: { file: d.log }\n"
        try scratch.write(quiet + "keys: { runtime_temp_keys: false }\n", to: "c.yaml")
        let refused = try run(["run", "--config", "c.yaml", "--daemonize"], in: scratch)
        #expect(refused.status == 2 && refused.errors.contains("there is no passphrase"), "\(refused.errors)")
        let started = try run(
            ["run", "--config", "c.yaml", "--daemonize", "--pid-file", "d.pid"], in: scratch,
            environment: ["PQVPN_PASSPHRASE": Self.passphrase])
        #expect(started.status == 0, "\(started.errors)")
        let pid = try #require(Int32(try scratch.read("d.pid").trimmingCharacters(in: .newlines)))
        let environment = try Data(contentsOf: URL(fileURLWithPath: "/proc/\(pid)/environ"))
        #expect(environment.range(of: Data(Self.passphrase.utf8)) == nil, "wiped where it stood")
        kill(pid, SIGTERM)
        for _ in 0..<500 where kill(pid, 0) == 0 { usleep(10_000) }
        #expect(try !scratch.read("d.log").contains(Self.passphrase))
    }

    @Test func aPersonTypesWithoutEcho() throws {
        let scratch = try Scratch()
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/setsid") else {
            print("SKIPPED: no setsid, so that a program gets no terminal of its own")
            return
        }
        let made = try Conversation(["keygen", "--out", "keys", "--encrypt"], in: scratch)
        try made.expect("New passphrase of keys: ")
        made.type(Self.passphrase + "\n")
        try made.expect("Once more: ")
        made.type(Self.passphrase + "\n")
        #expect(made.end() == 0, "\(made.text)")
        #expect(!made.text.contains(Self.passphrase) && !made.text.contains("passphrase of the tests"))
        #expect(
            try run(["peerid", "keys"], in: scratch, environment: ["PQVPN_PASSPHRASE": Self.passphrase]).status == 0)

        let differing = try Conversation(["keygen", "--out", "second", "--encrypt"], in: scratch)
        try differing.expect("New passphrase of second: ")
        differing.type("something longer\n")
        try differing.expect("Once more: ")
        differing.type("something else\n")
        #expect(differing.end() == 2 && differing.text.contains("differ"), "\(differing.text)")
        // Four words for "no": an interrupt, an end of file, an empty line, a wrong passphrase.
        for (typed, status) in [("\u{3}", Int32(1)), ("\u{4}", 1), ("\n", 2), ("wrong\n", 4)] {
            let asked = try Conversation(["peerid", "keys"], in: scratch)
            try asked.expect("Passphrase of keys/brainpoolP512r1.key: ")
            asked.type(typed)
            #expect(asked.end() == status, "\(typed.debugDescription): \(asked.text)")
            #expect(asked.echoes, "the terminal was left mute")
        }
        #expect(!scratch.names.contains("second") || (try? scratch.read("second/ed25519.key")) == nil)
    }
}

/// A program on a pseudo-terminal.
private final class Conversation {
    private let process = Process()
    private let terminal: Int32
    private(set) var text = ""

    init(_ arguments: [String], in scratch: Scratch) throws {
        terminal = unsafe open("/dev/ptmx", O_RDWR | O_NOCTTY)
        // TIOCSPTLCK and TIOCGPTN of <asm-generic/ioctls.h>: unlocks the other end, and tells its number.
        var (locked, number) = (Int32(0), Int32(0))
        // SAFETY: the kernel reads one int and writes one int.
        let isOpen = unsafe ioctl(terminal, 0x4004_5431, &locked) == 0 && ioctl(terminal, 0x8004_5430, &number) == 0
        guard isOpen else { throw NodeFailure(.failure, "no pseudo-terminal") }
        let name = "/dev/pts/\(number)"
        let slave = unsafe open(name, O_RDWR | O_NOCTTY)
        guard slave >= 0 else { throw NodeFailure(.failure, "no pseudo-terminal") }
        let handle = FileHandle(fileDescriptor: slave, closeOnDealloc: true)
        process.executableURL = URL(fileURLWithPath: "/usr/bin/setsid")
        process.arguments = ["--ctty", "--wait", Program.path] + arguments
        process.currentDirectoryURL = URL(fileURLWithPath: scratch.path)
        process.environment = Program.environment(scratch)
        process.standardInput = handle
        process.standardOutput = handle
        process.standardError = handle
        _ = fcntl(terminal, F_SETFL, O_NONBLOCK)
        try process.run()
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        close(terminal)
    }

    func type(_ text: String) {
        let bytes = [UInt8](text.utf8)
        // SAFETY: the array's bytes, no more.
        _ = unsafe write(terminal, bytes, bytes.count)
    }

    /// Reads until the text has come, for as long as a slow machine may take.
    func expect(_ words: String) throws {
        for _ in 0..<3000 {
            drain()
            if text.contains(words) { return }
            usleep(10_000)
        }
        throw NodeFailure(.timeout, "'\(words)' did not come: \(text)")
    }

    func end() -> Int32 {
        while process.isRunning {
            drain()
            usleep(10_000)
        }
        drain()
        return process.terminationStatus
    }

    /// Whether the terminal shows what is typed.
    var echoes: Bool {
        var settings = termios()
        // SAFETY: the kernel writes one struct termios into ours.
        return unsafe tcgetattr(terminal, &settings) == 0 && settings.c_lflag & tcflag_t(ECHO) != 0
    }

    private func drain() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        // SAFETY: at most the array's size is written into it.
        let count = unsafe read(terminal, &buffer, buffer.count)
        if count > 0 { text += String(decoding: buffer.prefix(count), as: UTF8.self) }
    }
}
