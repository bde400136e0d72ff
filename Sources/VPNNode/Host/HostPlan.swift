// SPDX-License-Identifier: Apache-2.0
// From a checked configuration and the host's surroundings to all that `pqvpn up` will do, in order. Pure.
internal import VPNCore

/// What will be done to a host.
struct HostPlan: Sendable {
    /// Before anything else, where asked for.
    var lockdown: LockdownPlan?
    /// When the interface is there.
    var steps: [HostStep]
    /// Programs that it needs.
    var tools: [String]
    /// What somebody should know before.
    var warnings: [String]

    init(_ configuration: NodeConfiguration, _ surroundings: HostSurroundings, _ places: HostPlaces) {
        var steps: [HostStep] = []
        var tools: [String] = []
        var warnings: [String] = []
        let tunnel = configuration.tunnel
        if tunnel.isLockedDown {
            lockdown = LockdownPlan(configuration)
            tools.append("nft")
        }
        let allowed = configuration.peers.flatMap(\.allowedIPs) + configuration.circuit.allowedIPs
        // Questions about names carry no mark: where everything goes through the tunnel they do, too.
        let isEverything = tunnel.isEnabled && allowed.contains { $0.length == 0 } && configuration.network.mark != nil
        if tunnel.isLockedDown || isEverything {
            for name in configuration.directPeers.compactMap(\.endpoint) + configuration.bootstrapPeers {
                guard case .name(let host) = name.host else { continue }
                let when = tunnel.isLockedDown ? "the lockdown is on and the tunnel is not up" : "the tunnel is not up"
                warnings.append(
                    "\(host) cannot be looked up while \(when)"
                        + (tunnel.isLockedDown ? "" : ", unless by a name server that is reached beside it")
                        + ": write its address, or put it into /etc/hosts")
            }
        }
        if tunnel.isEnabled, let mark = configuration.network.mark {
            let routing = RoutingPlan(
                mark: mark, excluded: tunnel.excludedRoutes, lan: tunnel.lan.routed, families: surroundings.families)
            steps += routing.steps
            tools.append("ip")
            // Where there is no nft, only what needs it now is refused; a reload may bring a route for everything.
            if surroundings.hasStrictFilter, surroundings.hasFilter || Self.swallows(allowed, configuration) {
                steps = routing.strictFilterSteps + steps
                tools.append("nft")
            }
        } else if tunnel.isEnabled, allowed.contains(where: { $0.length == 0 }) {
            warnings.append(
                "network.fwmark is 0: a route for everything would lead the tunnel into itself, and is left out")
        }
        if tunnel.isEnabled {
            // Who knows the inner address knows which host of a network is behind it. Neighbour discovery has no such fault.
            if surroundings.answersForAll {
                steps.insert(HostStep("answers to ARP", .setting(places.arpSetting, "1")), at: 0)
            }
            if surroundings.hasFilter {
                let own = tunnel.addresses + (configuration.exit.isOpen ? configuration.exit.addresses : [])
                let fence = InnerFence(interface: tunnel.interface, addresses: own.map(\.address))
                steps.insert(HostStep("fence of inner addresses", .innerFence(fence)), at: 0)
                tools.append("nft")
            } else {
                warnings.append(
                    "there is no nft: neighbours on this host's networks may send packets to its inner addresses "
                        + "(CVE-2019-14899); apt-get install nftables")
            }
        }
        warnings += Self.openFamilies(allowed, surroundings, isLockedDown: tunnel.isLockedDown)
        let mode = ResolverPlan.mode(
            configuration.resolver.mode, hasResolvectl: surroundings.hasResolvectl,
            hasResolvconf: surroundings.hasResolvconf, isResolvconfResolvectl: surroundings.isResolvconfResolvectl,
            linkTarget: surroundings.resolverLink)
        let resolver = ResolverPlan(
            mode: mode, interface: tunnel.interface, servers: tunnel.isEnabled ? configuration.resolver.servers : [],
            search: configuration.resolver.search, path: places.resolverFile,
            entry: (surroundings.hasInterfaceOrder ? "tun." : "") + tunnel.interface)
        steps += resolver.steps
        tools += resolver.tools
        let isFull = allowed.contains { $0.length == 0 }
        if isFull, resolver.steps.isEmpty {
            let isLeased =
                configuration.resolver.mode != .off
                && (configuration.peers.contains(where: \.isExit) || !configuration.circuit.allowedIPs.isEmpty)
            warnings.append(
                isLeased
                    ? "names are asked for as before until the exit has told its name servers, if it has any"
                    : "names are asked for as before: set dns.servers, or who answers them sees where this host goes")
        }
        for server in resolver.servers
        where !resolver.steps.isEmpty && !allowed.contains(where: { $0.contains(server) }) {
            warnings.append("name server \(server) is in no peer's allowed_ips: it is not asked through the tunnel")
        }
        self.steps = steps
        self.tools = Array(Set(tools)).sorted()
        self.warnings = warnings
    }

    /// Whether an endpoint is, or may be, behind one of the tunnel's own routes.
    private static func swallows(_ allowed: [IPPrefix], _ configuration: NodeConfiguration) -> Bool {
        let endpoints = configuration.directPeers.compactMap(\.endpoint) + configuration.bootstrapPeers
        return allowed.contains { prefix in
            prefix.family == .v4
                && (prefix.length == 0
                    || endpoints.contains { endpoint in
                        guard case .address(let address) = endpoint.host else { return true }
                        return prefix.contains(address)
                    })
        }
    }

    /// One family in the tunnel and the other not is what leaks most.
    private static func openFamilies(
        _ allowed: [IPPrefix], _ surroundings: HostSurroundings, isLockedDown: Bool
    ) -> [String] {
        let full = Set(allowed.filter { $0.length == 0 }.map(\.family))
        guard full.count == 1, let family = full.first, surroundings.families.count == 2 else { return [] }
        let (name, prefix) = family == .v4 ? ("IPv6", "::/0") : ("IPv4", "0.0.0.0/0")
        return [
            "\(name) is not in the tunnel and "
                + (isLockedDown ? "cannot leave this host" : "goes out in clear")
                + ": add \"\(prefix)\" to allowed_ips" + (isLockedDown ? "" : ", or set tunnel.lockdown")
        ]
    }
}
