// SPDX-License-Identifier: Apache-2.0
// One of the two daemons: its identity, its configuration file, its process, and what its log says.
internal import Foundation
internal import VPNCore
internal import VPNCrypto

/// A node on a demonstration host.
final class DemoNode {
    /// The log's word about a session, as the initiator tells it.
    struct Handshake: Sendable, Equatable {
        var milliseconds: Double?
        /// Bytes on the wire, all fragments of one message.
        var s1Bytes: Int?
        var s2Bytes: Int?
        var keyAgreement: String?
        var signatures: String?
        var cipher: String?
    }

    static let port: UInt16 = 9000

    let host: DemoHost
    private let directory: String
    private let descriptor: Descriptor
    private(set) var daemon: DemoProcess?

    /// Makes the node's directory (0700) and its persistent identity.
    init(host: DemoHost, in scratch: String) throws {
        self.host = host
        directory = "\(scratch)/node-\(host.letter)"
        descriptor = try PersistentIdentity.generate(into: directory, nickname: "demo-\(host.letter)").descriptor
    }

    var peerID: PeerID { descriptor.keys.peerID }
    var nickname: String { descriptor.nickname }
    private var configurationPath: String { "\(directory)/config.yaml" }

    /// Pins the other node, as `pqvpn peers add` does, and writes the configuration.
    func meet(_ other: DemoNode) throws {
        try KnownPeersStore(path: "\(directory)/known_peers.yaml").add(
            PinnedPeer(keys: other.descriptor.keys, name: other.nickname, origin: .operatorAdded))
        try Data(configuration(towards: other).utf8).write(to: URL(filePath: configurationPath))
    }

    /// Node a calls, node b knows no address to call: one handshake, by one initiator.
    private func configuration(towards other: DemoNode) -> String {
        let endpoint = host.letter == "a" ? "\n    endpoint: \"\(other.host.outerIPv4):\(Self.port)\"" : ""
        return """
            peer:
              nickname: \(nickname)
              brainpoolP512r1_sk_file: \(directory)/\(KeyFileKind.brainpoolP512r1.fileName)
              ed25519_sk_file: \(directory)/\(KeyFileKind.ed25519.fileName)
              mldsa87_sk_file: \(directory)/\(KeyFileKind.mldsa87.fileName)
              mlkem1024_sk_file: \(directory)/\(KeyFileKind.mlkem1024.fileName)
            security:
              tofu: false
              known_peers_file: \(directory)/known_peers.yaml
            network:
              bind_host: "\(host.outerIPv4)"
              listen_port: \(Self.port)
            tunnel:
              interface: \(DemoHost.interface)
              addresses: ["\(host.innerIPv4)/24", "\(host.innerIPv6)/64"]
              mtu: auto
            peers:
              - name: \(other.nickname)
                peer_id: "\(other.peerID.hex)"\(endpoint)
                allowed_ips: ["\(other.host.innerIPv4)/32", "\(other.host.innerIPv6)/128"]
                keepalive_seconds: 25
            control:
              socket: \(directory)/control.sock
            logging:
              level: INFO

            """
    }

    /// Starts the daemon and waits until its interface is there.
    func start(pqvpn: String) throws {
        let daemon = try host.start(
            "daemon-\(host.letter)", pqvpn, ["run", "--config", configurationPath, "--no-temp-keys"])
        self.daemon = daemon
        do {
            try DemoProcess.wait(10, for: "the interface of node \(host.letter)") {
                try checkAlive()
                return host.hasInterface
            }
        } catch let failure as NodeFailure where failure.status == .timeout {
            throw withLog(failure)
        }
    }

    /// Throws with the end of its log if the daemon is no more.
    func checkAlive() throws {
        guard let daemon, !daemon.isRunning else { return }
        throw withLog(NodeFailure(.failure, "the daemon of node \(host.letter) ended with status \(daemon.status)"))
    }

    /// The failure, with the last lines of this daemon's log below it.
    func withLog(_ failure: NodeFailure) -> NodeFailure {
        let lines = daemon?.lastErrors() ?? ""
        return NodeFailure(failure.status, "\(failure.message)\n  last lines of node \(host.letter):\n\(lines)")
    }

    /// The first session that this node has established as initiator, by its log.
    var handshake: Handshake? {
        guard let log = daemon?.errors else { return nil }
        return log.split(separator: "\n").lazy.compactMap { Self.handshake(of: String($0), role: "initiator") }.first
    }

    /// Reads one line of a JSON log; nil for all lines but that of an established session in this role.
    static func handshake(of line: String, role: String) -> Handshake? {
        guard line.contains("session.established"),
            let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)),
            let fields = object as? [String: Any],
            fields["event"] as? String == "session.established", fields["role"] as? String == role
        else { return nil }
        func number(_ name: String) -> Double? {
            (fields[name] as? NSNumber)?.doubleValue ?? (fields[name] as? String).flatMap(Double.init)
        }
        return Handshake(
            milliseconds: number("dur_s").map { $0 * 1000 }, s1Bytes: number("s1_bytes").map { Int($0) },
            s2Bytes: number("s2_bytes").map { Int($0) }, keyAgreement: fields["kem"] as? String,
            signatures: fields["signatures"] as? String, cipher: fields["aead"] as? String)
    }

    /// What an eavesdropper could recognise this node by.
    var recognisableBytes: [[UInt8]] {
        let keys = descriptor.keys
        return [
            peerID.bytes, [UInt8](nickname.utf8), Array(keys.brainpool.prefix(32)), keys.ed25519,
            Array(keys.mldsa.prefix(32)), Array(keys.mlkem.prefix(32)),
        ]
    }
}
