// SPDX-License-Identifier: Apache-2.0
// What the configuration says of peers against what is pinned and who this node is: faults that no single file shows.
public import VPNCore
public import VPNCrypto

extension NodeConfiguration {
    /// Throws where a peer is this node itself, is neither pinned nor allowed to be met first, or is pinned under another
    /// identity, and where this node itself is revoked. `own` is nil where this node's identity is not known yet.
    public func check(pins: [PinnedPeer], revoked: Set<PeerID> = [], own: PeerID?) throws {
        var issues: [ConfigurationIssue] = []
        if let own, revoked.contains(own) {
            throw NodeFailure(
                .untrustedIdentity,
                "this node's own identity \(own.hex) is revoked in \(security.revokedFile): nobody would believe it; make "
                    + "another one with `pqvpn keygen`, or before it is too late with `pqvpn identity rotate`")
        }
        let known = Set(pins.map(\.peerID))
        let byName = Dictionary(pins.filter { !$0.name.isEmpty }.map { ($0.name, $0.peerID) }) { first, _ in first }
        let distant = Set(distantPeers.map(\.name))
        for (number, peer) in peers.enumerated() {
            let key = "peers[\(number)].peer_id"
            // A guest without its pin is no peer, which is no fault of the file.
            guard let id = peer.peerID, peer.invitation == nil else { continue }
            if id == own {
                issues.append(
                    ConfigurationIssue(.conflict, key, at: peer.mark, "is this node's own identity: remove the entry"))
            } else if let pinned = byName[peer.name], pinned != id {
                throw NodeFailure(
                    .untrustedIdentity,
                    "\(file):\(peer.mark.line): '\(peer.name)' has peer_id \(id.hex), but \(pinned.hex) is pinned under "
                        + "that name: if its owner changed it, run `pqvpn peers trust \(peer.name) FILE`")
            } else if !known.contains(id), let advice = firstContactAdvice(peer, isDistant: distant.contains(peer.name))
            {
                issues.append(
                    ConfigurationIssue(
                        .missing, key, at: peer.mark, "'\(peer.name)' (\(id.short)) is not pinned: \(advice)"))
            }
        }
        if !issues.isEmpty { throw ConfigurationError(file: file, issues: issues) }
    }

    /// Nil where the policy lets an unpinned peer be met for the first time.
    private func firstContactAdvice(_ peer: Peer, isDistant: Bool) -> String? {
        let pin = "pin it with `pqvpn peers add FILE` (its identity.pub)"
        if isDistant { return "\(pin): a circuit leads to nobody else" }
        guard security.trustsOnFirstUse else { return "\(pin), or turn on security.tofu" }
        guard security.isStrictOnFirstUse, peer.endpoint == nil else { return nil }
        return "\(pin): under security.strict_tofu a peer without an endpoint cannot be met first"
    }
}
