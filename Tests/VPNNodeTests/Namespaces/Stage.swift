// SPDX-License-Identifier: Apache-2.0
// The hosts of one scenario, what runs on them, and the certainty that all of it is gone afterwards.
import Foundation
import Synchronization
import Testing

@testable import VPNNode

/// Hosts that are network namespaces. The first one has a cable to each of the others, or each to the next.
final class Stage {
    let hosts: [DemoHost]
    let tools: DemoTools
    /// Gone with the stage.
    let scratch: String
    /// The built program.
    let pqvpn: String
    private var nodes: [StageNode] = []
    private var programs: [DemoProcess] = []

    static let outerNetworks = [99, 98, 97, 95]

    /// Builds the hosts, performs, and removes whatever there is then. Where the machine cannot do it, says so loudly and
    /// performs nothing.
    ///
    /// - Parameter isRow: each host has a cable to the next, instead of all to the first.
    static func perform(hosts count: Int = 2, isRow: Bool = false, scenario: (Stage) throws -> Void) throws {
        guard let (tools, pqvpn) = requirements() else { return }
        try Self.enter()
        defer { Self.leave() }
        let stage = try Stage(hosts: count, tools: tools, pqvpn: pqvpn)
        defer { stage.clear() }
        do {
            try stage.build(isRow: isRow)
            try scenario(stage)
        } catch {
            for node in stage.nodes { print("--- log of \(node.name) ---\n\(node.log)") }
            throw error
        }
    }

    private init(hosts count: Int, tools: DemoTools, pqvpn: String) throws {
        self.tools = tools
        self.pqvpn = pqvpn
        let suffix = DemoPlace.randomSuffix()
        let scratch = FileManager.default.temporaryDirectory.path + "/pqvpn-test-\(suffix)"
        try FileManager.default.createDirectory(
            atPath: scratch, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        self.scratch = scratch
        hosts = (1...count).map { number in
            let letter = String(UnicodeScalar(UInt8(ascii: "a") + UInt8(number - 1)))
            return DemoHost(letter: letter, number: number, suffix: suffix, tools: tools, directory: scratch)
        }
    }

    private func build(isRow: Bool) throws {
        for host in hosts {
            try host.make()
            try host.ip("-n", host.namespace, "link", "set", "lo", "up")
            // Nobody else is there to have the addresses that cables get: they are there at once, and not a second later in the
            // midst of a scenario.
            try run("dad", on: host, ["/bin/sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"])
        }
        for (position, host) in hosts.dropFirst().enumerated() {
            let cable = position == 0 ? DemoHost.cable : "outer\(position)"
            // Both ends have one name.
            try DemoHost.connect(
                isRow ? hosts[position] : hosts[0], host, by: cable, network: Self.outerNetworks[position])
        }
    }

    // MARK: Performing

    /// A node on a host; ended with the stage.
    func node(on host: DemoHost, persistent: Bool = true) throws -> StageNode {
        let siblings = nodes.count { $0.host.letter == host.letter }
        let name = "node-\(host.letter)" + (siblings == 0 ? "" : "\(siblings + 1)")
        let node = try StageNode(name: name, host: host, stage: self, isPersistent: persistent)
        nodes.append(node)
        return node
    }

    /// Starts a program on a host; ended with the stage.
    func start(
        _ name: String, on host: DemoHost, _ command: [String], environment: [String: String] = [:]
    ) throws -> DemoProcess {
        let program = try host.start(
            "\(programs.count)-\(name)", command[0], Array(command.dropFirst()), environment: environment)
        programs.append(program)
        return program
    }

    /// Runs a program on a host to its end.
    @discardableResult
    func run(
        _ name: String, on host: DemoHost, _ command: [String], within seconds: Double = 30,
        environment: [String: String] = [:]
    ) throws -> DemoProcess.Outcome {
        try start(name, on: host, command, environment: environment).finish(within: seconds)
    }

    /// A short ping. `source` is one of the host's own addresses.
    func ping(_ address: String, from host: DemoHost, source: String? = nil, count: Int = 3) throws -> PingResult? {
        var command = [tools.ping, "-n", "-c", "\(count)", "-i", "0.2", "-W", "2"]
        if let source { command += ["-I", source] }
        return try PingResult(run("ping", on: host, command + [address]).output)
    }

    /// Pings until there is an answer.
    func reach(_ address: String, from host: DemoHost, within seconds: Double = 30) throws {
        try DemoProcess.wait(seconds, for: "an answer of \(address) to host \(host.letter)") {
            let command = [tools.ping, "-n", "-c", "1", "-W", "1", address]
            return try run("reach", on: host, command).status == 0
        }
    }

    /// Whether each of some pings was answered.
    func answers(_ address: String, from host: DemoHost) throws -> Bool {
        guard let result = try ping(address, from: host) else { return false }
        return result.sent > 0 && result.received == result.sent
    }

    // MARK: The end

    private func clear() {
        for program in programs { program.stop() }
        for node in nodes { node.daemon?.stop() }
        for host in hosts { host.remove() }
        try? FileManager.default.removeItem(atPath: scratch)
    }

    // MARK: Signals

    /// Stages that are there now.
    private static let stages = Mutex(0)

    /// While there is a stage, signals that ask the tests to end are noted, and end each scenario at its next wait.
    private static func enter() throws {
        try stages.withLock { count in
            if count == 0 { DemoInterruption.watch() }
            try DemoInterruption.check()
            count += 1
        }
    }

    /// Behind the last stage such a signal has its usual effect, and so have later ones.
    private static func leave() {
        let received: Int32? = stages.withLock { count in
            count -= 1
            guard count == 0 else { return nil }
            for number in [SIGINT, SIGTERM, SIGHUP] { signal(number, SIG_DFL) }
            return DemoInterruption.received
        }
        guard let received else { return }
        // To the process, since the threads that run tests are deaf to signals.
        kill(getpid(), received)
        sleep(1)
    }
}
