// SPDX-License-Identifier: Apache-2.0
// How long the frames are made that the control side sends itself (§7). Path probes are not among them: their size is what
// they ask about. Packets are padded by the data plane.

extension NodeStateMachine {
    /// Seals a control frame and pads it as this node pads everything to that peer; nil as `Session.sealFrame`.
    func seal(
        _ type: FrameType, _ payload: [UInt8], by session: Session, to slot: PeerSlot, now: Instant
    ) -> [UInt8]? {
        session.sealFrame(
            type: type, payload: payload, padding: parameters.padding, ceiling: plaintextCeiling(slot), now: now)
    }

    /// Says something to a peer in a session of its: by whatever patch carries, where there are some. False if the key is spent.
    @discardableResult
    mutating func say(
        _ type: FrameType, _ payload: [UInt8], by session: Session, to slot: PeerSlot, now: Instant
    ) -> Bool {
        guard let peer = peers[slot], let carrier = peer.carrier else { return false }
        if let quilt = peer.quilts[session.localIndex]?.quilt, let way = quilt.withState({ $0.spoken }) {
            guard let datagram = quilt.seal(type, payload, for: way, padding: parameters.padding, now: now) else {
                return false
            }
            transmit(datagram, over: way.carrier, now: now)
            return true
        }
        guard let datagram = seal(type, payload, by: session, to: slot, now: now) else { return false }
        transmit(datagram, over: carrier, now: now)
        return true
    }

    /// Bytes of the datagram in which so many bytes of payload go to a peer.
    func datagramSize(_ payload: Int, to slot: PeerSlot) -> Int {
        let unpadded = Limits.frameHeader + payload
        return Limits.outerHeader + parameters.padding.paddedLength(unpadded, ceiling: plaintextCeiling(slot))
            + Limits.tag
    }

    /// The longest plaintext that the way to a peer carries, as far as that is known.
    func plaintextCeiling(_ slot: PeerSlot) -> Int {
        (peers[slot]?.path?.search.current ?? Int(parameters.mtu)) + Limits.frameHeader
    }
}
