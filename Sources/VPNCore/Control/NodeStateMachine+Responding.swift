// SPDX-License-Identifier: Apache-2.0
// The responder's side: S0 → RETRY, INFO, and S1 through the order of checks of §5, each cheaper than the next.
internal import DequeModule
internal import VPNCrypto

extension NodeStateMachine {
    // MARK: Before any state

    mutating func receive(s0 datagram: [UInt8], on carrier: Carrier, now: Instant) {
        guard let s0 = S0Message(datagram) else { return drop(.s0Malformed) }
        let knowsUs = S0Message.isAuthentic(datagram, macKey: ownMAC1Key)
        guard knowsUs || (!parameters.isStealthy && S0Message.isAuthentic(datagram, macKey: .unknownResponder)) else {
            return drop(.mac1)
        }
        cookies.rotate(cryptography: cryptography, now: now)
        let random = cryptography.randomBytes(24)
        let cookie = cookies.makeCookie(
            for: proven(carrier), senderIndex: s0.senderIndex, difficulty: difficulty, nonce: Array(random[0..<8]),
            now: now)
        let retry = RetryMessage.encoded(
            offers: parameters.offers, cookie: cookie, salt: Array(random[8..<24]), answering: datagram,
            senderIndex: s0.senderIndex, sealingID: (knowsUs ? ownID : PeerID.zero).bytes)
        transmit(retry, over: carrier, now: now)
    }

    /// §4: under load an initiator pays first. Half of the allowed work in flight is load; half a line that waits for it is
    /// an attack.
    private var difficulty: UInt8 {
        if inbound.waitingCount * 2 > waitingCapacity { return Limits.puzzleDifficultyUnderAttack }
        return jobsForOthers * 2 > parameters.maximumJobs ? Limits.puzzleDifficultyUnderLoad : 0
    }

    /// §5: what a cookie must have cost to be worth a look; 0 while the line has room.
    public var handshakePrice: UInt8 { inbound.waitingCount >= waitingCapacity ? difficulty : 0 }

    /// How many complete S1 messages may wait for room.
    private var waitingCapacity: Int { min(parameters.maximumJobs, Limits.handshakesWaiting) }

    mutating func receive(infoRequest datagram: [UInt8], on carrier: Carrier, now: Instant) {
        guard let request = InfoRequest(datagram) else { return drop(.infoMalformed) }
        guard !parameters.descriptor.isEmpty,
            InfoRequest.isAuthentic(datagram, macKey: ownMAC1Key)
                || (!parameters.isStealthy && InfoRequest.isAuthentic(datagram, macKey: .unknownResponder))
        else { return drop(.mac1) }
        cookies.rotate(cryptography: cryptography, now: now)
        let verdict = cookies.check(
            request.cookie, from: proven(carrier), senderIndex: request.senderIndex, message: 0, now: now)
        guard case .valid = verdict, request.cookie[0] & 0x80 == 0 else { return drop(.cookie) }
        guard let answer = InfoResponse.encoded(parameters.descriptor, hash: descriptorHash, answering: request) else {
            return drop(.infoMalformed)
        }
        transmit(answer, over: carrier, now: now)
    }

    // MARK: S1

    mutating func receive(s1 datagram: [UInt8], on carrier: Carrier, now: Instant) {
        guard let fragment = S1Fragment(datagram) else { return drop(.s1Malformed) }
        if isUnpaid(fragment, from: carrier) { return drop(.unpaid) }
        // §5, in this order: cookie, puzzle, mac1, reassembly, rate, public-key work.
        cookies.rotate(cryptography: cryptography, now: now)
        let verdict = cookies.check(
            fragment.cookie, from: proven(carrier), senderIndex: fragment.senderIndex, message: fragment.messageHash,
            now: now)
        guard case .valid(let issued, let difficulty) = verdict else {
            return drop(verdict == .expired ? .cookieExpired : verdict == .spent ? .tokenSpent : .cookie)
        }
        guard
            Puzzle.verifies(
                fragment.puzzleSolution, cookie: fragment.cookie, senderIndex: fragment.senderIndex,
                difficulty: difficulty)
        else { return drop(.puzzle) }
        guard S1Fragment.isAuthentic(datagram, macKey: ownMAC1Key) else { return drop(.mac1) }
        switch inbound.add(fragment, size: datagram.count, issued: issued, from: carrier, now: now) {
        case .incomplete: break
        case .duplicate: drop(.fragmentDuplicate)
        case .inconsistent, .corrupt: drop(.fragmentInconsistent)
        case .answer(let reply): transmit(reply, over: carrier, now: now)
        case .complete(let message):
            let key = InboundKey(
                carrier: carrier, senderIndex: fragment.senderIndex, message: fragment.messageHash)
            admit(message, fragment: fragment, key: key, now: now)
        }
    }

    /// §5: where the line is full, whoever paid less than is asked now would be the last of it. Hoarded cookies are not even
    /// looked at; who lies about what a cookie cost has a MAC that fails.
    private func isUnpaid(_ fragment: S1Fragment, from carrier: Carrier) -> Bool {
        guard fragment.cookie[0] & 0x80 == 0, fragment.cookie[1] < handshakePrice else { return false }
        return inbound[
            InboundKey(carrier: carrier, senderIndex: fragment.senderIndex, message: fragment.messageHash)] == nil
    }

    private mutating func admit(_ message: [UInt8], fragment: S1Fragment, key: InboundKey, now: Instant) {
        guard rate.admit(key.carrier, now: now) else {
            inbound.setStage(.ignored, of: key, until: now + Limits.reassemblyLifetime)
            return drop(.handshakeRate)
        }
        cookies.spend(fragment.cookie, for: key.message)
        // A token is the dearest payment: whoever has one came through a whole handshake.
        let paid = fragment.cookie[0] & 0x80 != 0 ? UInt8.max : fragment.cookie[1]
        inbound.setStage(
            .waiting(message, paid: paid, load: rate.load(of: key.carrier, now: now)), of: key,
            until: now + Limits.reassemblyLifetime)
        startWaiting(now: now)
        if inbound.waitingCount > waitingCapacity, let last = inbound.waiting(.last) {
            // Forgotten rather than refused: a repeat may find room.
            inbound.remove(last)
            rate.refund(last.carrier)
            drop(.jobsFull)
        }
    }

    /// Public-key work for those who wait, as far as there is room (`network.max_concurrent_datagrams`).
    mutating func startWaiting(now: Instant) {
        while jobsForOthers < parameters.maximumJobs, inbound.waitingCount > 0, let key = inbound.waiting(.first),
            let entry = inbound[key], case .waiting(let message, _, _) = entry.stage
        {
            inbound.setStage(.working, of: key, until: now + Limits.answerLifetime)
            jobsForOthers += 1
            run(.openS1(S1Opening(signer: signer, cookie: entry.cookie, message: message)), for: .inbound(key))
        }
    }

    mutating func s1Opened(_ result: Result<OpenedS1, HandshakeFailure>, key: InboundKey, now: Instant) {
        guard let entry = inbound[key] else { return drop(.handshakeExpired) }
        switch result {
        case .failure(let failure):
            refuse(key, failure, now: now)
        case .success(let opened):
            guard opened.s1.senderIndex == key.senderIndex else { return refuse(key, .malformed, now: now) }
            // §6: replay within the cookie's life.
            guard history.verdict(opened.h4.hash, issued: entry.issued) == .fresh else {
                inbound.setStage(.ignored, of: key, until: now + Limits.answerLifetime)
                return drop(.s1Replay)
            }
            decide(opened, key: key, now: now)
        }
    }

    /// Who may continue (§2), before any signature is checked.
    private mutating func decide(_ opened: OpenedS1, key: InboundKey, now: Instant) {
        let id = opened.payload.peerID
        // §8: on circuits everybody is anonymous, and nobody is elsewhere.
        guard key.carrier.place == nil, opened.payload.kind != .anonymous else {
            return decide(guest: opened, key: key, now: now)
        }
        let caller = key.carrier.fromAnyAddress
        let host = peers.slot { $0.isConfigured && $0.configuration.endpoint.map(Carrier.udp) == caller }
            .flatMap { peers[$0] }
        if let invitation = invitation(namedBy: opened) {
            return welcome(opened, by: invitation, expectedHere: host?.identity, key: key, now: now)
        }
        // A relay that this one knows by its descriptor is a link of its own, never a peer with addresses.
        let isLink = relay.policy != nil && slotsByIdentity[id].flatMap { peers[$0] }?.isConfigured != true
        switch trust.judge(initiator: id, expectedHere: host?.identity, isLink: isLink) {
        case .refused(let refusal):
            refuseIdentity(id, refusal, key, expected: host?.identity, name: host?.name ?? "", now: now)
        case .known(let keys):
            let slot = slotsByIdentity[id]
            guard mayAnswer(slot, id: id, now: now) else {
                // §6: the smaller id stays initiator. Forgotten, so that a repeat after 2 s is heard.
                inbound.remove(key)
                return drop(.simultaneousOpen)
            }
            answer(opened, pinnedKeys: keys, key: key, slot: slot, .pinned, now: now)
        case .firstUse:
            guard opened.payload.kind == .full else {
                inbound.setStage(.answered([opened.needFullDatagram()]), of: key, until: now + Limits.answerLifetime)
                transmit(opened.needFullDatagram(), over: key.carrier, now: now)
                return
            }
            // A peer that the operator put at this endpoint without naming its id gets that entry's rights.
            let slot = host?.identity == nil ? host?.slot : nil
            answer(opened, pinnedKeys: nil, key: key, slot: slot, .firstUse, now: now)
        }
    }

    private mutating func decide(guest opened: OpenedS1, key: InboundKey, now: Instant) {
        let id = opened.payload.peerID
        if let refusal = refusal(ofGuest: id, kind: opened.payload.kind, on: key.carrier) {
            return refuseIdentity(id, refusal, key, expected: nil, name: "", now: now)
        }
        guard opened.payload.presharedKeyID == 0 else { return refuse(key, .presharedKey, now: now) }
        answer(opened, pinnedKeys: nil, key: key, slot: slotsByIdentity[id], .guest, now: now)
    }

    mutating func answer(
        _ opened: OpenedS1, pinnedKeys: IdentityPublicKeys?, key: InboundKey, slot: PeerSlot?, _ standing: Standing,
        invitation: Invitation? = nil, now: Instant
    ) {
        // §6: a missing next_psk is skipped, a missing configured key ends the attempt.
        let asked = opened.payload.presharedKeyID
        let configured = invitation?.key ?? slot.flatMap { peers[$0]?.configuration.presharedKey }
        guard (configured != nil) == (asked & PresharedKeys.configuredBit != 0) else {
            return refuse(key, .presharedKey, now: now)
        }
        let chained = slot.flatMap { peers[$0]?.chain.key(named: asked & ~PresharedKeys.configuredBit) }
        let index = freshIndex(for: .reserved)
        // A guest that comes again comes by another circuit, where no token holds.
        let token =
            standing == .guest
            ? [UInt8](repeating: 0, count: CookieJar.size)
            : cookies.makeToken(for: proven(key.carrier), nonce: cryptography.randomBytes(8), now: now)
        jobsForOthers += 1
        run(
            .composeS2(
                S2Composition(
                    signer: signer, opened: opened, pinnedKeys: pinnedKeys, senderIndex: index,
                    offers: parameters.offers,
                    token: token, mtu: parameters.mtu, keepaliveSeconds: 0,
                    lifetimeSeconds: UInt32(lifetime(isGuest: standing == .guest).nanoseconds / 1_000_000_000),
                    preshared: PresharedKeys(configured: configured, chained: chained),
                    capabilities: standing == .guest ? [] : parameters.capabilities,
                    acceptsPartial: trust.acceptsPartial(opened.payload.peerID))),
            for: .answer(key, opened, slot: slot, standing, invitation: invitation?.name, index: index))
    }

    mutating func s2Composed(
        _ result: Result<ComposedS2, HandshakeFailure>, for opened: OpenedS1, key: InboundKey, slot: PeerSlot?,
        _ standing: Standing, invitation: UInt32?, index: UInt32, now: Instant
    ) {
        indices[index] = nil
        let composed: ComposedS2
        switch result {
        case .failure(let failure): return refuse(key, failure, now: now)
        case .success(let value): composed = value
        }
        guard let entry = inbound[key] else { return drop(.handshakeExpired) }
        let id = composed.initiator.peerID
        guard history.admit(opened.h4.hash, issued: entry.issued) == .fresh else {
            inbound.setStage(.ignored, of: key, until: now + Limits.answerLifetime)
            return drop(.s1Replay)
        }
        if let refusal = refusalSince(composed, standing, key.carrier) {
            return refuseIdentity(id, refusal, key, expected: nil, name: "", now: now)
        }
        let place: PeerSlot
        if let known = slot ?? slotsByIdentity[id] {
            place = known
        } else {
            // Known or to be pinned, but without rights: a session, no allowed IPs.
            let configuration = PeerConfiguration(
                name: String(id.hex.prefix(8)), peerID: id, endpoint: nil, allowedIPs: [])
            makeRoomForStranger(now: now)
            place = addPeer(
                configuration, isConfigured: false, identity: id, place: standing == .guest ? .guest : .direct)
            strangers.append(place)
        }
        guard
            let shape = FragmentShape.fitting(
                total: composed.message.count, datagram: entry.datagramSize, overhead: S2Fragment.overhead)
        else { return drop(.s2Unanswerable) }
        let datagrams = S2Fragment.datagrams(
            of: composed.message, shape: shape, receiverIndex: opened.s1.senderIndex, senderIndex: index,
            key: composed.fragmentKey)
        guard
            installAnswered(
                composed, slot: place, id: id, index: index, opened: opened, key: key,
                s1Bytes: entry.shape.count * entry.datagramSize, s2Bytes: datagrams.reduce(0) { $0 + $1.count },
                duration: now.since(entry.created), now: now)
        else {
            inbound.setStage(.ignored, of: key, until: now + Limits.answerLifetime)
            return drop(.nextSessionYoung)
        }
        // Not before: the session that waits for its first packet may be somebody else's.
        bind(place, to: id)
        // Whoever comes by an invitation is pinned when that is used up, which is the operator's business on disk.
        if standing == .firstUse, invitation == nil {
            let name = peers[place]?.name ?? ""
            peers[place]?.ring.next?.pin = PinnedPeer(keys: composed.initiator, name: name, origin: .firstUse)
        }
        if let invitation {
            peers[place]?.ring.next?.claim = InvitationClaim(
                invitation: invitation, keys: composed.initiator, index: index)
        }
        inbound.setStage(.answered(datagrams), of: key, until: now + Limits.answerLifetime)
        for datagram in datagrams { transmit(datagram, over: key.carrier, now: now) }
    }

    /// Callers that nobody configured and whose session carried nothing yet are bounded: a flood of new identities under
    /// first use pushes out itself.
    private mutating func makeRoomForStranger(now: Instant) {
        guard strangers.count >= Limits.strangers else { return }
        strangers.removeAll { slot in
            peers[slot].map { $0.isConfigured || $0.ring.next == nil || $0.ring.current != nil } ?? true
        }
        guard strangers.count >= Limits.strangers, let oldest = strangers.popFirst(),
            let next = peers[oldest]?.ring.next
        else { return }
        retire(next, of: oldest, .unconfirmed)
        forgetFirstContact(oldest)
        forgetIfIdle(oldest)
    }

    // MARK: Refusals

    /// What has become of an identity's standing while its answer was composed.
    private func refusalSince(_ composed: ComposedS2, _ standing: Standing, _ carrier: Carrier) -> TrustRefusal? {
        let id = composed.initiator.peerID
        if standing == .guest { return refusal(ofGuest: id, kind: .anonymous, on: carrier) }
        if let refusal = trust.bar(id) { return refusal }
        if standing == .pinned, trust.relayKeys(of: id) == nil { return .unknownPeer }
        return composed.grade == .degraded && !trust.acceptsPartial(id) ? .unknownPeer : nil
    }

    mutating func refuse(_ key: InboundKey, _ failure: HandshakeFailure, now: Instant) {
        inbound.setStage(.ignored, of: key, until: now + Limits.answerLifetime)
        drop(.handshakeRefused)
        emit(.handshakeRefused(HandshakeID(key.senderIndex), role: .responder, failure, key.carrier))
    }

    mutating func refuseIdentity(
        _ id: PeerID, _ refusal: TrustRefusal, _ key: InboundKey, expected: PeerID?, name: String, now: Instant
    ) {
        inbound.setStage(.ignored, of: key, until: now + Limits.answerLifetime)
        drop(.untrusted)
        emit(
            .identityRefused(
                HandshakeID(key.senderIndex), id, refusal, key.carrier, expected: expected, peerName: name))
    }
}
