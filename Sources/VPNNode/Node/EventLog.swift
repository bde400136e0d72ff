// SPDX-License-Identifier: Apache-2.0
// Turns the core's events into log lines with stable names (docs/logging.md). The core itself logs nothing.
internal import Logging
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

struct EventLog {
    let logger: Logger

    func record(_ event: Event) {
        switch event {
        case .handshakeStarted(let id, _, let name, let endpoint, let attempt):
            line(
                .info, "handshake started", "handshake.started", id,
                [
                    "peer_name": "\(name)", "endpoint": .address(endpoint), "attempt": .stringConvertible(attempt),
                    "role": "initiator",
                ])
        case .sessionEstablished(let summary):
            line(.info, "session established", "session.established", summary.handshake, describe(summary))
        case .sessionConfirmed(let summary):
            line(.info, "session carries data", "session.confirmed", summary.handshake, short(summary))
        case .sessionDegraded(let summary):
            line(
                .warning,
                "DEGRADED session: the peer's Ed25519 signature does not verify and ML-DSA-87 had to do (allow_partial)",
                "session.degraded", summary.handshake, describe(summary))
        case .sessionEnded(let summary, let end):
            var fields = short(summary)
            fields["reason"] = "\(end.rawValue)"
            line(
                end == .protocolViolation ? .warning : .info, "session ended", "session.ended", summary.handshake,
                fields)
        case .handshakeTimedOut(let id, _, let name, let retry):
            let text =
                retry.map { "no answer; trying again in \(Int($0.seconds)) s" } ?? "no answer; waiting to be called"
            line(.warning, text, "handshake.timeout", id, ["peer_name": "\(name)"])
        case .handshakeRefused(let id, let role, let failure, let carrier):
            line(
                .warning, "handshake refused", "handshake.refused", id,
                [
                    "role": "\(role.rawValue)", "reason": "\(failure.rawValue)", "endpoint": .address(carrier),
                ])
        case .identityRefused(let id, let peer, let refusal, let carrier, let expected, let name):
            var fields: Logger.Metadata = [
                "peer": "\(peer.short)", "peer_id": "\(peer.hex)", "reason": "\(refusal.rawValue)",
                "endpoint": .address(carrier),
            ]
            if !name.isEmpty { fields["peer_name"] = "\(name)" }
            if let expected { fields["expected_peer_id"] = "\(expected.hex)" }
            line(refusal == .identityChanged ? .error : .warning, text(refusal), "identity.refused", id, fields)
        case .identityPinned(let pin):
            line(
                .notice, "peer pinned at first use: compare its peer_id with the other side", "identity.pinned", nil,
                [
                    "peer": "\(pin.peerID.short)", "peer_id": "\(pin.peerID.hex)", "peer_name": "\(pin.name)",
                ])
        case .identityRevoked(let peer, let name):
            line(
                .warning, "identity revoked: its sessions end", "identity.revoked", nil,
                ["peer": "\(peer.short)", "peer_id": "\(peer.hex)", "peer_name": "\(name)"])
        case .identityReplaced(_, let name, let old, let new):
            var fields: Logger.Metadata = ["peer_name": "\(name)"]
            if let old { fields["old_peer_id"] = "\(old.hex)" }
            if let new { fields["peer_id"] = "\(new.hex)" }
            line(
                .notice, new == nil ? "the pin of this peer was removed" : "another identity is pinned for this peer",
                "identity.replaced", nil, fields)
        case .identityShown(let id, _, let descriptor):
            line(
                .debug, "the responder showed itself", "identity.shown", id,
                ["peer": "\(descriptor.keys.peerID.short)", "peer_id": "\(descriptor.keys.peerID.hex)"])
        case .invitationRefused(let peer, let invitation, let refusal, let carrier):
            line(
                .warning, "a guest was refused: \(text(refusal))", "invitation.refused", nil,
                [
                    "peer": "\(peer.short)", "peer_id": "\(peer.hex)", "endpoint": .address(carrier),
                    "invitation": "\(InvitationID(invitation))", "reason": "\(refusal.rawValue)",
                ])
        case .invitationUsed(let peer, let invitation, _, let name):
            line(
                .notice, "a guest came with an invitation and is a peer now", "invitation.used", nil,
                [
                    "peer": "\(peer.short)", "peer_id": "\(peer.hex)", "peer_name": "\(name)",
                    "invitation": "\(InvitationID(invitation))",
                ])
        case .leased(_, let addresses):
            line(
                .info, "the inviter gave this node its inner addresses", "invitation.leased", nil,
                ["addresses": .array(addresses.map { "\($0)" })])
        case .keepaliveAnswered(_, let roundTrip):
            line(
                .debug, "keepalive answered", "keepalive.answered", nil,
                ["rtt_s": .stringConvertible(rounded(roundTrip))])
        case .viewed(_, let name, let endpoint, _):
            line(
                .debug, "peer told where it sees this node", "path.view", nil,
                ["peer_name": "\(name)", "endpoint": .address(endpoint)])
        case .pathMTU(_, let name, let mtu):
            line(
                .info, "path takes packets of \(mtu) bytes", "path.mtu", nil,
                ["peer_name": "\(name)", "mtu": .stringConvertible(mtu)])
        case .pathMoved(_, let name, let from, let to):
            line(
                .notice, "peer is reached at another address now", "path.moved", nil,
                ["peer_name": "\(name)", "endpoint": .address(to), "earlier": .address(from)])
        case .pathKept(_, let name, let carrier, let other):
            line(
                .warning, "datagrams of a peer came from an address where it is not: repeated by somebody on the way",
                "path.kept", nil,
                ["peer_name": "\(name)", "endpoint": .address(carrier), "refused": .address(other)])
        case .patchChanged(_, let name, let patch, let carrier, let state):
            let isLost = state == .suspect || state == .down
            line(
                isLost ? .warning : .info, "a path to a peer is \(state.rawValue)", "quilt.path", nil,
                [
                    "peer_name": "\(name)", "path": .stringConvertible(patch), "endpoint": .address(carrier),
                    "state": "\(state.rawValue)",
                ])
        case .peerSilent(_, let name, let missed):
            line(
                .warning, "peer is silent: new handshake", "peer.silent", nil,
                ["peer_name": "\(name)", "missed": .stringConvertible(missed)])
        case .peerBack(_, let name):
            line(.info, "peer speaks again", "peer.back", nil, ["peer_name": "\(name)"])
        case .circuit(let event): record(event)
        case .relayLearned, .relayRefused, .relaysExpired, .guardsChanged: recordRelays(event)
        case .guestArrived(_, let summary):
            line(.info, "guest arrived by a circuit", "circuit.guest", summary.handshake, short(summary))
        case .relayFull(let count):
            line(
                .warning, "no room for another circuit: whoever asks is told so", "relay.full", nil,
                ["circuits": .stringConvertible(count)])
        case .leaseGranted, .leaseEnded, .leaseExhausted: record(exit: event)
        }
    }

    private func record(_ event: CircuitEvent) {
        switch event {
        case .ready(_, let name, let hops, let largest):
            line(
                .info, "circuit ready", "circuit.ready", nil,
                ["circuit": "\(name)", "hops": .stringConvertible(hops), "mtu": .stringConvertible(largest)])
        case .replaced(_, let name):
            line(.info, "circuit goes another path", "circuit.replaced", nil, ["circuit": "\(name)"])
        case .replacementFailed(_, let name, let hop, let failure, let pause):
            line(
                .warning, "no other path for a circuit", "circuit.replacement_failed", nil,
                [
                    "circuit": "\(name)", "hop": .stringConvertible(hop + 1), "reason": "\(failure.code)",
                    "retry_seconds": .stringConvertible(pause.nanoseconds / 1_000_000_000),
                ])
        case .paths(_, let name, let inUse, let wanted):
            line(
                inUse < wanted ? .notice : .info, "circuit goes by \(inUse) of \(wanted) paths", "circuit.paths", nil,
                [
                    "circuit": "\(name)", "paths": .stringConvertible(inUse), "wanted": .stringConvertible(wanted),
                ])
        case .pathLost(_, let name, let hop, let failure, let pause):
            line(
                .warning, "a path of a circuit is no more; the others go on", "circuit.path_lost", nil,
                [
                    "circuit": "\(name)", "hop": .stringConvertible(hop + 1), "reason": "\(failure.code)",
                    "retry_seconds": .stringConvertible(pause.nanoseconds / 1_000_000_000),
                ])
        // Whoever wanted it tells, with names and what to do (Node+Circuits).
        case .failed: return
        case .closed(_, let name):
            line(.info, "circuit closed", "circuit.closed", nil, ["circuit": "\(name)"])
        case .leased, .leaseRefused: record(lease: event)
        }
    }

    func violation(_ session: Session, _ reason: DropReason) {
        line(
            .warning, "peer broke the protocol: session closed", "session.violation", nil,
            [
                "sid": "\(session.id.hex)", "reason": "\(reason.name)",
            ])
    }

    /// What one run moved and dropped, by reason: for who has no metrics, the only place to see it.
    func totals(_ counters: EngineCounters, control: DropCounters, degradedSessions: UInt64) {
        var drops: [String: Int] = [:]
        for (reason, count) in counters.drops + control.nonZero { drops[reason.name, default: 0] += Int(count) }
        line(
            .info, "totals of this run", "node.totals", nil,
            [
                "packets_from_tunnel": .stringConvertible(counters.packetsFromTunnel),
                "bytes_from_tunnel": .stringConvertible(counters.bytesFromTunnel),
                "packets_to_tunnel": .stringConvertible(counters.packetsToTunnel),
                "bytes_to_tunnel": .stringConvertible(counters.bytesToTunnel),
                "datagrams_received": .stringConvertible(counters.datagramsReceived),
                "datagrams_sent": .stringConvertible(counters.datagramsSent),
                "degraded_sessions": .stringConvertible(degradedSessions),
                "drops": .dictionary(drops.mapValues { .stringConvertible($0) }),
            ])
    }

    private func text(_ refusal: TrustRefusal) -> String {
        switch refusal {
        case .identityChanged:
            "ANOTHER IDENTITY answers for this peer: refused. If it was changed on purpose: pqvpn peers trust"
        case .unknownPeer: "unknown peer refused: pin its descriptor with `pqvpn peers add` to let it in"
        case .ownIdentity: "this node's own identity came back to it: refused"
        case .pinLimit: "no more peers are pinned by first use: refused"
        case .anonymousPeer: "anonymous peer refused"
        case .notListed: "peer refused: it is not on security.allowlist"
        case .revoked: "REVOKED identity refused"
        }
    }

    private func text(_ refusal: InvitationRefusal) -> String {
        switch refusal {
        case .unknown: "there is no such invitation"
        case .expired: "its invitation has expired"
        case .used: "its invitation was used by others"
        case .revoked: "its invitation was revoked"
        case .alreadyPeer: "it is a configured peer already"
        case .noAddress: "no inner address is left to give"
        case .local: "its invitation could not be used up on disk"
        }
    }

    private func describe(_ summary: SessionSummary) -> Logger.Metadata {
        var fields = short(summary)
        fields["peer_id"] = "\(summary.peer.hex)"
        fields["endpoint"] = .address(summary.carrier)
        fields["dur_s"] = .stringConvertible(rounded(summary.duration))
        fields["s1_bytes"] = .stringConvertible(summary.s1Bytes)
        fields["s2_bytes"] = .stringConvertible(summary.s2Bytes)
        fields["kem"] = "ML-KEM-1024+brainpoolP512r1"
        fields["signatures"] = "\(summary.signatureNames)"
        fields["chained"] = .stringConvertible(summary.isChained)
        fields["aead"] = "\(summary.cipherName)"
        return fields
    }

    private func short(_ summary: SessionSummary) -> Logger.Metadata {
        [
            "sid": "\(summary.sessionIDText)", "peer": "\(summary.peer.short)", "peer_name": "\(summary.peerName)",
            "role": "\(summary.role.rawValue)",
        ]
    }

    /// Seconds to the microsecond.
    private func rounded(_ span: TimeSpan) -> Double { (span.seconds * 1e6).rounded() / 1e6 }

    func line(
        _ level: Logger.Level, _ message: String, _ event: String, _ id: HandshakeID?, _ fields: Logger.Metadata
    ) {
        var metadata = fields
        metadata["event"] = "\(event)"
        metadata["component"] = "\(event.prefix { $0 != "." })"
        if let id { metadata["hs"] = "\(id)" }
        logger.log(level: level, "\(message)", metadata: metadata)
    }
}

extension Endpoint {
    /// As people write it.
    var text: String { address.family == .v6 ? "[\(address)]:\(port)" : "\(address):\(port)" }
}

extension Carrier {
    var text: String {
        switch self {
        case .udp(let endpoint): endpoint.text
        case .circuit: "circuit"
        }
    }
}
