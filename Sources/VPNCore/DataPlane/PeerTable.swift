// SPDX-License-Identifier: Apache-2.0
// Peer slot → the session and carrier to send by, and the packets that wait for one. Slots are small integers that the
// control plane gives out densely, so the table is an array.

import DequeModule

/// The peers of one worker.
///
/// Packets reach the sending session through an uncounted reference; `owner` keeps it alive.
struct PeerTable {
    private struct Peer {
        var session: SessionReference?
        var owner: Session?
        var carrier: Carrier?
        var staged = StagedPackets()
        var lastWanted: Instant?
        var isReady = false

        mutating func setSession(_ new: Session?) {
            owner = new
            session = new.map { SessionReference($0) }
        }
    }

    private var peers: [Peer] = []
    private var stagedBytes = 0
    /// Slots with a session and packets that waited for it.
    private var ready: Deque<PeerSlot> = []

    // MARK: - Packet path

    /// The peer's sending session, to be followed before this table changes; nil if there is none.
    @inline(__always)
    func reference(_ slot: PeerSlot) -> SessionReference? { slot < peers.count ? peers[slot].session : nil }

    /// The carrier of a peer that has a session.
    @inline(__always)
    func sendingCarrier(of slot: PeerSlot) -> Carrier { peers[slot].carrier! }

    // MARK: - Changes

    mutating func activate(_ session: Session, _ carrier: Carrier) {
        grow(to: session.peer)
        peers[session.peer].setSession(session)
        peers[session.peer].carrier = carrier
        peers[session.peer].lastWanted = nil
        markReady(session.peer)
    }

    mutating func move(_ slot: PeerSlot, _ carrier: Carrier) {
        grow(to: slot)
        peers[slot].carrier = carrier
    }

    /// Stops sending by this session, if its peer does.
    mutating func forget(_ session: Session) {
        if self.session(of: session.peer) === session { stopSending(session.peer) }
    }

    mutating func stopSending(_ slot: PeerSlot) {
        if slot < peers.count { peers[slot].setSession(nil) }
    }

    /// Forgets a peer; says how many packets were waiting.
    mutating func remove(_ slot: PeerSlot) -> Int {
        guard slot < peers.count else { return 0 }
        let count = peers[slot].staged.count
        stagedBytes -= peers[slot].staged.bytes
        let wasReady = peers[slot].isReady
        peers[slot] = Peer()
        peers[slot].isReady = wasReady
        return count
    }

    private mutating func grow(to slot: PeerSlot) {
        precondition((0..<Limits.peerSlots).contains(slot))
        while peers.count <= slot { peers.append(Peer()) }
    }

    // MARK: - Waiting packets

    /// Stages a packet; nil if the packets of all peers take too much already, else how many gave way.
    mutating func stage(_ packet: StagedPackets.Packet, for slot: PeerSlot) -> Int? {
        grow(to: slot)
        guard stagedBytes + packet.bytes.count <= Limits.stagedBytesOfAllPeers else { return nil }
        let before = peers[slot].staged.bytes
        let dropped = peers[slot].staged.append(packet)
        stagedBytes += peers[slot].staged.bytes - before
        return dropped
    }

    /// Whether to ask for a session now: at most once an interval.
    mutating func wantsSession(_ slot: PeerSlot, now: Instant) -> Bool {
        if let last = peers[slot].lastWanted, now.since(last) < Limits.wantSessionInterval { return false }
        peers[slot].lastWanted = now
        return true
    }

    /// The next packet of a peer that has a session.
    mutating func nextReady() -> (PeerSlot, StagedPackets.Packet)? {
        while let slot = ready.first {
            if peers[slot].owner != nil {
                let before = peers[slot].staged.bytes
                if let packet = peers[slot].staged.removeFirst() {
                    stagedBytes += peers[slot].staged.bytes - before
                    return (slot, packet)
                }
            }
            ready.removeFirst()
            peers[slot].isReady = false
        }
        return nil
    }

    private mutating func markReady(_ slot: PeerSlot) {
        guard !peers[slot].isReady, peers[slot].staged.count > 0 else { return }
        peers[slot].isReady = true
        ready.append(slot)
    }

    // MARK: - Questions

    func session(of slot: PeerSlot) -> Session? { slot < peers.count ? peers[slot].owner : nil }
    func carrier(of slot: PeerSlot) -> Carrier? { slot < peers.count ? peers[slot].carrier : nil }
    func stagedCount(of slot: PeerSlot) -> Int { slot < peers.count ? peers[slot].staged.count : 0 }
}
