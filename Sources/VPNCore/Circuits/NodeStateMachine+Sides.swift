// SPDX-License-Identifier: Apache-2.0
// More paths of one circuit than one (§9): each leads to the last hop by relays of its own and is a patch of the session there. Built,
// replaced before they end, and given up where they fail; the steps of one are CircuitStateMachine's, what goes by which the quilt's.
internal import VPNCrypto

extension NodeStateMachine {
    // MARK: - How many there are

    /// What is due: paths that are missing, and those that had their time.
    mutating func advanceSides(now: Instant) {
        for number in circuits.paths.keys.sorted() {
            guard let path = circuits.paths[number], let due = path.replaceAt, due <= now else { continue }
            circuits.paths[number]?.replaceAt = nil
            circuits.paths[number]?.isLeaving = true
            circuits.all[path.circuit]?.sidesDue = now
        }
        for number in circuits.all.keys.sorted() {
            guard let circuit = circuits.all[number], let due = circuit.sidesDue, due <= now else { continue }
            circuits.all[number]?.sidesDue = nil
            buildSides(of: number, now: now)
        }
    }

    private mutating func buildSides(of number: OwnCircuit.Number, now: Instant) {
        guard let circuit = circuits.all[number], let quilt = circuit.request.quilt else {
            return
        }
        let staying = circuit.sides.count { circuits.paths[$0]?.isLeaving == false }
        for _ in staying..<max(staying, quilt.paths - 1) {
            guard let circuit = circuits.all[number] else { return }
            // One that is to be replaced may be replaced by a path through the same relays.
            let others = [circuit.current, circuit.successor].compactMap { $0 } + circuit.sides
            let besides = others.filter { circuits.paths[$0]?.isLeaving == false }
            guard let hops = otherHops(of: circuit, besides: besides, now: now),
                let entry = directSlot(of: hops[0])
            else {
                let pause = pause(after: circuit.sideFailures)
                circuits.all[number]?.sidesDue = now + pause
                circuits.all[number]?.sideFailures += 1
                return
            }
            var path = CircuitPath(
                number: circuits.freshNumber(), circuit: number, hops: hops,
                machine: CircuitStateMachine(
                    hops: hops.count, firstWords: firstWords(hops, circuit.request, now: now), endsUnmet: true),
                slots: [entry])
            (path.isSide, path.sharesEnd) = (true, true)
            if hops.count > 1 { path.vigil = CircuitVigil(now: now, jitter: cryptography.randomBytes(1)[0]) }
            circuits.paths[path.number] = path
            circuits.all[number]?.sides.append(path.number)
            begin(path, now: now)
        }
    }

    private func pause(after failures: Int) -> TimeSpan {
        min(Limits.pathRetry * (1 << min(failures, 6)), Limits.retryPauseMaximum)
    }

    /// Before the next path, where one that was in use is lost after so many others: none after the first, which may be chance.
    func pause(afterLosses losses: Int) -> TimeSpan { losses == 0 ? .zero : pause(after: losses - 1) }

    // MARK: - Where they go

    /// The hops of a path to the same end, with nothing in common with these but that.
    ///
    /// - Returns: nil where there are none. They share something with others only where they may and nothing else is left.
    mutating func otherHops(
        of circuit: OwnCircuit, besides paths: [CircuitPath.Number], now: Instant
    ) -> [PeerID]? {
        guard let quilt = circuit.request.quilt else { return nil }
        let taken = paths.compactMap { circuits.paths[$0]?.hops }
        guard var wish = circuit.request.wish else {
            return ([circuit.request.hops] + quilt.named).first { !taken.contains($0) }
        }
        wish.exit = circuit.request.hops.last
        let relays = Set(taken.joined()).subtracting([wish.exit].compactMap { $0 })
        let (failed, silent) = (avoided(now: now), avoided(itself: true, now: now))
        let relatives = relatives(of: relays)
        for avoided in [failed.union(relatives), silent.union(relatives), relatives] {
            if let hops = try? choosePath(wish, avoiding: avoided, now: now) { return hops }
        }
        guard quilt.configuration.relaxesDisjointness else { return nil }
        for avoided in [failed.union(relays), relays, failed] {
            if let hops = try? choosePath(wish, avoiding: avoided, now: now), !taken.contains(hops) { return hops }
        }
        return nil
    }

    /// Relays, and all that have an operator, a family or a network with one of them in common.
    private func relatives(of relays: Set<PeerID>) -> Set<PeerID> {
        let candidates = pathCandidates
        let known = candidates.filter { relays.contains($0.id) }
        let others = candidates.filter { candidate in known.contains { candidate.conflict(with: $0) != nil } }
        return relays.union(others.map(\.id))
    }

    /// What a path that replaces the first one has to leave to the others.
    func sharedBySides(_ circuit: OwnCircuit) -> Set<PeerID> {
        let hops = circuit.sides.compactMap { circuits.paths[$0]?.hops.dropLast() }
        return hops.isEmpty ? [] : relatives(of: Set(hops.joined()))
    }

    // MARK: - Use

    /// The last relay has opened the way to the last hop.
    mutating func sideReady(_ path: CircuitPath, _ circuit: OwnCircuit, now: Instant) {
        praise(path, circuit.request)
        circuits.paths[path.number]?.usedSince = now
        let random = cryptography.randomBytes(8).u64(at: 0)
        let due = replacement(of: path, random: random, now: now)
        circuits.paths[path.number]?.replaceAt = due
        if let place = path.places.last {
            addPatch(.circuit(place), to: circuit.destination, from: now, now: now)
        }
    }

    /// The last hop has another session: all paths that are there are patches of it.
    mutating func joinSides(to slot: PeerSlot, now: Instant) {
        guard let circuit = circuits.all.values.first(where: { $0.destination == slot }) else { return }
        for (place, number) in circuit.sides.enumerated() {
            guard let path = circuits.paths[number], path.machine.stage == .ready, let last = path.places.last else {
                continue
            }
            addPatch(.circuit(last), to: slot, from: now + Limits.patchQuestion * place, now: now)
        }
    }

    /// A patch that is a path of this node's came, or went.
    mutating func pathChanged(_ place: CircuitPlace, _ state: PatchState, now: Instant) {
        guard let origin = circuits.origins[place], let path = circuits.paths[origin.path],
            let circuit = circuits.all[path.circuit]
        else { return }
        switch state {
        case .up:
            circuits.all[circuit.number]?.sideFailures = 0
            for number in circuit.sides where number != path.number && path.isSide {
                guard let old = circuits.paths[number], old.isLeaving, old.machine.stage == .ready,
                    let last = old.places.last
                else { continue }
                if old.isProven(now: now) { circuits.all[circuit.number]?.sideLosses = 0 }
                leavePatch(.circuit(last), of: circuit.destination, now: now)
                circuits.paths[number]?.machine.drain(now: now)
            }
        case .down:
            // Questions in a hop's own session have found nothing, so it is what lies behind.
            pathFailed(path.number, hop: path.hops.count - 1, .silent, tells: true, now: now)
        case .joining, .suspect: return
        }
        shareEnds(of: circuit.number)
        tellPaths(of: circuit.number)
    }

    /// While others lead to the last hop, too, what comes from there says nothing of the first path.
    mutating func shareEnds(of number: OwnCircuit.Number) {
        guard let circuit = circuits.all[number], let current = circuit.current, let path = circuits.paths[current]
        else { return }
        let isShared = hasOtherPath(circuit, but: path)
        circuits.paths[current]?.sharesEnd = isShared
    }

    private mutating func tellPaths(of number: OwnCircuit.Number) {
        guard let circuit = circuits.all[number], let quilt = circuit.request.quilt else { return }
        let inUse = carryingPlaces(circuit).count
        emit(.circuit(.paths(number, name: circuit.request.name, inUse: inUse, of: quilt.paths)))
    }

    /// Where packets to the last hop go now.
    func carryingPlaces(_ circuit: OwnCircuit) -> [CircuitPlace] {
        guard let peer = peers[circuit.destination], let session = peer.ring.current?.session,
            let quilt = peer.quilts[session.localIndex]?.quilt
        else { return [] }
        return quilt.withState { state in
            state.patches.compactMap { $0?.carries == true ? $0?.carrier.place : nil }
        }
    }

    /// Whether a path besides this one carries packets to the last hop.
    func hasOtherPath(_ circuit: OwnCircuit, but path: CircuitPath) -> Bool {
        carryingPlaces(circuit).contains { $0 != path.places.last }
    }

    // MARK: - The end

    mutating func sideFailed(
        _ path: CircuitPath, _ circuit: OwnCircuit, _ hop: Int, _ failure: CircuitFailure, now: Instant
    ) {
        if failure != .local { blame(path, circuit.request, hop: failure == .noAnswer ? hop - 1 : hop, now: now) }
        endPath(path.number, now: now)
        let pause: TimeSpan
        if path.isProven(now: now) {
            circuits.all[circuit.number]?.sideLosses = 0
            pause = .zero
        } else if path.usedSince != nil {
            // Whoever lets paths come up and ends them is not followed at his pace.
            pause = self.pause(afterLosses: circuit.sideLosses)
            circuits.all[circuit.number]?.sideLosses += 1
        } else {
            pause = self.pause(after: circuit.sideFailures)
            circuits.all[circuit.number]?.sideFailures += 1
        }
        if !path.isLeaving { circuits.all[circuit.number]?.sidesDue = now + pause }
        shareEnds(of: circuit.number)
        emit(.circuit(.pathLost(circuit.number, name: circuit.request.name, hop: hop, failure, retryIn: pause)))
        endIfLost(circuit.number, hop, failure, now: now)
    }

    // MARK: - At the last hop

    /// Whether a session goes on without the circuit that it was made on.
    func carriesElsewhere(_ held: HeldSession, _ peer: Peer) -> Bool {
        guard let quilt = peer.quilts[held.session.localIndex]?.quilt else { return false }
        return quilt.withState { state in
            state.patches.contains { $0?.carries == true && $0?.carrier.place != held.session.place }
        }
    }

    /// Patches of guests that came by this circuit go with it.
    mutating func forgetPatches(on place: CircuitPlace, of slots: [PeerSlot]) {
        for slot in slots {
            guard let peer = peers[slot] else { continue }
            for (index, making) in peer.quilts.sorted(by: { $0.key < $1.key }) {
                for number in making.guests.keys.sorted() {
                    let carrier = making.quilt.withState { $0.patches[number]?.carrier }
                    guard carrier == .circuit(place) else { continue }
                    forget(patch: number, of: index, slot: slot)
                }
            }
        }
    }
}
