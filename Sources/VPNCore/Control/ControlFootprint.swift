// SPDX-License-Identifier: Apache-2.0
// How much a node holds on behalf of others: for tests that nothing grows, and later for diagnostics.

public struct ControlFootprint: Equatable, Sendable {
    /// Peers, configured and passing.
    public var peers: Int
    public var sessions: Int
    /// Handshakes that this node began.
    public var initiations: Int
    /// S1 messages whose fragments are not complete.
    public var reassemblies: Int
    /// S1 messages in any stage, kept answers included.
    public var inboundHandshakes: Int
    public var jobs: Int
    public var receiverIndices: Int
    /// What handshakes left for the next ones.
    public var chainedKeys: Int
    /// Circuits that this node has for itself, and the paths that they have or are about to have.
    public var circuits: Int
    public var paths: Int
    /// Circuits that pass through, those that wait for a link among them.
    public var relayed: Int
    /// Callers by circuits.
    public var guests: Int
    /// Relays that are being asked for others, and bytes of descriptors that are not whole.
    public var exchanges: Int
    public var exchangeBytes: Int
}

extension NodeStateMachine {
    public var footprint: ControlFootprint {
        ControlFootprint(
            peers: peers.count, sessions: peers.values.reduce(0) { $0 + $1.ring.all.count },
            initiations: peers.values.count { $0.initiation != nil }, reassemblies: inbound.collectingCount,
            inboundHandshakes: inbound.count, jobs: jobs.count, receiverIndices: indices.count,
            chainedKeys: peers.values.reduce(0) { $0 + $1.chain.count }, circuits: circuits.all.count,
            paths: circuits.paths.count, relayed: relay.count, guests: guestCount,
            exchanges: directoryTraffic.exchanges.values.count(where: \.isActive),
            exchangeBytes: directoryTraffic.exchanges.values.reduce(0) { $0 + $1.bytes.count })
    }
}
