// SPDX-License-Identifier: Apache-2.0
// What choosing a path looks at in a relay, and nothing else of it.
public import VPNCrypto

/// A relay that may become a hop.
public struct RelayCandidate: Sendable, Equatable {
    public var id: PeerID
    public var isExit: Bool
    /// As its descriptor says it; empty = not said, and then like nobody else's.
    public var operatorName: String
    public var family: String
    /// IPv4 /16 and IPv6 /32 of each of its addresses.
    public var neighbourhoods: [IPPrefix]
    /// In steps of 125 kbit/s, as it says itself; 0 = not said.
    public var capacity: UInt64

    public init(
        id: PeerID, isExit: Bool, operatorName: String, family: String, neighbourhoods: [IPPrefix], capacity: UInt64
    ) {
        self.id = id
        self.isExit = isExit
        self.operatorName = operatorName
        self.family = family
        self.neighbourhoods = neighbourhoods
        self.capacity = capacity
    }

    /// The first rule by which two relays may not be in one path; nil where they may.
    func conflict(with other: RelayCandidate) -> SelectionRule? {
        if id == other.id { return .identity }
        if isSame(operatorName, other.operatorName) { return .operatorName }
        if isSame(family, other.family) { return .family }
        return neighbourhoods.contains(where: other.neighbourhoods.contains) ? .network : nil
    }

    /// Case is no difference: it would be too easy a way to be two.
    private func isSame(_ a: String, _ b: String) -> Bool { !a.isEmpty && a.lowercased() == b.lowercased() }
}

/// What two relays of one path must not share, and what else can leave none.
public enum SelectionRule: String, Sendable, CaseIterable {
    /// There is no relay of that kind at all.
    case none
    /// Those that there are failed a short while ago, or are barred.
    case available
    case identity
    case operatorName = "operator"
    case family
    case network

    /// Whether `circuit.relax_diversity` lifts it.
    public var isRelaxable: Bool { self == .operatorName || self == .family || self == .network }
}

/// Where in a path a relay stands.
public enum SelectionPosition: String, Sendable {
    case exit, entry = "guard", middle
}

/// Why there is no path.
public struct SelectionFailure: Error, Sendable, Equatable {
    public var position: SelectionPosition
    public var rule: SelectionRule
    /// Relays that there are to choose from.
    public var relays: Int

    public init(position: SelectionPosition, rule: SelectionRule, relays: Int) {
        self.position = position
        self.rule = rule
        self.relays = relays
    }
}

extension SelectionFailure: CustomStringConvertible {
    public var description: String {
        let known = relays == 1 ? "1 relay is known" : "\(relays) relays are known"
        let why =
            switch rule {
            case .none: "there is none: import descriptors with 'pqvpn relay import'"
            case .available: "all of them failed a short while ago or are barred: they are tried again later"
            case .identity: "each is in the path already: import more relays, or ask for fewer hops"
            case .operatorName: "each has the operator of another hop"
            case .family: "each is of the family of another hop"
            case .network: "each is in the IPv4 /16 or IPv6 /32 of another hop"
            }
        let relax =
            rule.isRelaxable ? ": import more relays, ask for fewer hops, or set 'circuit.relax_diversity: true'" : ""
        return "no \(position.rawValue) can be chosen (\(known)): \(why)\(relax)"
    }
}
