// SPDX-License-Identifier: Apache-2.0
// One daemon of a scenario: its files, its process, and what its log says.
import Foundation
import VPNCore
import VPNCrypto

@testable import VPNNode

final class StageNode {
    let name: String
    let host: DemoHost
    /// Mode 0700.
    let directory: String
    /// Nil for a node with temporary keys.
    let descriptor: Descriptor?
    var configuration: StageConfiguration
    /// More of the command line.
    var arguments: [String] = []
    private(set) var daemon: DemoProcess?
    private let stage: Stage

    init(name: String, host: DemoHost, stage: Stage, isPersistent: Bool) throws {
        self.name = name
        self.host = host
        self.stage = stage
        directory = "\(stage.scratch)/\(name)"
        for path in [directory, "\(directory)/runtime"] {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
        descriptor =
            isPersistent ? try PersistentIdentity.generate(into: "\(directory)/keys", nickname: name).descriptor : nil
        configuration = StageConfiguration(nickname: name, isPersistent: isPersistent)
        configuration.addresses = ["\(host.innerIPv4)/24", "\(host.innerIPv6)/64"]
    }

    var configurationPath: String { "\(directory)/config.yaml" }
    var knownPeersPath: String { "\(directory)/known_peers.yaml" }
    var hexPeerID: String? { descriptor?.keys.peerID.hex }
    /// Names of the runtime directories of this node's runs, living and dead.
    var runtimeDirectories: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(directory)/runtime")) ?? []
        // The control socket has a directory of its own there.
        return names.filter { $0.hasPrefix("pqvpn-") }.map { "\(directory)/runtime/\($0)" }
    }

    // MARK: Peers

    /// Pins another node, as `pqvpn peers add` does, and makes it a peer.
    func befriend(
        _ other: StageNode, endpoint: String? = nil, allowedIPs: [String]? = nil, keepalive: Int = 0,
        via: [String] = []
    ) throws {
        try pin(other)
        configuration.peers.append(
            .init(
                name: other.name, peerID: other.hexPeerID, endpoint: endpoint,
                allowedIPs: allowedIPs ?? ["\(other.host.innerIPv4)/32", "\(other.host.innerIPv6)/128"],
                keepaliveSeconds: keepalive, via: via))
    }

    /// As `pqvpn peers add` does; a node with temporary keys cannot be pinned.
    func pin(_ other: StageNode) throws {
        guard let descriptor = other.descriptor else { return }
        try KnownPeersStore(path: knownPeersPath).add(
            PinnedPeer(keys: descriptor.keys, name: other.name, origin: .operatorAdded))
    }

    // MARK: The process

    func writeConfiguration() throws {
        try Data(configuration.text.utf8).write(to: URL(filePath: configurationPath))
    }

    /// The command line of the daemon.
    var command: [String] { [stage.pqvpn, "run", "--config", configurationPath] + arguments }

    var environment: [String: String] { ["XDG_RUNTIME_DIR": "\(directory)/runtime"] }

    /// Writes the configuration, starts the daemon, and waits until it is up.
    func start() throws {
        precondition(daemon?.isRunning != true, "one daemon at a time")
        try writeConfiguration()
        let daemon = try stage.start(name, on: host, command, environment: environment)
        self.daemon = daemon
        _ = try event("node.ready")
    }

    /// Sends a signal and waits for the end. Returns the exit status, 128 + the signal's number where that killed it.
    @discardableResult
    func end(_ signal: Int32 = SIGTERM) throws -> Int32 {
        guard let daemon else { return -1 }
        daemon.send(signal)
        return try daemon.finish(within: 30).status
    }

    // MARK: The log

    /// Of the last run.
    var log: String { daemon?.errors ?? "" }

    /// The lines of the last run's log that tell of this event.
    func events(_ name: String) -> [StageEvent] {
        log.split(separator: "\n").filter { $0.contains(name) }.compactMap { StageEvent(line: String($0)) }
            .filter { $0["event"] == name }
    }

    /// Waits for an event in the last run's log.
    @discardableResult
    func event(
        _ name: String, within seconds: Double = 30, where condition: (StageEvent) -> Bool = { _ in true }
    ) throws -> StageEvent {
        var found: StageEvent?
        try DemoProcess.wait(seconds, for: "\(name) in the log of \(self.name)") {
            found = events(name).first(where: condition)
            if found == nil, let daemon, !daemon.isRunning {
                throw NodeFailure(.failure, "\(self.name) ended with status \(daemon.status) before \(name)")
            }
            return found != nil
        }
        return found!
    }
}

/// One line of a JSON log.
struct StageEvent {
    private let fields: [String: Any]

    init?(line: String) {
        guard let fields = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else {
            return nil
        }
        self.fields = fields
    }

    subscript(name: String) -> String? { fields[name].map { "\($0)" } }
}
