// SPDX-License-Identifier: Apache-2.0
// The name servers of a lease, told to the host by the daemon that `pqvpn up` started, since they come long after `up` has ended. All of
// it is on `up`'s record before it is done, so that `pqvpn down` takes it back, whatever became of the daemon.
internal import Foundation
internal import VPNCore

/// Who tells a host the name servers of leases. Blocking.
public struct LeasedNames: Sendable {
    let places: HostPlaces
    let profile: String
    private let tools: HostTools

    /// - Parameter profile: its name, as `up` has it on record.
    public init(places: HostPlaces, profile: String, path: String? = nil) {
        var places = places
        // `up` itself is at work when the first lease comes, and `down`, which waits for the daemon, must not be waited for long.
        places.patience = 5
        self.places = places
        self.profile = profile
        tools = HostTools(path: path, scratch: places.state)
    }

    /// What is asked for names, and by which ways.
    struct Wish: Sendable {
        var resolver: NodeConfiguration.Resolver
        var interface: String
        /// Of outer datagrams, and the number of the tunnel's routing table; nil where rules are nobody's.
        var mark: UInt32?
    }

    /// Makes these the name servers of the host in the place of those that were told before; none = as before the first. Throws where
    /// that cannot be; what was done by then is on record.
    func tell(_ servers: [IPAddress], _ wish: Wish) throws {
        let keeper = try HostKeeper(places)
        guard var state = try keeper.state(of: profile), state.pidFile != nil else {
            throw NodeFailure(.daemonNotRunning, "'\(profile)' is not up by pqvpn up any more")
        }
        if !servers.isEmpty,
            let other = try keeper.others(than: profile).first(where: { other in
                other.undo.contains { $0.title.hasPrefix("name servers (") }
            })
        {
            throw NodeFailure(.failure, "'\(other.profile)' has set the name servers: set dns.mode to off here")
        }
        let steps = Self.steps(servers, wish, HostSurroundings(tools, places), places)
        // First the ways and then the names: at no moment is a server asked by another way than the tunnel.
        for step in steps {
            let known = state.undo.firstIndex { $0.title == step.title }
            let undo = try known.flatMap { try state.undo[$0].goingOn(to: step) } ?? step.undo()
            if let known { state.undo[known] = undo } else { state.undo.append(undo) }
            try keeper.save(state)
            try step.perform(tools)
        }
        let titles = Set(steps.map(\.title))
        let leaving = state.undo.filter { $0.isOfNames && !titles.contains($0.title) }
        // The names, then their ways.
        for undo in leaving.reversed() {
            _ = try undo.perform(tools)
            state.undo.removeAll { $0 == undo }
            try keeper.save(state)
        }
    }

    /// In the order in which they are taken. Whatever goes around the tunnel, the way to its name servers does not.
    static func steps(
        _ servers: [IPAddress], _ wish: Wish, _ surroundings: HostSurroundings, _ places: HostPlaces
    ) -> [HostStep] {
        let mode = ResolverPlan.mode(
            wish.resolver.mode, hasResolvectl: surroundings.hasResolvectl, hasResolvconf: surroundings.hasResolvconf,
            isResolvconfResolvectl: surroundings.isResolvconfResolvectl, linkTarget: surroundings.resolverLink)
        let resolver = ResolverPlan(
            mode: mode, interface: wish.interface, servers: servers, search: wish.resolver.search,
            path: places.resolverFile, entry: (surroundings.hasInterfaceOrder ? "tun." : "") + wish.interface)
        guard !resolver.steps.isEmpty else { return [] }
        let ways = wish.mark.map { mark in servers.flatMap { RoutingPlan.ways(to: $0, mark: mark) } } ?? []
        return ways + resolver.steps
    }
}

extension HostUndo {
    /// Whether it is of the names, or of the ways to those who are asked for them.
    fileprivate var isOfNames: Bool { title.hasPrefix("name servers (") || title.hasPrefix("rule of a name server ") }

    /// The way back from a step of the same title that comes on top of this one's: to where this one leads. Nil where somebody else was
    /// at it since.
    fileprivate func goingOn(to step: HostStep) throws -> HostUndo? {
        guard case .resolverFile(let file) = way, case .resolverFile(_, let text) = step.change else { return self }
        guard try file.isOurs else { return nil }
        return HostUndo(title: title, way: .resolverFile(file.rewritten(text)))
    }
}
