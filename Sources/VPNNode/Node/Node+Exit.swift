// SPDX-License-Identifier: Apache-2.0
// A node that is an exit: its terms for the core, its table in the kernel, and both again when the host has other addresses. And a
// node that is an exit's guest: the addresses that it was given.
internal import Logging
internal import VPNCore
internal import VPNEngine

/// The exit of a running node.
struct NodeExit: Sendable {
    let host: ExitHost
    let configuration: NodeConfiguration
    /// As the interface is called.
    let interface: String
    /// As the table in the kernel has them.
    var surroundings: ExitSurroundings

    /// Nil for a node that is none. Throws where nft is missing.
    init?(_ configuration: NodeConfiguration, interface: String?) throws {
        guard configuration.exit.isOpen, let interface else { return nil }
        host = try ExitHost()
        self.configuration = configuration
        self.interface = interface
        surroundings = Self.surroundings(configuration)
    }

    /// The host as it is now.
    static func surroundings(_ configuration: NodeConfiguration) -> ExitSurroundings {
        var addresses = HostAddresses.current() + configuration.exit.addresses.map(\.address)
        // What a NAT before this host has is this host, to whoever comes from outside.
        if case .address(let address)? = configuration.invites.endpoint?.host { addresses.append(address) }
        return ExitSurroundings(
            addresses: Array(Set(addresses)).sorted(), port: configuration.network.listenPort,
            closed: Array(Set(configuration.networksClosedToGuests)).sorted())
    }

    var fence: ExitFence { ExitFence(configuration.exit.policy, surroundings) }

    var terms: ExitTerms {
        let exit = configuration.exit
        return ExitTerms(
            fence: fence, networks: exit.networks, reserved: exit.addresses.map(\.address), servers: exit.servers,
            isAllowAll: exit.policy.isAllowAll)
    }

    var table: ExitTable {
        let exit = configuration.exit
        return ExitTable(
            policy: exit.policy, surroundings: surroundings, interface: interface, networks: exit.networks,
            masquerades: exit.masquerades, newConnectionsPerSecond: exit.newConnectionsPerSecond,
            connections: exit.connections)
    }
}

extension Node {
    /// Before any packet moves. Throws where the kernel does not take the table: without it this is no exit.
    func openExit() throws {
        guard let exit else { return }
        try exit.host.load(exit.table)
        for complaint in exit.host.forward(on: exit.interface) {
            logger.warning("\(complaint)", metadata: ["event": "exit.host"])
        }
        machine.openExit(exit.terms)
        logger.notice(
            "this node is an exit",
            metadata: [
                "event": "exit.open", "policy": "\(exit.configuration.exit.policy)",
                "networks": .array(exit.configuration.exit.networks.map { "\($0)" }),
            ])
    }

    /// The host has, or is rid of, an address: both fences follow. Seldom, and quick.
    func reviewExit(_ addresses: ExitSurroundings) {
        guard var exit, exit.surroundings != addresses else { return }
        exit.surroundings = addresses
        // The quick fence first; the other one drops what is local and not known to it, whatever happens here.
        machine.changeExit(exit.fence, isAllowAll: exit.configuration.exit.policy.isAllowAll)
        do {
            try exit.host.load(exit.table)
            self.exit = exit
            logger.info(
                "this host has other addresses: the exit's fences know",
                metadata: ["event": "exit.addresses", "addresses": .stringConvertible(addresses.addresses.count)])
        } catch {
            // Looked at again in five seconds.
            logger.error("\(NodeFailure(error).message)", metadata: ["event": "exit.not_loaded"])
        }
    }

    /// At the end of the run.
    func closeExit() {
        guard let exit else { return }
        do { try exit.host.close() } catch {
            logger.error(
                "the exit's table stays in the kernel: \(NodeFailure(error).message); sudo nft delete table \(ExitTable.table)",
                metadata: ["event": "exit.not_closed"])
        }
    }
}
