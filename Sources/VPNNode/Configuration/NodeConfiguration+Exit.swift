// SPDX-License-Identifier: Apache-2.0
// What a configuration says about being an exit: `relay.exit_policy` and the section `exit`, and the rules between them and the rest.
public import VPNCore

extension NodeConfiguration {
    public struct Exit: Sendable, Hashable {
        public var policy: ExitPolicy
        /// Where leases come from: one network of each family at most.
        public var networks: [IPPrefix]
        /// Name servers that guests are told of.
        public var servers: [IPAddress]
        public var masquerades: Bool
        /// Of one guest, in the kernel's table; 0 = no limit.
        public var newConnectionsPerSecond: Int
        public var connections: Int

        /// Whether this node is one.
        public var isOpen: Bool { policy.isOpen }

        /// The exit's own addresses: the first of each network.
        public var addresses: [InterfaceAddress] {
            networks.map { network in
                let first = network.first + 1
                let address = network.family == .v4 ? IPAddress(v4: UInt32(first)) : IPAddress(v6: first)
                return InterfaceAddress(address, length: network.length)
            }
        }
    }

    /// What no guest may reach: other guests, this node's tunnel, and what is behind its peers.
    var networksClosedToGuests: [IPPrefix] {
        exit.networks + tunnel.addresses.map(\.network) + peers.flatMap(\.allowedIPs)
    }
}

extension ConfigurationDocument {
    /// The policy; nil where its text is faulty, which `checkExit` reports.
    private func exitPolicy() throws(ExitPolicyError) -> ExitPolicy {
        if let text = effective("relay.exit_policy").text { return try ExitPolicy(text: text) }
        return try ExitPolicy(texts: texts("relay.exit_policy"))
    }

    var exit: NodeConfiguration.Exit {
        NodeConfiguration.Exit(
            policy: (try? exitPolicy()) ?? .denyAll, networks: prefixes("exit.networks"),
            servers: texts("exit.dns").compactMap { IPAddress($0) }, masquerades: boolean("exit.masquerade"),
            newConnectionsPerSecond: effective("exit.new_connections_per_second").integer ?? 0,
            connections: effective("exit.connections").integer ?? 0)
    }

    mutating func checkExit() {
        for number in 0..<count(of: "peers") where effective("peers[\(number)].exit").boolean == true {
            let path = "peers[\(number)].exit"
            if texts("peers[\(number)].via").isEmpty {
                report(.conflict, path, at: mark(path), "needs via: an exit knows its guests by their circuits")
            }
        }
        let key = "relay.exit_policy"
        let policy: ExitPolicy
        do throws(ExitPolicyError) { policy = try exitPolicy() } catch {
            // A list's rule has a line of its own.
            let path = error.rule > 0 && effective(key).text == nil ? "\(key)[\(error.rule - 1)]" : key
            return report(.malformed, path, at: mark(path), error.description)
        }
        guard policy.isOpen else { return }
        if effective("tunnel.enabled") == .boolean(false) {
            report(.conflict, key, at: mark(key), "needs tunnel.enabled: guests' packets go by the tunnel interface")
        }
        if effective("relay.enabled") == .boolean(false) {
            report(
                .conflict, key, at: mark(key), "has no effect while relay.enabled is false: guests come by circuits",
                severity: .warning)
        }
        checkExitNetworks()
        checkExitServers(policy)
    }

    private mutating func checkExitNetworks() {
        let key = "exit.networks"
        let networks = prefixes(key)
        if networks.isEmpty { report(.missing, key, at: mark(key), "needs a network: what are guests to be called?") }
        let tunnel = texts("tunnel.addresses").compactMap { try? InterfaceAddress($0) }.map(\.network)
        let peers = (0..<count(of: "peers")).flatMap { prefixes("peers[\($0)].allowed_ips") }.filter { $0.length > 0 }
        for (place, network) in networks.enumerated() {
            let path = "\(key)[\(place)]"
            if networks[..<place].contains(where: { $0.family == network.family }) {
                report(.duplicate, path, at: mark(path), "is the second network of its family; one is enough")
            }
            if network.length < 8 || network.length > network.family.bits - 2 {
                report(
                    .outOfRange, path, at: mark(path),
                    "\(network) must be between /8 and /\(network.family.bits - 2): one address is the exit's own")
            }
            let other = (tunnel + peers).first { $0.contains(network.address) || network.contains($0.address) }
            if let other {
                report(
                    .conflict, path, at: mark(path),
                    "\(network) overlaps with \(other), which is in use: take another private network")
            }
        }
    }

    /// What guests are told of, and may not ask, is of no use to them.
    private mutating func checkExitServers(_ policy: ExitPolicy) {
        let surroundings = ExitSurroundings(
            addresses: exit.addresses.map(\.address), port: UInt16(effective("network.listen_port").integer ?? 0),
            closed: prefixes("exit.networks"))
        let fence = ExitFence(policy, surroundings)
        for (place, server) in texts("exit.dns").compactMap({ IPAddress($0) }).enumerated() {
            let path = "exit.dns[\(place)]"
            if !fence.allows(.udp, server, port: 53) {
                report(
                    .conflict, path, at: mark(path),
                    "relay.exit_policy does not let guests ask \(server): add 'accept \(server):53', "
                        + "or 'accept self:53' if it is this host",
                    severity: .warning)
            }
        }
    }
}
