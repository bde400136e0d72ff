// SPDX-License-Identifier: Apache-2.0
// A node that is brought up by `pqvpn up`: its profile, its places, and the certainty that its daemon ends with the scenario.
import Foundation

@testable import VPNNode

final class StageClient {
    let node: StageNode
    private let stage: Stage
    /// Fakes of the host's tools go before its own.
    var path: String?

    /// - Parameter tunnel: keys of the section, besides the addresses.
    init(_ node: StageNode, on stage: Stage) throws {
        (self.node, self.stage) = (node, stage)
        try FileManager.default.createDirectory(
            atPath: state, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        try Data("nameserver 192.0.2.1\n".utf8).write(to: URL(filePath: resolverFile))
    }

    var state: String { "\(node.directory)/state" }
    var resolverFile: String { "\(node.directory)/resolv.conf" }
    private var places: [String] { ["--state-dir", state, "--resolver-file", resolverFile] }
    private var environment: [String: String] {
        var environment = node.environment
        if let path { environment["PATH"] = "\(path):\(ProcessInfo.processInfo.environment["PATH"] ?? "")" }
        return environment
    }

    @discardableResult
    func run(_ words: String..., status: Int32? = 0) throws -> DemoProcess.Outcome {
        let outcome = try stage.run(
            words[0], on: node.host, [stage.pqvpn] + words + places, environment: environment)
        if let status, outcome.status != status {
            throw NodeFailure(.failure, "pqvpn \(words): status \(outcome.status): \(outcome.errors)\(outcome.output)")
        }
        return outcome
    }

    func up(wait: Int = 20) throws {
        try node.writeConfiguration()
        try run("up", node.configurationPath, "--wait", "\(wait)")
    }

    /// Of the daemon that `up` started.
    var pid: Int32? {
        let text = try? String(contentsOfFile: "\(state)/profile-config.pid", encoding: .utf8)
        return text.flatMap { Int32($0.filter { $0 != "\n" }) }
    }

    /// Sends the daemon a signal; by SIGKILL, waits until it is gone.
    func signal(_ number: Int32) throws {
        guard let pid, BackgroundDaemon(pidFile: "\(state)/profile-config.pid").process == pid else {
            throw NodeFailure(.failure, "no daemon to send a signal to")
        }
        kill(pid, number)
        guard number == SIGKILL else { return }
        try DemoProcess.wait(10, for: "the end of the daemon") {
            BackgroundDaemon(pidFile: "\(state)/profile-config.pid").process == nil
        }
    }

    /// Whatever went wrong.
    func clear() {
        if let pid = BackgroundDaemon(pidFile: "\(state)/profile-config.pid").process { kill(pid, SIGKILL) }
    }

    /// Everything that `up` may touch, byte for byte.
    func snapshot() throws -> String {
        var parts = [try String(contentsOfFile: resolverFile, encoding: .utf8)]
        for command in [
            ["ip", "-4", "rule"], ["ip", "-6", "rule"], ["ip", "-4", "route", "show", "table", "all"],
            ["ip", "-6", "route", "show", "table", "all"], ["nft", "list", "ruleset"], ["ip", "-br", "link"],
            ["cat", "/proc/sys/net/ipv4/conf/all/src_valid_mark"],
        ] { parts.append(try tool(command)) }
        return parts.joined(separator: "--\n")
    }

    /// A tool of the host's, by its name.
    @discardableResult
    func tool(_ command: [String], on host: DemoHost? = nil) throws -> String {
        let tools = HostTools(scratch: "/")
        let outcome = try stage.run(
            "tool", on: host ?? node.host, [tools.find(command[0]) ?? command[0]] + command.dropFirst())
        guard outcome.status == 0 else { throw NodeFailure(.failure, "\(command): \(outcome.errors)") }
        return outcome.output
    }
}
