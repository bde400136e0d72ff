// SPDX-License-Identifier: Apache-2.0
// What time alone brings about: keepalives, renewal, expiry, and noticing that a peer has fallen silent (§7).
internal import VPNCrypto

extension NodeStateMachine {
    /// Once a second: looks at every session.
    mutating func maintainSessions(now: Instant) {
        // A peer is more than a kilobyte and thirty references: of ten thousand, each second, no copies are made here and below.
        for slot in peers.slots(where: { !$0.ring.isEmpty }) {
            guard let ring = peers[slot]?.ring, !ring.isEmpty else { continue }
            for previous in ring.previous where isDone(previous, now) { retire(previous, of: slot, .replaced) }
            if let next = ring.next, now.since(next.installed) >= Limits.handshakeGiveUp {
                retire(next, of: slot, .unconfirmed)
                forgetFirstContact(slot)
                callAgain(slot, now: now)
            }
            if let current = ring.current {
                if now >= current.expires {
                    retire(current, of: slot, .expired)
                    callAgain(slot, now: now)
                } else if peers[slot]?.isGuest == true, isIdle(current, now) {
                    retire(current, of: slot, .silent)
                } else {
                    maintain(current, slot: slot, now: now)
                    if peers[slot]?.cover == nil { coverTraffic(slot, now: now) }
                }
            }
            forgetIfIdle(slot)
        }
    }

    /// A replaced session goes when nothing has come on it for the grace time: an end that takes another session for the newest
    /// loses nothing by that.
    private func isDone(_ held: HeldSession, _ now: Instant) -> Bool {
        now >= held.expires || now.since(held.quietSince) >= Limits.previousSessionGrace
    }

    private mutating func maintain(_ held: HeldSession, slot: PeerSlot, now: Instant) {
        // An attempt that was given up is repeated after its pause, not at once.
        if now >= held.renew || isWorn(held), peers[slot]?.retry == nil { initiate(slot, now: now) }
        maintainPhase(held, slot: slot, now: now)
        noticeSilence(held, slot: slot, now: now)
        if held.summary.role == .initiator, peers[slot]?.hasLeased == false,
            peers[slot]?.configuration.presharedKey?.isInvitation == true
        {
            askForConfiguration(held, slot: slot, now: now)
        }
        let lastSent = held.session.lastSent ?? held.installed
        let lastPayload = held.session.lastPayloadReceived ?? .origin
        let interval = keepaliveInterval(
            seconds: peers[slot]?.configuration.keepaliveSeconds ?? 0, jitter: peers[slot]?.keepaliveJitter ?? 0)
        if held.summary.role == .initiator, held.session.lastReceived == nil {
            // The responder may not send before it has heard us: say so until it has.
            sendKeepalive(slot, now: now)
        } else if interval > .zero, now.since(lastSent) >= interval {
            sendKeepalive(slot, now: now)
        } else if lastPayload > lastSent, now.since(lastSent) >= Limits.passiveKeepalive {
            // §7: traffic that comes one way only is answered now and then, so that the sender knows it arrives. Traffic: were
            // keepalives to count, two idle peers would answer each other for ever.
            sendKeepalive(slot, now: now)
        }
    }

    /// §7: a new S1/S2 by bytes and packets of both directions, too; and where the ratchet does not go on. As with age, the
    /// initiator is the first.
    private func isWorn(_ held: HeldSession) -> Bool {
        let counts = held.session.statistics
        func passes(_ count: UInt64, _ limit: UInt64) -> Bool {
            count >= (held.summary.role == .initiator ? limit : limit + limit / 10)
        }
        return passes(counts.bytesIn + counts.bytesOut, parameters.rekeyBytes)
            || passes(counts.packetsIn + counts.packetsOut, parameters.rekeyPackets)
            || passes(Limits.framesPerPhase - counts.framesLeft, Limits.framesBeforeRenewal)
    }

    /// Makes a new session with a peer now, as somebody asked for; false if there is none to renew.
    @discardableResult
    public mutating func renew(_ slot: PeerSlot, now: Instant) -> Bool {
        guard peers[slot]?.ring.current != nil else { return false }
        initiate(slot, now: now)
        return true
    }

    /// §7: jittered, and never more than the operator said: a NAT on the way may hold no longer.
    private func keepaliveInterval(seconds: UInt16, jitter: UInt8) -> TimeSpan {
        TimeSpan(nanoseconds: UInt64(seconds) * (1_000_000_000 - UInt64(jitter) * 200_000_000 / 255))
    }

    /// Something that asks for an answer had none: asks every 5 s, and takes the path for down when three questions were missed.
    /// The other end may have lost the session, or the way there may be gone.
    private mutating func noticeSilence(_ held: HeldSession, slot: PeerSlot, now: Instant) {
        let received = held.session.lastReceived ?? .origin
        let payload = held.session.lastPayloadSent ?? .origin
        let asked = max(payload, peers[slot]?.keepaliveSent ?? .origin)
        guard asked >= received, asked >= held.installed else { return heard(slot) }
        let unanswered = peers[slot]?.unansweredSince
        guard let since = unanswered, since > received else {
            if unanswered != nil { heard(slot) }
            peers[slot]?.unansweredSince = now
            return
        }
        let missed = Int(now.since(since).nanoseconds / Limits.keepaliveTimeout.nanoseconds)
        guard let peer = peers[slot], missed > peer.missedKeepalives else { return }
        peers[slot]?.missedKeepalives = missed
        sendKeepalive(slot, now: now)
        guard missed >= Limits.missedKeepalives else { return }
        // Nothing is called anew inside a circuit: whoever built it builds another one.
        guard peer.isDirect else { return retire(held, of: slot, .silent) }
        // It may have restarted, and tokens died with its secrets.
        peers[slot]?.token = nil
        if !peer.isDown {
            peers[slot]?.isDown = true
            emit(.peerSilent(slot: slot, peerName: peer.name, missed: missed))
        }
        if peer.retry == nil { initiate(slot, now: now) }
    }

    private mutating func heard(_ slot: PeerSlot) {
        if peers[slot]?.unansweredSince != nil { peers[slot]?.unansweredSince = nil }
        if peers[slot]?.missedKeepalives != 0 { peers[slot]?.missedKeepalives = 0 }
        guard peers[slot]?.isDown == true, let name = peers[slot]?.name else { return }
        peers[slot]?.isDown = false
        emit(.peerBack(slot: slot, peerName: name))
    }

    /// A request on the current session, or on one that the other end has to be shown.
    mutating func sendKeepalive(_ slot: PeerSlot, on other: HeldSession? = nil, now: Instant) {
        guard let peer = peers[slot], let held = other ?? peer.ring.current else { return }
        let (timestamp, uptime) = times(peer, held, now)
        let message = KeepaliveMessage(
            kind: .request, sessionID: held.session.id.hex, timestamp: timestamp, peerID: localID(peer).hex,
            uptime: uptime)
        guard say(.keepalive, message.encoded, by: held.session, to: slot, now: now) else { return }
        peers[slot]?.keepaliveSent = now
        peers[slot]?.keepaliveJitter = cryptography.randomBytes(1)[0]
        peers[slot]?.keepaliveTimestamp = message.timestamp
    }

    /// The same with the request's timestamp (§7); never answered itself.
    mutating func answer(_ request: KeepaliveMessage, _ held: HeldSession, slot: PeerSlot, now: Instant) {
        guard let peer = peers[slot] else { return }
        let message = KeepaliveMessage(
            kind: .answer, sessionID: held.session.id.hex, timestamp: request.timestamp, peerID: localID(peer).hex,
            uptime: times(peer, held, now).uptime)
        say(.keepalive, message.encoded, by: held.session, to: slot, now: now)
    }

    /// §7: where one end is anonymous, both times count from the session's start and tell nothing of whoever is behind it.
    private func times(_ peer: Peer, _ held: HeldSession, _ now: Instant) -> (timestamp: UInt64, uptime: UInt64) {
        if peer.isDirect { return (unixSeconds(now), uptime(now)) }
        let age = now.since(held.session.establishedAt).nanoseconds / 1_000_000_000
        return (age, age)
    }

    /// §8: a circuit on which nothing came for 90 s has ended.
    private func isIdle(_ held: HeldSession, _ now: Instant) -> Bool {
        now.since(held.session.lastReceived ?? held.installed) >= Limits.circuitIdle
    }

    private func uptime(_ now: Instant) -> UInt64 { now.since(started).nanoseconds / 1_000_000_000 }

    // MARK: - The wall clock

    func unixSeconds(_ now: Instant) -> UInt64 { clock.unix(now) }

    /// What the wall clock says, now and then: this machine has none, and counts on from the last word. For keepalives'
    /// timestamps, for what descriptors say that they are good for, and for guards; nothing else looks at it.
    public mutating func setClock(unixSeconds: UInt64, now: Instant) {
        guard let step = clock.set(unix: unixSeconds, now: now) else { return }
        let before = guards
        guards.clockStepped(by: step)
        if guards != before { emit(.guardsChanged(guards)) }
        // What it says of descriptors may be another thing now.
        directoryTraffic.nextExpiry = now
    }
}
