// SPDX-License-Identifier: Apache-2.0
// The programs of the host, found in PATH and run to their end without a shell. What they are told is a HostCommand.
internal import Foundation
internal import Glibc

/// Where programs are looked for.
public struct HostTools: Sendable {
    private let directories: [String]
    /// Standard input of a tool, and what it says, go through files in a directory of this run.
    private let scratch: String

    struct Outcome: Sendable {
        let status: Int32
        let output: String
        let errors: String
    }

    /// Debian's package of each program that we run.
    private static let packages = [
        "ip": "iproute2", "nft": "nftables", "resolvectl": "systemd-resolved", "resolvconf": "openresolv",
        "runuser": "util-linux", "systemctl": "systemd",
    ]

    /// - Parameters:
    ///   - path: as PATH. The directories of system programs are looked in besides, since PATH of an ordinary user may lack them.
    ///   - scratch: a directory of mode 0700 for what tools read and say.
    init(path: String? = nil, scratch: String) {
        directories = Self.directories(path ?? ProcessInfo.processInfo.environment["PATH"])
        self.scratch = scratch
    }

    static func directories(_ path: String?) -> [String] {
        (path ?? "").split(separator: ":").filter { $0.hasPrefix("/") }.map(String.init)
            + ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
    }

    /// The path of a program; nil where there is none.
    func find(_ tool: String) -> String? {
        directories.map { "\($0)/\(tool)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// Throws where one is missing, and says how to get it.
    func require(_ tools: [String]) throws {
        let missing = tools.filter { find($0) == nil }
        guard !missing.isEmpty else { return }
        let packages = missing.map { Self.packages[$0] ?? $0 }.joined(separator: " ")
        throw NodeFailure(
            .failure,
            "missing: \(missing.joined(separator: ", ")): install it (on Debian: apt-get install \(packages)); nothing was changed"
        )
    }

    /// Runs a command to its end, whatever that is. Throws where it cannot be started, or does not end.
    func run(_ command: HostCommand) throws -> Outcome {
        guard let path = find(command.tool) else {
            throw NodeFailure(
                .failure,
                "\(command): there is no \(command.tool) in PATH: install \(Self.packages[command.tool] ?? command.tool)"
            )
        }
        let name = "\(scratch)/tool-\(getpid())-\(UInt32.random(in: .min ... .max))"
        let files = (input: "\(name).in", output: "\(name).out", errors: "\(name).err")
        defer {
            for file in [files.input, files.output, files.errors] { try? FileManager.default.removeItem(atPath: file) }
        }
        if let input = command.input { try ProtectedFile.replace(files.input, with: [UInt8](input.utf8)) }
        // Our readers of what tools say know English.
        let environment = ProcessInfo.processInfo.environment.merging(["LC_ALL": "C"]) { $1 }
        var child = try ChildProcess(
            path, command.arguments, environment: environment,
            input: command.input == nil ? "/dev/null" : files.input, output: .file(files.output),
            errors: .file(files.errors))
        let limit = ContinuousClock.now + .seconds(HostNumbers.toolSeconds)
        while child.poll() == nil {
            guard ContinuousClock.now < limit else {
                child.send(SIGKILL)
                while child.poll() == nil { usleep(1000) }
                throw NodeFailure(.timeout, "\(command): no end within \(Int(HostNumbers.toolSeconds)) s")
            }
            usleep(1000)
        }
        return Outcome(status: child.poll() ?? 255, output: Self.text(files.output), errors: Self.text(files.errors))
    }

    /// Runs a command that must succeed; throws what it said.
    @discardableResult
    func perform(_ command: HostCommand) throws -> String {
        let outcome = try run(command)
        guard outcome.status != 0 else { return outcome.output }
        let said = (outcome.errors.isEmpty ? outcome.output : outcome.errors)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        if command.gone.contains(where: { said.contains($0) }) { return "" }
        throw NodeFailure(
            .failure, "`\(command)` ended with status \(outcome.status)" + (said.isEmpty ? "" : ": \(said)"))
    }

    private static func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }
}
