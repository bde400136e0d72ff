// SPDX-License-Identifier: Apache-2.0
// Guests (§6): an unknown identity whose handshake mixes an invitation's key. What proves that it holds the token is its first
// DATA, and only then is a use of the invitation used up, on disk and before the session carries anything.
internal import VPNCrypto

extension NodeStateMachine {
    /// These are the invitations from now on, closed ones included, so that the log can tell why somebody was refused.
    public mutating func updateInvitations(_ list: [Invitation]) {
        invitations = Dictionary(list.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    // MARK: The inviter

    /// The invitation that an S1 names, where it may be one that it names: of a peer with a configured key it is that key.
    func invitation(namedBy opened: OpenedS1) -> Invitation? {
        let asked = opened.payload.presharedKeyID
        guard asked & PresharedKeys.configuredBit != 0 else { return nil }
        let slot = slotsByIdentity[opened.payload.peerID]
        guard slot.flatMap({ peers[$0]?.configuration.presharedKey }) == nil else { return nil }
        return invitations[asked & ~PresharedKeys.configuredBit]
    }

    /// Who may continue with an invitation, before any signature is checked.
    ///
    /// - Parameter expectedHere: the identity that the operator tied to the endpoint that it calls from, if any.
    mutating func welcome(
        _ opened: OpenedS1, by invitation: Invitation, expectedHere: PeerID?, key: InboundKey, now: Instant
    ) {
        let id = opened.payload.peerID
        let keys = trust.keys(of: id)
        if let refusal = trust.bar(id) {
            return refuseIdentity(id, refusal, key, expected: nil, name: "", now: now)
        }
        if keys == nil, let expectedHere, expectedHere != id {
            return refuseIdentity(id, .identityChanged, key, expected: expectedHere, name: "", now: now)
        }
        let slot = slotsByIdentity[id]
        let isPeer = slot.flatMap { peers[$0]?.isConfigured } == true && !invitation.guests.contains(id)
        if let refusal = isPeer ? .alreadyPeer : invitation.refusal(of: id, now: now) {
            inbound.setStage(.ignored, of: key, until: now + Limits.answerLifetime)
            drop(.untrusted)
            return emit(.invitationRefused(id, invitation: invitation.name, refusal, key.carrier))
        }
        // Who comes by an invitation shows its keys unasked: asking would tell that the invitation is good.
        guard keys != nil || opened.payload.kind == .full else {
            return refuseIdentity(id, .unknownPeer, key, expected: nil, name: "", now: now)
        }
        guard mayAnswer(slot, id: id, now: now) else {
            inbound.remove(key)
            return drop(.simultaneousOpen)
        }
        answer(
            opened, pinnedKeys: keys, key: key, slot: slot, keys == nil ? .firstUse : .pinned,
            invitation: invitation, now: now)
    }

    /// What became of a claim. To be called before anything else is put in; a claim whose session is gone has no effect.
    public mutating func settle(_ claim: InvitationClaim, _ verdict: InvitationVerdict, now: Instant) {
        guard case .session(let slot)? = indices[claim.index], let held = peers[slot]?.ring.next,
            held.session.localIndex == claim.index, held.claim != nil
        else { return }
        let id = claim.keys.peerID
        switch verdict {
        case .refused(let refusal):
            drop(.untrusted)
            emit(.invitationRefused(id, invitation: claim.invitation, refusal, held.summary.carrier))
            // It holds the token, so that it may know that this came to nothing.
            if let datagram = held.session.sealFrame(type: .close, payload: [], now: now) {
                push(.transmit(datagram, held.summary.carrier))
            }
            retire(held, of: slot, .invitationRefused)
            forgetIfIdle(slot)
        case .accepted(let configuration, let pin, let lease):
            _ = trust.pin(pin)
            invitations[claim.invitation]?.guests.insert(id)
            peers[slot]?.ring.next?.claim = nil
            adopt(slot, configuration, lease: lease)
            emit(
                .invitationUsed(id, invitation: claim.invitation, slot: slot, peerName: configuration.name))
            firstDataReceived(held.session, now: now)
            sendLease(slot, on: held, now: now)
        }
    }

    /// A caller that nobody knew is a peer from now on, with its session.
    private mutating func adopt(_ slot: PeerSlot, _ configuration: PeerConfiguration, lease: [InterfaceAddress]) {
        peers[slot]?.configuration = configuration
        peers[slot]?.isConfigured = true
        peers[slot]?.lease = lease
        strangers.removeAll { $0 == slot }
        emitRoutes()
    }

    private mutating func sendLease(_ slot: PeerSlot, on held: HeldSession, now: Instant) {
        guard let peer = peers[slot], let lease = peer.lease, let carrier = peer.carrier,
            let datagram = held.session.sealFrame(type: .config, payload: LeaseMessage(lease).encoded, now: now)
        else { return }
        push(.transmit(datagram, carrier))
    }

    /// A guest asks for its inner addresses; for anybody else there is nothing to ask for.
    mutating func answer(configurationRequest payload: [UInt8], _ held: HeldSession, slot: PeerSlot, now: Instant) {
        guard payload == LeaseMessage.request, peers[slot]?.lease != nil else {
            return sessionViolated(held.session, now: now)
        }
        sendLease(slot, on: held, now: now)
    }

    // MARK: The guest

    /// Once a second until there is an answer. It is the proof of the token, too.
    mutating func askForConfiguration(_ held: HeldSession, slot: PeerSlot, now: Instant) {
        guard let carrier = peers[slot]?.carrier,
            let datagram = held.session.sealFrame(type: .configRequest, payload: LeaseMessage.request, now: now)
        else { return }
        push(.transmit(datagram, carrier))
    }

    /// Only an inviter, called with its invitation, has a say in a node's addresses.
    mutating func receive(configuration payload: [UInt8], _ held: HeldSession, slot: PeerSlot, now: Instant) {
        guard let peer = peers[slot], peer.configuration.presharedKey?.isInvitation == true,
            held.summary.role == .initiator, let message = LeaseMessage(payload)
        else { return sessionViolated(held.session, now: now) }
        guard !peer.hasLeased else { return }
        peers[slot]?.hasLeased = true
        emit(.leased(slot: slot, message.addresses))
    }
}
