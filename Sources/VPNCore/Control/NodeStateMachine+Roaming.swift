// SPDX-License-Identifier: Apache-2.0
// Peers that change their address (§7): a carrier is believed when the peer has answered there, never because a datagram came
// from it. What a move knows: PathMove.
internal import VPNCrypto

extension NodeStateMachine {
    /// An authentic datagram with the newest counter of its session came over another carrier than its peer is sent to.
    ///
    /// - Parameter bytes: of the datagrams that came so; no more go there before it is validated.
    public mutating func carrierChanged(_ session: Session, to carrier: Carrier, bytes: Int, now: Instant) {
        guard case .session(let slot)? = indices[session.localIndex], let peer = peers[slot],
            peer.ring.current?.session === session, let old = peer.carrier, !old.isHeard(as: carrier),
            now >= peer.keptUntil
        else { return }
        if peer.move != nil {
            // One at a time: whoever shows a new address with each datagram makes no more work than that. While a move is
            // under way or just done, further ones wait for the next report.
            if peer.move?.new == carrier { peers[slot]?.move?.credit(bytes) }
            return
        }
        // The questions go out with the next timeout, at once: what came may itself be a question, whose answer has to be paid
        // from the same bytes and goes first.
        let question = datagramSize(PathMessage.size, to: slot)
        peers[slot]?.move = PathMove(
            from: old, to: carrier, bytes: bytes, question: question, nonces: cryptography.randomBytes(16), now: now)
    }

    /// Asks again, or ends the waiting.
    mutating func advanceMove(_ slot: PeerSlot, now: Instant) {
        guard var move = peers[slot]?.move, now >= move.deadline else { return }
        guard let session = peers[slot]?.ring.current?.session, let questions = move.advance(now: now) else {
            peers[slot]?.move = nil
            return
        }
        peers[slot]?.move = move
        for (message, carrier) in questions {
            guard let datagram = seal(.pathChallenge, message.encoded, by: session, to: slot, now: now) else {
                return
            }
            transmit(datagram, over: carrier, now: now)
        }
    }

    /// The other end wants to know whether we are where it heard us: the answer goes there, and is as long as the question.
    mutating func answer(challenge payload: [UInt8], _ held: HeldSession, on carrier: Carrier, now: Instant) {
        let slot = held.summary.slot
        if let message = PatchMessage(payload) {
            return receive(patch: message, size: payload.count, held, on: carrier, now: now)
        }
        guard let message = PathMessage(payload) else { return drop(.pathMalformed) }
        guard mayAnswerPath(slot, now: now) else { return drop(.pathRate) }
        if peers[slot]?.move?.new == carrier { peers[slot]?.move?.payAnswer() }
        guard let datagram = seal(.pathResponse, message.encoded, by: held.session, to: slot, now: now) else {
            return
        }
        transmit(datagram, over: carrier, now: now)
    }

    /// Whether one more challenge is answered in this second.
    mutating func mayAnswerPath(_ slot: PeerSlot, now: Instant) -> Bool {
        let second = now.nanoseconds / 1_000_000_000
        var answers: (second: UInt64, count: Int) = peers[slot]?.pathAnswers ?? (second, 0)
        if answers.second != second { answers = (second, 0) }
        guard answers.count < Limits.pathAnswers else { return false }
        peers[slot]?.pathAnswers = (second, answers.count + 1)
        return true
    }

    mutating func receive(
        response payload: [UInt8], _ held: HeldSession, slot: PeerSlot, on carrier: Carrier, now: Instant
    ) {
        if let message = PatchMessage(payload) {
            return receive(answer: message, size: payload.count, held, on: carrier, now: now)
        }
        guard let message = PathMessage(payload) else { return drop(.pathMalformed) }
        guard var move = peers[slot]?.move else { return drop(.pathUnknown) }
        let wasDone = move.isDone
        switch move.answered(message, on: carrier) {
        case .unknown: drop(.pathUnknown)
        case .move:
            peers[slot]?.move = move
            send(slot, over: move.new, now: now)
            emit(.pathMoved(slot: slot, peerName: peers[slot]?.name ?? "", from: move.old, to: move.new))
        case .stay:
            peers[slot]?.move = nil
            peers[slot]?.keptUntil = now + Limits.pathHeld
            if wasDone { send(slot, over: move.old, now: now) }
            emit(.pathKept(slot: slot, peerName: peers[slot]?.name ?? "", move.old, instead: move.new))
        }
    }

    /// A peer that is answered from the address which routes would choose anyway is bound to none: where routes change, what is sent
    /// to it follows. Nothing where it is sent to over another carrier by now.
    public mutating func letRoutesChoose(_ slot: PeerSlot, over carrier: Carrier) {
        guard peers[slot]?.carrier == carrier, carrier != carrier.fromAnyAddress else { return }
        peers[slot]?.carrier = carrier.fromAnyAddress
        if peers[slot]?.path?.carrier == carrier { peers[slot]?.path?.carrier = carrier.fromAnyAddress }
        push(.dataPlane(.move(slot, carrier.fromAnyAddress)))
        moveFirstPatch(slot, to: carrier.fromAnyAddress)
    }

    /// Everything goes over another carrier from now on.
    mutating func send(_ slot: PeerSlot, over carrier: Carrier, now: Instant) {
        peers[slot]?.carrier = carrier
        push(.dataPlane(.move(slot, carrier)))
        moveFirstPatch(slot, to: carrier)
        guard let current = peers[slot]?.ring.current else { return }
        searchPath(slot, over: carrier, peerMTU: Int(current.summary.peerMTU), now: now)
    }
}
