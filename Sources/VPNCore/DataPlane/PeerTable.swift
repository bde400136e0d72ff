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
        /// Counters of the session that this worker may use.
        var counters = CounterBlock()
        /// The longest inner packet that goes to this peer.
        var mtu: Int
        /// The session's further carriers (§9).
        var quilt: Quilt? { didSet { isQuilted = quilt != nil } }
        /// Whether there is one, without a reference that would be counted.
        private(set) var isQuilted = false

        init(mtu: Int) { self.mtu = mtu }

        mutating func setSession(_ new: Session?) {
            owner = new
            session = new.map { SessionReference($0) }
            counters = CounterBlock()
            quilt = nil
        }
    }

    private let mtu: Int
    private var peers: [Peer] = []
    /// Which peer a session that is sent by, of this local index, belongs to.
    private var slots: [UInt32: PeerSlot] = [:]
    private(set) var stagedBytes = 0
    /// Slots with a session and packets that waited for it.
    private var ready: Deque<PeerSlot> = []

    /// - Parameter mtu: of a peer of whose path nothing is known.
    init(mtu: Int) { self.mtu = mtu }

    // MARK: - Packet path

    /// The peer's sending session, to be followed before this table changes; nil if there is none.
    @inline(__always)
    func reference(_ slot: PeerSlot) -> SessionReference? { slot < peers.count ? peers[slot].session : nil }

    /// The further carriers of the sending session; nil for most.
    @inline(__always)
    func quilt(of slot: PeerSlot) -> Quilt? { peers[slot].quilt }

    /// Whether it has one.
    @inline(__always)
    func isQuilted(_ slot: PeerSlot) -> Bool { peers[slot].isQuilted }

    func hasPeer(_ slot: PeerSlot) -> Bool { slot < peers.count }

    /// The carrier of a peer that has a session.
    @inline(__always)
    func sendingCarrier(of slot: PeerSlot) -> Carrier { peers[slot].carrier! }

    /// The longest inner packet to a peer that is in the table.
    @inline(__always)
    func mtu(of slot: PeerSlot) -> Int { peers[slot].mtu }

    /// A counter of the peer's sending session and the key of its phase; nil if that key is spent.
    @inline(__always)
    mutating func counter(
        _ slot: PeerSlot, of session: SessionReference, now: Instant
    ) -> (counter: UInt64, key: SendingKeyReference)? {
        session.withObject { peers[slot].counters.take(of: $0, now: now) }
    }

    // MARK: - Changes

    mutating func activate(_ session: Session, _ carrier: Carrier) {
        grow(to: session.peer)
        stopSending(session.peer)
        slots[session.localIndex] = session.peer
        peers[session.peer].setSession(session)
        peers[session.peer].carrier = carrier
        peers[session.peer].lastWanted = nil
        markReady(session.peer)
    }

    mutating func move(_ slot: PeerSlot, _ carrier: Carrier) {
        grow(to: slot)
        peers[slot].carrier = carrier
    }

    /// The session by which a peer is sent to has further carriers from now on.
    mutating func quilt(_ quilt: Quilt) {
        let slot = quilt.session.peer
        guard slot < peers.count, peers[slot].owner === quilt.session else { return }
        peers[slot].quilt = quilt
        peers[slot].counters.isSingle = true
    }

    mutating func limit(_ slot: PeerSlot, mtu: Int) {
        grow(to: slot)
        peers[slot].mtu = mtu
    }

    /// Stops sending by the session of this local index, if its peer does.
    mutating func retire(_ index: UInt32) {
        if let slot = slots[index] { stopSending(slot) }
    }

    /// Gives back the counters of the session of this local index, and with them the key of an earlier phase.
    mutating func dropOldKeys(_ index: UInt32) {
        guard let slot = slots[index] else { return }
        peers[slot].counters = CounterBlock()
        peers[slot].counters.isSingle = peers[slot].quilt != nil
    }

    mutating func stopSending(_ slot: PeerSlot) {
        guard let session = peers[slot].owner else { return }
        slots[session.localIndex] = nil
        peers[slot].setSession(nil)
    }

    /// Forgets a peer; says how many packets were waiting.
    mutating func remove(_ slot: PeerSlot) -> Int {
        guard slot < peers.count else { return 0 }
        stopSending(slot)
        let count = peers[slot].staged.count
        stagedBytes -= peers[slot].staged.bytes
        let wasReady = peers[slot].isReady
        peers[slot] = Peer(mtu: mtu)
        peers[slot].isReady = wasReady
        return count
    }

    private mutating func grow(to slot: PeerSlot) {
        precondition((0..<Limits.peerSlots).contains(slot))
        while peers.count <= slot { peers.append(Peer(mtu: mtu)) }
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
