// SPDX-License-Identifier: Apache-2.0
// What exits gave this node, and what follows from it for the host: addresses, sources of routes, the MTU, name servers. A value;
// setting these is Node+Leases'.
internal import VPNCore

/// Leases by the names of their circuits.
struct HeldLeases: Equatable {
    struct Held: Equatable {
        /// Of the circuit in the core; nil once that is gone. Nobody has the addresses then, and all else stays as it is until the
        /// circuit is built again or nobody wants it any more: names that went to the exit must not go elsewhere meanwhile.
        var number: OwnCircuit.Number?
        let lease: ExitLease
        /// What leads into the circuit.
        let networks: [IPPrefix]
    }

    private(set) var all: [String: Held] = [:]

    mutating func grant(_ number: OwnCircuit.Number, _ name: String, _ lease: ExitLease, networks: [IPPrefix]) {
        all[name] = Held(number: number, lease: lease, networks: networks)
    }

    /// The circuit is gone, but wanted.
    mutating func lose(_ number: OwnCircuit.Number) {
        for (name, held) in all where held.number == number { all[name]?.number = nil }
    }

    /// Nobody wants others.
    mutating func keep(_ names: Set<String>) { all = all.filter { names.contains($0.key) } }

    /// Those that this node may send from, in order.
    var addresses: [IPAddress] {
        Array(Set(all.values.filter { $0.number != nil }.flatMap(\.lease.addresses))).sorted()
    }

    /// What packets by a route have for a source where their program chose none.
    var sources: [IPPrefix: IPAddress] {
        var sources: [IPPrefix: IPAddress] = [:]
        for held in all.values where held.number != nil {
            for network in held.networks {
                sources[network] = held.lease.addresses.first { $0.family == network.family }
            }
        }
        return sources
    }

    /// Of the interface: no longer than what each exit carries, and never so short that the kernel takes IPv6 from the interface,
    /// with all its routes.
    ///
    /// - Parameter most: as without leases.
    func mtu(most: Int) -> Int {
        let least = all.values.map { max($0.lease.mtu, Limits.smallestIPv6MTU) }.min() ?? most
        return min(most, least)
    }

    /// The name servers of the exit that most leads to, as far as they are reached by its circuit: whoever else would be asked on
    /// the way there is nobody's choice.
    var servers: [IPAddress] {
        all.sorted { ($0.value.breadth, $0.key) < ($1.value.breadth, $1.key) }
            .lazy.map { $0.value.reachedServers }.first { !$0.isEmpty } ?? []
    }
}

extension HeldLeases.Held {
    /// Bits of the widest network.
    fileprivate var breadth: Int { networks.map(\.length).min() ?? .max }

    var reachedServers: [IPAddress] {
        lease.servers.filter { server in networks.contains { $0.contains(server) } }
    }
}
