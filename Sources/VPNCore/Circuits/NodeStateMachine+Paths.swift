// SPDX-License-Identifier: Apache-2.0
// A node that chooses its paths itself (§8): from its directory, by its guards, and not soon again where one failed. How the choice
// is made: RelaySelection.
public import VPNCrypto

extension NodeStateMachine {
    /// A path through relays of the directory, its first hop first.
    ///
    /// What failed in the last ten minutes, and guards that rest, are left out as long as there is a path without them.
    public mutating func choosePath(_ wish: PathWish, now: Instant) throws(SelectionFailure) -> [PeerID] {
        precondition((1...Limits.circuitHops).contains(wish.hops), "a path of no length that there is")
        circuits.avoided = circuits.avoided.filter { $0.value.until > now }
        do throws(SelectionFailure) {
            return try choosePath(wish, avoiding: avoided(now: now), now: now)
        } catch {
            // Who was silent himself is the last to be taken again.
            for avoided in [avoided(itself: true, now: now), []] {
                if let path = try? choosePath(wish, avoiding: avoided, now: now) { return path }
            }
            throw error
        }
    }

    /// Relays that seem to be gone: a guard that is may not be in the middle of another path, either.
    func avoided(itself: Bool = false, now: Instant) -> Set<PeerID> {
        let unix = unixSeconds(now)
        let failed = circuits.avoided.filter { $0.value.until > now && ($0.value.isItself || !itself) }.keys
        return Set(failed).union(guards.guards.filter { $0.retry > unix }.map(\.id))
    }

    mutating func choosePath(
        _ wish: PathWish, avoiding avoided: Set<PeerID>, now: Instant
    ) throws(SelectionFailure) -> [PeerID] {
        let candidates = pathCandidates
        let usable = Set(candidates.map(\.id))
        let unix = unixSeconds(now)
        let selection = RelaySelection(candidates, avoiding: avoided)
        var random = CryptographicGenerator(cryptography)
        guard wish.hops > 1 else { return try selection.path(wish, guards: [], using: &random) }
        let before = guards
        defer { if guards != before { emit(.guardsChanged(guards)) } }
        // A clock by which nobody is a relay is wrong itself.
        if directory.isCurrent(unix: unix) { _ = guards.expire(unix: unix) }
        while guards.mayAdd(among: usable, unix: unix),
            let id = selection.newGuard(wish, besides: guards.ids, using: &random),
            guards.add(id, usable: usable, unix: unix, using: &random)
        {}
        while true {
            let preferred = inOrder(guards.preferred(among: usable, unix: unix))
            do throws(SelectionFailure) {
                return try selection.path(wish, guards: preferred, using: &random)
            } catch {
                // Guards of the exit's own operator or network lead nowhere: another one, as long as the day has some.
                guard error.position == .entry, !isResting(among: usable, unix),
                    let id = selection.newGuard(wish, besides: guards.ids, using: &random),
                    guards.add(id, usable: usable, unix: unix, using: &random)
                else {
                    if error.position == .entry, preferred.isEmpty, !usable.isDisjoint(with: guards.ids) {
                        throw SelectionFailure(position: .entry, rule: .available, relays: candidates.count)
                    }
                    throw error
                }
            }
        }
    }

    /// Whether there is a guard that failed once, a short while ago: worth waiting for before another one is chosen.
    private func isResting(among usable: Set<PeerID>, _ unix: UInt64) -> Bool {
        guards.guards.contains { usable.contains($0.id) && $0.retry > unix && $0.failures < GuardList.patience }
    }

    /// Why a circuit was refused for want of a path.
    public var selectionFailure: SelectionFailure? { circuits.selectionFailure }

    /// Who may be a hop now, in an order that does not hang on how a table lies in memory.
    var pathCandidates: [RelayCandidate] {
        directory.entries.values.filter { trust.bar($0.id) == nil }.map(\.candidate).sorted { $0.id < $1.id }
    }

    /// The hops of a circuit's next path: guard and exit stay, what is between may be others.
    mutating func nextHops(of circuit: OwnCircuit, now: Instant) -> [PeerID] {
        let current = circuit.current.flatMap { circuits.paths[$0] }
        let hops = current?.hops ?? circuit.request.hops
        guard let wish = circuit.request.wish, let current else { return hops }
        // A path that is lost while others carry may have lost its guard.
        if current.machine.stage == .over, let others = otherHops(of: circuit, besides: circuit.sides, now: now) {
            return others
        }
        guard hops.count > 2 else { return hops }
        var random = CryptographicGenerator(cryptography)
        let shared = sharedBySides(circuit)
        for avoided in [shared.union(avoided(now: now)), shared.union(avoided(itself: true, now: now)), shared, []] {
            let selection = RelaySelection(
                pathCandidates, avoiding: avoided.subtracting([hops[0], hops[hops.count - 1]]))
            if let middles = selection.middles(wish, entry: hops[0], exit: hops[hops.count - 1], using: &random) {
                return [hops[0]] + middles + [hops[hops.count - 1]]
            }
        }
        return hops
    }

    /// How long each hop of a path is waited for before it has said anything: not long where another one could stand for it.
    func firstWords(_ hops: [PeerID], _ request: CircuitRequest, now: Instant) -> [TimeSpan] {
        guard let wish = request.wish, hops.count > 1 else { return [] }
        let usable = guards.ids.filter { directory[$0] != nil && trust.bar($0) == nil }
        let hasOther = guards.preferred(among: usable, unix: unixSeconds(now)).contains { $0 != hops[0] }
        return hops.indices.map { hop in
            let isReplaceable = hop == 0 ? hasOther : hop < hops.count - 1 || wish.exit == nil
            return isReplaceable ? Limits.circuitFirstWord : Limits.circuitHandshake
        }
    }

    /// A path of a circuit that chooses for itself could not be built, or broke: the hop and whoever was to lead there are left
    /// alone for a while. Which of them it was nobody can tell from here.
    mutating func blame(_ path: CircuitPath, _ request: CircuitRequest, hop: Int, now: Instant) {
        guard let wish = request.wish else { return }
        if hop == 0 {
            guards.failed(path.hops[0], unix: unixSeconds(now))
            return
        }
        for place in [hop, hop - 1] where place > 0 && path.hops.indices.contains(place) {
            // An exit that was asked for by name is the only one.
            if place == path.hops.count - 1, wish.exit != nil { continue }
            let isItself = place == hop || circuits.avoided[path.hops[place]]?.isItself == true
            circuits.avoided[path.hops[place]] = (now + Limits.relayAvoided, isItself)
        }
    }

    /// A path through this guard is in use.
    mutating func praise(_ path: CircuitPath, _ request: CircuitRequest) {
        if request.wish != nil { guards.succeeded(path.hops[0]) }
    }

    /// A path is over: it was proven, or its guard or somebody behind that let it break.
    mutating func note(_ path: CircuitPath, _ request: CircuitRequest, lasted: Bool) {
        guard request.wish != nil, path.hops.count > 1 else { return }
        circuits.guardRecords[path.hops[0], default: GuardRecord()].add(lasted: lasted)
        guard circuits.guardRecords.count > GuardList.sample else { return }
        let ids = guards.ids
        circuits.guardRecords = circuits.guardRecords.filter { ids.contains($0.key) }
    }

    /// Those through which most paths broke come after the others: a guard cannot choose, by ending what does not suit it,
    /// which paths go through it. It stays a guard, so that nobody makes the list turn over by it.
    private func inOrder(_ preferred: [PeerID]) -> [PeerID] {
        let doubted = Set(circuits.guardRecords.filter { $0.value.isDoubted }.keys)
        return preferred.filter { !doubted.contains($0) } + preferred.filter { doubted.contains($0) }
    }

    /// The relays that paths begin with.
    public var guardList: GuardList { guards }

    /// These are the guards of an earlier run.
    public mutating func restoreGuards(_ list: GuardList) { guards = list }
}

/// Randomness that nobody can foresee, for what takes a generator.
struct CryptographicGenerator: RandomNumberGenerator {
    private let cryptography: any HandshakeCryptography

    init(_ cryptography: any HandshakeCryptography) { self.cryptography = cryptography }

    mutating func next() -> UInt64 { cryptography.randomBytes(8).u64(at: 0) }
}
