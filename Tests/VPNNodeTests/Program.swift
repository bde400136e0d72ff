// SPDX-License-Identifier: Apache-2.0
// The built program, run to its end or in the background.
import Foundation
import Testing

enum Program {
    struct Outcome {
        let status: Int32
        let output: String
        let errors: String

        var json: [String: Any]? {
            (try? JSONSerialization.jsonObject(with: Data(output.utf8))) as? [String: Any]
        }
    }

    /// PQVPN_BINARY, or the one beside the test program.
    static let path: String = {
        if let path = ProcessInfo.processInfo.environment["PQVPN_BINARY"] { return path }
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("pqvpn").path
    }()

    /// Its per-run directories are made in the scratch directory.
    static func environment(_ scratch: Scratch) -> [String: String] {
        ProcessInfo.processInfo.environment.merging(["XDG_RUNTIME_DIR": scratch.path]) { _, new in new }
    }

    static func run(_ arguments: [String], in scratch: Scratch) throws -> Outcome {
        try launch([path] + arguments, in: scratch)
    }

    /// Another program, which may run this one.
    static func launch(_ arguments: [String], in scratch: Scratch) throws -> Outcome {
        let name = "output-\(UInt64.random(in: .min ... .max))"
        let process = try start(arguments, in: scratch, output: "\(name).out", errors: "\(name).err")
        process.waitUntilExit()
        defer {
            for suffix in ["out", "err"] {
                try? FileManager.default.removeItem(atPath: scratch.file("\(name).\(suffix)"))
            }
        }
        return Outcome(
            status: process.terminationStatus, output: try scratch.read("\(name).out"),
            errors: try scratch.read("\(name).err"))
    }

    /// Starts a program whose output goes to files: a pipe would be held open by what it leaves in the background.
    static func start(_ arguments: [String], in scratch: Scratch, output: String, errors: String) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: arguments[0])
        process.arguments = Array(arguments.dropFirst())
        process.currentDirectoryURL = URL(fileURLWithPath: scratch.path)
        process.environment = environment(scratch)
        try scratch.write("", to: output)
        try scratch.write("", to: errors)
        process.standardOutput = FileHandle(forWritingAtPath: scratch.file(output))
        process.standardError = FileHandle(forWritingAtPath: scratch.file(errors))
        process.standardInput = FileHandle.nullDevice
        try process.run()
        return process
    }
}

/// A daemon in the foreground, with its JSON log; killed with its last reference.
final class RunningDaemon {
    let process: Process
    private let scratch: Scratch
    private let log: String

    /// - Parameter wrapper: a program that becomes this one, and its arguments.
    init(_ arguments: [String], in scratch: Scratch, log: String = "daemon.log", wrapper: [String] = []) throws {
        self.scratch = scratch
        self.log = log
        process = try Program.start(
            wrapper + [Program.path, "run"] + arguments, in: scratch, output: "\(log).out", errors: log)
    }

    deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

    var text: String { (try? scratch.read(log)) ?? "" }

    /// The first line of an event, or a later one, once it is there.
    func event(_ name: String, seconds: Double = 30, number: Int = 1) -> [String: Any]? {
        let deadline = Date(timeIntervalSinceNow: seconds)
        repeat {
            let lines = text.split(separator: "\n").filter { $0.contains("\"event\":\"\(name)\"") }
            if lines.count >= number {
                return (try? JSONSerialization.jsonObject(with: Data(lines[number - 1].utf8))) as? [String: Any]
            }
            usleep(20_000)
        } while process.isRunning && Date() < deadline
        return nil
    }

    func end(with signal: Int32) -> Int32 {
        kill(process.processIdentifier, signal)
        process.waitUntilExit()
        return process.terminationStatus
    }
}
