// SPDX-License-Identifier: Apache-2.0
// One program that the demonstration runs: argument list, no shell; its output goes to files, so that no pipe can fill up.
internal import Foundation
internal import Glibc

/// A child process. Whoever starts it ends it: by ``finish(within:)`` or ``stop()``.
final class DemoProcess {
    /// How a program ended.
    struct Outcome {
        let status: Int32
        let output: String
        let errors: String
    }

    /// For messages: "ping", "daemon a".
    let name: String
    private var child: ChildProcess
    private let outputPath: String
    private let errorPath: String

    /// Starts the program at the path `executable`. Output goes to `NAME.out` and `NAME.err` in `directory`, or is shared
    /// with this process where `directory` is nil.
    init(
        _ name: String, _ executable: String, _ arguments: [String], directory: String?,
        environment: [String: String] = [:]
    ) throws {
        self.name = name
        (outputPath, errorPath) = ("\(directory ?? "")/\(name).out", "\(directory ?? "")/\(name).err")
        // Our readers of other programs' output know English and the decimal point.
        let fixed = ["LC_ALL": "C", "SWIFT_BACKTRACE": "enable=no"]
        child = try ChildProcess(
            executable, arguments,
            environment: ProcessInfo.processInfo.environment.merging(fixed) { $1 }.merging(environment) { $1 },
            output: directory == nil ? .shared : .file(outputPath),
            errors: directory == nil ? .shared : .file(errorPath))
    }

    var isRunning: Bool { child.poll() == nil }
    var identifier: Int32 { child.identifier }

    /// Its exit status, or 128 and the number of the signal that ended it; 0 while it runs.
    var status: Int32 { child.poll() ?? 0 }

    var outputBytes: [UInt8] { FileManager.default.contents(atPath: outputPath).map { [UInt8]($0) } ?? [] }
    var output: String { String(decoding: outputBytes, as: UTF8.self) }
    var errors: String {
        String(decoding: FileManager.default.contents(atPath: errorPath) ?? Data(), as: UTF8.self)
    }

    /// The last lines that it wrote to standard error, for a message.
    func lastErrors(_ count: Int = 8) -> String {
        errors.split(separator: "\n").suffix(count).map { "    \($0)" }.joined(separator: "\n")
    }

    /// Waits for its end. Throws, and ends it, after `seconds` or when a signal asks us to stop. What would be left half
    /// done by an early end is not `isInterruptible`.
    func finish(within seconds: Double, isInterruptible: Bool = true) throws -> Outcome {
        do {
            try Self.wait(seconds, for: "the end of \(name)", isInterruptible: isInterruptible) { !isRunning }
        } catch {
            stop()
            throw error
        }
        return Outcome(status: status, output: output, errors: errors)
    }

    /// SIGTERM, then SIGKILL after `grace` seconds; returns when it has ended. Deaf to signals, since it is what they ask for.
    func stop(grace: Double = 3) {
        guard isRunning else { return }
        child.send(SIGTERM)
        let limit = Date(timeIntervalSinceNow: grace)
        while isRunning, Date() < limit { Thread.sleep(forTimeInterval: 0.01) }
        if isRunning { child.send(SIGKILL) }
        waitForEnd()
    }

    /// Waits for the end of a program that ends by itself, whatever signals say.
    func waitForEnd() {
        while isRunning { Thread.sleep(forTimeInterval: 0.01) }
    }

    /// Passes a signal on.
    func send(_ signal: Int32) {
        child.send(signal)
    }

    /// Seconds of processor time that a running process has used.
    var processorSeconds: Double? {
        guard let stat = FileManager.default.contents(atPath: "/proc/\(identifier)/stat"),
            // The name in parentheses may hold anything; behind it the fields are numbers: utime and stime, proc(5).
            let fields = String(decoding: stat, as: UTF8.self).split(separator: ")").last?.split(separator: " "),
            fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12])
        else { return nil }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Asks again and again until the condition holds. `what` completes "no … after 20 s".
    static func wait(
        _ seconds: Double, for what: String, isInterruptible: Bool = true, until condition: () throws -> Bool
    ) throws {
        let limit = Date(timeIntervalSinceNow: seconds)
        while try !condition() {
            if isInterruptible { try DemoInterruption.check() }
            guard Date() < limit else {
                throw NodeFailure(.timeout, "waited \(Int(seconds)) s in vain for \(what)")
            }
            Thread.sleep(forTimeInterval: 0.01)
        }
    }
}
