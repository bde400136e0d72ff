// SPDX-License-Identifier: Apache-2.0
// The circuits that pass through this node (§8): which there are, how many there may be, and when one is over. It sends nothing and
// knows no peers: whom to extend to, and over what, is NodeStateMachine+Relaying's.
public import VPNCrypto

/// What a node does for others. Without one it relays nothing and answers nobody on circuits.
public struct RelayPolicy: Sendable {
    /// Circuits that pass through, of one client and over one link; at all.
    public var circuitsPerClient = Limits.relayedCircuitsPerClient
    public var circuitsPerLink = Limits.relayedCircuitsPerLink
    public var circuits = Limits.relayedCircuits
    /// EXTENDs that one client may begin in a minute; 0 = no limit.
    public var extendsPerMinute = Limits.extendsPerMinute
    /// Bytes of the datagrams that go on, a second, both ways: in all, of one client, and over one link; 0 = no limit. Circuits share
    /// them.
    public var bytesPerSecond: UInt64 = 0
    public var bytesPerSecondPerClient: UInt64 = 0
    public var bytesPerSecondPerLink: UInt64 = 0
    /// Callers by circuits at a time, and on one circuit.
    public var guests = Limits.guests
    public var guestsPerCircuit = Limits.guestsPerCircuit
    /// Handshakes that one link may bring in a minute; at least 1.
    public var handshakesPerMinutePerLink = Limits.circuitHandshakesPerMinute
    /// Where pinned nodes are that are no configured peers, from signed descriptors. No address ever comes from a client.
    public var directory: [PeerID: Endpoint] = [:]

    public init() {}
}

extension Int {
    /// What one link may have of so many places: half of what all others have left, so that the last of many finds room, too.
    func share(besides others: Int) -> Int { (Swift.max(0, self - others) + 1) / 2 }
}

/// The circuits through one node.
struct RelayStateMachine {
    enum Stage {
        /// Its link is being made.
        case linking(PeerSlot, until: Instant)
        case open(CircuitPlace, RelayedTraffic)
    }

    /// One object, so that tables of them are short.
    final class Circuit {
        /// Where its EXTEND came.
        let client: CircuitPlace
        /// The link by which its client came, if that is a guest; else −1. So short, it has room beside the number before it.
        private let way: Int32
        let target: PeerID
        fileprivate(set) var stage: Stage

        init(client: CircuitPlace, by origin: PeerSlot?, target: PeerID, stage: Stage) {
            (self.client, self.target, self.stage) = (client, target, stage)
            way = origin.map { Int32($0) } ?? -1
        }

        fileprivate var origin: PeerSlot? { way < 0 ? nil : PeerSlot(way) }

        /// The peer that it goes on to.
        var link: PeerSlot {
            switch stage {
            case .linking(let slot, _): slot
            case .open(let onward, _): onward.outer
            }
        }

        var onward: CircuitPlace? { if case .open(let onward, _) = stage { onward } else { nil } }
    }

    private struct Way: Hashable {
        var origin: PeerSlot
        var onward: PeerSlot? = nil

        /// Those that a circuit counts as; none where its client is no guest.
        static func all(_ origin: PeerSlot?, _ onward: PeerSlot) -> [Way] {
            origin.map { [Way(origin: $0), Way(origin: $0, onward: onward)] } ?? []
        }
    }

    var policy: RelayPolicy?
    /// By the client's place.
    private var circuits: [CircuitPlace: Circuit] = [:]
    /// The same by the place where they go on.
    private var onwards: [CircuitPlace: Circuit] = [:]
    private var counts: [PeerSlot: (asClient: Int32, asLink: Int32)] = [:]
    /// Circuits of guests by the link that these came by: all of them where `onward` is nil, and those that go on to one peer.
    private var ways: [Way: Int] = [:]
    /// EXTENDs of the last minute.
    private var extends: [PeerSlot: [Instant]] = [:]
    /// ENDs of circuits that do not pass through here, in this second.
    private var ends: (second: UInt64, counts: [PeerSlot: Int]) = (0, [:])
    /// Of what is limited; of all circuits where no peer is named.
    private var wholeAllowance: RelayAllowance?
    private var clientAllowances: [PeerSlot: RelayAllowance] = [:]
    private var linkAllowances: [PeerSlot: RelayAllowance] = [:]

    /// Of circuits that are gone.
    private var carried: (packets: UInt64, bytes: UInt64) = (0, 0)
    /// When it was last told that there is no room.
    private var toldFull: Instant?

    var count: Int { circuits.count }
    /// RELAY payloads of all circuits since the start.
    var total: (packets: UInt64, bytes: UInt64) {
        circuits.values.reduce(into: carried) { sum, circuit in
            guard case .open(_, let traffic) = circuit.stage else { return }
            sum.packets &+= traffic.packets
            sum.bytes &+= traffic.bytes
        }
    }
    /// Peers of which anything is remembered.
    var remembered: Int {
        Set(counts.keys).union(extends.keys).union(clientAllowances.keys).union(linkAllowances.keys)
            .union(ways.keys.map(\.origin)).count
    }

    /// The circuit whose EXTEND came at this place.
    subscript(place: CircuitPlace) -> Circuit? { circuits[place] }

    /// The circuit that passes here, from whichever side.
    func circuit(at place: CircuitPlace) -> Circuit? { circuits[place] ?? onwards[place] }

    func isUsed(_ place: CircuitPlace) -> Bool { circuits[place] != nil || onwards[place] != nil }

    func usesLink(_ slot: PeerSlot) -> Bool { counts[slot].map { $0.asLink > 0 } ?? false }

    var all: [Circuit] { circuits.values.sorted { $0.client.key < $1.client.key } }

    /// Circuits that go on to a peer, or come from it.
    func circuits(of slot: PeerSlot) -> [Circuit] {
        guard counts[slot] != nil else { return [] }
        return circuits.values.filter { $0.client.outer == slot || $0.link == slot }
            .sorted { $0.client.key < $1.client.key }
    }

    /// When `overdue` finds something that waits for a link.
    private(set) var deadline: Instant?

    // MARK: Quotas

    /// Counts an EXTEND; false if its client asked too often.
    mutating func admitExtend(from slot: PeerSlot, now: Instant) -> Bool {
        guard let limit = policy?.extendsPerMinute else { return false }
        if limit == 0 { return true }
        var times = extends[slot]?.filter { now.since($0) < .seconds(60) } ?? []
        let isAdmitted = times.count < limit
        if isAdmitted { times.append(now) }
        extends[slot] = times
        return isAdmitted
    }

    /// - Parameter origin: the link by which the client came, if that is a guest: many of them may be one, and all that a link
    ///   brings has half of what others leave.
    func hasRoom(from client: PeerSlot, to link: PeerSlot?, by origin: PeerSlot? = nil) -> Bool {
        guard let policy else { return false }
        let onward = link.flatMap { counts[$0] }.map { Int($0.asLink) } ?? 0
        guard circuits.count < policy.circuits, onward < policy.circuitsPerLink,
            Int(counts[client]?.asClient ?? 0) < policy.circuitsPerClient
        else { return false }
        guard let origin else { return true }
        func isWithin(_ way: Way, _ limit: Int, _ all: Int) -> Bool {
            let own = ways[way] ?? 0
            return own < limit.share(besides: all - own)
        }
        return isWithin(Way(origin: origin), policy.circuits, circuits.count)
            && (link.map { isWithin(Way(origin: origin, onward: $0), policy.circuitsPerLink, onward) } ?? true)
    }

    /// Whether an END of a circuit that does not pass through here is looked into.
    mutating func admitEnd(from slot: PeerSlot, now: Instant) -> Bool {
        let second = now.nanoseconds / 1_000_000_000
        if ends.second != second { ends = (second, [:]) }
        ends.counts[slot, default: 0] += 1
        return ends.counts[slot, default: 0] <= Limits.endsPerSecond
    }

    /// Once a minute: whoever asks too much must not fill a log.
    mutating func mayTellFull(now: Instant) -> Bool {
        if let toldFull, now.since(toldFull) < .seconds(60) { return false }
        toldFull = now
        return true
    }

    // MARK: Changes

    mutating func begin(
        _ client: CircuitPlace, to target: PeerID, over link: PeerSlot, by origin: PeerSlot? = nil, now: Instant
    ) {
        let until = now + Limits.linkWait
        circuits[client] = Circuit(client: client, by: origin, target: target, stage: .linking(link, until: until))
        for way in Way.all(origin, link) { ways[way, default: 0] += 1 }
        counts[client.outer, default: (0, 0)].asClient += 1
        counts[link, default: (0, 0)].asLink += 1
        deadline = deadline.map { min($0, until) } ?? until
    }

    /// The link is there; what the workers are to count with.
    mutating func open(_ circuit: Circuit, onward: CircuitPlace, now: Instant) -> RelayedTraffic {
        let traffic = RelayedTraffic(shares(from: circuit.client.outer, to: onward.outer), now: now)
        circuit.stage = .open(onward, traffic)
        onwards[onward] = circuit
        return traffic
    }

    /// A circuit's share of each of what the policy limits.
    private mutating func shares(from client: PeerSlot, to link: PeerSlot) -> [RelayShare] {
        guard let policy else { return [] }
        func share(_ known: inout RelayAllowance?, _ limit: UInt64) -> RelayShare? {
            if limit == 0 { return nil }
            let allowance = known ?? RelayAllowance(bytesPerSecond: limit)
            known = allowance
            return RelayShare(of: allowance)
        }
        return [
            share(&wholeAllowance, policy.bytesPerSecond),
            share(&clientAllowances[client], policy.bytesPerSecondPerClient),
            share(&linkAllowances[link], policy.bytesPerSecondPerLink),
        ].compactMap { $0 }
    }

    /// Another policy. Where other rates come with it, what workers are to count with from now on.
    mutating func adopt(_ policy: RelayPolicy) -> [(Circuit, onward: CircuitPlace, RelayedTraffic)] {
        func rates(_ policy: RelayPolicy?) -> [UInt64] {
            policy.map { [$0.bytesPerSecond, $0.bytesPerSecondPerClient, $0.bytesPerSecondPerLink] } ?? []
        }
        let isSame = rates(self.policy) == rates(policy)
        self.policy = policy
        if isSame { return [] }
        (wholeAllowance, clientAllowances, linkAllowances) = (nil, [:], [:])
        var changed: [(Circuit, onward: CircuitPlace, RelayedTraffic)] = []
        for circuit in all {
            guard case .open(let onward, let old) = circuit.stage else { continue }
            let traffic = RelayedTraffic(shares(from: circuit.client.outer, to: onward.outer), after: old)
            circuit.stage = .open(onward, traffic)
            changed.append((circuit, onward, traffic))
        }
        return changed
    }

    mutating func remove(_ circuit: Circuit) {
        guard let circuit = circuits.removeValue(forKey: circuit.client) else { return }
        if case .open(_, let traffic) = circuit.stage {
            carried.packets &+= traffic.packets
            carried.bytes &+= traffic.bytes
        }
        if let onward = circuit.onward { onwards[onward] = nil }
        for way in Way.all(circuit.origin, circuit.link) {
            let count = ways[way] ?? 0
            ways[way] = count > 1 ? count - 1 : nil
        }
        counts[circuit.client.outer]?.asClient -= 1
        counts[circuit.link]?.asLink -= 1
        for slot in [circuit.client.outer, circuit.link] {
            guard let count = counts[slot] else { continue }
            if count.asClient == 0 { clientAllowances[slot] = nil }
            if count.asLink == 0 { linkAllowances[slot] = nil }
            if count == (0, 0) { counts[slot] = nil }
        }
    }

    /// A peer is gone.
    mutating func forget(_ slot: PeerSlot) { extends[slot] = nil }

    // MARK: Time

    /// Circuits whose link did not come in time.
    mutating func overdue(now: Instant) -> [Circuit] {
        guard let due = deadline, due <= now else { return [] }
        var late: [Circuit] = []
        deadline = nil
        for circuit in all {
            guard case .linking(_, let until) = circuit.stage else { continue }
            if until <= now { late.append(circuit) } else { deadline = deadline.map { min($0, until) } ?? until }
        }
        return late
    }

    /// Circuits that carried nothing for 90 s.
    func idle(now: Instant) -> [Circuit] {
        all.filter {
            guard case .open(_, let traffic) = $0.stage else { return false }
            return now.since(traffic.lastUsed) >= Limits.circuitIdle
        }
    }

    /// Forgets EXTENDs of more than a minute ago.
    mutating func tidy(now: Instant) {
        extends = extends.filter { now.since($0.value.last ?? .origin) < .seconds(60) }
    }
}
