// SPDX-License-Identifier: Apache-2.0
// How a node's status reads: the user's question first, then peers, then what should be mended.

extension StatusReport {
    public var text: String { text(isLong: false) }

    /// - Parameter isLong: with what an operator wants to know of each session, and the drops.
    public func text(isLong: Bool) -> String {
        var lines = [headline, ""]
        lines += facts
        if isLong, let logLevel { lines.append("Log        \(logLevel.uppercased()) and above: pqvpn logs") }
        if !peers.isEmpty { lines += ["", peerTable] }
        if isLong {
            for peer in peers { lines += ["", detail(peer)] }
            if !drops.isEmpty {
                let rows = drops.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { [$0.key, "\($0.value)"] }
                lines += ["", Units.table(["DROPPED", "COUNT"], rows)]
            }
        }
        lines.append("")
        if health.isEmpty {
            lines.append("Health     nothing to mend")
        } else {
            lines.append("Health     \(health.count) thing\(health.count == 1 ? "" : "s") to look at")
            for finding in health {
                lines.append("  \(finding.severity == "error" ? "E" : "W") \(finding.code)  \(finding.text)")
                lines.append("    mend: \(finding.fix)")
            }
        }
        return lines.joined(separator: "\n")
    }

    private var headline: String {
        let configured = peers.filter(\.isConfigured)
        let connected = configured.filter { $0.state == "connected" }
        let names = configured.map(\.name) + circuits.map(\.name)
        let since =
            connected.compactMap(\.session?.ageSeconds).max().map { ", keys at most \(Units.span($0)) old" } ?? ""
        switch verdict {
        case .protected:
            let who = names.count == 1 ? "'\(names[0])'" : "all \(names.count) peers"
            return "PROTECTED: traffic to \(who) is encrypted and post-quantum authenticated\(since)"
        case .degraded:
            let names = connected.filter { $0.session?.signatures.contains("+") != true }.map { "'\($0.name)'" }
            return "DEGRADED: one signature had to do for \(names.joined(separator: ", "))"
        case .partial:
            let missing =
                configured.filter { $0.state != "connected" }.map { "'\($0.name)'" }
                + circuits.filter { !$0.isUp }.map { "'\($0.name)'" }
            return
                "PARTLY PROTECTED: \(names.count - missing.count) of \(names.count) peers are connected; without a session: "
                + missing.prefix(8).joined(separator: ", ") + (missing.count > 8 ? " …" : "")
        case .disconnected where tunnel?.isUp == false:
            // Sessions may be there; what matters is where packets go without an interface.
            let text = health.first { $0.code == "TUNNEL_GONE" }?.text ?? "the tunnel interface is gone"
            return "NOT CONNECTED: \(text)"
        case .disconnected:
            return "NOT CONNECTED: no peer has a session; packets for them are held back, none leaves in the clear"
        case .idle: return "IDLE: no peers are configured; who is trusted may call"
        }
    }

    private var facts: [String] {
        var lines = [
            "Node       \(nickname)  \(peerID.prefix(8))…  up \(Units.span(uptimeSeconds)), process \(pid), pqvpn \(version)",
            "Socket     UDP \(listening)",
        ]
        if let tunnel {
            let addresses = tunnel.addresses.isEmpty ? "no addresses" : tunnel.addresses.joined(separator: " ")
            lines.append(
                "Interface  \(tunnel.name)  \(addresses)  MTU \(tunnel.mtu)" + (tunnel.isUp ? "" : "  GONE"))
        } else {
            lines.append("Interface  none: tunnel.enabled is false")
        }
        lines.append(
            "Traffic    out \(Units.bytes(traffic.bytesOut)), in \(Units.bytes(traffic.bytesIn))"
                + "  (wire: out \(Units.bytes(traffic.wireBytesOut)), in \(Units.bytes(traffic.wireBytesIn)))")
        for circuit in circuits {
            let since = circuit.since.map { ", since \($0)" } ?? ""
            lines.append(
                "Circuit    \(circuit.name): \(circuit.isUp ? "" : "\(circuit.stateText), ")through \(circuit.way)\(since)"
            )
        }
        for quilt in quilts {
            lines.append("Quilt      \(quilt.peer): \(quilt.up) of \(quilt.paths) paths up, \(quilt.scheduler)")
        }
        if let relay, relay.isEnabled { lines.append("Relay      \(relay.text)") }
        let ciphers = Set(peers.compactMap(\.session?.cipher)).sorted()
        if !ciphers.isEmpty {
            let signatures = Set(peers.compactMap(\.session?.signatures)).sorted().joined(separator: " or ")
            lines.append(
                "Security   ML-KEM-1024 + brainpoolP512r1 | \(signatures) | \(ciphers.joined(separator: ", "))")
        }
        return lines
    }

    private var peerTable: String {
        let rows = peers.map { peer in
            [
                peer.name.isEmpty ? "-" : peer.name, stateText(peer), peer.endpoint ?? "-",
                peer.roundTripSeconds.map(Units.span) ?? "-", peer.pathMTU.map(String.init) ?? "-",
                peer.session.map { Units.span($0.renewsInSeconds) } ?? "-",
                peer.session.map { Units.bytes($0.bytesIn) } ?? "-",
                peer.session.map { Units.bytes($0.bytesOut) } ?? "-",
                peer.allowedIPs.prefix(2).joined(separator: " ") + (peer.allowedIPs.count > 2 ? " …" : ""),
            ]
        }
        return Units.table(
            ["PEER", "STATE", "ENDPOINT", "RTT", "MTU", "REKEY IN", "IN", "OUT", "NETWORKS"], rows)
    }

    private func stateText(_ peer: Peer) -> String {
        switch peer.state {
        case "waiting": "waiting" + (peer.retryInSeconds.map { ", next try in \(Units.span($0))" } ?? "")
        case "idle": "waiting to be called"
        default: peer.state + (peer.isConfigured ? "" : " (stranger)")
        }
    }

    private func detail(_ peer: Peer) -> String {
        var lines = ["\(peer.name.isEmpty ? "-" : peer.name)  \(peer.peerID ?? "identity not known yet")"]
        if !peer.allowedIPs.isEmpty { lines.append("  networks   \(peer.allowedIPs.joined(separator: " "))") }
        if peer.failures > 0 { lines.append("  handshakes \(peer.failures) in a row without a session") }
        if let session = peer.session {
            lines.append(
                "  session    \(session.id)  \(session.role), \(Units.span(session.ageSeconds)) old, key phase \(session.keyPhase)"
            )
            lines.append(
                "  security   \(session.signatures), \(session.cipher)"
                    + (session.isChained ? ", chained to the handshake before" : "")
                    + (session.hasPresharedKey ? ", preshared key" : ""))
            lines.append(
                "  renewal    in \(Units.span(session.renewsInSeconds)), ends in \(Units.span(session.expiresInSeconds))"
            )
            lines.append(
                "  last       received \(session.receivedSecondsAgo.map { Units.span($0) + " ago" } ?? "never")"
                    + ", sent \(session.sentSecondsAgo.map { Units.span($0) + " ago" } ?? "never")")
            lines.append("  datagrams  in \(session.datagramsIn), out \(session.datagramsOut)")
        }
        return lines.joined(separator: "\n")
    }
}
