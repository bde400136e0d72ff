// SPDX-License-Identifier: Apache-2.0
// What of a running node's state a person should know, each with the command that mends it. Codes are stable:
// docs/operations.md lists them.

/// Facts about a run that are not in its peers.
struct HealthFacts: Sendable {
    /// From the configuration.
    var insecureSettings: [InsecureSetting] = []
    var isTemporaryIdentity = false
    var configurationFile = ""
    /// Of the run.
    var isMemoryLocked = true
    /// Pins by first use that could not be written.
    var unkeptPins = 0
    var knownPeersFile = ""
    var isTunnelGone = false
    var isLinkDown = false
    var interface = ""
    /// `tunnel.lockdown` is true.
    var isLockedDown = false
    /// `tunnel.lockdown` is true and the kernel has no such table.
    var isLockdownMissing = false
    /// Names of endpoints that no address was found for.
    var unresolved: [String] = []
}

enum HealthCheck {
    typealias Finding = StatusReport.Finding

    static func findings(
        _ facts: HealthFacts, peers: [StatusReport.Peer], drops: [String: UInt64],
        circuits: [CircuitsReport.Own] = []
    ) -> [Finding] {
        var found: [Finding] = []
        if facts.isTunnelGone || facts.isLinkDown {
            found.append(
                Finding(
                    "error", "TUNNEL_GONE",
                    (facts.isTunnelGone
                        ? "the tunnel interface was deleted and cannot be made anew yet"
                        : "somebody set the tunnel interface down")
                        + ": nothing goes through it, and what should "
                        + (facts.isLockedDown && !facts.isLockdownMissing
                            ? "stays on this host" : "leaves by this host's other routes, in clear"),
                    fix: facts.isTunnelGone
                        ? "pqvpn logs --level WARNING says why (tunnel.not_restored); it is tried again by itself"
                        : "ip link set dev \(facts.interface) up: its addresses and routes come back within seconds"))
        }
        if facts.isLockdownMissing {
            found.append(
                Finding(
                    "error", "LOCKDOWN_MISSING", "tunnel.lockdown is true and nothing keeps packets inside the tunnel",
                    fix: "pqvpn lockdown on \(facts.configurationFile)"))
        }
        for peer in peers where peer.isConfigured { found += findings(peer) }
        for circuit in circuits where !circuit.isUp {
            guard let failure = circuit.lastFailure else { continue }
            found.append(
                Finding(
                    "error", "CIRCUIT_DOWN", "nothing goes to '\(circuit.name)': \(failure.text)", fix: failure.fix))
        }
        for circuit in circuits {
            guard let text = circuit.sharedText else { continue }
            found.append(
                Finding(
                    "warning", "PATH_NOT_DIVERSE", "'\(circuit.name)': \(text)",
                    fix: "pqvpn relay import FILE, and circuit.relax_diversity: false"))
        }
        for name in facts.unresolved.sorted() {
            found.append(
                Finding(
                    "warning", "ENDPOINT_UNRESOLVED", "no address is known for \(name)",
                    fix: "getent ahosts \(name.split(separator: ":").first.map(String.init) ?? name)"))
        }
        if facts.unkeptPins > 0 {
            found.append(
                Finding(
                    "error", "PINS_NOT_KEPT",
                    "\(facts.unkeptPins) identit\(facts.unkeptPins == 1 ? "y" : "ies") pinned at first use could not be written",
                    fix: "make \(facts.knownPeersFile) writable"))
        }
        for setting in facts.insecureSettings {
            found.append(
                Finding("warning", setting.code, setting.text, fix: setting.fix(in: facts.configurationFile)))
        }
        if facts.isTemporaryIdentity {
            found.append(
                Finding(
                    "warning", "TEMPORARY_IDENTITY", "this identity ends with this run: peers cannot pin it for good",
                    fix: "pqvpn keygen, and keys.runtime_temp_keys: false"))
        }
        if !facts.isMemoryLocked {
            found.append(
                Finding(
                    "warning", "MEMORY_NOT_LOCKED", "secrets may be written to swap",
                    fix: "ulimit -l 65536, or LimitMEMLOCK=64M in the unit"))
        }
        let refused = (drops["jobs_full"] ?? 0) &+ (drops["unpaid"] ?? 0)
        if refused > 0 {
            found.append(
                Finding(
                    "warning", "HANDSHAKES_DROPPED",
                    "\(refused) datagrams of handshakes found no room: a flood, or too many peers at once",
                    fix: "network.max_concurrent_datagrams, security.handshake_per_minute_per_ip"))
        }
        return found.filter { $0.severity == "error" } + found.filter { $0.severity != "error" }
    }

    private static func findings(_ peer: StatusReport.Peer) -> [Finding] {
        var found: [Finding] = []
        let place = peer.endpoint ?? "its endpoint"
        switch peer.state {
        case "silent":
            found.append(
                Finding(
                    "error", "PEER_SILENT", "'\(peer.name)' does not answer any more at \(place)",
                    fix: "pqvpn ping \(peer.name); see whether it runs and UDP reaches it"))
        case "waiting", "connecting":
            guard peer.failures > 0 else { break }
            found.append(
                Finding(
                    "error", "PEER_UNREACHABLE",
                    "'\(peer.name)' gave no answer at \(place), \(peer.failures) handshake\(peer.failures == 1 ? "" : "s") in a row",
                    fix: "see whether it runs, UDP reaches it, and it has this node pinned: pqvpn peers list"))
        case "connected":
            if let session = peer.session, !session.signatures.contains("+") {
                found.append(
                    Finding(
                        "error", "SESSION_DEGRADED", "the Ed25519 signature of '\(peer.name)' does not verify",
                        fix:
                            "give it new keys (pqvpn identity rotate there), then pqvpn peers set \(peer.name) --no-allow-partial"
                    ))
            }
        default: break
        }
        return found
    }
}
