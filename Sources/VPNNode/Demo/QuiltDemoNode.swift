// SPDX-License-Identifier: Apache-2.0
// One daemon of the quilt's demonstration. The first calls, by the paths that it is given; the second takes what comes.
internal import Foundation
internal import VPNCore
internal import VPNCrypto

final class QuiltDemoNode {
    let host: DemoHost
    private let directory: String
    private let descriptor: Descriptor
    private(set) var daemon: DemoProcess?

    static let port: UInt16 = 9000

    /// Makes the node's directory (0700) and its persistent identity.
    init(host: DemoHost, in scratch: String) throws {
        self.host = host
        directory = "\(scratch)/node-\(host.letter)"
        descriptor = try PersistentIdentity.generate(into: directory, nickname: "demo-\(host.letter)").descriptor
    }

    var peerID: PeerID { descriptor.keys.peerID }
    var socket: String { "\(directory)/control.sock" }
    private var configurationPath: String { "\(directory)/config.yaml" }

    /// Pins the other node, as `pqvpn peers add` does.
    func meet(_ other: QuiltDemoNode) throws {
        try KnownPeersStore(path: "\(directory)/known_peers.yaml").add(
            PinnedPeer(keys: other.descriptor.keys, name: other.host.letter, origin: .operatorAdded))
    }

    /// Writes the configuration.
    /// - Parameter endpoints: where to call the other, the first one for handshakes; none where it calls.
    func configure(_ other: QuiltDemoNode, endpoints: [String] = []) throws {
        let places = endpoints.map { "\"\($0):\(Self.port)\"" }
        var way = places.first.map { ", endpoint: \($0)" } ?? ""
        if places.count > 1 { way += ", quilt: { endpoints: [\(places.dropFirst().joined(separator: ", "))] }" }
        let text = """
            peer: { nickname: \(descriptor.nickname) }
            security: { known_peers_file: \(directory)/known_peers.yaml }
            keys: { runtime_temp_keys: false, dir: \(directory) }
            network: { listen_port: \(Self.port) }
            control: { socket: \(socket) }
            tunnel: { interface: \(DemoHost.interface), addresses: [\(host.innerIPv4)/24], mtu: auto }
            peers:
              - { name: \(other.host.letter), peer_id: "\(other.peerID.hex)", allowed_ips: [\(other.host.innerIPv4)/32]\(way) }

            """
        try Data(text.utf8).write(to: URL(filePath: configurationPath))
    }

    func start(pqvpn: String, name: String) throws {
        daemon = try host.start(name, pqvpn, ["run", "--config", configurationPath])
        try wait("its interface", seconds: 10) { host.hasInterface }
    }

    /// Waits for something of this node, with its log in the failure.
    func wait(_ what: String, seconds: Double, until condition: () throws -> Bool) throws {
        do {
            try DemoProcess.wait(seconds, for: "\(what) of node \(host.letter)") {
                try checkAlive()
                return try condition()
            }
        } catch let failure as NodeFailure where failure.status == .timeout {
            throw NodeFailure(
                failure.status,
                "\(failure.message)\n  last lines of node \(host.letter):\n\(daemon?.lastErrors() ?? "")")
        }
    }

    func checkAlive() throws {
        guard let daemon, !daemon.isRunning else { return }
        throw NodeFailure(
            .failure,
            "the daemon of node \(host.letter) ended with status \(daemon.status):\n\(daemon.lastErrors())")
    }

    /// As `pqvpn quilt` has it; nil while there is none, or nobody answers.
    var quilt: QuiltReport.Quilt? {
        guard var client = try? ControlClient(path: socket),
            let report = try? client.ask(ControlRequest(.quilt), as: QuiltReport.self)
        else { return nil }
        return report.quilts.first
    }

    /// Sessions since the daemon started.
    var sessions: Int { lines(of: "session.established").count }

    /// How many sessions there were; and unless it is one, what the log has of handshakes, sessions and paths, so that it says why.
    var sessionsText: String {
        let lines = lines(of: "\"handshake.", "\"session.", "\"path.", "\"quilt.", "\"peer.")
        return sessions == 1
            ? "1 handshake on the way" : "\(sessions) handshakes on the way:\n" + lines.joined(separator: "\n")
    }

    private func lines(of events: String...) -> [Substring] {
        (daemon?.errors ?? "").split(separator: "\n").filter { line in events.contains { line.contains($0) } }
    }
}
