// SPDX-License-Identifier: Apache-2.0
// The operator's peers that change while the node runs: added, taken away, moved, given other networks. What a file says and
// whether it may be believed is the node's; here a checked list becomes the peers, and what did not change is not disturbed.
internal import VPNCrypto

extension NodeStateMachine {
    /// These are the configured peers from now on; bootstrap entries stay as they are. A peer is known by its name: one whose
    /// peer_id or preshared key is another is a new one under an old name. Who goes is told so, and its sessions end.
    ///
    /// - Parameters:
    ///   - configured: without bootstrap entries; no name and no prefix twice.
    ///   - moved: the names whose endpoint the operator wrote anew. Of all others the endpoint that is known here stays.
    public mutating func updatePeers(_ configured: [PeerConfiguration], moved: Set<String>, now: Instant) {
        let wanted = Dictionary(configured.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var leaving: [PeerSlot] = []
        var staying: Set<String> = []
        var called: [PeerSlot] = []
        for slot in peers.keys.sorted() {
            guard let peer = peers[slot], peer.isConfigured, !peer.configuration.isBootstrap else { continue }
            guard let new = wanted[peer.name], isSamePeer(peer.configuration, new) else {
                leaving.append(slot)
                continue
            }
            staying.insert(peer.name)
            peers[slot]?.configuration.allowedIPs = new.allowedIPs
            peers[slot]?.configuration.keepaliveSeconds = new.keepaliveSeconds
            if moved.contains(peer.name) {
                move(slot, to: new.endpoint, now: now)
                if new.endpoint != nil { called.append(slot) }
            }
        }
        // Before the newcomers: theirs may be the networks, and the identities, of those who go.
        for slot in leaving { remove(slot, now: now) }
        for new in configured where !staying.contains(new.name) {
            let identity = new.peerID ?? trust.pin(named: new.name)?.peerID
            if let identity { release(identity, now: now) }
            called.append(addPeer(new, isConfigured: true, identity: identity))
        }
        emitRoutes()
        for slot in called { initiate(slot, now: now) }
    }

    /// `security.handshake_per_minute_per_ip` from now on; 0 = no limit.
    public mutating func limitHandshakes(perMinute limit: Int) { rate.limit = limit }

    /// Where a configured peer is called; nil where there is no such peer, or it calls.
    public func endpoint(ofPeer name: String) -> Endpoint? {
        peers.values.first { $0.isConfigured && $0.name == name }?.configuration.endpoint
    }

    private func isSamePeer(_ old: PeerConfiguration, _ new: PeerConfiguration) -> Bool {
        old.peerID == new.peerID && PresharedKey.areEqual(old.presharedKey, new.presharedKey)
    }

    /// The operator's word goes before what was learnt: what is sent goes there at once, and comes back by the usual proof
    /// if the peer goes on speaking from where it was.
    private mutating func move(_ slot: PeerSlot, to endpoint: Endpoint?, now: Instant) {
        peers[slot]?.configuration.endpoint = endpoint
        guard let peer = peers[slot] else { return }
        let isElsewhere = endpoint.map { .udp($0) != peer.carrier?.fromAnyAddress } ?? true
        guard isElsewhere else { return }
        abandonInitiation(slot)
        peers[slot]?.retry = nil
        peers[slot]?.failures = 0
        peers[slot]?.move = nil
        guard let endpoint else {
            // It calls from now on; a session that lives goes on where it is.
            if peer.ring.isEmpty { peers[slot]?.carrier = nil }
            return
        }
        if peer.ring.current == nil {
            peers[slot]?.carrier = .udp(endpoint)
        } else {
            send(slot, over: .udp(endpoint), now: now)
        }
    }

    mutating func remove(_ slot: PeerSlot, now: Instant) {
        sayGoodbye(to: slot, .peerRemoved, now: now)
        forgetAnswers(for: slot)
        erase(slot)
    }

    /// An answer that is being composed was asked for under terms that no longer hold: its caller asks again.
    mutating func forgetAnswers(for slot: PeerSlot) {
        for (id, owner) in jobs {
            guard case .answer(let key, _, slot, _, _, let index) = owner else { continue }
            jobs[id] = nil
            jobsForOthers -= 1
            indices[index] = nil
            inbound.remove(key)
        }
    }

    /// Whoever has this identity so far, a caller that nobody configured or a bootstrap entry, gives way to its own entry.
    private mutating func release(_ identity: PeerID, now: Instant) {
        guard let slot = slotsByIdentity[identity], let peer = peers[slot] else { return }
        guard peer.isConfigured else { return remove(slot, now: now) }
        sayGoodbye(to: slot, .peerRemoved, now: now)
        forgetAnswers(for: slot)
        peers[slot]?.pendingPin = nil
        peers[slot]?.token = nil
        peers[slot]?.chain = PresharedChain()
        peers[slot]?.association = nil
        peers[slot]?.identity = nil
        slotsByIdentity[identity] = nil
    }
}
