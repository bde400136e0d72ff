// SPDX-License-Identifier: Apache-2.0
// The log's lines about leases: at an exit, which does not write down who had which address, and at its guest.

internal import Logging
internal import VPNCore

extension EventLog {
    func record(exit event: Event) {
        switch event {
        case .leaseGranted: line(.debug, "guest has inner addresses", "exit.lease", nil, [:])
        case .leaseEnded: line(.debug, "guest gave its inner addresses back", "exit.lease_ended", nil, [:])
        case .leaseExhausted:
            line(.warning, "no inner address left for a guest: exit.networks is too small", "exit.exhausted", nil, [:])
        default: break
        }
    }

    func record(lease event: CircuitEvent) {
        switch event {
        case .leased(_, let name, let lease):
            line(
                .info, "exit gave inner addresses", "circuit.leased", nil,
                [
                    "circuit": "\(name)", "addresses": .array(lease.addresses.map { "\($0)" }),
                    "servers": .array(lease.servers.map { "\($0)" }), "mtu": .stringConvertible(lease.mtu),
                    "allow_all": .stringConvertible(lease.isAllowAll),
                ])
        case .leaseRefused(_, let name, let refusal):
            line(
                .warning, "exit gave no inner addresses", "circuit.no_lease", nil,
                ["circuit": "\(name)", "reason": "\(refusal.rawValue)"])
        default: break
        }
    }
}
