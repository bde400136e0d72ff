// SPDX-License-Identifier: Apache-2.0
// The initiator's side: when to call whom, and what becomes of an attempt. The steps of one attempt are
// InitiatorStateMachine's.
internal import VPNCrypto

extension NodeStateMachine {
    /// The packet workers have something for a peer that has no session.
    public mutating func sessionWanted(_ slot: PeerSlot, now: Instant) {
        guard let peer = peers[slot], peer.initiation == nil, peer.ring.current == nil else { return }
        // After a handshake without an answer its pause counts; after a goodbye there is no reason to wait.
        guard peer.retry == nil || peer.failures == 0 else { return }
        initiate(slot, now: now)
    }

    /// A configured peer's name resolved, for the first time or again. A peer that is reached stays where it is; one that is not
    /// is called at the next of the addresses.
    ///
    /// - Parameter endpoints: in the order of preference.
    public mutating func setEndpoints(_ endpoints: [Endpoint], ofPeer name: String, now: Instant) {
        guard !endpoints.isEmpty,
            let slot = peers.slot(where: { $0.isConfigured && $0.name == name }),
            let peer = peers[slot]
        else { return }
        let isReached = peer.ring.current != nil && !peer.isDown
        guard !isReached else {
            if peer.configuration.endpoint == nil { peers[slot]?.configuration.endpoint = endpoints[0] }
            return
        }
        let called = endpoints.firstIndex { .udp($0) == peer.carrier?.fromAnyAddress }
        let endpoint = endpoints[called.map { ($0 + 1) % endpoints.count } ?? 0]
        peers[slot]?.configuration.endpoint = endpoint
        // The same address as before: what is under way there goes on.
        if .udp(endpoint) == peer.carrier?.fromAnyAddress, peer.initiation != nil || peer.retry != nil { return }
        abandonInitiation(slot)
        peers[slot]?.carrier = .udp(endpoint)
        initiate(slot, now: now)
    }

    /// Begins a handshake with a peer, unless one is under way or there is no address to call.
    mutating func initiate(_ slot: PeerSlot, now: Instant) {
        guard var peer = peers[slot], peer.initiation == nil, case .udp(let endpoint)? = peer.carrier else { return }
        // §2: no datagram goes to an identity that is barred.
        if let identity = peer.identity, trust.bar(identity) != nil { return drop(.untrusted) }
        // A descriptor makes nobody a peer that the operator gave addresses to.
        let keys =
            peer.identity.flatMap { peer.isConfigured ? trust.keys(of: $0) : trust.relayKeys(of: $0) }
            ?? peer.unpinnedKeys
        // Without keys only a first contact remains, or somebody pinned behind a bootstrap entry.
        guard keys != nil || trust.policy.trustsOnFirstUse || peer.configuration.isBootstrap else { return }
        peer.retry = nil
        // Where the first patch is down, another one still goes there. What an earlier attempt went by may be no way by now.
        peer.calling = livePatch(peer).flatMap { $0.patch == 0 ? nil : $0.carrier }
        // It is good for the address that it was given to.
        if peer.calling != nil { peer.token = nil }
        let index = freshIndex(for: .initiation(slot))
        peer.initiation = InitiatorStateMachine(
            signer: signer, cryptography: cryptography, offers: parameters.offers, mtu: parameters.mtu,
            keepaliveSeconds: peer.configuration.keepaliveSeconds, expected: peer.identity, responder: keys,
            acceptsPartial: peer.identity.map { trust.acceptsPartial($0) } ?? false,
            kind: peer.configuration.presharedKey?.isInvitation == true ? .full : .brief, index: index,
            preshared: PresharedKeys(configured: peer.configuration.presharedKey, chained: peer.chain.newest),
            capabilities: parameters.capabilities, now: now)
        let token = peer.token
        peer.token = nil
        let attempt = peer.failures + 1
        peers[slot] = peer
        emit(
            .handshakeStarted(HandshakeID(index), slot: slot, peerName: peer.name, endpoint, attempt: attempt))
        advanceInitiation(slot, now: now) { $0.begin(token: token, index: index, now: now) }
    }

    /// RETRY, S2, INFO_RESP and NEED_FULL find their handshake by the receiver index that we gave out.
    mutating func receive(answer datagram: [UInt8], _ type: DatagramType, on carrier: Carrier, now: Instant) {
        guard case .initiation(let slot)? = indices[datagram.u32(at: 4)], let peer = peers[slot], peer.initiation != nil
        else { return drop(.handshakeUnknown) }
        // A handshake is spoken where it was begun: an answer from elsewhere is not one. This end may have got another address.
        guard (peer.calling ?? peer.carrier)?.fromAnyAddress.isHeard(as: carrier) == true else {
            return drop(.handshakeCarrier)
        }
        advanceInitiation(slot, now: now) { machine in
            switch type {
            case .retry: machine.receive(retry: datagram, now: now)
            case .infoResponse: machine.receive(infoResponse: datagram, now: now)
            case .s2: machine.receive(s2: datagram, now: now)
            case .needFull: machine.receive(needFull: datagram, now: now)
            default: []
            }
        }
    }

    mutating func initiationTimeout(_ slot: PeerSlot, now: Instant) {
        if let due = peers[slot]?.retry, due <= now {
            peers[slot]?.retry = nil
            initiate(slot, now: now)
        }
        guard let initiation = peers[slot]?.initiation, initiation.deadline <= now else { return }
        if now >= initiation.started + Limits.handshakeGiveUp {
            giveUp(slot, now: now)
        } else {
            advanceInitiation(slot, now: now) { $0.timeout(now: now) }
        }
    }

    /// One step of the attempt, and what it asks for.
    mutating func advanceInitiation(
        _ slot: PeerSlot, now: Instant, _ step: (inout InitiatorStateMachine) -> [InitiatorEffect]
    ) {
        guard var machine = peers[slot]?.initiation else { return }
        let effects = step(&machine)
        peers[slot]?.initiation = machine
        for effect in effects { perform(effect, slot: slot, now: now) }
    }

    private mutating func perform(_ effect: InitiatorEffect, slot: PeerSlot, now: Instant) {
        guard let peer = peers[slot], let machine = peer.initiation, let carrier = peer.calling ?? peer.carrier else {
            return
        }
        switch effect {
        case .transmit(let datagram):
            transmit(datagram, over: carrier, now: now)
        case .run(let work):
            run(work, for: .initiation(slot, index: machine.index, work))
        case .drop(let reason):
            drop(reason)
        case .refused(let failure):
            drop(.handshakeRefused)
            emit(.handshakeRefused(HandshakeID(machine.index), role: .initiator, failure, carrier))
        case .judge(let descriptor):
            judge(descriptor, slot: slot, now: now)
        case .restart:
            indices[machine.index] = nil
            let index = freshIndex(for: .initiation(slot))
            advanceInitiation(slot, now: now) { $0.begin(token: nil, index: index, now: now) }
        case .established(let opened, let responder, let index):
            // Of an identity that was not known when the call began, no change of trust since was told to this entry.
            if peer.identity == nil, let refusal = trust.judge(responder: responder, expected: nil) {
                drop(.untrusted)
                emit(
                    .identityRefused(
                        HandshakeID(index), responder.peerID, refusal, carrier, expected: nil, peerName: peer.name))
                return giveUp(slot, now: now)
            }
            installInitiated(opened, responder: responder, index: index, slot: slot, machine: machine, now: now)
        }
    }

    /// A responder that was not known showed its descriptor (§2: outbound first contact).
    private mutating func judge(_ descriptor: Descriptor, slot: PeerSlot, now: Instant) {
        guard let peer = peers[slot], let machine = peer.initiation, let carrier = peer.carrier else { return }
        let id = descriptor.keys.peerID
        let claimant = claimant(of: id, but: slot)
        var refusal = trust.judge(responder: descriptor.keys, expected: peer.identity)
        if refusal == nil, let claimant {
            if peer.configuration.isBootstrap { return yield(slot, to: claimant, at: carrier, now: now) }
            // One that came by itself may be at two addresses: it gives way to this call where that shows it to be the same one.
            if peers[claimant]?.isConfigured == true { refusal = .identityChanged }
        }
        if let refusal {
            drop(.untrusted)
            emit(
                .identityRefused(
                    HandshakeID(machine.index), id, refusal, carrier, expected: peer.identity, peerName: peer.name))
            return giveUp(slot, now: now)
        }
        emit(.identityShown(HandshakeID(machine.index), slot: slot, descriptor))
        // A guest keeps its inviter when it was let in, not when it was answered: that is its caller's.
        if trust.keys(of: id) == nil, peer.configuration.presharedKey?.isInvitation != true {
            peers[slot]?.pendingPin = PinnedPeer(keys: descriptor.keys, name: peer.name, origin: .firstUse)
        }
        let acceptsPartial = trust.acceptsPartial(id)
        advanceInitiation(slot, now: now) { $0.believe(descriptor.keys, acceptsPartial: acceptsPartial, now: now) }
    }

    /// Another entry that has this identity, or is about to.
    private func claimant(of id: PeerID, but slot: PeerSlot) -> PeerSlot? {
        if let bound = slotsByIdentity[id] { return bound == slot ? nil : bound }
        return peers.slot { $0.slot != slot && $0.isDirect && $0.initiation?.responder?.peerID == id }
    }

    /// Behind a bootstrap entry sits a peer that this node knows as another entry: that one has the rights, and is called.
    private mutating func yield(_ slot: PeerSlot, to claimant: PeerSlot, at carrier: Carrier, now: Instant) {
        abandonInitiation(slot)
        peers[slot]?.failures = 0
        guard let peer = peers[claimant] else { return }
        let isIdle = peer.ring.isEmpty && peer.initiation == nil
        // Where it is called when what it has now is over.
        if peer.configuration.endpoint == nil, peer.isConfigured || isIdle, case .udp(let endpoint) = carrier {
            peers[claimant]?.configuration.endpoint = endpoint
            if isIdle { peers[claimant]?.carrier = carrier }
        }
        if isIdle { initiate(claimant, now: now) }
    }

    /// Ends the attempt; the next one comes after a pause that doubles up to two minutes.
    private mutating func giveUp(_ slot: PeerSlot, now: Instant) {
        guard var peer = peers[slot], let machine = peer.initiation else { return }
        indices[machine.index] = nil
        peer.initiation = nil
        peer.calling = nil
        peer.failures += 1
        peer.pendingPin = nil
        let doublings = min(peer.failures - 1, 5)
        let pause = TimeSpan(
            nanoseconds: min(Limits.retryPause.nanoseconds << UInt64(doublings), Limits.retryPauseMaximum.nanoseconds))
        // One that only ever called us has no address of its own to try for ever.
        let willRetry = peer.configuration.endpoint != nil && peer.isConfigured
        // Where it was last is no better a place to call than where the operator says it is.
        if let endpoint = peer.configuration.endpoint, peer.isDown || peer.ring.current == nil {
            peer.carrier = .udp(endpoint)
        }
        if willRetry { peer.retry = now + pause }
        peers[slot] = peer
        emit(
            .handshakeTimedOut(
                HandshakeID(machine.index), slot: slot, peerName: peer.name, retryIn: willRetry ? pause : nil))
        if peer.isDown, let dead = peer.ring.current { retire(dead, of: slot, .silent) }
        forgetFirstContact(slot)
        forgetIfIdle(slot)
    }

    /// Ends the attempt because the other side's handshake serves.
    mutating func abandonInitiation(_ slot: PeerSlot) {
        guard let machine = peers[slot]?.initiation else { return }
        indices[machine.index] = nil
        peers[slot]?.initiation = nil
        peers[slot]?.calling = nil
    }

    /// §6, simultaneous open: the smaller peer_id stays initiator for 2 s, the larger answers.
    func mayAnswer(_ slot: PeerSlot?, id: PeerID, now: Instant) -> Bool {
        guard let slot, let machine = peers[slot]?.initiation, ownID < id else { return true }
        return now.since(machine.started) >= Limits.simultaneousOpen
    }
}
