// SPDX-License-Identifier: Apache-2.0
// One daemon of the circuit's demonstration: the client, a relay or the exit. Each knows its neighbours alone; the client has the
// keys of all relays, and the address of the first.
internal import Foundation
internal import VPNCore
internal import VPNCrypto

final class CircuitDemoNode {
    enum Role { case client, relay, exit }

    let host: DemoHost
    let role: Role
    private let directory: String
    private let descriptor: Descriptor
    private(set) var daemon: DemoProcess?

    static let port: UInt16 = 9000

    /// Makes the node's directory (0700) and its persistent identity.
    init(host: DemoHost, role: Role, in scratch: String) throws {
        (self.host, self.role) = (host, role)
        directory = "\(scratch)/node-\(host.letter)"
        descriptor = try PersistentIdentity.generate(into: directory, nickname: "demo-\(host.letter)").descriptor
    }

    var name: String { host.letter }
    var peerID: PeerID { descriptor.keys.peerID }
    private var configurationPath: String { "\(directory)/config.yaml" }

    // MARK: Configuration

    /// A peer as its entry says.
    struct Neighbour {
        let node: CircuitDemoNode
        /// Where to call it; nil for whoever calls by itself.
        var endpoint: String?
    }

    /// Pins the neighbours, and on the client all `hops`, as `pqvpn peers add` does, and writes the configuration.
    /// - Parameters:
    ///   - hops: of the client's circuit, the exit last.
    ///   - networks: that the exit lets guests reach, and where the client's packets shall go.
    func configure(neighbours: [Neighbour], hops: [CircuitDemoNode] = [], networks: [String]) throws {
        let store = try KnownPeersStore(path: "\(directory)/known_peers.yaml")
        let known = role == .client ? hops : neighbours.map(\.node)
        for other in known {
            try store.add(PinnedPeer(keys: other.descriptor.keys, name: other.name, origin: .operatorAdded))
        }
        var peers = neighbours.map { entry($0.node, endpoint: $0.endpoint) }
        if role == .client {
            for hop in hops.dropFirst().dropLast() { peers.append(entry(hop, endpoint: nil)) }
            peers.append(exitEntry(hops, networks))
        }
        let text = """
            peer: { nickname: \(descriptor.nickname) }
            security: { known_peers_file: \(directory)/known_peers.yaml }
            keys: { runtime_temp_keys: false, dir: \(directory) }
            network: { listen_port: \(Self.port) }
            control: { socket: \(directory)/control.sock }
            \(sections(networks))
            peers:
            \(peers.joined(separator: "\n"))

            """
        try Data(text.utf8).write(to: URL(filePath: configurationPath))
    }

    private func entry(_ node: CircuitDemoNode, endpoint: String?) -> String {
        "  - { name: \(node.name), peer_id: \"\(node.peerID.hex)\""
            + (endpoint.map { ", endpoint: \"\($0):\(Self.port)\"" } ?? "") + " }"
    }

    private func exitEntry(_ hops: [CircuitDemoNode], _ networks: [String]) -> String {
        let list = networks.map { "\"\($0)\"" }.joined(separator: ", ")
        guard hops.count > 1, let exit = hops.last else { return "" }
        let via = hops.dropLast().map(\.name).joined(separator: ", ")
        return
            "  - { name: \(exit.name), peer_id: \"\(exit.peerID.hex)\", exit: true, via: [\(via)], allowed_ips: [\(list)] }"
    }

    private func sections(_ networks: [String]) -> String {
        switch role {
        case .client: return "tunnel: { interface: \(DemoHost.interface) }"
        case .relay: return "tunnel: { enabled: false }\nrelay: true"
        case .exit:
            let rules = networks.map { $0.contains(":") ? "\"accept [\($0)]\"" : "\"accept \($0)\"" }
            return "tunnel: { interface: \(DemoHost.interface) }\n"
                + "relay: { enabled: true, exit_policy: [\(rules.joined(separator: ", "))] }"
        }
    }

    // MARK: The daemon

    func start(pqvpn: String) throws {
        let daemon = try host.start(
            "daemon-\(host.letter)", pqvpn, ["run", "--config", configurationPath, "--no-temp-keys"])
        self.daemon = daemon
        try wait("node \(name) to listen") { daemon.errors.contains("\"node.listening\"") }
    }

    /// Waits for something that this daemon brings about; its last words are in the failure.
    func wait(_ what: String, seconds: Double = 20, until condition: () throws -> Bool) throws {
        do {
            try DemoProcess.wait(seconds, for: what) {
                try checkAlive()
                return try condition()
            }
        } catch let failure as NodeFailure where failure.status == .timeout {
            throw withLog(failure)
        }
    }

    private func checkAlive() throws {
        guard let daemon, !daemon.isRunning else { return }
        throw withLog(NodeFailure(.failure, "the daemon of node \(name) ended with status \(daemon.status)"))
    }

    func withLog(_ failure: NodeFailure) -> NodeFailure {
        NodeFailure(
            failure.status, "\(failure.message)\n  last lines of node \(name):\n\(daemon?.lastErrors() ?? "")")
    }

    /// The fields of the first line of its log with this event.
    func event(_ name: String) -> [String: Any]? {
        guard let log = daemon?.errors else { return nil }
        for line in log.split(separator: "\n") where line.contains("\"\(name)\"") {
            if let fields = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
                fields["event"] as? String == name
            {
                return fields
            }
        }
        return nil
    }

    /// What an eavesdropper, or a relay, could recognise this node by.
    var recognisableBytes: [[UInt8]] {
        let keys = descriptor.keys
        return [
            peerID.bytes, [UInt8](descriptor.nickname.utf8), Array(keys.brainpool.prefix(32)), keys.ed25519,
            Array(keys.mldsa.prefix(32)), Array(keys.mlkem.prefix(32)),
        ]
    }
}
