// SPDX-License-Identifier: Apache-2.0
// What people and programs may see of a session's patches (§9). How it is shown is VPNNode's.

/// One patch as it stands.
public struct PatchSnapshot: Sendable {
    /// 0 is the carrier that the session was made on.
    public let number: Int
    public let carrier: Carrier
    public let state: PatchState
    /// RFC 6298, RFC 3550; nil before the first answer.
    public let roundTrip: TimeSpan?
    public let variation: TimeSpan
    public let jitter: TimeSpan
    /// Of what this end sends.
    public let lossPerMille: Int
    /// Bytes a second that arrived at most lately, and whether that is all that the patch can do.
    public let rate: UInt64
    public let isRateKnown: Bool
    /// The longest inner packet in bytes; nil for the first patch, whose own is that of its peer.
    public let mtu: Int?
    public let packetsSent: UInt64
    public let bytesSent: UInt64
    public let packetsReceived: UInt64
    public let bytesReceived: UInt64
    /// Since anything came on it; nil where nothing did.
    public let heardAgo: TimeSpan?
}

/// A session's patches as they stand.
public struct QuiltSnapshot: Sendable {
    public let scheduler: QuiltScheduler
    public let patches: [PatchSnapshot]
    /// Ways that are asked for and have not shown that they carry.
    public let joining: [Carrier]
    /// Packets that waited for earlier ones, that came too late to be waited for, and gaps that were given up.
    public let resequencing: Resequencer.Statistics
    /// Datagrams that went a second time, since their patch fell silent.
    public let sentAgain: UInt64
    /// The longest inner packet that every patch carries; nil where there is one patch alone.
    public let mtu: Int?
}

extension NodeStateMachine {
    /// The patches of a peer's current session; nil where it has one carrier.
    public func quiltSnapshot(of slot: PeerSlot, now: Instant) -> QuiltSnapshot? {
        guard let peer = peers[slot], let session = peer.ring.current?.session,
            let making = peer.quilts[session.localIndex]
        else { return nil }
        let state = making.quilt.withState { $0 }
        let patches = state.patches.enumerated().compactMap { number, patch in
            patch.map { patch in
                PatchSnapshot(
                    number: number, carrier: patch.carrier, state: patch.health.state,
                    roundTrip: patch.estimator.roundTrip, variation: patch.estimator.variation,
                    jitter: patch.estimator.jitter, lossPerMille: patch.estimator.lossPerMille,
                    rate: patch.estimator.capacity ?? patch.estimator.delivered,
                    isRateKnown: patch.estimator.capacity != nil, mtu: number == 0 ? nil : patch.mtu,
                    packetsSent: patch.sent.packets, bytesSent: patch.sent.bytes,
                    packetsReceived: patch.received.packets, bytesReceived: patch.received.bytes,
                    heardAgo: patch.heard.map { now.since($0) })
            }
        }
        let joining = making.joins.filter { state.patches[$0.number] == nil }.map(\.carrier)
        return QuiltSnapshot(
            scheduler: state.kind, patches: patches, joining: joining, resequencing: state.resequencing,
            sentAgain: state.sentAgain,
            mtu: state.mtu)
    }

    /// Of all guests of this exit that have several paths to it, and not whose they are.
    public func guestQuilts(now: Instant) -> [QuiltSnapshot] {
        peers.values.filter(\.isGuest).compactMap { quiltSnapshot(of: $0.slot, now: now) }
    }
}
