// SPDX-License-Identifier: Apache-2.0
// A policy together with its surroundings, made ready for packets: who may be reached at what address, by what protocol, at what
// port. One immutable value for all workers. It has never seen a packet (ExitGate).

/// What of a packet a rule can name.
enum ExitProtocol: UInt8 {
    case tcp = 1
    case udp = 2
    case icmp = 4
    case other = 8
}

/// A compiled policy.
public final class ExitFence: Sendable {
    let v4: FenceHalf<UInt32>
    let v6: FenceHalf<UInt128>

    public init(_ policy: ExitPolicy, _ surroundings: ExitSurroundings) {
        v4 = FenceHalf(policy, surroundings, .v4)
        v6 = FenceHalf(policy, surroundings, .v6)
    }

    /// Whether the address may be reached. For tests, and for people who ask; packets ask the tables.
    public func allows(_ transport: ExitRule.Transport?, _ address: IPAddress, port: UInt16 = 0) -> Bool {
        let name: ExitProtocol =
            switch transport {
            case .tcp: .tcp
            case .udp: .udp
            case .icmp: .icmp
            case nil: .other
            }
        return address.family == .v4
            ? v4.allows(UInt32(address.value), name, port: port) : v6.allows(address.value, name, port: port)
    }
}

/// One family's half.
struct FenceHalf<Key: FixedWidthInteger & UnsignedInteger & Sendable>: Sendable {
    /// Where an address stands, as its bit in `Rule.reach`.
    private enum Standing: Int32 {
        // What the map says of all that is in none of its networks.
        case open = -1
        case special = 0
        case host = 1
        case closed = 2

        var bit: UInt8 { 1 << UInt8(rawValue + 1) }
        static var all: UInt8 { 15 }
    }

    private struct Rule {
        var first: Key
        var last: Key
        var isAccept: Bool
        /// The standings that it reaches.
        var reach: UInt8
        /// `ExitProtocol`s.
        var protocols: UInt8
        /// Where its ranges lie in `ports`; none: all ports.
        var ports: Range<Int32>
    }

    private let standings: IntervalMap<Key>
    private let rules: [Rule]
    private let ports: [ClosedRange<UInt16>]
    private let ownPort: UInt16

    init(_ policy: ExitPolicy, _ surroundings: ExitSurroundings, _ family: IPAddress.Family) {
        // A mapped address is none that a host has, whatever somebody says.
        let own = Set(
            surroundings.addresses.filter { $0.family == family && !SpecialNetworks.mapped.contains($0) })
        standings = FenceHalf.standings(surroundings, own, family)
        ownPort = surroundings.port
        var (rules, ports): ([Rule], [ClosedRange<UInt16>]) = ([], [])
        for rule in policy.rules {
            let start = Int32(ports.count)
            ports += rule.ports
            for (range, reach) in FenceHalf.ranges(rule, surroundings, own, family) {
                rules.append(
                    Rule(
                        first: Key(truncatingIfNeeded: range.lowerBound),
                        last: Key(truncatingIfNeeded: range.upperBound),
                        isAccept: rule.verdict == .accept, reach: reach, protocols: FenceHalf.protocols(rule),
                        ports: start..<Int32(ports.count)))
            }
        }
        (self.rules, self.ports) = (rules, ports)
    }

    private static func protocols(_ rule: ExitRule) -> UInt8 {
        switch rule.transport {
        case .tcp: ExitProtocol.tcp.rawValue
        case .udp: ExitProtocol.udp.rawValue
        case .icmp: ExitProtocol.icmp.rawValue
        case nil: rule.ports.isEmpty ? 15 : ExitProtocol.tcp.rawValue | ExitProtocol.udp.rawValue
        }
    }

    /// What a rule is about in this family, and which standings it reaches there.
    private static func ranges(
        _ rule: ExitRule, _ surroundings: ExitSurroundings, _ own: Set<IPAddress>, _ family: IPAddress.Family
    ) -> [(ClosedRange<UInt128>, reach: UInt8)] {
        let whole = 0...IPPrefix.hostMask(family, 0)
        let accepts = rule.verdict == .accept
        switch rule.target {
        case .any: return [(whole, accepts ? Standing.open.bit : Standing.all)]
        case .anyIPv4: return family == .v4 ? [(whole, accepts ? Standing.open.bit : Standing.all)] : []
        case .anyIPv6: return family == .v6 ? [(whole, accepts ? Standing.open.bit : Standing.all)] : []
        case .ownNetworks:
            return SpecialNetworks.ownNetworks.filter { $0.family == family }
                .map { ($0.first...$0.last, accepts ? Standing.special.bit : Standing.all) }
        case .host:
            return own.sorted().map { ($0.value...$0.value, accepts ? Standing.host.bit : Standing.all) }
        case .network(let network):
            guard network.family == family else { return [] }
            let reach = surroundings.isApart(network) ? Standing.special.bit : Standing.open.bit
            return [(network.first...network.last, accepts ? reach : Standing.all)]
        }
    }

    /// Own addresses go before closed networks, and those before special ones.
    private static func standings(
        _ surroundings: ExitSurroundings, _ own: Set<IPAddress>, _ family: IPAddress.Family
    ) -> IntervalMap<Key> {
        var closed = Set(surroundings.closed.filter { $0.family == family && $0.length > 0 })
        if family == .v6 { closed.insert(SpecialNetworks.mapped) }
        var standings: [IPPrefix: Standing] = [:]
        let links = surroundings.links.filter { $0.length > 0 }
        for network in SpecialNetworks.all + links where network.family == family {
            // In a closed network nothing else but the host's own counts.
            let isCovered = closed.contains { $0.contains(network.address) && $0.length <= network.length }
            if !isCovered { standings[network] = .special }
        }
        for network in closed { standings[network] = .closed }
        for address in own { standings[IPPrefix(containing: address, length: family.bits)] = .host }
        return IntervalMap(
            standings.map { network, standing in
                .init(
                    first: Key(truncatingIfNeeded: network.first), last: Key(truncatingIfNeeded: network.last),
                    slot: standing.rawValue)
            })
    }

    /// Whether a rule lets this be reached. `port` counts for TCP and UDP alone.
    @inline(__always)
    func allows(_ address: Key, _ name: ExitProtocol, port: UInt16) -> Bool {
        let standing = standings.lookup(address)
        if standing >= Standing.host.rawValue {
            if standing == Standing.closed.rawValue || (name == .udp && port == ownPort) { return false }
        }
        let bit = UInt8(1) << UInt8(standing + 1)
        var place = 0
        while place < rules.count {
            let rule = rules[place]
            place += 1
            guard rule.first <= address, address <= rule.last, rule.reach & bit != 0,
                rule.protocols & name.rawValue != 0
            else { continue }
            if rule.ports.isEmpty || isListed(port, rule.ports) { return rule.isAccept }
        }
        return false
    }

    @inline(__always)
    private func isListed(_ port: UInt16, _ places: Range<Int32>) -> Bool {
        var place = Int(places.lowerBound)
        while place < Int(places.upperBound) {
            if ports[place].contains(port) { return true }
            place += 1
        }
        return false
    }
}
