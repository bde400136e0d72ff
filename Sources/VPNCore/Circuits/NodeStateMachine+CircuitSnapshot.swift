// SPDX-License-Identifier: Apache-2.0
// What people may see of circuits: those that this node has for itself, and a count of those that pass. Of the latter no more: who
// talks to whom is what circuits are to hide.
public import VPNCrypto

/// One circuit of this node's own as it stands.
public struct CircuitSnapshot: Sendable {
    public enum State: String, Sendable, CaseIterable {
        case building
        case ready
        /// In use, and another path is being built.
        case replacing
    }

    public let number: OwnCircuit.Number
    public let name: String
    public let hops: [PeerID]
    /// The hops of all paths in use, the first of them first.
    public let paths: [[PeerID]]
    /// Paths that were asked for.
    public let wantedPaths: Int
    /// Two of them share a relay, an operator or a network, since there were too few.
    public let isRelaxed: Bool
    /// What two of its hops share that this node chose itself, as far as the directory knows them: with `circuit.relax_diversity` only,
    /// or where a descriptor became another. In the order of the rules.
    public let shared: [SelectionRule]
    public let state: State
    /// The peer slot that its last hop has.
    public let destination: PeerSlot
    /// Since it was ready first.
    public let age: TimeSpan?
    public let replacesIn: TimeSpan?
    /// Replaced paths that take what is under way.
    public let draining: Int
    /// The longest inner packet in bytes.
    public let pathMTU: Int?
    /// The peers that the hops of the path in use are, in order; empty before there is one.
    public let slots: [PeerSlot]
    /// Where its paths pass this node, hop by hop.
    public let places: [CircuitPlace]
    /// Of its innermost session.
    public let session: SessionSnapshot?
}

/// What a node relays.
public struct RelaySnapshot: Sendable, Equatable {
    public let isEnabled: Bool
    public let circuits: Int
    public let guests: Int
    /// RELAY payloads of the circuits that there are now.
    public let packets: UInt64
    public let bytes: UInt64
    /// Of all circuits since the start.
    public let totalPackets: UInt64
    public let totalBytes: UInt64
}

extension NodeStateMachine {
    /// In the order in which they were asked for.
    public func circuitSnapshots(now: Instant) -> [CircuitSnapshot] {
        circuits.all.values.sorted { $0.number < $1.number }.map { circuit in
            let destination = peers[circuit.destination]
            let used = ([circuit.current].compactMap { $0 } + circuit.sides).compactMap { circuits.paths[$0] }
                .filter { $0.machine.stage == .ready }
            let hops = circuit.paths.first.flatMap { circuits.paths[$0]?.hops } ?? circuit.request.hops
            return CircuitSnapshot(
                number: circuit.number, name: circuit.request.name, hops: hops,
                paths: used.map(\.hops), wantedPaths: circuit.request.quilt?.paths ?? 1,
                isRelaxed: circuit.request.wish != nil && meet(used.map(\.hops)),
                shared: circuit.request.wish == nil ? [] : shared(hops),
                state: circuit.current == nil ? .building : circuit.successor == nil ? .ready : .replacing,
                destination: circuit.destination, age: circuit.readySince.map { now.since($0) },
                replacesIn: circuit.replaceAt.map { $0.since(now) }, draining: circuit.draining.count,
                pathMTU: destination?.path?.told,
                slots: circuit.current.flatMap { circuits.paths[$0]?.slots } ?? [],
                places: circuit.paths.flatMap { circuits.paths[$0]?.places ?? [] },
                session: destination?.ring.current.map { describe($0, now: now) })
        }
    }

    /// Whether two paths of this node's choice have a relay, an operator or a network in common before their end: whichever of them was
    /// built last, and as far as the directory knows it now.
    private func meet(_ paths: [[PeerID]]) -> Bool {
        let all = paths.map { $0.dropLast().compactMap { directory[$0]?.candidate } }
        return all.indices.contains { first in
            all[..<first].contains { other in
                all[first].contains { relay in other.contains { relay.conflict(with: $0) != nil } }
            }
        }
    }

    private func shared(_ hops: [PeerID]) -> [SelectionRule] {
        let known = hops.compactMap { directory[$0]?.candidate }
        let rules = Set(
            known.indices.flatMap { first in
                known[..<first].compactMap { known[first].conflict(with: $0) }
            })
        return SelectionRule.allCases.filter { rules.contains($0) && $0.isRelaxable }
    }

    /// The relays of a path of this node's own that begins at this place of its last one, without its end.
    public func relays(on place: CircuitPlace) -> [PeerID] {
        guard let origin = circuits.origins[place], let path = circuits.paths[origin.path] else { return [] }
        return Array(path.hops.prefix(origin.hop))
    }

    public var relaySnapshot: RelaySnapshot {
        let traffic = relay.all.compactMap { if case .open(_, let traffic) = $0.stage { traffic } else { nil } }
        return RelaySnapshot(
            isEnabled: relay.policy != nil, circuits: relay.count, guests: guestCount,
            packets: traffic.reduce(0) { $0 &+ $1.packets }, bytes: traffic.reduce(0) { $0 &+ $1.bytes },
            totalPackets: relay.total.packets, totalBytes: relay.total.bytes)
    }
}
