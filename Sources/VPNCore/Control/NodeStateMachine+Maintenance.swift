// SPDX-License-Identifier: Apache-2.0
// What time alone brings about: keepalives, renewal, expiry, and noticing that a peer has fallen silent (§7).
internal import VPNCrypto

extension NodeStateMachine {
    /// Once a second: looks at every session.
    mutating func maintainSessions(now: Instant) {
        for slot in peers.keys.sorted() {
            guard let ring = peers[slot]?.ring, !ring.isEmpty else { continue }
            if let previous = ring.previous, now >= previous.expires { retire(previous, of: slot, .replaced) }
            if let next = ring.next, now.since(next.installed) >= Limits.handshakeGiveUp {
                retire(next, of: slot, .unconfirmed)
                forgetFirstContact(slot)
            }
            if let current = ring.current {
                if now >= current.expires {
                    retire(current, of: slot, .expired)
                    callAgain(slot, now: now)
                } else {
                    maintain(current, slot: slot, now: now)
                }
            }
            forgetIfIdle(slot)
        }
    }

    private mutating func maintain(_ held: HeldSession, slot: PeerSlot, now: Instant) {
        guard let peer = peers[slot] else { return }
        // §7: a new S1/S2 from the threshold on, by age or by frames.
        let isWorn = held.session.statistics.framesLeft < Limits.framesPerPhase - Limits.framesBeforeRenewal
        if now >= held.renew || isWorn {
            initiate(slot, now: now)
        }
        noticeSilence(held, slot: slot, now: now)
        let lastSent = held.session.lastSent ?? held.installed
        let lastReceived = held.session.lastReceived ?? held.installed
        let interval = peer.configuration.keepaliveSeconds
        if held.summary.role == .initiator, held.session.lastReceived == nil {
            // The responder may not send before it has heard us: say so until it has.
            sendKeepalive(slot, now: now)
        } else if interval > 0, now.since(lastSent) >= .seconds(Int(interval)) {
            sendKeepalive(slot, now: now)
        } else if lastReceived > lastSent, now.since(lastReceived) < Limits.passiveKeepalive * 2,
            now.since(lastSent) >= Limits.passiveKeepalive
        {
            // §7: traffic that comes one way only is answered now and then, so that the sender knows it arrives.
            sendKeepalive(slot, now: now)
        }
    }

    /// Something that asks for an answer has had none for 15 s: the other end may have lost the session.
    private mutating func noticeSilence(_ held: HeldSession, slot: PeerSlot, now: Instant) {
        guard let peer = peers[slot] else { return }
        let received = held.session.lastReceived ?? .origin
        let payload = held.session.lastPayloadSent ?? .origin
        let asked = max(payload, peer.keepaliveSent ?? .origin)
        guard asked >= received, asked >= held.installed else {
            peers[slot]?.unansweredSince = nil
            return
        }
        guard let since = peer.unansweredSince, since > received else {
            peers[slot]?.unansweredSince = now
            return
        }
        guard now.since(since) >= Limits.silence else { return }
        peers[slot]?.unansweredSince = now
        guard peer.initiation == nil, peer.retry == nil else { return }
        emit(.peerSilent(slot: slot, peerName: peer.name))
        // It may have restarted, and tokens died with its secrets.
        peers[slot]?.token = nil
        initiate(slot, now: now)
    }

    /// A request on the current session.
    mutating func sendKeepalive(_ slot: PeerSlot, now: Instant) {
        guard let peer = peers[slot], let held = peer.ring.current, let carrier = peer.carrier else { return }
        let message = KeepaliveMessage(
            kind: .request, sessionID: held.session.id.hex, timestamp: unixSeconds(now), peerID: ownID.hex,
            uptime: uptime(now))
        guard let datagram = held.session.sealFrame(type: .keepalive, payload: message.encoded, now: now) else {
            return
        }
        peers[slot]?.keepaliveSent = now
        peers[slot]?.keepaliveTimestamp = message.timestamp
        push(.transmit(datagram, carrier))
    }

    /// The same with the request's timestamp (§7); never answered itself.
    mutating func answer(_ request: KeepaliveMessage, _ held: HeldSession, slot: PeerSlot, now: Instant) {
        guard let carrier = peers[slot]?.carrier else { return }
        let message = KeepaliveMessage(
            kind: .answer, sessionID: held.session.id.hex, timestamp: request.timestamp, peerID: ownID.hex,
            uptime: uptime(now))
        guard let datagram = held.session.sealFrame(type: .keepalive, payload: message.encoded, now: now) else {
            return
        }
        push(.transmit(datagram, carrier))
    }

    private func uptime(_ now: Instant) -> UInt64 { now.since(started).nanoseconds / 1_000_000_000 }

    private func unixSeconds(_ now: Instant) -> UInt64 { parameters.unixSeconds + uptime(now) }
}
