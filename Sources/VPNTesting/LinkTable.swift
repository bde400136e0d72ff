// SPDX-License-Identifier: Apache-2.0
// The ways between hosts that are numbers: what each does, which are cut, and who sits on them. Plugs into a VirtualNetwork.
public import VPNCore

public final class LinkTable {
    private struct Link: Hashable {
        var from: Int
        var to: Int
    }

    private unowned let network: VirtualNetwork
    /// By IP address; the port is 0.
    private var owners: [Endpoint: Int] = [:]
    private var conditions: [Link: LinkConditions] = [:]
    public var usual = LinkConditions()
    /// While it is set, no way loses anything, however it came to that.
    public var isCalm = false
    /// Hosts of one number reach each other; those that are not named are in 0.
    public var islands: [Int: Int] = [:]
    private var attackers: [Link: OnPathAttacker] = [:]
    private var isInjecting = false
    /// What attackers that are gone did.
    private var pastActs = 0

    public init(_ network: VirtualNetwork) {
        self.network = network
        network.path = { [unowned self] in self.conditions(of: $0) }
        network.intervene = { [unowned self] in self.meet($0) }
    }

    public func own(_ endpoint: Endpoint, by host: Int) {
        owners[Endpoint(high: endpoint.high, low: endpoint.low, port: 0)] = host
    }

    /// Who gets what is sent there; nil for nobody.
    public func owner(of endpoint: Endpoint) -> Int? {
        owners[Endpoint(high: endpoint.high, low: endpoint.low, port: 0)]
    }

    /// Of one direction.
    public func set(_ conditions: LinkConditions, from: Int, to: Int) {
        self.conditions[Link(from: from, to: to)] = conditions
    }

    /// Somebody sits down on a way; nil: nobody does any more.
    public func attack(_ attacker: OnPathAttacker?, from: Int, to: Int) {
        pastActs += attackers[Link(from: from, to: to)]?.acts ?? 0
        attackers[Link(from: from, to: to)] = attacker
    }

    public func removeAttackers() {
        pastActs += attackers.values.reduce(0) { $0 + $1.acts }
        attackers = [:]
    }

    public var acts: Int { attackers.values.reduce(pastActs) { $0 + $1.acts } }

    /// Something that an attacker on a way out of this host has kept.
    public func recorded(from host: Int) -> VirtualDatagram? {
        for link in attackers.keys.filter({ $0.from == host }).sorted(by: { $0.to < $1.to }) {
            if let datagram = attackers[link]?.pick() { return datagram }
        }
        return nil
    }

    private func link(_ datagram: VirtualDatagram) -> Link? {
        guard let from = owner(of: datagram.source), let to = owner(of: datagram.destination) else { return nil }
        return Link(from: from, to: to)
    }

    private func conditions(of datagram: VirtualDatagram) -> LinkConditions {
        var found = link(datagram).flatMap { conditions[$0] } ?? usual
        if isCalm {
            (found.loss, found.bytesPerSecond, found.largestDatagram) = (0, 0, LinkConditions().largestDatagram)
        }
        return found
    }

    private func meet(_ datagram: VirtualDatagram) -> VirtualNetwork.Intervention {
        guard let link = link(datagram) else { return .pass }
        if !islands.isEmpty, islands[link.from] ?? 0 != islands[link.to] ?? 0 { return .drop }
        guard !isInjecting, attackers[link] != nil else { return .pass }
        let (intervention, more) = attackers[link]!.meet(datagram)
        isInjecting = true
        for datagram in more { network.inject(datagram) }
        isInjecting = false
        return intervention
    }
}
