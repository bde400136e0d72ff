// SPDX-License-Identifier: Apache-2.0
// Where peers see this node (§7, PROBE of kind 1): asked when a person asks, answered to any peer that is met directly.
internal import VPNCrypto

extension NodeStateMachine {
    /// Asks a peer where it sees this node; `Event.viewed` tells of the answer. False without a session of its own.
    public mutating func askView(_ slot: PeerSlot, now: Instant) -> Bool {
        guard let peer = peers[slot], peer.isDirect, let held = peer.ring.current, let carrier = peer.carrier else {
            return false
        }
        let nonce = cryptography.randomBytes(8).u64(at: 0)
        guard
            let datagram = seal(.probe, ViewMessage(nonce: nonce).encoded, by: held.session, to: slot, now: now)
        else { return false }
        peers[slot]?.viewNonce = nonce
        transmit(datagram, over: carrier, now: now)
        return true
    }

    /// A peer asks where it is seen. Whoever comes by a circuit is seen nowhere.
    ///
    /// - Parameter carrier: how the question came.
    mutating func answer(view payload: [UInt8], _ held: HeldSession, slot: PeerSlot, on carrier: Carrier, now: Instant)
    {
        guard let message = ViewMessage(payload), message.seen == nil, let peer = peers[slot], peer.isDirect,
            let endpoint = carrier.endpoint, let way = peer.carrier
        else { return drop(.probeMalformed) }
        let answer = ViewMessage(nonce: message.nonce, seen: endpoint, unixSeconds: unixSeconds(now))
        guard let datagram = seal(.probeReport, answer.encoded, by: held.session, to: slot, now: now) else { return }
        transmit(datagram, over: way, now: now)
    }

    mutating func receive(view payload: [UInt8], slot: PeerSlot, now: Instant) {
        guard let message = ViewMessage(payload), let seen = message.seen else { return drop(.probeMalformed) }
        guard let nonce = peers[slot]?.viewNonce, nonce == message.nonce else { return drop(.probeUnknown) }
        peers[slot]?.viewNonce = nil
        emit(
            .viewed(slot: slot, peerName: peers[slot]?.name ?? "", as: seen, unixSeconds: message.unixSeconds))
    }
}
