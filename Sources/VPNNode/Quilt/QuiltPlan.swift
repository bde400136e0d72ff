// SPDX-License-Identifier: Apache-2.0
// From the paths of a configuration to carriers: endpoints that were found, and the numbers that interfaces of this host have now. It
// looks nothing up itself and tells the core nothing.
internal import VPNCore
internal import VPNEngine

/// What this host says of its interfaces, as a plan of paths asks.
struct QuiltSurroundings {
    /// The number of an interface; nil where there is none of that name.
    var index: (String) -> UInt32?
    /// The interface by which an endpoint is reached if nobody chooses; nil where that cannot be told.
    var routeInterface: (Endpoint) -> String?

    /// - Parameter mark: of the outer datagrams.
    static func host(mark: UInt32?) -> QuiltSurroundings {
        QuiltSurroundings(
            index: { NetworkInterface.index(of: $0) },
            routeInterface: { endpoint in
                guard let source = Route.source(to: endpoint, mark: mark) else { return nil }
                return NetworkInterface.holder(of: source.address)
            })
    }
}

/// The paths to one peer as they can be used now.
struct QuiltPlan {
    /// What the core is told.
    let configuration: QuiltConfiguration
    /// Sentences for the log: what is missing, and what is other than it looks.
    let notes: [String]
    /// The interface by which the peer is reached if nobody chooses, where that was asked for and can be told.
    let usual: String?

    /// - Parameters:
    ///   - name: the peer's.
    ///   - first: where the handshake goes, and what that was found to be; nil for a peer that calls.
    ///   - found: the addresses of the endpoints, as far as they are known.
    init(
        _ quilt: NodeConfiguration.Quilt, name: String, first: (name: EndpointName, endpoint: Endpoint?)?,
        found: (EndpointName) -> Endpoint?, _ surroundings: QuiltSurroundings
    ) {
        var plan = QuiltConfiguration(
            scheduler: quilt.scheduler, doublesSmallOnly: quilt.doublesSmallOnly,
            deadline: quilt.deadline.map { .milliseconds($0) }, relaxesDisjointness: quilt.relaxesDisjointness)
        // Without a place to call nothing can be said of routes there; it is asked again when the place is known.
        guard let first, let place = first.endpoint else {
            (configuration, notes, usual) = (plan, [], nil)
            return
        }
        var notes: [String] = []
        let usual = quilt.interfaces.isEmpty ? nil : surroundings.routeInterface(place)
        var isFirstFound = false
        var missing: Set<String> = []
        for path in quilt.paths(to: first.name) {
            let target = path.endpoint == first.name ? place : found(path.endpoint)
            guard var endpoint = target else {
                notes.append("the quilt of '\(name)' waits for the address of \(path.endpoint)")
                continue
            }
            if let interface = path.interface {
                guard let index = surroundings.index(interface) else {
                    if missing.insert(interface).inserted {
                        notes.append("the quilt of '\(name)' waits for the interface \(interface), which is not there")
                    }
                    continue
                }
                endpoint.scope = index
            }
            // The handshake's own path is the first patch already.
            if path.endpoint == first.name, path.interface == nil || path.interface == usual {
                isFirstFound = true
                continue
            }
            if !plan.ways.contains(endpoint) { plan.ways.append(endpoint) }
        }
        if !quilt.interfaces.isEmpty, !isFirstFound, missing.isEmpty {
            notes.append(
                usual.map {
                    "the quilt of '\(name)': routes lead to \(first.name) by \($0), which the file does not choose for it; that path "
                        + "is used beside the others"
                }
                    ?? "the quilt of '\(name)': it cannot be told by which interface \(first.name) is reached if nobody chooses; that "
                    + "path is used beside the others and may be one of them")
        }
        plan.ways = Array(plan.ways.prefix(Limits.patches - 1))
        if plan.ways.isEmpty { notes.append("the quilt of '\(name)' has one path alone") }
        (configuration, self.notes, self.usual) = (plan, notes, usual)
    }
}
