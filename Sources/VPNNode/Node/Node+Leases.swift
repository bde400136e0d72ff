// SPDX-License-Identifier: Apache-2.0
// What an exit gave this node, on the host for as long as it counts: inner addresses on the interface and as the source of routes, a
// shorter MTU, name servers. What counts is HeldLeases'; how names are told is LeasedNames'.
internal import Foundation
internal import Logging
internal import VPNCore
internal import VPNEngine

/// What of leases is on the host.
struct SettledLeases {
    var addresses: Set<IPAddress> = []
    /// Of the interface.
    var mtu: Int
    /// What the operator named (`dns.servers`), which goes before all leases. `pqvpn up` tells it; a change takes a restart.
    let own: [IPAddress]
    /// What the host asks.
    var servers: [IPAddress]
    var isTellingNames = false
    /// The last reason why names could not be told, so that it is in the log once.
    var complaint: String?

    init(mtu: Int, own: [IPAddress]) {
        self.mtu = mtu
        self.own = own
        servers = own
    }
}

extension Node {
    /// What the core tells of a circuit.
    func followLease(_ event: CircuitEvent) {
        switch event {
        case .leased(let number, let name, let lease):
            leases.grant(number, name, lease, networks: circuits[number]?.request.allowedIPs ?? [])
            let unreached = lease.servers.filter { !leases.all[name]!.reachedServers.contains($0) }
            if !unreached.isEmpty {
                logger.warning(
                    "name servers of the exit are not in allowed_ips of its circuit, and are not used",
                    metadata: [
                        "event": "circuit.servers", "circuit": "\(name)", "servers": .array(unreached.map { "\($0)" }),
                    ])
            }
        case .failed(let number, _, _, _), .closed(let number, _): leases.lose(number)
        default: return
        }
        settleLeases()
    }

    /// The host has what the leases say. Again whenever they, what circuits are wanted, or the interface are others.
    func settleLeases() {
        leases.keep(Set(circuits.entries.map(\.request.name)))
        let wanted = Set(leases.addresses)
        if let interface = engine.interface, !isTunnelGone {
            let leaving = settled.addresses.subtracting(wanted)
            if !leaving.isEmpty { complain(routes.prefer(leases.sources.filter { !leaving.contains($0.value) })) }
            for address in leaving.sorted() {
                // One that is gone already was taken by somebody else, or with the interface.
                try? interface.removeAddress(InterfaceAddress(address, length: address.family.bits))
                neighbours?.leave(address)
                settled.addresses.remove(address)
            }
            for address in wanted.subtracting(settled.addresses).sorted() { take(address, on: interface) }
            complain(routes.prefer(leases.sources.filter { settled.addresses.contains($0.value) }))
            let length = leases.mtu(most: mtu)
            if length != settled.mtu {
                do throws(EngineError) {
                    try interface.setMTU(length)
                    settled.mtu = length
                    logger.info(
                        "the interface takes packets of \(length) bytes",
                        metadata: ["event": "tunnel.mtu", "mtu": .stringConvertible(length)])
                } catch { complain(["\(error)"]) }
            }
        }
        tellNames()
    }

    /// No neighbour may ask for it at the moment when it is there, nor later.
    private func take(_ address: IPAddress, on interface: NetworkInterface) {
        // The fence would keep the host's own datagrams out, and the end of the lease would take the address away.
        let isOwn = configuration.tunnel.addresses.contains { $0.address == address }
        let isElsewhere =
            NetworkInterface.isLocal(address) && NetworkInterface.holder(of: address) != interface.name
        guard !isOwn, !isElsewhere else {
            logger.error(
                "\(address), which the exit gave, is this host's already, and is not set",
                metadata: ["event": "circuit.address"])
            return
        }
        let isFenced = neighbours?.enter(address) ?? true
        do throws(EngineError) {
            try interface.addAddress(InterfaceAddress(address, length: address.family.bits))
            settled.addresses.insert(address)
        } catch {
            logger.error(
                "\(address), which the exit gave, cannot be set: \(error)", metadata: ["event": "circuit.address"])
        }
        // `pqvpn up` may have made the table in between, before it could see the address.
        if !isFenced, let neighbours, !neighbours.enter(address), neighbours.isThere {
            complain(["\(address) is not in the table \(InnerFence.table(interface.name)): neighbours may ask for it"])
        }
    }

    private func complain(_ words: [String]) {
        for text in words { logger.warning("\(text)", metadata: ["event": "circuit.settings"]) }
    }

    /// The interface is a new one, and has nothing of what an exit, or its guest, had on it.
    func settleInterface() {
        if let exit {
            for complaint in exit.host.forward(on: exit.interface) {
                logger.warning("\(complaint)", metadata: ["event": "exit.host"])
            }
        }
        settled.addresses = []
        settled.mtu = mtu
        // What resolvectl was told of an interface went with it.
        settled.servers = []
        settleLeases()
    }

    // MARK: - Names

    /// The host asks the name servers that leases say, in its own time: files and programs take some.
    func tellNames() {
        guard let hostNames, let interface = engine.interface?.name, configuration.resolver.mode != .off,
            !settled.isTellingNames, !isStopping
        else { return }
        let servers = settled.own.isEmpty ? leases.servers : settled.own
        guard servers != settled.servers else { return }
        settled.isTellingNames = true
        let wish = LeasedNames.Wish(
            resolver: configuration.resolver, interface: interface,
            // The operator's own are reached as his routes say.
            mark: settled.own.isEmpty ? tunnelPlan?.table : nil)
        // Not on a thread that others wait for.
        Thread.detachNewThread { [waker] in
            do {
                try hostNames.tell(servers, wish)
                waker.yield(.named(servers, complaint: nil))
            } catch { waker.yield(.named(servers, complaint: NodeFailure(error).message)) }
        }
    }

    func named(_ servers: [IPAddress], complaint: String?) {
        settled.isTellingNames = false
        if let complaint {
            // Tried again in some seconds.
            if complaint != settled.complaint {
                logger.warning(
                    "name servers cannot be told to this host: \(complaint)",
                    metadata: ["event": "names.not_told"])
            }
            settled.complaint = complaint
            return
        }
        settled.complaint = nil
        settled.servers = servers
        logger.notice(
            servers.isEmpty
                ? "this host's own name servers count again"
                : settled.own.isEmpty ? "this host asks the exit's name servers" : "this host asks dns.servers again",
            metadata: ["event": "names.told", "servers": .array(servers.map { "\($0)" })])
        tellNames()
    }
}
