// SPDX-License-Identifier: Apache-2.0
// Trust that changes while the node runs: the operator edited the pins, or somebody was revoked. Whom to believe is
// TrustStore's; here is what becomes of peers, handshakes and sessions.
public import VPNCrypto

extension NodeStateMachine {
    /// Whether a peer's session stands on one signature (§2).
    public func isDegraded(_ slot: PeerSlot) -> Bool { peers[slot]?.isDegraded ?? false }

    /// These identities are refused from now on, in both directions; their sessions end here and now.
    public mutating func updateRevoked(_ ids: Set<PeerID>, now: Instant) {
        let before = trust.revoked
        trust.replaceRevoked(ids)
        for id in ids { removeRelay(id, now: now) }
        for slot in peers.keys.sorted() {
            guard let peer = peers[slot], let id = peer.identity else { continue }
            if ids.contains(id), !before.contains(id) {
                emit(.identityRevoked(id, peerName: peer.name))
                endTrust(in: slot, .revoked)
            } else if before.contains(id), !ids.contains(id) {
                callAgain(slot, now: now)
            }
        }
    }

    /// These are the pins from now on. A peer whose identity is no longer pinned loses its sessions; one whose name stands
    /// for another identity is called anew.
    public mutating func updatePins(_ pins: [PinnedPeer], now: Instant) {
        let before = trust
        trust.replacePins(pins)
        for slot in peers.keys.sorted() { reconsider(slot, before: before, now: now) }
    }

    private mutating func reconsider(_ slot: PeerSlot, before: TrustStore, now: Instant) {
        guard let peer = peers[slot] else { return }
        let named = peer.isConfigured ? trust.pin(named: peer.name)?.peerID : nil
        let wanted = peer.configuration.peerID ?? named ?? peer.identity
        if let wanted, wanted != peer.identity {
            replaceIdentity(of: slot, by: wanted, now: now)
        } else if let identity = peer.identity, before.keys(of: identity) != nil, trust.keys(of: identity) == nil {
            endTrust(in: slot, .unpinned)
            if peer.isConfigured, peer.configuration.peerID == nil {
                unbind(slot)
                emit(.identityReplaced(slot: slot, peerName: peer.name, old: identity, new: nil))
            }
            callAgain(slot, now: now)
        } else if let identity = peer.identity {
            if before.acceptsPartial(identity), !trust.acceptsPartial(identity) {
                abandonInitiation(slot)
                for held in peer.ring.all where held.summary.isDegraded { retire(held, of: slot, .unpinned) }
                callAgain(slot, now: now)
                forgetIfIdle(slot)
            } else if before.keys(of: identity) == nil, trust.keys(of: identity) != nil, peer.ring.isEmpty,
                peer.configuration.endpoint != nil
            {
                // Pinned at last: no reason to wait for the next try.
                initiate(slot, now: now)
            }
        }
    }

    private mutating func replaceIdentity(of slot: PeerSlot, by id: PeerID, now: Instant) {
        guard let old = peers[slot] else { return }
        endTrust(in: slot, .unpinned)
        // Whoever is being answered with this entry's rights has them no more.
        forgetAnswers(for: slot)
        unbind(slot)
        // The new identity may have come by itself before it had a name.
        if let passing = slotsByIdentity[id] { endTrust(in: passing, .unpinned) }
        bind(slot, to: id)
        peers[slot]?.failures = 0
        emit(.identityReplaced(slot: slot, peerName: old.name, old: old.identity, new: id))
        initiate(slot, now: now)
    }

    private mutating func unbind(_ slot: PeerSlot) {
        guard let identity = peers[slot]?.identity else { return }
        peers[slot]?.identity = nil
        if slotsByIdentity[identity] == slot { slotsByIdentity[identity] = nil }
    }

    /// Ends all that a peer has by its identity: the handshake on its way, its sessions, its token.
    private mutating func endTrust(in slot: PeerSlot, _ end: SessionEnd) {
        abandonInitiation(slot)
        guard let peer = peers[slot] else { return }
        for held in peer.ring.all { retire(held, of: slot, end) }
        peers[slot]?.token = nil
        peers[slot]?.pendingPin = nil
        peers[slot]?.retry = nil
        peers[slot]?.unansweredSince = nil
        peers[slot]?.missedKeepalives = 0
        peers[slot]?.isDown = false
        peers[slot]?.move = nil
        peers[slot]?.chain = PresharedChain()
        peers[slot]?.association = nil
        peers[slot]?.carrier = peer.configuration.endpoint.map { .udp($0) }
        forgetIfIdle(slot)
    }
}
