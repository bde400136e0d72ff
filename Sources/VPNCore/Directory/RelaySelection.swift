// SPDX-License-Identifier: Apache-2.0
// Which relays a path goes through: exit first, then guard, then what is between, no two of which have an operator, a family or a
// network in common. A value: who is known and who failed is told by whoever asks.
public import VPNCrypto

/// What kind of path is wanted.
public struct PathWish: Sendable, Equatable {
    /// Nodes in it, the exit included: one to eight.
    public var hops: Int
    /// Nil: any exit.
    public var exit: PeerID?
    /// `circuit.relax_diversity`: operators, families and networks may come twice; a relay never.
    public var relaxesDiversity: Bool

    public init(hops: Int, exit: PeerID? = nil, relaxesDiversity: Bool = false) {
        self.hops = hops
        self.exit = exit
        self.relaxesDiversity = relaxesDiversity
    }
}

/// Choosing among so many relays.
public struct RelaySelection: Sendable {
    private let candidates: [RelayCandidate]
    private let weights: [UInt64]
    private let avoided: Set<PeerID>
    /// Steps that one search may take: with thousands of relays the first few do, and where no path is there the answer is no less
    /// true for not having looked at all of millions.
    private static let patience = 20_000

    /// - Parameter avoided: relays that are not to be taken now.
    public init(_ candidates: [RelayCandidate], avoiding avoided: Set<PeerID> = []) {
        self.candidates = candidates
        self.avoided = avoided
        weights = Self.weights(candidates.map(\.capacity))
    }

    /// A relay's chance is its capacity, at most ten times the median: nobody draws everybody to himself by a great number. What
    /// says nothing counts as 1 Mbit/s.
    static func weights(_ capacities: [UInt64]) -> [UInt64] {
        let said = capacities.map { $0 == 0 ? RelayCapacity.least : $0 }
        guard !said.isEmpty else { return [] }
        let median = said.sorted()[(said.count - 1) / 2]
        return said.map { min($0, 10 * median) }
    }

    /// A path, its first hop first.
    ///
    /// - Parameter guards: the relays that may be first, the best first; looked at where there are two hops or more.
    public func path(
        _ wish: PathWish, guards: [PeerID], using random: inout some RandomNumberGenerator
    ) throws(SelectionFailure) -> [PeerID] {
        var search = Search(wish: wish, patience: Self.patience)
        let exits = candidates.indices.filter {
            candidates[$0].isExit && (wish.exit ?? candidates[$0].id) == candidates[$0].id
        }
        var rest = exits.filter { isFree($0) }
        while let exit = draw(&rest, using: &random) {
            search.reach([exit])
            if wish.hops == 1 { return [candidates[exit].id] }
            for id in guards {
                guard let entry = candidates.firstIndex(where: { $0.id == id }), isFree(entry),
                    isAllowed(entry, beside: [exit], wish)
                else { continue }
                search.reach([exit, entry])
                if let middles = middles(wish.hops - 2, beside: [exit, entry], &search, using: &random) {
                    return ([entry] + middles + [exit]).map { candidates[$0].id }
                }
                guard search.patience > 0 else { break }
            }
            guard search.patience > 0 else { break }
        }
        throw failure(search.deepest, wish, exits: exits, guards: guards)
    }

    /// Other middles for a path whose guard and exit stay.
    public func middles(
        _ wish: PathWish, entry: PeerID, exit: PeerID, using random: inout some RandomNumberGenerator
    ) -> [PeerID]? {
        guard let first = candidates.firstIndex(where: { $0.id == entry }),
            let last = candidates.firstIndex(where: { $0.id == exit })
        else { return nil }
        var search = Search(wish: wish, patience: Self.patience)
        return middles(wish.hops - 2, beside: [last, first], &search, using: &random)?.map { candidates[$0].id }
    }

    /// A relay that could be guard of a path with this exit, by weight; nil where there is none. `taken` are guards already.
    public func newGuard(
        _ wish: PathWish, besides taken: Set<PeerID>, using random: inout some RandomNumberGenerator
    ) -> PeerID? {
        let exit = wish.exit.flatMap { id in candidates.firstIndex { $0.id == id } }
        var rest = candidates.indices.filter { place in
            isFree(place) && !taken.contains(candidates[place].id)
                && (exit.map { isAllowed(place, beside: [$0], wish) } ?? true)
        }
        return draw(&rest, using: &random).map { candidates[$0].id }
    }

    private func middles(
        _ count: Int, beside chosen: [Int], _ search: inout Search, using random: inout some RandomNumberGenerator
    ) -> [Int]? {
        if count == 0 { return [] }
        var rest = candidates.indices.filter { isFree($0) && isAllowed($0, beside: chosen, search.wish) }
        while search.patience > 0, let next = draw(&rest, using: &random) {
            search.patience -= 1
            search.reach(chosen + [next])
            if let more = middles(count - 1, beside: chosen + [next], &search, using: &random) { return [next] + more }
        }
        return nil
    }

    private struct Search {
        let wish: PathWish
        var patience: Int
        /// The longest part of a path that was found.
        private(set) var deepest: [Int] = []

        init(wish: PathWish, patience: Int) {
            self.wish = wish
            self.patience = patience
        }

        mutating func reach(_ chosen: [Int]) {
            if chosen.count > deepest.count { deepest = chosen }
        }
    }

    private func isFree(_ place: Int) -> Bool { !avoided.contains(candidates[place].id) }

    private func isAllowed(_ place: Int, beside chosen: [Int], _ wish: PathWish) -> Bool {
        chosen.allSatisfy { other in
            guard let rule = candidates[place].conflict(with: candidates[other]) else { return true }
            return wish.relaxesDiversity && rule.isRelaxable
        }
    }

    /// Takes one by weight out of what is left.
    private func draw(_ rest: inout [Int], using random: inout some RandomNumberGenerator) -> Int? {
        let total = rest.reduce(0) { $0 + weights[$1] }
        guard total > 0 else { return nil }
        var ticket = random.next(upperBound: total)
        for (number, place) in rest.enumerated() {
            if ticket < weights[place] {
                rest.remove(at: number)
                return place
            }
            ticket -= weights[place]
        }
        return nil
    }

    /// Which rule left nobody, where the search came farthest.
    private func failure(_ chosen: [Int], _ wish: PathWish, exits: [Int], guards: [PeerID]) -> SelectionFailure {
        let position: SelectionPosition = chosen.isEmpty ? .exit : chosen.count == 1 ? .entry : .middle
        func fails(_ rule: SelectionRule) -> SelectionFailure {
            SelectionFailure(position: position, rule: rule, relays: candidates.count)
        }
        var left: [Int] =
            switch position {
            case .exit: exits
            case .entry: candidates.indices.filter { guards.contains(candidates[$0].id) }
            case .middle: Array(candidates.indices)
            }
        if left.isEmpty { return fails(.none) }
        left = left.filter { isFree($0) }
        if left.isEmpty { return fails(.available) }
        for rule in [SelectionRule.identity, .operatorName, .family, .network] {
            if wish.relaxesDiversity, rule.isRelaxable { continue }
            left = left.filter { place in
                !chosen.contains { candidates[place].conflict(with: candidates[$0]) == rule }
            }
            if left.isEmpty { return fails(rule) }
        }
        return fails(.identity)
    }
}
