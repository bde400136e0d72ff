// SPDX-License-Identifier: Apache-2.0
// The quilts that a node's configuration asks for, and what has been found of them so far. Interfaces come and go, and names resolve late:
// asked again, it says what the core is to be told then.
internal import VPNCore

/// By name of the peer.
struct WantedQuilts: Sendable {
    private struct Wish: Sendable {
        var quilt: NodeConfiguration.Quilt
        /// Nil for a peer that calls.
        var endpoint: EndpointName?
    }

    private var wishes: [String: Wish] = [:]
    /// Addresses of the other endpoints; what was found once stays, so that a name with several addresses moves no path.
    private var found: [EndpointName: Endpoint] = [:]
    /// By which interface each peer was reached last if nobody chose: while there is no route, that is no reason for other paths.
    private var usual: [String: String] = [:]
    /// What the core knows.
    private var applied: [String: QuiltConfiguration] = [:]
    /// Notes that were given already.
    private var told: Set<String> = []

    init() {}

    /// - Parameter resolve: the address of a name, if there is one now.
    init(_ peers: [NodeConfiguration.Peer], resolve: (EndpointName) -> Endpoint?) {
        for peer in peers {
            guard let quilt = peer.quilt else { continue }
            wishes[peer.name] = Wish(quilt: quilt, endpoint: peer.endpoint)
            guard let first = peer.endpoint else { continue }
            for path in quilt.paths(to: first) where path.endpoint != first && found[path.endpoint] == nil {
                found[path.endpoint] = resolve(path.endpoint)
            }
        }
    }

    var peers: [String] { wishes.keys.sorted() }

    /// The endpoints that are looked up beside those of peers, by the name under which NodePlan hands them on.
    var names: [String: EndpointName] {
        var names: [String: EndpointName] = [:]
        for (peer, wish) in wishes {
            guard let first = wish.endpoint else { continue }
            for path in wish.quilt.paths(to: first) where path.endpoint != first {
                // No peer's name has a control character.
                names["\(peer)\u{0}\(path.endpoint)"] = path.endpoint
            }
        }
        return names
    }

    /// A name has an address; false if no quilt waited for it.
    mutating func resolved(_ name: EndpointName, _ endpoints: [Endpoint]) -> Bool {
        guard let endpoint = endpoints.first, found[name] == nil, names.values.contains(name) else { return false }
        found[name] = endpoint
        return true
    }

    /// What the core is to be told of a peer; nil if it has no quilt.
    ///
    /// - Parameter endpoint: where the peer is called, as it was found to be.
    mutating func plan(_ peer: String, endpoint: Endpoint?, _ surroundings: QuiltSurroundings) -> QuiltPlan? {
        guard let wish = wishes[peer] else { return nil }
        var remembering = surroundings
        let before = usual[peer]
        remembering.routeInterface = { surroundings.routeInterface($0) ?? before }
        let plan = QuiltPlan(
            wish.quilt, name: peer, first: wish.endpoint.map { ($0, endpoint) }, found: { found[$0] ?? $0.literal },
            remembering)
        usual[peer] = plan.usual
        return plan
    }

    /// Whether the core has to be told. It has not where paths are only missing: whoever knows them finds out that they do not carry, and a
    /// new session would gain nothing.
    mutating func isNews(_ configuration: QuiltConfiguration, for peer: String) -> Bool {
        if var old = applied[peer] {
            if Set(configuration.ways).isSubset(of: old.ways) { old.ways = configuration.ways }
            if old == configuration { return false }
        }
        applied[peer] = configuration
        return true
    }

    /// Those that were not given before; what has ceased to be so is news when it comes again.
    mutating func news(_ notes: [String]) -> [String] {
        defer { told = Set(notes) }
        return notes.filter { !told.contains($0) }
    }

    /// Another configuration: what was found of it stays found.
    mutating func replace(by other: WantedQuilts) {
        wishes = other.wishes
        let wanted = Set(names.values)
        found = found.merging(other.found) { _, new in new }.filter { wanted.contains($0.key) }
        told = []
        applied = [:]
    }
}

extension NodePlan {
    /// Gives each peer the quilt that it is to have, as this host can make it now. What is missing is told by Node+Quilt, which looks again.
    mutating func planQuilts(_ configuration: NodeConfiguration) {
        guard !quilts.peers.isEmpty else { return }
        let surroundings = QuiltSurroundings.host(mark: configuration.network.mark)
        for place in peers.indices {
            let peer = peers[place]
            guard let plan = quilts.plan(peer.name, endpoint: peer.endpoint, surroundings) else { continue }
            if quilts.isNews(plan.configuration, for: peer.name) { peers[place].quilt = plan.configuration }
        }
    }
}
