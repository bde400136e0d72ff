// SPDX-License-Identifier: Apache-2.0
// Sessions: from a finished handshake into the key ring and the workers' tables, and out again (§6, §7).
internal import VPNCrypto

extension NodeStateMachine {
    // MARK: In

    /// The initiator's session: current at once, and proven to the responder by a keepalive.
    mutating func installInitiated(
        _ opened: OpenedS2, responder: IdentityPublicKeys, index: UInt32, slot: PeerSlot,
        machine: InitiatorStateMachine,
        now: Instant
    ) {
        guard var peer = peers[slot], let carrier = peer.calling ?? peer.carrier else { return }
        if peer.isHop, TimeSpan.seconds(Int(opened.payload.lifetime)) < Limits.hopLifetime {
            return refuseHop(slot, now: now)
        }
        let pin = peer.pendingPin
        peer.initiation = nil
        peer.pendingPin = nil
        peer.calling = nil
        peer.carrier = carrier
        peer.failures = 0
        peer.retry = nil
        if peer.isDirect { peer.token = opened.payload.usableToken }
        peer.unansweredSince = nil
        peer.missedKeepalives = 0
        peer.isDown = false
        peer.suspected = nil
        if peer.isDirect { peer.chain.replace(opened.usedKey, by: opened.secrets.nextKey, now: now) }
        peers[slot] = peer
        var passing: PeerSlot?
        if peer.isDirect {
            passing = slotsByIdentity[responder.peerID].flatMap {
                $0 != slot && peers[$0]?.isConfigured == false ? $0 : nil
            }
            bind(slot, to: responder.peerID)
        }
        let session = makeSession(
            opened.secrets, slot: slot, localIndex: index, remoteIndex: opened.senderIndex, role: .initiator,
            carrier: carrier, now: now)
        let summary = SessionSummary(
            handshake: HandshakeID(index), s1Bytes: UInt16(clamping: machine.bytesSent),
            s2Bytes: UInt16(clamping: machine.bytesReceived), peerMTU: opened.payload.mtu, sessionID: session.id,
            peer: responder.peerID, peerName: peer.name, slot: slot, role: .initiator, carrier: carrier,
            cipher: opened.secrets.cipher, duration: now.since(machine.started), isChained: opened.usedKey != nil,
            isDegraded: opened.grade == .degraded,
            speaksDirectory: Capabilities(rawValue: opened.payload.capabilities).contains(.directory))
        let lifetime = min(parameters.rekeyInterval, .seconds(Int(opened.payload.lifetime)))
        var held = hold(
            session, summary, lifetime: lifetime, leaves: opened.secrets.nextKey, mixed: opened.usedKey, now: now)
        held.pin = pin.flatMap { $0.peerID == responder.peerID ? $0 : nil }
        indices[index] = .session(slot)
        push(.dataPlane(.install(session)))
        if peer.ring.isCrossed(by: held, now: now), peer.ring.current?.confirmed != nil {
            // The other end may have forgotten it since it said S2: what is known to live is sent on until this one is heard.
            putBehind(held, slot: slot, now: now)
        } else {
            makeCurrent(held, slot: slot, carrier: carrier, now: now)
        }
        emit(.sessionEstablished(summary))
        sendKeepalive(slot, on: held, now: now)
        // Somebody who had called by himself, and from elsewhere: the same one, as this session shows.
        if let passing { remove(passing, now: now) }
    }

    /// The responder's session: receives at once, sends only after its first valid DATA. False where a `next` younger
    /// than 5 s must not be evicted (§6).
    mutating func installAnswered(
        _ composed: ComposedS2, slot: PeerSlot, id: PeerID, index: UInt32, opened: OpenedS1, key: InboundKey,
        s1Bytes: Int, s2Bytes: Int, duration: TimeSpan, now: Instant
    ) -> Bool {
        guard let peer = peers[slot] else { return false }
        if let next = peer.ring.next {
            guard now.since(next.installed) >= Limits.nextSessionProtected else { return false }
            retire(next, of: slot, .unconfirmed)
        }
        let secrets = composed.secrets
        // The larger id lets its own attempt go where it answers the other's.
        if id < ownID { abandonInitiation(slot) }
        let session = makeSession(
            secrets, slot: slot, localIndex: index, remoteIndex: opened.s1.senderIndex, role: .responder,
            carrier: key.carrier, now: now)
        let summary = SessionSummary(
            handshake: HandshakeID(key.senderIndex), s1Bytes: UInt16(clamping: s1Bytes),
            s2Bytes: UInt16(clamping: s2Bytes), peerMTU: opened.payload.mtu, sessionID: session.id, peer: id,
            peerName: peer.name, slot: slot, role: .responder, carrier: key.carrier, cipher: secrets.cipher,
            duration: duration, isChained: composed.usedKey != nil,
            isDegraded: composed.grade == .degraded,
            speaksDirectory: Capabilities(rawValue: opened.payload.capabilities).contains(.directory))
        var held = hold(
            session, summary, lifetime: lifetime(isGuest: peer.isGuest), leaves: secrets.nextKey,
            mixed: composed.usedKey,
            now: now)
        if peer.isDirect { held.chained = (composed.usedKey, secrets.nextKey) }
        peers[slot]?.ring.next = held
        indices[index] = .session(slot)
        push(.dataPlane(.install(session)))
        emit(.sessionEstablished(summary))
        return true
    }

    /// The identity behind a slot became known.
    mutating func bind(_ slot: PeerSlot, to id: PeerID) {
        peers[slot]?.identity = id
        slotsByIdentity[id] = slot
    }

    private mutating func makeSession(
        _ secrets: SessionSecrets, slot: PeerSlot, localIndex: UInt32, remoteIndex: UInt32, role: SessionRole,
        carrier: Carrier, now: Instant
    ) -> Session {
        if peers[slot]?.association == nil { peers[slot]?.association = secrets.sessionID }
        // §7: a random 31-bit start, so that a counter does not show a session's age.
        let start = UInt64(cryptography.randomBytes(4).u32(at: 0) >> 1)
        return Session(
            id: secrets.sessionID, localIndex: localIndex, remoteIndex: remoteIndex, peer: slot, role: role,
            cipher: secrets.cipher, sendKeys: secrets.ratchet(of: role), receiveKeys: secrets.ratchet(of: role.other),
            counterStart: start, isConfirmed: false, establishedAt: now, place: carrier.place)
    }

    /// How long a session lives that this node answers.
    func lifetime(isGuest: Bool) -> TimeSpan {
        isGuest ? max(parameters.rekeyInterval, Limits.guestLifetime) : parameters.rekeyInterval
    }

    private mutating func hold(
        _ session: Session, _ summary: SessionSummary, lifetime: TimeSpan, leaves next: PresharedKey,
        mixed: PresharedKey?, now: Instant
    ) -> HeldSession {
        let lifetime = summary.isDegraded ? min(lifetime, Limits.degradedLifetime) : lifetime
        return HeldSession(
            session: session, summary: summary, installed: now, renew: renewal(summary, now: now),
            expires: now + lifetime, leaves: next.name, mixed: mixed?.name ?? 0)
    }

    /// §7: the threshold ± 10 %. The initiator is the first to renew; the responder steps in a tenth later.
    private mutating func renewal(_ summary: SessionSummary, now: Instant) -> Instant {
        let threshold =
            summary.isDegraded ? min(parameters.rekeyThreshold, Limits.degradedRenewal) : parameters.rekeyThreshold
        let tenth = TimeSpan(nanoseconds: threshold.nanoseconds / 10)
        let random = cryptography.randomBytes(8).u64(at: 0)
        if summary.role == .initiator {
            return renewals.plan(from: now + tenth * 9, to: now + tenth * 11, random: random, now: now)
        }
        return now + tenth * 11 + TimeSpan(nanoseconds: random % (tenth.nanoseconds * 2 + 1))
    }

    private mutating func cancelRenewal(_ held: HeldSession) {
        if held.summary.role == .initiator { renewals.cancel(held.renew) }
    }

    // MARK: Reports of the packet workers

    /// The first valid DATA of a session: a responder's `next` becomes current, and a pending pin is written.
    public mutating func firstDataReceived(_ session: Session, now: Instant) {
        guard case .session(let slot)? = indices[session.localIndex], let peer = peers[slot] else { return }
        if let claim = peer.ring.next?.claim, peer.ring.next?.session === session { return push(.redeem(claim)) }
        let pin = peers[slot]?.ring.takePin(of: session)
        if var held = peer.ring.next, held.session === session {
            peers[slot]?.ring.next = nil
            if let (used, next) = held.chained { peers[slot]?.chain.replace(used, by: next, now: now) }
            held.chained = nil
            held.pin = nil
            held.confirmed = now
            if peer.ring.keepsCurrent(over: held, ownID: ownID, now: now) {
                putBehind(held, slot: slot, now: now)
            } else {
                // §6: a call of one's own that found nobody for a while is answered by this.
                if peer.ring.current == nil, peer.initiation?.isAlone == true { abandonInitiation(slot) }
                peers[slot]?.carrier = held.summary.carrier
                peers[slot]?.failures = 0
                peers[slot]?.retry = nil
                peers[slot]?.isDown = false
                peers[slot]?.suspected = nil
                makeCurrent(held, slot: slot, carrier: held.summary.carrier, now: now)
            }
            confirmed(held.summary)
            if peer.isGuest, peer.ring.current == nil { emit(.guestArrived(slot: slot, held.summary)) }
        } else if let current = peer.ring.current, current.session === session {
            peers[slot]?.ring.current?.confirmed = now
            confirmed(current.summary)
        } else if let place = peer.ring.previous.firstIndex(where: { $0.session === session }) {
            confirmedBehind(place, slot: slot, now: now)
        }
        // §2: a pin is written only now, when the other end has shown that it holds the session's keys.
        if let pin, trust.pin(pin) {
            push(.remember(pin))
            emit(.identityPinned(pin))
        }
    }

    /// A session of this end's making that gave way to one that was heard before it: it takes its place back where both ends agree
    /// that it should.
    private mutating func confirmedBehind(_ place: Int, slot: PeerSlot, now: Instant) {
        guard let ring = peers[slot]?.ring else { return }
        var held = ring.previous[place]
        held.confirmed = now
        if ring.isCrossed(by: held, now: now), !ring.keepsCurrent(over: held, ownID: ownID, now: now) {
            held.replaced = nil
            if held.summary.role == .initiator { renewals.restore(held.renew) }
            peers[slot]?.ring.previous.remove(at: place)
            peers[slot]?.carrier = held.summary.carrier
            makeCurrent(held, slot: slot, carrier: held.summary.carrier, now: now)
        } else {
            peers[slot]?.ring.previous[place] = held
        }
        confirmed(held.summary)
    }

    private mutating func confirmed(_ summary: SessionSummary) {
        emit(.sessionConfirmed(summary))
        guard summary.isDegraded else { return }
        degradedSessions += 1
        emit(.sessionDegraded(summary))
    }

    /// A control frame of an open session (§7).
    ///
    /// - Parameter carrier: how it came.
    public mutating func controlFrame(
        _ session: Session, _ type: FrameType, _ payload: [UInt8], on carrier: Carrier, now: Instant
    ) {
        guard case .session(let slot)? = indices[session.localIndex], let peer = peers[slot],
            let held = peer.ring.held(session.localIndex)
        else { return }
        // Whoever waits for its invitation to be looked at says the same again.
        guard held.claim == nil || type == .close else { return }
        switch type {
        case .configRequest where payload == ExitLeaseMessage.request: answerLeaseRequest(held, slot: slot, now: now)
        case .configRequest: answer(configurationRequest: payload, held, slot: slot, now: now)
        case .config where payload.first == ExitLeaseMessage.kind: receive(lease: payload, held, slot: slot, now: now)
        case .config: receive(configuration: payload, held, slot: slot, now: now)
        case .keepalive:
            guard let message = KeepaliveMessage(payload), message.sessionID == session.id.hex,
                message.peerID == held.summary.peer.hex
            else { return drop(.keepaliveMalformed) }
            switch message.kind {
            case .request: answer(message, held, slot: slot, now: now)
            case .answer:
                guard let sent = peer.keepaliveSent, message.timestamp == peer.keepaliveTimestamp else { return }
                peers[slot]?.roundTrip = now.since(sent)
                emit(.keepaliveAnswered(slot: slot, roundTrip: now.since(sent)))
            }
        case .pathChallenge: answer(challenge: payload, held, on: carrier, now: now)
        case .pathResponse: receive(response: payload, held, slot: slot, on: carrier, now: now)
        case .probe where ViewMessage.isOne(payload): answer(view: payload, held, slot: slot, on: carrier, now: now)
        case .probeReport where ViewMessage.isOne(payload): receive(view: payload, slot: slot, now: now)
        case .probe: answer(probe: payload, held, slot: slot, now: now)
        case .probeReport: receive(probeReport: payload, slot: slot, now: now)
        case .extend: receive(extend: payload, held, slot: slot, now: now)
        case .extended: receive(extended: payload, slot: slot, now: now)
        case .end: receive(end: payload, slot: slot, now: now)
        case .directory: receive(directory: payload, held, slot: slot, now: now)
        case .close:
            // It may be about to start anew, and tokens die with the secrets of their run: a call with one would go
            // unanswered for 20 s.
            peers[slot]?.token = nil
            retire(held, of: slot, .closedByPeer)
            callAgain(slot, now: now)
            forgetIfIdle(slot)
        default:
            sessionViolated(session, now: now)
        }
    }

    /// The peer broke the protocol inside its own authenticated session: that ends the session, and nothing else.
    public mutating func sessionViolated(_ session: Session, now: Instant) {
        guard case .session(let slot)? = indices[session.localIndex],
            let held = peers[slot]?.ring.held(session.localIndex)
        else { return }
        retire(held, of: slot, .protocolViolation)
        callAgain(slot, now: now)
        forgetIfIdle(slot)
    }

    // MARK: Changes of the ring

    mutating func makeCurrent(_ held: HeldSession, slot: PeerSlot, carrier: Carrier, now: Instant) {
        if let replaced = peers[slot]?.ring.current { putBehind(replaced, slot: slot, now: now) }
        peers[slot]?.ring.current = held
        // The handshake has proven its carrier; what was under way with the session before is settled by that.
        peers[slot]?.move = nil
        push(.dataPlane(.activate(held.session, carrier)))
        touch(slot)
        searchPath(slot, over: carrier, peerMTU: Int(held.summary.peerMTU), now: now)
        beginQuilt(slot, now: now)
    }

    /// A session that is not sent on any more receives a grace time longer, for what is under way.
    private mutating func putBehind(_ held: HeldSession, slot: PeerSlot, now: Instant) {
        // Never one that the other end still sends on, however old it is.
        if let previous = peers[slot]?.ring.previous, previous.count == Limits.previousSessions,
            let quietest = previous.min(by: { $0.quietSince < $1.quietSince })
        {
            retire(quietest, of: slot, .replaced)
        }
        cancelRenewal(held)
        var held = held
        held.replaced = now
        peers[slot]?.ring.previous.append(held)
    }

    mutating func retire(_ held: HeldSession, of slot: PeerSlot, _ end: SessionEnd) {
        let index = held.session.localIndex
        guard var ring = peers[slot]?.ring else { return }
        ring.previous.removeAll { $0.session.localIndex == index }
        if ring.current?.session.localIndex == index {
            cancelRenewal(held)
            ring.current = nil
            touch(slot)
        }
        if ring.next?.session.localIndex == index { ring.next = nil }
        peers[slot]?.ring = ring
        endQuilt(of: index, slot: slot)
        indices[index] = nil
        push(.dataPlane(.retire(index)))
        emit(.sessionEnded(held.summary, end))
    }

    /// A peer with an address is called again after a pause, as at the start: one that cannot call us would otherwise stay
    /// cut off until we have something to say.
    mutating func callAgain(_ slot: PeerSlot, now: Instant) {
        guard let peer = peers[slot], peer.isConfigured, peer.configuration.endpoint != nil, peer.initiation == nil,
            peer.ring.current == nil, peer.retry == nil
        else { return }
        peers[slot]?.retry = now + Limits.retryPause
    }

    /// A first contact that never showed its keys again leaves no claim on the entry that it was met as.
    mutating func forgetFirstContact(_ slot: PeerSlot) {
        guard let peer = peers[slot], peer.isConfigured, peer.configuration.peerID == nil, peer.ring.isEmpty,
            peer.initiation == nil, let identity = peer.identity, trust.keys(of: identity) == nil
        else { return }
        peers[slot]?.identity = nil
        if slotsByIdentity[identity] == slot { slotsByIdentity[identity] = nil }
    }

    /// A peer that nobody configured leaves with its last session.
    mutating func forgetIfIdle(_ slot: PeerSlot) {
        // A hop goes with its path.
        guard peers[slot]?.isConfigured == false, let peer = peers[slot], !peer.isHop, peer.ring.isEmpty,
            peer.initiation == nil
        else { return }
        // An answer under way would bind its caller to a slot that is nobody's.
        forgetAnswers(for: slot)
        erase(slot)
    }

    /// Tells every peer that this node leaves, and forgets all keys.
    public mutating func close(now: Instant) {
        closeCircuits(now: now)
        for slot in peers.keys.sorted() { sayGoodbye(to: slot, .closedHere, now: now) }
    }

    /// Ends whatever there is with a peer, and tells it so.
    mutating func sayGoodbye(to slot: PeerSlot, _ end: SessionEnd, now: Instant) {
        abandonInitiation(slot)
        peers[slot]?.retry = nil
        guard let ring = peers[slot]?.ring else { return }
        if let current = ring.current { say(.close, [], by: current.session, to: slot, now: now) }
        for held in ring.all { retire(held, of: slot, end) }
    }
}
