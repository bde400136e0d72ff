// SPDX-License-Identifier: Apache-2.0
// A configuration file in the making: only what scenarios vary.

struct StageConfiguration {
    struct Peer {
        var name: String
        var peerID: String?
        var endpoint: String?
        var allowedIPs: [String] = []
        var keepaliveSeconds = 0
        var via: [String] = []
        var isExit = false
        var presharedKeyFile: String?
        /// As it is.
        var quilt: String?
    }

    static let port = 9000
    var port = StageConfiguration.port

    var nickname: String
    var isPersistent: Bool
    var trustsOnFirstUse = false
    var bindHost = "::"
    var hasTunnel = true
    var addresses: [String] = []
    /// More of the section `tunnel`, as it is.
    var extraTunnelKeys = ""
    var peers: [Peer] = []
    /// Lines at the end, as they are.
    var extraLines: [String] = []

    init(nickname: String, isPersistent: Bool) {
        self.nickname = nickname
        self.isPersistent = isPersistent
    }

    var text: String {
        var lines = [
            "peer: { nickname: \(nickname) }",
            "keys: { runtime_temp_keys: \(!isPersistent), dir: keys }",
            "security: { tofu: \(trustsOnFirstUse) }",
            "network: { bind_host: \"\(bindHost)\", listen_port: \(port) }",
            "tunnel: { enabled: \(hasTunnel), addresses: \(Self.list(addresses)), \(extraTunnelKeys) }",
            peers.isEmpty ? "peers: []" : "peers:",
        ]
        for peer in peers {
            lines.append("  - name: \(peer.name)")
            if let id = peer.peerID { lines.append("    peer_id: \"\(id)\"") }
            if let endpoint = peer.endpoint { lines.append("    endpoint: \"\(endpoint)\"") }
            lines.append("    allowed_ips: \(Self.list(peer.allowedIPs))")
            lines.append("    keepalive_seconds: \(peer.keepaliveSeconds)")
            if let quilt = peer.quilt { lines.append("    quilt: \(quilt)") }
            if let file = peer.presharedKeyFile { lines.append("    psk_file: \(file)") }
            if peer.isExit { lines.append("    exit: true") }
            if !peer.via.isEmpty { lines.append("    via: \(Self.list(peer.via))") }
        }
        return (lines + extraLines).joined(separator: "\n") + "\n"
    }

    private static func list(_ words: [String]) -> String {
        "[" + words.map { "\"\($0)\"" }.joined(separator: ", ") + "]"
    }
}
