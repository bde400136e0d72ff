// SPDX-License-Identifier: Apache-2.0
// A node as an exit (§8): who asks gets a lease, and with it routes and a fence; with the guest's association it goes. What guests may
// reach is ExitFence's; how a lease is asked for, NodeStateMachine+Leases'.
internal import VPNCrypto

/// What a node is told of itself as an exit.
public struct ExitTerms: Sendable {
    public var fence: ExitFence
    /// Where leases come from: one network of each family at most, with room for two addresses at least.
    public var networks: [IPPrefix]
    /// Of these networks, what is nobody's lease: the exit's own addresses.
    public var reserved: [IPAddress]
    /// Name servers that guests are told of, at most four.
    public var servers: [IPAddress]
    public var isAllowAll: Bool

    public init(
        fence: ExitFence, networks: [IPPrefix], reserved: [IPAddress], servers: [IPAddress], isAllowAll: Bool
    ) {
        precondition(servers.count <= Limits.leaseServers && networks.allSatisfy { $0.length > 0 })
        self.fence = fence
        self.networks = networks
        self.reserved = reserved
        self.servers = servers
        self.isAllowAll = isAllowAll
    }
}

/// The exit as it stands.
struct OpenExit {
    var terms: ExitTerms
    var pool: LeasePool
}

extension NodeStateMachine {
    /// Makes this node an exit for the guests that come by circuits, once, before any comes.
    public mutating func openExit(_ terms: ExitTerms) {
        precondition(exit == nil, "an exit's networks are those of its guests")
        exit = OpenExit(terms: terms, pool: LeasePool(terms.networks, reserved: terms.reserved))
        push(.dataPlane(.exit(terms.fence)))
    }

    /// Another policy, or other surroundings, with the leases as they are. Does nothing where this is no exit.
    public mutating func changeExit(_ fence: ExitFence, isAllowAll: Bool) {
        guard exit != nil else { return }
        exit?.terms.fence = fence
        exit?.terms.isAllowAll = isAllowAll
        push(.dataPlane(.exit(fence)))
    }

    /// Leases that are out.
    public var exitLeases: Int { peers.values.count { $0.exitLease != nil } }
    public var isExit: Bool { exit != nil }

    /// A guest asks for its lease: the one that it has, or a new one.
    mutating func answerLeaseRequest(_ held: HeldSession, slot: PeerSlot, now: Instant) {
        guard peers[slot]?.isGuest == true else { return sessionViolated(held.session, now: now) }
        let message: ExitLeaseMessage
        if let lease = peers[slot]?.exitLease {
            message = .granted(lease)
        } else if exit == nil {
            message = .refused(.noExit)
        } else if let lease = lend(to: slot, now: now) {
            message = .granted(lease)
        } else {
            message = .refused(.exhausted)
        }
        guard let carrier = peers[slot]?.carrier,
            let datagram = seal(.config, message.encoded, by: held.session, to: slot, now: now)
        else { return }
        transmit(datagram, over: carrier, now: now)
    }

    private mutating func lend(to slot: PeerSlot, now: Instant) -> ExitLease? {
        guard let terms = exit?.terms else { return nil }
        let cryptography = cryptography
        let found = exit?.pool.take(
            random: { _ in
                let bytes = cryptography.randomBytes(16)
                return UInt128(bytes.u64(at: 0)) << 64 | UInt128(bytes.u64(at: 8))
            }, now: now)
        guard let addresses = found else {
            emit(.leaseExhausted(slot: slot))
            return nil
        }
        let lease = ExitLease(
            ipv4: addresses.first { $0.family == .v4 }, ipv6: addresses.first { $0.family == .v6 },
            servers: terms.servers, mtu: Int(parameters.mtu), isAllowAll: terms.isAllowAll)
        // The fence first: no packet of a guest goes by before.
        push(.dataPlane(.fence(slot)))
        guard assign(lease.prefixes, to: slot, now: now) else {
            exit?.pool.giveBack(addresses)
            emit(.leaseExhausted(slot: slot))
            return nil
        }
        peers[slot]?.exitLease = lease
        emit(.leaseGranted(slot: slot, lease))
        return lease
    }

    /// A guest is gone.
    mutating func takeBackLease(of peer: Peer) {
        guard let lease = peer.exitLease else { return }
        exit?.pool.giveBack(lease.addresses)
        emit(.leaseEnded(slot: peer.slot, lease))
    }
}
