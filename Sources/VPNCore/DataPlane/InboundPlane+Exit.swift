// SPDX-License-Identifier: Apache-2.0
// What an exit does to the packets of its guests before they reach the TUN (§8): the fence, and the patience with foreign sources.

extension InboundPlane {
    /// What becomes of a guest's packet that may not pass; nil for one that may.
    @inline(never)
    mutating func refusal(
        of packet: Range<Int>, _ inner: InnerPacket, from peer: PeerSlot, _ buffer: borrowing MutableSpan<UInt8>,
        _ now: Instant
    ) -> InboundOutcome? {
        switch exit?.judge(buffer, packet, inner, now: now) {
        case .accept, nil: return nil
        case .unreadable: return drop(.exitUnreadable)
        case .refuse(let isTold):
            drops.add(.exitRefused)
            return isTold ? .prohibited(packet, from: peer) : .drop(.exitRefused)
        }
    }

    /// A source that is not the peer's own. Of a guest a hundred in a minute are no mistake: they end its session (§8).
    @inline(never)
    mutating func foreign(_ session: SessionReference, _ peer: PeerSlot, _ now: Instant) -> InboundOutcome {
        guard peer < peers.count, peers[peer].isFenced else { return drop(.innerSource) }
        var known = peers[peer].foreign ?? (now, 0)
        if now.since(known.since) >= Limits.exitForeignWindow { known = (now, 0) }
        known.count += 1
        peers[peer].foreign = known
        return known.count < Limits.exitForeignSources
            ? drop(.innerSource) : violation(session, .innerSource)
    }
}
