// SPDX-License-Identifier: Apache-2.0
// A node as a relay (§8): to whom it extends, for whom, and what becomes of circuits when a session does. What it counts and
// forbids by number: RelayStateMachine.
internal import VPNCrypto

extension NodeStateMachine {
    // MARK: - Commands

    /// Relays for others from now on, under this policy; nil ends that, and every circuit that passes.
    public mutating func enableRelay(_ policy: RelayPolicy?, now: Instant) {
        rate.linkLimit = max(1, policy?.handshakesPerMinutePerLink ?? Limits.circuitHandshakesPerMinute)
        if let policy {
            for (circuit, onward, traffic) in relay.adopt(policy) { pass(circuit.client, onward, traffic) }
            return
        }
        relay.policy = nil
        for circuit in relay.all { end(circuit, .closed, now: now) }
        for slot in peers.keys.sorted() where peers[slot]?.isGuest == true {
            for held in peers[slot]?.ring.all ?? [] { retire(held, of: slot, .closedHere) }
            forgetIfIdle(slot)
        }
    }

    /// Gives a guest inner addresses, and takes all others from it: what a lease is made of. False where there is no such guest,
    /// or a prefix is somebody else's.
    public mutating func assign(_ prefixes: [IPPrefix], to slot: PeerSlot, now: Instant) -> Bool {
        guard peers[slot]?.isGuest == true else { return false }
        guard
            !peers.values.contains(where: {
                $0.slot != slot && $0.configuration.allowedIPs.contains(where: prefixes.contains)
            })
        else { return false }
        peers[slot]?.configuration.allowedIPs = prefixes
        emitRoutes()
        return true
    }

    // MARK: - Who may speak on a circuit

    /// Why a handshake datagram of this type is not heard on this circuit; nil if it is.
    func refusal(of type: DatagramType, on place: CircuitPlace) -> DropReason? {
        if circuits.origins[place] != nil {
            // §8: else a relay could ask who has built the circuit.
            return [.retry, .s2, .needFull, .infoResponse].contains(type) ? nil : .circuitForeign
        }
        // Guests come over links, by ids that the other end picked: inside a session that this node has as somebody else it
        // answers nobody.
        guard relay.policy != nil, let outer = peers[place.outer], outer.isDirect, !outer.isDegraded,
            let id = outer.identity,
            CircuitID.isPicked(place.id, by: id, for: ownID), !relay.isUsed(place)
        else { return .circuitUnknown }
        return [.s0, .s1].contains(type) ? nil : .circuitForeign
    }

    /// Why an initiator of this kind is not answered on this carrier; nil if it is.
    func refusal(ofGuest id: PeerID, kind: InitiatorKind, on carrier: Carrier) -> TrustRefusal? {
        guard kind == .anonymous, let place = carrier.place, let policy = relay.policy else { return .anonymousPeer }
        if let refusal = trust.bar(id) { return refusal }
        // Throwaway keys are nobody's that is known.
        guard trust.relayKeys(of: id) == nil else { return .anonymousPeer }
        if let slot = slotsByIdentity[id] {
            return peers[slot]?.isGuest == true && hasRoom(forGuest: slot, on: place, policy) ? nil : .anonymousPeer
        }
        return hasRoom(forGuest: nil, on: place, policy) ? nil : .anonymousPeer
    }

    /// Whether a circuit has room for a guest: for a new one, or for one that is known and comes again.
    ///
    /// What circuits and links have is counted when one comes, whose public-key work costs more: kept, it would cost memory for each
    /// of them.
    private func hasRoom(forGuest known: PeerSlot?, on place: CircuitPlace, _ policy: RelayPolicy) -> Bool {
        var onCircuit = 0
        let ofLink = peers.count(where: { peer in
            guard peer.isGuest, peer.slot != known, let other = peer.arrival else { return false }
            if other == place { onCircuit += 1 }
            return other.outer == place.outer
        })
        guard onCircuit < policy.guestsPerCircuit else { return false }
        // Whoever is here takes no other's place.
        if known != nil { return true }
        return guestCount < policy.guests && ofLink < policy.guests.share(besides: guestCount - ofLink)
    }

    /// What a cookie is bound to (§4).
    func proven(_ carrier: Carrier) -> ProvenAddress {
        switch carrier {
        case .udp(let endpoint): ProvenAddress(endpoint)
        case .circuit(let place):
            ProvenAddress(association: peers[place.outer]?.association ?? [], circuit: place.id)
        }
    }

    // MARK: - EXTEND

    mutating func receive(extend payload: [UInt8], _ held: HeldSession, slot: PeerSlot, now: Instant) {
        guard let message = ExtendMessage(payload), let target = PeerID(bytes: message.target) else {
            return drop(.circuitMalformed)
        }
        // §8: a node relays for whoever knows it, and for guests; never inside a circuit of its own.
        guard let peer = peers[slot], !peer.isHop else { return drop(.circuitForeign) }
        let place = CircuitPlace(outer: slot, id: message.id)
        if let known = relay[place] {
            guard known.target == target else { return end(known, .misused, now: now) }
            if case .open = known.stage { answer(known, now: now) }
            return
        }
        guard relay.policy != nil, !held.summary.isDegraded,
            CircuitID.isPicked(message.id, by: held.summary.peer, for: ownID),
            mayExtend(to: target, from: slot)
        else { return refuse(message.id, .refused, .circuitRefused, slot: slot, now: now) }
        let origin = peer.isGuest ? peer.carrier?.place?.outer : nil
        guard relay.admitExtend(from: slot, now: now),
            relay.hasRoom(from: slot, to: slotsByIdentity[target], by: origin)
        else {
            if relay.mayTellFull(now: now) { emit(.relayFull(circuits: relay.count)) }
            return refuse(message.id, .busy, .circuitQuota, slot: slot, now: now)
        }
        guard let link = link(to: target) else {
            return refuse(message.id, .refused, .circuitRefused, slot: slot, now: now)
        }
        relay.begin(place, to: target, over: link, by: origin, now: now)
        if !mayCarry(link) {
            enter(link, now: now)
        } else if let circuit = relay[place] {
            open(circuit, now: now)
        }
    }

    /// Never to itself, never back to where the circuit comes from, never to one that is barred or not believed.
    private func mayExtend(to target: PeerID, from slot: PeerSlot) -> Bool {
        guard trust.bar(target) == nil, trust.relayKeys(of: target) != nil else { return false }
        var before: PeerSlot? = slot
        while let place = before, let peer = peers[place] {
            if peer.identity == target { return false }
            before = peer.carrier?.place?.outer
        }
        return true
    }

    /// The peer over which circuits go to an identity: one that there is, or a new one at an address that this node knows.
    private mutating func link(to target: PeerID) -> PeerSlot? {
        if let slot = slotsByIdentity[target], let peer = peers[slot] {
            guard peer.isDirect, !peer.isDegraded else { return nil }
            return peer.ring.current != nil || peer.carrier != nil ? slot : nil
        }
        guard let endpoint = relay.policy?.directory[target] else { return directSlot(of: target) }
        let configuration = PeerConfiguration(
            name: String(target.hex.prefix(8)), peerID: target, endpoint: endpoint, allowedIPs: [])
        return addPeer(configuration, isConfigured: false, identity: target)
    }

    private mutating func open(_ circuit: RelayStateMachine.Circuit, now: Instant) {
        guard let peer = peers[circuit.link], !peer.isDegraded else { return end(circuit, .lost, now: now) }
        let onward = freshPlace(in: circuit.link, as: ownID, with: circuit.target)
        pass(circuit.client, onward, relay.open(circuit, onward: onward, now: now))
        answer(circuit, now: now)
    }

    private mutating func pass(_ client: CircuitPlace, _ onward: CircuitPlace, _ traffic: RelayedTraffic) {
        push(.dataPlane(.relay(client, to: onward, traffic)))
        push(.dataPlane(.relay(onward, to: client, traffic)))
    }

    private mutating func answer(_ circuit: RelayStateMachine.Circuit, now: Instant) {
        guard let onward = circuit.onward else { return }
        let largest = UInt16(clamping: room(on: onward))
        let message = ExtendedMessage(id: circuit.client.id, outcome: .ready(largest: largest))
        say(.extended, message.encoded, to: circuit.client.outer, now: now)
    }

    private mutating func refuse(
        _ id: UInt32, _ refusal: ExtendRefusal, _ reason: DropReason, slot: PeerSlot, now: Instant
    ) {
        drop(reason)
        say(.extended, ExtendedMessage(id: id, outcome: .refused(refusal)).encoded, to: slot, now: now)
    }

    /// A random id in the sessions with a peer that no circuit there has.
    mutating func freshPlace(in outer: PeerSlot, as picker: PeerID, with other: PeerID) -> CircuitPlace {
        while true {
            guard let id = CircuitID.make(cryptography.randomBytes(4).u32(at: 0), by: picker, for: other) else {
                continue
            }
            let place = CircuitPlace(outer: outer, id: id)
            if !relay.isUsed(place), circuits.origins[place] == nil { return place }
        }
    }

    /// A control frame to a peer, over whatever carries its session; nothing where it has none.
    mutating func say(_ type: FrameType, _ payload: [UInt8], to slot: PeerSlot, now: Instant) {
        guard let peer = peers[slot], let session = peer.ring.current?.session, let carrier = peer.carrier,
            let datagram = seal(type, payload, by: session, to: slot, now: now)
        else { return }
        transmit(datagram, over: carrier, now: now)
    }

    // MARK: - END

    mutating func receive(end payload: [UInt8], slot: PeerSlot, now: Instant) {
        guard let message = EndMessage(payload) else { return drop(.circuitMalformed) }
        let place = CircuitPlace(outer: slot, id: message.id)
        if let origin = circuits.origins[place] {
            return pathFailed(origin.path, hop: origin.hop, .ended(message.reason), tells: false, now: now)
        }
        if let circuit = relay.circuit(at: place) { return end(circuit, message.reason, except: place, now: now) }
        // Whoever ends has to be looked for among all peers.
        guard relay.admitEnd(from: slot, now: now) else { return drop(.circuitUnknown) }
        let slots = peers.slots { $0.isOn(place) }
        guard !slots.isEmpty else { return drop(.circuitUnknown) }
        forgetPatches(on: place, of: slots)
        for slot in slots {
            guard let guest = peers[slot] else { continue }
            for held in guest.ring.all where held.session.place == place {
                // §9: other circuits carry it, too.
                if carriesElsewhere(held, guest) { continue }
                retire(held, of: guest.slot, .closedByPeer)
            }
            forgetIfIdle(guest.slot)
        }
    }

    /// Ends a circuit that passes, and says so on both sides but where it is known.
    mutating func end(
        _ circuit: RelayStateMachine.Circuit, _ reason: CircuitEnd, except told: CircuitPlace? = nil, now: Instant
    ) {
        relay.remove(circuit)
        let places = [circuit.client, circuit.onward].compactMap { $0 }
        for place in places {
            if circuit.onward != nil { push(.dataPlane(.stopRelaying(place))) }
            guard place != told else { continue }
            say(.end, EndMessage(id: place.id, reason: reason).encoded, to: place.outer, now: now)
        }
    }

    // MARK: - Sessions that come and go

    /// Circuits may hang on what becomes of this peer's session: looked at with the next timeout, at once.
    mutating func touch(_ slot: PeerSlot) {
        guard relay.policy != nil || !circuits.isEmpty else { return }
        touched.insert(slot)
    }

    mutating func settleCircuits(now: Instant) {
        while !touched.isEmpty {
            let slots = touched.sorted()
            touched = []
            var gone: Set<PeerSlot> = []
            for slot in slots {
                let isThere = peers[slot]?.ring.current != nil
                // §2: a session of one signature carries no circuit, and none that was there before it.
                let carries = isThere && peers[slot]?.isDegraded == false
                for circuit in relay.circuits(of: slot) {
                    if case .linking(slot, _) = circuit.stage {
                        if isThere { open(circuit, now: now) }
                    } else if !carries {
                        end(circuit, .lost, now: now)
                    }
                }
                settlePaths(of: slot, now: now)
                if !carries { gone.insert(slot) }
            }
            // Once for all of them: each guest that goes is one of those that are looked at next.
            if guestCount > 0, !gone.isEmpty { retireGuests(of: gone) }
        }
    }

    /// Whoever came by these peers' circuits has nothing to come by any more.
    private mutating func retireGuests(of gone: Set<PeerSlot>) {
        let guests = peers.slots { peer in
            peer.isGuest
                && (peer.ring.isEmpty
                    || peer.ring.all.contains { $0.session.place.map { gone.contains($0.outer) } ?? false })
        }
        for guest in guests {
            for held in peers[guest]?.ring.all ?? [] {
                guard let outer = held.session.place?.outer, gone.contains(outer) else { continue }
                if let peer = peers[guest], carriesElsewhere(held, peer) { continue }
                retire(held, of: guest, .silent)
            }
            forgetIfIdle(guest)
        }
    }

    /// A peer is erased: what passed by its sessions is over.
    mutating func endCircuits(of slot: PeerSlot) {
        relay.forget(slot)
        guard !relay.circuits(of: slot).isEmpty || !circuits.isEmpty else { return }
        touched.insert(slot)
    }

    /// Once a second.
    mutating func maintainRelaying(now: Instant) {
        for circuit in relay.idle(now: now) { end(circuit, .idle, now: now) }
        relay.tidy(now: now)
        for slot in peers.slots(where: { $0.isPassingLink }) {
            guard !relay.usesLink(slot), let current = peers[slot]?.ring.current,
                !circuits.uses(slot), !isExchanging(slot), now.since(lastPayload(current)) >= Limits.circuitIdle
            else { continue }
            sayGoodbye(to: slot, .closedHere, now: now)
            forgetIfIdle(slot)
        }
    }

    private func lastPayload(_ held: HeldSession) -> Instant {
        max(
            held.installed, held.session.lastPayloadSent ?? .origin, held.session.lastPayloadReceived ?? .origin)
    }

    /// At the deadline: links that did not come.
    mutating func refuseOverdue(now: Instant) {
        for circuit in relay.overdue(now: now) {
            relay.remove(circuit)
            refuse(circuit.client.id, .unreachable, .circuitBroken, slot: circuit.client.outer, now: now)
        }
    }
}
