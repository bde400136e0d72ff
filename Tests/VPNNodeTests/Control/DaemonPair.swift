// SPDX-License-Identifier: Apache-2.0
// Two daemons that know each other and meet on the loopback interface, without any privilege.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

/// "alice" calls "bob"; both keep their control sockets in the scratch directory.
struct DaemonPair {
    let scratch: Scratch
    let alice: RunningDaemon
    let bob: RunningDaemon

    /// - Parameters:
    ///   - alice: lines at the end of her configuration, and `bob` of his.
    ///   - sharesKey: a preshared key in the file "psk".
    ///   - quilt: keys of one over both families, or nil for one path.
    init(alice extra: String = "", bob bobsExtra: String = "", sharesKey: Bool = false, quilt: String? = nil) throws {
        scratch = try Scratch()
        var ids: [String: String] = [:]
        for name in ["alice", "bob"] {
            let made = try Program.run(["keygen", "--out", "\(name)-keys", "--nickname", name, "--json"], in: scratch)
            ids[name] = try #require(made.json?["peer_id"] as? String, "\(made.errors)")
        }
        for (name, other) in [("alice", "bob"), ("bob", "alice")] {
            let added = try Program.run(
                ["peers", "add", "\(other)-keys/identity.pub", "--known-peers", "\(name).known"], in: scratch)
            #expect(added.status == 0, "\(added.errors)")
        }
        if sharesKey {
            let key = Data((0..<32).map { _ in UInt8.random(in: 0...255) })
            try scratch.write(key.base64EncodedString() + "\n", to: "psk")
        }
        let bobConfiguration = Self.configuration(
            "bob", port: 0, id: try #require(ids["alice"]), other: "alice", endpoint: nil, sharesKey: sharesKey,
            host: quilt == nil ? "127.0.0.1" : "::")
        try scratch.write(bobConfiguration + bobsExtra, to: "bob.yaml")
        bob = try RunningDaemon(["--config", "bob.yaml"], in: scratch, log: "bob.log")
        var listening = try #require(bob.event("node.listening")?["address"] as? String, "\(bob.text)")
        let port = listening.split(separator: ":").last ?? ""
        if quilt != nil { listening = "127.0.0.1:\(port)" }
        try scratch.write(
            Self.configuration(
                "alice", port: 0, id: try #require(ids["bob"]), other: "bob", endpoint: listening,
                sharesKey: sharesKey, host: quilt == nil ? "127.0.0.1" : "::",
                quilt: quilt.map { "{ endpoints: [\"[::1]:\(port)\"], \($0) }" }) + extra,
            to: "alice.yaml")
        alice = try RunningDaemon(["--config", "alice.yaml"], in: scratch, log: "alice.log")
    }

    private static func configuration(
        _ name: String, port: Int, id: String, other: String, endpoint: String?, sharesKey: Bool,
        host: String, quilt: String? = nil
    ) -> String {
        let place =
            (endpoint.map { "endpoint: \"\($0)\", " } ?? "") + (sharesKey ? "psk_file: psk, " : "")
            + (quilt.map { "quilt: \($0), " } ?? "")
        return """
            peer: { nickname: \(name) }
            security: { known_peers_file: \(name).known }
            network: { bind_host: "\(host)", listen_port: \(port) }
            tunnel: { enabled: false }
            keys: { runtime_temp_keys: false, dir: \(name)-keys }
            peers:
              - { name: \(other), peer_id: "\(id)", \(place)allowed_ips: [], keepalive_seconds: 5 }

            """
    }

    /// A command on one of the two.
    func run(_ arguments: [String], node: String = "alice") throws -> Program.Outcome {
        try Program.run(arguments + ["--node", node], in: scratch)
    }

    /// Asks until the answer is as wanted; nil after half a minute.
    func status(_ node: String = "alice", until isWanted: (StatusReport) -> Bool = { _ in true }) throws
        -> StatusReport?
    {
        for _ in 0..<300 {
            let outcome = try run(["status", "--json"], node: node)
            if outcome.status == 0, let report = try? StatusReport(answer: outcome.output), isWanted(report) {
                return report
            }
            usleep(100_000)
        }
        return nil
    }
}
