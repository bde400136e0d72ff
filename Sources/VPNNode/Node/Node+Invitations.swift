// SPDX-License-Identifier: Apache-2.0
// Guests who come while the node runs: the use of their invitation goes to disk, then their pin, and only then are they peers.
internal import Logging
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

extension Node {
    /// Answers a claim at once: the core waits for nothing else meanwhile.
    func redeem(_ claim: InvitationClaim) {
        let verdict = verdict(on: claim)
        machine.settle(claim, verdict, now: MonotonicClock.now)
        showInvitations()
        guard case .accepted = verdict else { return }
        closeToGuests()
        routeToGuests()
    }

    /// A crash between the two writes leaves a guest who is counted and not pinned: no peer, but its repeat finds both.
    private func verdict(on claim: InvitationClaim) -> InvitationVerdict {
        guard let invitations else { return .refused(.unknown) }
        do {
            let peers = configuration.peers.filter { $0.invitation == nil || $0.peerID != claim.keys.peerID }
            let guest = try invitations.redeem(
                claim.invitation, by: claim.keys.peerID, own: configuration.tunnel.addresses, peers: peers,
                pinnedNames: Set(knownPeers.pins.filter { $0.peerID != claim.keys.peerID }.map(\.name)),
                now: UnixTime.now, patience: KnownPeersStore.nodesPatience)
            let known = knownPeers.pin(of: claim.keys.peerID)
            // The operator took the pin away: the link does not bring it back.
            if guest.isPinned, known == nil { return .refused(.revoked) }
            let pin = known ?? PinnedPeer(keys: claim.keys, name: guest.name, origin: .operatorAdded)
            try knownPeers.add(pin, patience: KnownPeersStore.nodesPatience)
            if !guest.isPinned {
                try invitations.markPinned(guest.peerID, patience: KnownPeersStore.nodesPatience)
            }
            let peer = NodeConfiguration.Peer(guest)
            if !configuration.peers.contains(where: { $0.peerID == guest.peerID }) { configuration.peers.append(peer) }
            return .accepted(
                PeerConfiguration(
                    name: peer.name, peerID: peer.peerID, endpoint: nil, allowedIPs: peer.allowedIPs), pin,
                lease: guest.addresses)
        } catch let refusal as InvitationRefusal {
            return .refused(refusal)
        } catch {
            logger.error(
                "an invitation could not be used up: \(NodeFailure(error))", metadata: ["event": "invitation.not_kept"])
            return .refused(.local)
        }
    }

    /// Tells the core what invitations there are.
    func showInvitations() {
        guard let invitations else { return }
        machine.updateInvitations(invitations.invitations(now: UnixTime.now, clock: MonotonicClock.now))
    }

    func routeToGuests() {
        guard configuration.tunnel.isEnabled else { return }
        var ignored: [String] = []
        let endpoints = configuration.peers.compactMap { machine.endpoint(ofPeer: $0.name) }
        let wanted = NodePlan.routes(routed(configuration), avoiding: endpoints, warnings: &ignored)
        do throws(EngineError) {
            for warning in try routes.replace(by: wanted) {
                logger.warning("\(warning)", metadata: ["event": "config.warning"])
            }
        } catch {
            logger.error("no route into the tunnel: \(error)", metadata: ["event": "config.warning"])
        }
    }
}
