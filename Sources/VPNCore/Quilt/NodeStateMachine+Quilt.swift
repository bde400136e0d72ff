// SPDX-License-Identifier: Apache-2.0
// Makes quilts (§9): gives a session more carriers than the one that it was made on, and takes them away. What goes by which of them
// is decided elsewhere (QuiltState), where packets are.
internal import VPNCrypto

extension NodeStateMachine {
    // MARK: - At the end that wants patches

    /// A session became the current one: where the operator wants more ways there, they are asked for.
    mutating func beginQuilt(_ slot: PeerSlot, now: Instant) {
        guard let peer = peers[slot], let wanted = peer.configuration.quilt, let held = peer.ring.current,
            peer.quilts[held.session.localIndex] == nil, let carrier = peer.carrier
        else { return }
        if peer.isHop { return joinSides(to: slot, now: now) }
        guard peer.isDirect else { return }
        // Only the initiator adds: where the other end began the session and adds nothing, this end begins one of its own.
        peers[slot]?.quiltWanted =
            held.summary.role == .responder && !wanted.ways.isEmpty ? now + Limits.quiltTakeover : nil
        guard held.summary.role == .initiator else { return }
        var ways = wanted.ways.map { Carrier.udp($0) }
        if let endpoint = peer.configuration.endpoint, !ways.contains(.udp(endpoint)) {
            ways.insert(.udp(endpoint), at: 0)
        }
        ways.removeAll { $0 == carrier }
        // Not all at once: the other end answers a few in a second.
        for (place, way) in ways.enumerated() {
            addPatch(way, to: slot, from: now + Limits.patchQuestion * place, now: now)
        }
    }

    /// Another way for the current session, which this end began.
    ///
    /// - Parameter start: when the other end is told.
    mutating func addPatch(_ way: Carrier, to slot: PeerSlot, from start: Instant, now: Instant) {
        guard let peer = peers[slot], let wanted = peer.configuration.quilt, let held = peer.ring.current,
            held.summary.role == .initiator, let carrier = peer.carrier
        else { return }
        var making =
            peer.quilts[held.session.localIndex] ?? makeQuilt(held, carrier, wanted, now: now)
        let taken = (making.joins + making.leaving).map(\.number)
        guard !making.joins.contains(where: { $0.carrier == way }),
            let number = (1..<Limits.patches).first(where: { !taken.contains($0) })
        else { return }
        let index = freshIndex(for: .reserved, with: held.session.localIndex)
        making.joins.append(
            PatchJoin(
                number: number, carrier: way, localIndex: index, mtu: patchSize(slot, over: way), deadline: start))
        push(.dataPlane(.patch(making.quilt, number: number, index: index)))
        peers[slot]?.quilts[held.session.localIndex] = making
    }

    /// The longest inner packet that a patch is tried with, in bytes.
    private func patchSize(_ slot: PeerSlot, over way: Carrier) -> Int {
        let usual = peers[slot]?.path?.told ?? peers[slot]?.path?.search.current ?? Int(parameters.mtu)
        guard let place = way.place, let largest = circuits.largest(on: place) else { return usual }
        return min(usual, largest - Limits.layerOverhead)
    }

    /// No packet goes by this way any more, and the other end is told, by the way itself if it carries: what was sent there before comes
    /// before that. What is under way to here still finds its session until `dropPatch`.
    mutating func leavePatch(_ way: Carrier, of slot: PeerSlot, now: Instant) {
        for (index, making) in (peers[slot]?.quilts ?? [:]).sorted(by: { $0.key < $1.key }) {
            guard let place = making.joins.firstIndex(where: { $0.carrier == way }) else { continue }
            let join = making.joins[place]
            let state = making.quilt.withState { $0.patches[join.number] }
            let message = PatchMessage(
                nonce: cryptography.randomBytes(8).u64(at: 0), patch: join.number, .remove)
            if state?.carries == true, join.remoteIndex != 0 {
                let last = QuiltState.Way(
                    patch: join.number, carrier: way, remoteIndex: join.remoteIndex, mtu: join.mtu)
                speak(.pathChallenge, message, by: making.quilt, on: last, now: now)
            } else if let session = peers[slot]?.ring.held(index)?.session {
                say(.pathChallenge, message.encoded, by: session, to: slot, now: now)
            }
            making.quilt.withState { $0.remove(join.number) }
            peers[slot]?.quilts[index]?.joins.remove(at: place)
            peers[slot]?.quilts[index]?.leaving.append(join)
            peers[slot]?.quilts[index]?.told[join.number] = nil
            limitPackets(slot)
        }
    }

    /// This way is no more.
    mutating func dropPatch(_ way: Carrier, of slot: PeerSlot, now: Instant) {
        leavePatch(way, of: slot, now: now)
        for (index, making) in (peers[slot]?.quilts ?? [:]).sorted(by: { $0.key < $1.key }) {
            for join in making.leaving where join.carrier == way {
                indices[join.localIndex] = nil
                push(.dataPlane(.removePatch(index: join.localIndex)))
            }
            peers[slot]?.quilts[index]?.leaving.removeAll { $0.carrier == way }
        }
    }

    private mutating func makeQuilt(
        _ held: HeldSession, _ carrier: Carrier, _ configuration: QuiltConfiguration, now: Instant
    ) -> QuiltMaking {
        let quilt = Quilt(held.session, configuration, sharing: sentByQuilts)
        held.session.widenWindow()
        let mtu = plaintextCeiling(held.summary.slot) - Limits.frameHeader
        quilt.withState { $0.join(0, carrier, remoteIndex: held.session.remoteIndex, mtu: mtu, now: now) }
        return QuiltMaking(quilt: quilt, nextLook: now + Limits.maintenanceTick)
    }

    /// Says what is due of joins, and tells what became of patches.
    mutating func advanceQuilts(_ slot: PeerSlot, now: Instant) {
        if let due = peers[slot]?.quiltWanted, due <= now {
            peers[slot]?.quiltWanted = nil
            if let current = peers[slot]?.ring.current, current.summary.role == .responder,
                peers[slot]?.quilts[current.session.localIndex]?.guests.isEmpty ?? true
            {
                // Until it has become one: an attempt may lose against one of the other end.
                peers[slot]?.quiltWanted = now + Limits.quiltTakeover * 5
                initiate(slot, now: now)
            }
        }
        guard let peer = peers[slot], !peer.quilts.isEmpty else { return }
        for (index, making) in peer.quilts.sorted(by: { $0.key < $1.key }) {
            let current = peer.ring.current.flatMap { $0.session.localIndex == index ? $0 : nil }
            guard making.deadline(isCurrent: current != nil) <= now else { continue }
            if let current { advanceJoins(current, slot: slot, now: now) }
            guard peers[slot]?.quilts[index]?.nextLook ?? now <= now else { continue }
            peers[slot]?.quilts[index]?.nextLook = now + Limits.maintenanceTick
            look(at: index, slot: slot, now: now)
        }
    }

    private mutating func advanceJoins(_ held: HeldSession, slot: PeerSlot, now: Instant) {
        let index = held.session.localIndex
        guard let making = peers[slot]?.quilts[index] else { return }
        for place in making.joins.indices {
            let wanted = patchSize(slot, over: making.joins[place].carrier)
            let number = making.joins[place].number
            let isUp = making.quilt.withState { $0.patches[number]?.carries ?? false }
            let nonce = cryptography.randomBytes(8).u64(at: 0)
            let step = peers[slot]?.quilts[index]?.joins[place].advance(
                isUp: isUp, wanted: wanted, nonce: nonce, now: now)
            switch step {
            case .announce(let message): say(.pathChallenge, message.encoded, by: held.session, to: slot, now: now)
            case .prove(let message, let remoteIndex):
                let way = QuiltState.Way(
                    patch: number, carrier: making.joins[place].carrier, remoteIndex: remoteIndex,
                    mtu: message.size)
                speak(.pathChallenge, message, by: making.quilt, on: way, now: now)
            case nil: break
            }
        }
    }

    mutating func speak(
        _ type: FrameType, _ message: PatchMessage, by quilt: Quilt, on way: QuiltState.Way, now: Instant
    ) {
        guard let datagram = quilt.seal(type, message.encoded, for: way, padding: parameters.padding, now: now) else {
            return
        }
        transmit(datagram, over: way.carrier, now: now)
    }

    /// Tells of patches that came or went, and forgets those of the other end that nobody hears of.
    private mutating func look(at index: UInt32, slot: PeerSlot, now: Instant) {
        guard let making = peers[slot]?.quilts[index] else { return }
        let patches = making.quilt.withState { $0.patches }
        for (number, patch) in patches.enumerated() {
            let state = patch?.health.state
            guard making.told[number] != state else { continue }
            peers[slot]?.quilts[index]?.told[number] = state
            guard let patch else { continue }
            emit(
                .patchChanged(
                    slot: slot, peerName: peers[slot]?.name ?? "", patch: number, patch.carrier, patch.health.state))
            if let place = patch.carrier.place { pathChanged(place, patch.health.state, now: now) }
        }
        for number in making.guests.keys.sorted() {
            guard let patch = patches[number], patch.health.state == .down,
                now.since(patch.heard ?? .origin) >= Limits.patchForgotten
            else { continue }
            forget(patch: number, of: index, slot: slot)
        }
    }

    // MARK: - At the other end

    /// A challenge that speaks of a patch.
    mutating func receive(
        patch message: PatchMessage, size: Int, _ held: HeldSession, on carrier: Carrier, now: Instant
    ) {
        let slot = held.summary.slot
        // Only the session's initiator adds.
        guard held.summary.role == .responder else { return drop(.pathMalformed) }
        guard mayAnswerPath(slot, now: now) else { return drop(.pathRate) }
        switch message.purpose {
        case .add(let remoteIndex): add(message, remoteIndex, held, slot: slot, now: now)
        case .join(_, let size): prove(message, size: size, held, slot: slot, on: carrier, now: now)
        case .remove:
            forget(patch: message.patch, of: held.session.localIndex, slot: slot)
            say(.pathResponse, message.encoded, by: held.session, to: slot, now: now)
        }
    }

    private mutating func add(
        _ message: PatchMessage, _ remoteIndex: UInt32, _ held: HeldSession, slot: PeerSlot, now: Instant
    ) {
        let session = held.session
        guard remoteIndex != 0, let peer = peers[slot], peer.ring.current?.session === session,
            let carrier = peer.carrier
        else { return drop(.pathMalformed) }
        var making =
            peer.quilts[session.localIndex]
            ?? makeQuilt(held, carrier, peer.configuration.quilt ?? QuiltConfiguration(), now: now)
        // Said again, it is the same patch; with another index it is a new one.
        if making.guests[message.patch]?.remoteIndex != remoteIndex {
            if let old = making.guests[message.patch] {
                making.guests[message.patch] = nil
                making.quilt.withState { $0.remove(message.patch) }
                indices[old.localIndex] = nil
                push(.dataPlane(.removePatch(index: old.localIndex)))
            }
            let index = freshIndex(for: .reserved, with: session.localIndex)
            making.guests[message.patch] = .init(localIndex: index, remoteIndex: remoteIndex)
            push(.dataPlane(.patch(making.quilt, number: message.patch, index: index)))
        }
        peers[slot]?.quilts[session.localIndex] = making
        let own = making.guests[message.patch]?.localIndex ?? 0
        let answer = PatchMessage(nonce: message.nonce, patch: message.patch, .add(index: own))
        say(.pathResponse, answer.encoded, by: session, to: slot, now: now)
    }

    /// It says that it is the patch: the answer goes where it came from, as long as it was, and brings a question of its own.
    private mutating func prove(
        _ message: PatchMessage, size: Int, _ held: HeldSession, slot: PeerSlot, on carrier: Carrier, now: Instant
    ) {
        let index = held.session.localIndex
        guard let quilt = peers[slot]?.quilts[index]?.quilt,
            let guest = peers[slot]?.quilts[index]?.guests[message.patch]
        else { return drop(.pathUnknown) }
        let nonce = cryptography.randomBytes(8).u64(at: 0)
        peers[slot]?.quilts[index]?.guests[message.patch]?.pending = (nonce, carrier, size)
        let answer = PatchMessage(nonce: message.nonce, patch: message.patch, .join(echo: nonce, size: size))
        let way = QuiltState.Way(
            patch: message.patch, carrier: carrier, remoteIndex: guest.remoteIndex, mtu: size)
        speak(.pathResponse, answer, by: quilt, on: way, now: now)
    }

    // MARK: - Answers

    /// An answer that speaks of a patch.
    mutating func receive(
        answer message: PatchMessage, size: Int, _ held: HeldSession, on carrier: Carrier, now: Instant
    ) {
        let (slot, index) = (held.summary.slot, held.session.localIndex)
        guard let making = peers[slot]?.quilts[index] else { return drop(.pathUnknown) }
        switch (message.purpose, held.summary.role) {
        case (.add(let remoteIndex), .initiator):
            guard let place = making.joins.firstIndex(where: { $0.number == message.patch }),
                peers[slot]?.quilts[index]?.joins[place].added(message, index: remoteIndex, now: now) == true
            else { return drop(.pathUnknown) }
        case (.join(let echo, let size), .initiator):
            guard let place = making.joins.firstIndex(where: { $0.number == message.patch }),
                peers[slot]?.quilts[index]?.joins[place].joined(message, size: size, on: carrier, now: now) == true,
                let join = peers[slot]?.quilts[index]?.joins[place]
            else { return drop(.pathUnknown) }
            let way = QuiltState.Way(
                patch: message.patch, carrier: join.carrier, remoteIndex: join.remoteIndex, mtu: size)
            // First the other end is told, so that it finds the patch good when packets come.
            let last = PatchMessage(nonce: echo, patch: message.patch, .join(echo: 0, size: PatchMessage.joinSize))
            speak(.pathResponse, last, by: making.quilt, on: way, now: now)
            take(way, into: making.quilt, slot: slot, now: now)
        case (.join, .responder):
            guard let guest = making.guests[message.patch], let pending = guest.pending,
                pending.nonce == message.nonce, pending.carrier == carrier
            else { return drop(.pathUnknown) }
            peers[slot]?.quilts[index]?.guests[message.patch]?.pending = nil
            take(
                QuiltState.Way(
                    patch: message.patch, carrier: carrier, remoteIndex: guest.remoteIndex, mtu: pending.size),
                into: making.quilt, slot: slot, now: now)
        case (.remove, _): break
        default: drop(.pathUnknown)
        }
    }

    /// A patch is proven: packets may go by it.
    private mutating func take(_ way: QuiltState.Way, into quilt: Quilt, slot: PeerSlot, now: Instant) {
        quilt.withState {
            $0.join(way.patch, way.carrier, remoteIndex: way.remoteIndex, mtu: way.mtu, now: now)
        }
        // Probes would keep one that gave way meanwhile from its end.
        if peers[slot]?.ring.current?.session === quilt.session { push(.dataPlane(.quilt(quilt))) }
        limitPackets(slot)
        look(at: quilt.session.localIndex, slot: slot, now: now)
    }

    // MARK: - Changes

    /// The session's first carrier is another one.
    mutating func moveFirstPatch(_ slot: PeerSlot, to carrier: Carrier) {
        guard let session = peers[slot]?.ring.current?.session,
            let quilt = peers[slot]?.quilts[session.localIndex]?.quilt
        else { return }
        quilt.withState { $0.moveFirst(to: carrier) }
    }

    mutating func forget(patch number: Int, of index: UInt32, slot: PeerSlot) {
        guard let making = peers[slot]?.quilts[index], let guest = making.guests[number] else { return }
        peers[slot]?.quilts[index]?.guests[number] = nil
        peers[slot]?.quilts[index]?.told[number] = nil
        making.quilt.withState { $0.remove(number) }
        indices[guest.localIndex] = nil
        push(.dataPlane(.removePatch(index: guest.localIndex)))
        limitPackets(slot)
    }

    /// A session is over.
    mutating func endQuilt(of index: UInt32, slot: PeerSlot) {
        guard let making = peers[slot]?.quilts.removeValue(forKey: index) else { return }
        for own in making.indices { indices[own] = nil }
    }

    // MARK: - Questions

    /// The longest inner packet that every patch of the current session carries.
    func quiltMTU(_ slot: PeerSlot) -> Int? {
        guard let peer = peers[slot], let session = peer.ring.current?.session,
            let quilt = peer.quilts[session.localIndex]?.quilt
        else { return nil }
        return quilt.withState { $0.mtu }
    }

    /// A way to a peer that is known to carry.
    func livePatch(_ peer: Peer) -> QuiltState.Way? {
        guard let session = peer.ring.current?.session else { return nil }
        return peer.quilts[session.localIndex]?.quilt.withState { $0.spoken }
    }
}

extension PatchMessage {
    /// Of inner packets that a join stands for.
    var size: Int { if case .join(_, let size) = purpose { size } else { 0 } }
}
