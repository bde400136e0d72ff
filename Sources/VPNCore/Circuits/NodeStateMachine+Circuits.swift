// SPDX-License-Identifier: Apache-2.0
// A node as the builder of circuits (§8): build, use, replace before they end, close. The steps of one path are
// CircuitStateMachine's. Which nodes to go through is the caller's choice.
internal import VPNCrypto

extension NodeStateMachine {
    // MARK: - Commands

    /// Begins a circuit; events tell what becomes of it.
    public mutating func buildCircuit(
        _ request: CircuitRequest, now: Instant
    ) throws(CircuitRefusal) -> OwnCircuit.Number {
        var request = request
        if request.hops.isEmpty, let wish = request.wish {
            guard (1...Limits.circuitHops).contains(wish.hops) else { throw .length }
            do { request.hops = try choosePath(wish, now: now) } catch {
                circuits.selectionFailure = error
                throw .noPath
            }
        }
        if let refusal = refusal(of: request) { throw refusal }
        guard let entry = directSlot(of: request.hops[0]) else { throw .entry }
        let number = circuits.freshNumber()
        var destination = entry
        if request.hops.count > 1 {
            var configuration = PeerConfiguration(
                name: request.name, peerID: request.hops.last, endpoint: nil, allowedIPs: request.allowedIPs,
                keepaliveSeconds: Limits.circuitKeepalive)
            configuration.quilt = request.quilt?.configuration
            destination = addPeer(configuration, isConfigured: false, identity: request.hops.last, place: .hop(nil))
            if request.wantsLease { push(.dataPlane(.sources(destination, []))) }
            emitRoutes()
        }
        circuits.all[number] = OwnCircuit(number: number, request: request, destination: destination)
        startPath(of: number, now: now)
        return number
    }

    /// Ends a circuit and tells those on its way; false where there is none of this number.
    @discardableResult
    public mutating func closeCircuit(_ number: OwnCircuit.Number, now: Instant) -> Bool {
        guard let circuit = circuits.all[number] else { return false }
        remove(circuit, now: now)
        emit(.circuit(.closed(number, name: circuit.request.name)))
        return true
    }

    /// Builds another path through the same hops now, and goes over to it; false where there is no circuit that is in use, or
    /// one is being built already.
    @discardableResult
    public mutating func replaceCircuit(_ number: OwnCircuit.Number, now: Instant) -> Bool {
        guard let circuit = circuits.all[number], circuit.successor == nil,
            circuit.request.hops.count > 1
        else { return false }
        // Whoever it begins with may not be known at the moment.
        let isStarted = startPath(of: number, now: now)
        circuits.all[number]?.replaceAt = isStarted ? nil : now + Limits.retryPauseMaximum
        return isStarted
    }

    private func refusal(of request: CircuitRequest) -> CircuitRefusal? {
        let hops = request.hops
        guard (1...Limits.circuitHops).contains(hops.count) else { return .length }
        // Paths after the first are drawn by the wish.
        guard request.wish.map({ $0.hops == hops.count }) ?? true else { return .length }
        guard circuits.all.count < Limits.ownCircuits else { return .tooMany }
        guard !circuits.all.values.contains(where: { $0.request.name == request.name }) else { return .name }
        guard !hops.contains(ownID), zip(hops, hops.dropFirst()).allSatisfy({ $0 != $1 }),
            zip(hops, hops.dropFirst(2)).allSatisfy({ $0 != $1 })
        else { return .loop }
        guard slotsByIdentity[hops[0]].map({ peers[$0]?.isDirect == true }) ?? (directory[hops[0]] != nil) else {
            return .entry
        }
        guard hops.allSatisfy({ trust.bar($0) == nil && trust.relayKeys(of: $0) != nil }) else { return .unknownHop }
        if let quilt = request.quilt {
            let isEnd = quilt.named.allSatisfy { way in
                way.count > 1 && way.last == hops.last && Set(way).count == way.count && !way.contains(ownID)
            }
            guard hops.count > 1, isEnd, quilt.named.allSatisfy({ $0.count <= Limits.circuitHops }) else {
                return .loop
            }
            let others = quilt.named.joined()
            guard others.allSatisfy({ trust.bar($0) == nil && trust.relayKeys(of: $0) != nil }) else {
                return .unknownHop
            }
        }
        let taken = peers.values.contains { $0.configuration.allowedIPs.contains(where: request.allowedIPs.contains) }
        return taken || Set(request.allowedIPs).count != request.allowedIPs.count
            || (hops.count == 1 && (!request.allowedIPs.isEmpty || request.wantsLease)) ? .prefix : nil
    }

    // MARK: - Paths

    /// False where the first hop is nobody who can be met.
    @discardableResult
    private mutating func startPath(of number: OwnCircuit.Number, now: Instant) -> Bool {
        guard let circuit = circuits.all[number] else { return false }
        let hops = nextHops(of: circuit, now: now)
        guard let entry = directSlot(of: hops[0]) else { return false }
        let firstWords = firstWords(hops, circuit.request, now: now)
        var path = CircuitPath(
            number: circuits.freshNumber(), circuit: number, hops: hops,
            machine: CircuitStateMachine(hops: hops.count, firstWords: firstWords), slots: [entry])
        if hops.count > 1 { path.vigil = CircuitVigil(now: now, jitter: cryptography.randomBytes(1)[0]) }
        circuits.paths[path.number] = path
        circuits.all[number]?.successor = path.number
        begin(path, now: now)
        return true
    }

    /// Takes the first step of a path that is in the tables.
    mutating func begin(_ path: CircuitPath, now: Instant) {
        let isEntered = mayCarry(path.slots[0])
        advance(path.number, now: now) { $0.start(isEntered: isEntered, now: now) }
    }

    /// Whether circuits may go by this peer's session.
    func mayCarry(_ slot: PeerSlot) -> Bool {
        guard let peer = peers[slot], let current = peer.ring.current else { return false }
        return !peer.isDown && !peer.isSuspect && !current.summary.isDegraded
    }

    /// One step of a path, and what it asks for.
    mutating func advance(
        _ number: CircuitPath.Number, now: Instant, _ step: (inout CircuitStateMachine) -> [CircuitEffect]
    ) {
        guard var path = circuits.paths[number] else { return }
        let effects = step(&path.machine)
        circuits.paths[number] = path
        for effect in effects { perform(effect, of: number, now: now) }
    }

    private mutating func perform(_ effect: CircuitEffect, of number: CircuitPath.Number, now: Instant) {
        guard let path = circuits.paths[number], let circuit = circuits.all[path.circuit] else { return }
        switch effect {
        case .enter: enter(path.slots[0], now: now)
        case .extend(let hop): extend(path, circuit, hop, now: now)
        case .identify(let hop):
            // The last hop's keys outlive its paths, as does what it was given under them.
            if hop == path.hops.count - 1, case .hop(.some) = peers[circuit.destination]?.place {
                advance(number, now: now) { $0.identified(hop: hop, true, now: now) }
            } else {
                run(.makeIdentity, for: .hop(number, hop: hop))
            }
        case .greet(let hop): greet(path, circuit, hop, now: now)
        case .ready where path.isSide: sideReady(path, circuit, now: now)
        case .ready: ready(path, circuit, now: now)
        case .failed(let failure, let hop): failed(path, circuit, hop, failure, now: now)
        case .drained: endPath(number, now: now)
        }
    }

    private mutating func extend(_ path: CircuitPath, _ circuit: OwnCircuit, _ hop: Int, now: Instant) {
        let outer = path.slots[hop - 1]
        guard let peer = peers[outer] else { return }
        let target = path.hops[hop]
        if path.places.count < hop {
            let place = freshPlace(in: outer, as: localID(peer), with: path.hops[hop - 1])
            circuits.paths[path.number]?.places.append(place)
            circuits.origins[place] = (path.number, hop, nil)
        }
        guard let place = circuits.paths[path.number]?.places[hop - 1] else { return }
        say(.extend, ExtendMessage(id: place.id, target: target.bytes).encoded, to: outer, now: now)
    }

    mutating func receive(extended payload: [UInt8], slot: PeerSlot, now: Instant) {
        guard let message = ExtendedMessage(payload) else { return drop(.circuitMalformed) }
        let place = CircuitPlace(outer: slot, id: message.id)
        guard let origin = circuits.origins[place] else { return drop(.circuitUnknown) }
        if case .ready(let largest) = message.outcome, origin.largest == nil {
            circuits.origins[place]?.largest = Int(largest)
        }
        advance(origin.path, now: now) { $0.extended(hop: origin.hop, message.outcome, now: now) }
    }

    /// Throwaway keys came, or could not be made.
    mutating func hopIdentified(
        _ signer: (any IdentitySigner)?, path number: CircuitPath.Number, hop: Int, now: Instant
    ) {
        // A path that fails meanwhile is gone.
        guard let path = circuits.paths[number], let circuit = circuits.all[path.circuit] else { return }
        assert(path.machine.stage == .identifying(hop: hop) && path.slots.count == hop)
        if let signer {
            if hop == path.hops.count - 1 {
                peers[circuit.destination]?.place = .hop(signer)
            } else {
                let identity = path.hops[hop]
                let configuration = PeerConfiguration(
                    name: "\(circuit.request.name)/\(hop + 1)", peerID: identity, endpoint: nil, allowedIPs: [])
                let slot = addPeer(configuration, isConfigured: false, identity: identity, place: .hop(signer))
                circuits.paths[number]?.slots.append(slot)
            }
        }
        advance(number, now: now) { $0.identified(hop: hop, signer != nil, now: now) }
    }

    /// §8: a whole handshake with each hop, through all those before it.
    private mutating func greet(_ path: CircuitPath, _ circuit: OwnCircuit, _ hop: Int, now: Instant) {
        if hop == path.hops.count - 1 { circuits.paths[path.number]?.slots.append(circuit.destination) }
        guard let path = circuits.paths[path.number], let slot = path.slots.last, let peer = peers[slot],
            case .hop(let signer?) = peer.place, let identity = peer.identity, trust.bar(identity) == nil,
            let keys = trust.relayKeys(of: identity)
        else { return advance(path.number, now: now) { $0.fail(.local, hop: hop) } }
        abandonInitiation(slot)
        let index = freshIndex(for: .initiation(slot))
        peers[slot]?.calling = .circuit(path.places[hop - 1])
        peers[slot]?.initiation = InitiatorStateMachine(
            signer: signer, cryptography: cryptography, offers: parameters.offers, mtu: Limits.anonymousMTU,
            keepaliveSeconds: 0, expected: identity, responder: keys, acceptsPartial: false, kind: .anonymous,
            index: index, now: now)
        advanceInitiation(slot, now: now) { $0.begin(token: nil, index: index, now: now) }
    }

    private mutating func ready(_ path: CircuitPath, _ circuit: OwnCircuit, now: Instant) {
        guard var circuit = circuits.all[circuit.number] else { return }
        praise(path, circuit.request)
        let name = circuit.request.name
        circuit.successor = nil
        let replaced = circuit.current
        circuit.current = path.number
        circuit.failures = 0
        if circuit.readySince == nil { circuit.readySince = now }
        if circuit.request.hops.count > 1 {
            let random = cryptography.randomBytes(8).u64(at: 0)
            circuit.replaceAt = replacement(of: path, random: random, now: now)
            circuits.paths[path.number]?.vigil = CircuitVigil(now: now, jitter: UInt8(truncatingIfNeeded: random >> 56))
        }
        circuits.paths[path.number]?.usedSince = now
        if let replaced {
            if circuits.paths[replaced]?.isProven(now: now) == true { circuit.losses = 0 }
            circuit.draining.append(replaced)
            circuits.paths[replaced]?.machine.drain(now: now)
        }
        if circuit.request.quilt != nil { circuit.sidesDue = now }
        circuits.all[circuit.number] = circuit
        shareEnds(of: circuit.number)
        if replaced != nil {
            emit(.circuit(.replaced(circuit.number, name: name)))
            // The last hop may be another process now, which knows of no lease, whether or not the old path had told so.
            confirmLease(circuit.number, now: now)
        } else {
            let largest = peers[circuit.destination]?.path?.search.current ?? 0
            emit(.circuit(.ready(circuit.number, name: name, hops: circuit.request.hops.count, largest: largest)))
            askForLease(circuit.number, now: now)
        }
    }

    /// When a path is to be replaced: after 8 to 12 min (§9), and before a session in it ends, since those are not renewed.
    func replacement(of path: CircuitPath, random: UInt64, now: Instant) -> Instant {
        let life = now + Limits.circuitLife + TimeSpan(nanoseconds: random % (Limits.circuitLifeSpread.nanoseconds + 1))
        guard let end = path.slots.dropFirst().compactMap({ peers[$0]?.ring.current?.expires }).min() else {
            return life
        }
        return min(life, now + TimeSpan(nanoseconds: end.since(now).nanoseconds / 2))
    }

    // MARK: - The end

    /// Something that a path stands on is gone.
    mutating func pathFailed(
        _ number: CircuitPath.Number, hop: Int, _ failure: CircuitFailure, tells: Bool, now: Instant
    ) {
        if !tells, let first = circuits.paths[number]?.places.first, circuits.origins[first]?.hop == hop {
            // It was the first hop that said so.
            circuits.paths[number]?.isTold = true
        }
        advance(number, now: now) { $0.fail(failure, hop: hop) }
    }

    private mutating func failed(
        _ path: CircuitPath, _ circuit: OwnCircuit, _ hop: Int, _ failure: CircuitFailure, now: Instant
    ) {
        let name = circuit.request.name
        if circuit.draining.contains(path.number) { return endPath(path.number, now: now) }
        if !path.isProven(now: now) {
            circuits.paths[path.number]?.usedSince = nil
            if hop > 0, failure != .local { note(path, circuit.request, lasted: false) }
        }
        if path.isSide { return sideFailed(path, circuit, hop, failure, now: now) }
        // A relay that is there owes its word on an EXTEND.
        if failure != .local { blame(path, circuit.request, hop: failure == .noAnswer ? hop - 1 : hop, now: now) }
        if circuit.successor == path.number, circuit.current != nil {
            endPath(path.number, now: now)
            let doublings = min(circuit.failures, 4)
            // One that is to take a lost path's place is wanted now, one before the end of a path is not.
            let isLost = circuit.current.flatMap { circuits.paths[$0]?.machine.stage } == .over
            let pause = min(
                (isLost ? Limits.pathRetry : Limits.circuitRetry) * (1 << doublings), Limits.retryPauseMaximum)
            circuits.all[circuit.number]?.failures += 1
            circuits.all[circuit.number]?.replaceAt = now + pause
            emit(.circuit(.replacementFailed(circuit.number, name: name, hop: hop, failure, retryIn: pause)))
            return endIfLost(circuit.number, hop, failure, now: now)
        }
        if hasOtherPath(circuit, but: path) {
            // Its session goes on by the others, until another path has taken this one's place.
            let losses = path.isProven(now: now) ? 0 : circuit.losses
            let pause = self.pause(afterLosses: losses)
            circuits.all[circuit.number]?.losses = path.isProven(now: now) ? 0 : losses + 1
            emit(.circuit(.pathLost(circuit.number, name: name, hop: hop, failure, retryIn: pause)))
            circuits.all[circuit.number]?.replaceAt = now + pause
            return
        }
        remove(circuit, now: now)
        emit(.circuit(.failed(circuit.number, name: name, hop: hop, failure)))
    }

    /// The first path is gone and no other one carries, nor is one to take its place: so is the circuit.
    mutating func endIfLost(_ number: OwnCircuit.Number, _ hop: Int, _ failure: CircuitFailure, now: Instant) {
        guard let circuit = circuits.all[number], circuit.successor == nil, let current = circuit.current,
            circuits.paths[current]?.machine.stage == .over, carryingPlaces(circuit).isEmpty
        else { return }
        remove(circuit, now: now)
        emit(.circuit(.failed(number, name: circuit.request.name, hop: hop, failure)))
    }

    /// Forgets a circuit. The goodbye in its innermost session goes all the way, the END at its beginning clears the way up.
    mutating func remove(_ circuit: OwnCircuit, now: Instant) {
        let isNested = circuit.request.hops.count > 1
        if isNested { sayGoodbye(to: circuit.destination, .closedHere, now: now) }
        for path in circuits.all[circuit.number]?.paths ?? [] { endPath(path, now: now) }
        circuits.all[circuit.number] = nil
        if isNested { erase(circuit.destination) }
    }

    /// All circuits, as a node does that leaves.
    mutating func closeCircuits(now: Instant) {
        for number in circuits.all.keys.sorted() { closeCircuit(number, now: now) }
    }

    mutating func endPath(_ number: CircuitPath.Number, now: Instant) {
        guard let path = circuits.paths.removeValue(forKey: number), var circuit = circuits.all[path.circuit] else {
            return
        }
        if path.isProven(now: now) { note(path, circuit.request, lasted: true) }
        if circuit.successor == number { circuit.successor = nil }
        circuit.draining.removeAll { $0 == number }
        circuit.sides.removeAll { $0 == number }
        circuits.all[circuit.number] = circuit
        if path.isSide, let place = path.places.last, path.places.count == path.hops.count - 1 {
            dropPatch(.circuit(place), of: circuit.destination, now: now)
        }
        for place in path.places { circuits.origins[place] = nil }
        for slot in path.slots.dropFirst() {
            if slot == circuit.destination {
                if let calling = peers[slot]?.calling?.place, path.places.contains(calling) { abandonInitiation(slot) }
                for held in peers[slot]?.ring.all ?? [] where held.session.place == path.places.last {
                    retire(held, of: slot, .closedHere)
                }
            } else {
                abandonInitiation(slot)
                for held in peers[slot]?.ring.all ?? [] { retire(held, of: slot, .closedHere) }
                erase(slot)
            }
        }
        if !path.isTold, let first = path.places.first {
            // One END is enough: each relay hands it on.
            say(.end, EndMessage(id: first.id, reason: .closed).encoded, to: first.outer, now: now)
        }
    }

    /// A hop's session would not last for a circuit.
    mutating func refuseHop(_ slot: PeerSlot, now: Instant) {
        drop(.handshakeRefused)
        abandonInitiation(slot)
        for number in circuits.paths.keys.sorted() {
            guard let path = circuits.paths[number], let hop = path.slots.firstIndex(of: slot),
                path.machine.stage == .greeting(hop: hop)
            else { continue }
            pathFailed(number, hop: hop, .handshake, tells: true, now: now)
        }
    }

    // MARK: - Sessions and time

    /// A peer got a session, or lost one.
    mutating func settlePaths(of slot: PeerSlot, now: Instant) {
        for number in circuits.paths.keys.sorted() {
            guard let path = circuits.paths[number], let hop = path.slots.firstIndex(of: slot) else { continue }
            let session = peers[slot]?.ring.current?.session
            if hop == 0 {
                if session == nil || peers[slot]?.isDegraded == true, path.machine.stage != .entering {
                    pathFailed(number, hop: 0, .lost, tells: true, now: now)
                } else if mayCarry(slot) {
                    advance(number, now: now) { $0.entered(now: now) }
                }
            } else if path.machine.stage == .greeting(hop: hop) {
                if session?.place == path.places[hop - 1] {
                    advance(number, now: now) { $0.greeted(hop: hop, now: now) }
                }
            } else if session == nil {
                pathFailed(number, hop: hop, .lost, tells: true, now: now)
            }
        }
    }

    /// What is due: repeats, ends of waits, replacements.
    mutating func advanceCircuits(now: Instant) {
        refuseOverdue(now: now)
        for number in circuits.paths.keys.sorted() {
            guard let path = circuits.paths[number], let slot = path.slots.last else { continue }
            let hasAnswered = peers[slot]?.initiation?.isAnswered == true
            advance(number, now: now) { $0.timeout(hasAnswered: hasAnswered, now: now) }
        }
        watchCircuits(now: now)
        for circuit in circuits.all.values.sorted(by: { $0.number < $1.number }) {
            guard let due = circuit.replaceAt, due <= now else { continue }
            circuits.all[circuit.number]?.replaceAt = nil
            replaceCircuit(circuit.number, now: now)
        }
        advanceSides(now: now)
        advanceLeases(now: now)
    }

    /// Who this node is towards a peer.
    func localID(_ peer: Peer) -> PeerID {
        if case .hop(let signer?) = peer.place { signer.publicKeys.peerID } else { ownID }
    }
}
