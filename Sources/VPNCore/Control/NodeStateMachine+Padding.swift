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
