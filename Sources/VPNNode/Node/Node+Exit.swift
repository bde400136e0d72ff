// SPDX-License-Identifier: Apache-2.0
// A node that is an exit: its terms for the core, its table in the kernel, and both again when the host has other addresses. And a
// node that is an exit's guest: the addresses that it was given.
internal import Foundation
internal import Logging
internal import VPNCore
internal import VPNEngine

/// The exit of a running node.
struct NodeExit: Sendable {
    let host: ExitHost
    /// As at the start, but for its peers.
    private(set) var configuration: NodeConfiguration
    /// As the interface is called.
    let interface: String
    /// As the table in the kernel has them.
    var surroundings: ExitSurroundings
    var leavers = ExitLeavers()

    /// Nil for a node that is none. Throws where nft is missing.
    ///
    /// - Parameter path: where programs are; nil: where they are for everybody.
    init?(_ configuration: NodeConfiguration, interface: String?, path: String? = nil) throws {
        guard configuration.exit.isOpen, let interface else { return nil }
        host = try ExitHost(path: path)
        self.configuration = configuration
        self.interface = interface
        surroundings = Self.surroundings(configuration, interface: interface)
    }

    private static func surroundings(_ configuration: NodeConfiguration, interface: String) -> ExitSurroundings {
        var addresses = HostAddresses.current() + configuration.exit.addresses.map(\.address)
        // What a NAT before this host has is this host, to whoever comes from outside.
        if case .address(let address)? = configuration.invites.endpoint?.host { addresses.append(address) }
        return ExitSurroundings(
            addresses: Array(Set(addresses)).sorted(), port: configuration.network.listenPort,
            closed: closed(configuration), links: HostAddresses.links(besides: interface))
    }

    private static func closed(_ configuration: NodeConfiguration) -> [IPPrefix] {
        Array(Set(configuration.networksClosedToGuests)).sorted()
    }

    /// The host as it is now.
    func look() -> ExitSurroundings { Self.surroundings(configuration, interface: interface) }

    /// A look, which may be older than the last change of peers, as it counts now.
    func current(_ look: ExitSurroundings) -> ExitSurroundings {
        var look = look
        look.closed = Self.closed(configuration)
        return look
    }

    /// These are the node's peers from now on: what is behind them is closed to guests. All else that a configuration says of an exit
    /// waits for a restart.
    mutating func take(_ peers: [NodeConfiguration.Peer]) { configuration.peers = peers }

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
        let networks = exit.configuration.exit.networks
        do throws(EngineError) {
            // Of guests of an earlier run.
            try ConnectionTracking.forget { address in networks.contains { $0.contains(address) } }
        } catch { connectionsKept(error) }
        machine.openExit(exit.terms)
        logger.notice(
            "this node is an exit",
            metadata: [
                "event": "exit.open", "policy": "\(exit.configuration.exit.policy)",
                "networks": .array(exit.configuration.exit.networks.map { "\($0)" }),
            ])
    }

    /// Others are behind this node's tunnel than before: guests must not reach them.
    func closeToGuests() {
        guard exit != nil else { return }
        exit?.take(configuration.peers)
        if let surroundings = exit?.surroundings { reviewExit(surroundings) }
    }

    /// The host has, or is rid of, an address or a network, or its peers have: both fences follow. Seldom, and quick.
    func reviewExit(_ look: ExitSurroundings) {
        guard var exit else { return }
        let surroundings = exit.current(look)
        guard exit.surroundings != surroundings else { return }
        exit.surroundings = surroundings
        // The quick fence first; the other one drops what is local and not known to it, whatever happens here.
        machine.changeExit(exit.fence, isAllowAll: exit.configuration.exit.policy.isAllowAll)
        do {
            try exit.host.load(exit.table)
            self.exit = exit
            logger.info(
                "this host has other addresses, neighbours or peers: the exit's fences know",
                metadata: [
                    "event": "exit.addresses", "addresses": .stringConvertible(surroundings.addresses.count),
                    "links": .stringConvertible(surroundings.links.count),
                    "closed": .stringConvertible(surroundings.closed.count),
                ])
        } catch {
            // Looked at again in five seconds.
            logger.error("\(NodeFailure(error).message)", metadata: ["event": "exit.not_loaded"])
        }
    }

    // MARK: - Guests who have gone

    /// Now and then: the kernel must not take packets for those who get their addresses next for part of their connections.
    func forgetLeavers(now: Instant) {
        guard let addresses = exit?.leavers.begin(now: now) else { return }
        // The whole table of the kernel is read: not on a thread that others wait for.
        Thread.detachNewThread { [waker] in
            do throws(EngineError) {
                try ConnectionTracking.forget { addresses.contains($0) }
                waker.yield(.forgotten(addresses, failure: nil))
            } catch { waker.yield(.forgotten(addresses, failure: error)) }
        }
    }

    func forgotten(_ addresses: Set<IPAddress>, failure: EngineError?) {
        exit?.leavers.finish(addresses, isDone: failure == nil)
        if let failure { connectionsKept(failure) }
    }

    private func connectionsKept(_ failure: EngineError) {
        guard exit?.leavers.complain() == true else { return }
        logger.warning(
            "connections of guests who have gone stay in the kernel, and answers may come to whoever gets their addresses next: \(failure)",
            metadata: ["event": "exit.connections_kept"])
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
