// SPDX-License-Identifier: Apache-2.0
// The outbound half of a data plane: which session an inner packet leaves by, and the packets that wait for one. One value per
// worker, single-threaded, owner of its tables. It moves no bytes itself: buffers and time come in, verdicts go out.

/// What becomes of an inner packet.
public enum OutboundVerdict: Sendable {
    /// The datagram to send, over what, and the DSCP and ECN bits of its outer header.
    case transmit(Range<Int>, Carrier, trafficClass: UInt8)
    /// Longer than what the path carries, in bytes. Its sender is to be told (`PacketTooBig`), or it goes in fragments
    /// (`IPv4Fragments`); it is not counted yet.
    case exceeds(mtu: Int)
    /// Copied, to be sent when its peer has a session. `wantSession` is true at most once a second.
    case staged(PeerSlot, wantSession: Bool)
    /// Dropped, and counted already.
    case drop(DropReason)
}

/// Routes, peers and waiting packets of one worker.
public struct OutboundPlane {
    /// Where drops are counted. The worker that drives this adds its own.
    public let drops: DropCounters
    public var padding: PaddingPolicy

    var peers: PeerTable
    /// What goes beside the packets of quilts (§9): copies and repairs.
    var extras = QuiltExtras()
    /// Packets that wait until a patch takes them (§9).
    var paced = PacedPackets()

    private var routes = Routes()
    /// What may come to guests; nil where this is no exit.
    private var exit: ExitGate?
    /// The guests of this exit.
    private var fenced: Set<PeerSlot> = []
    /// The exits that this node is a guest of, and its addresses there.
    private var leased: [PeerSlot: [IPAddress]] = [:]
    /// What was sealed since the last `settle`, all of it by one session.
    private var tally = SessionTally()
    private var tallied: SessionReference?
    private var talliedAt = Instant.origin

    /// The bits of an inner traffic class that are shown outside.
    private let shownClass: UInt8

    /// - Parameters:
    ///   - carriesDSCP: whether the DSCP of inner packets is shown outside; ECN always is (RFC 6040).
    ///   - mtu: the longest inner packet, in bytes, to a peer of whose path nothing is known.
    public init(
        drops: DropCounters = DropCounters(), padding: PaddingPolicy = .none, carriesDSCP: Bool = true,
        mtu: Int = Limits.largestPayload
    ) {
        self.drops = drops
        self.padding = padding
        shownClass = carriesDSCP ? 0xFF : 0x03
        peers = PeerTable(mtu: mtu)
    }

    // MARK: - Commands

    public mutating func apply(_ command: DataPlaneCommand) {
        settle()
        switch command {
        case .install, .relay, .stopRelaying, .patch, .removePatch: break
        case .quilt(let quilt): peers.quilt(quilt)
        case .activate(let session, let carrier): peers.activate(session, carrier)
        case .move(let slot, let carrier): peers.move(slot, carrier)
        case .limit(let slot, let mtu): peers.limit(slot, mtu: mtu)
        case .dropOldKeys(let index): peers.dropOldKeys(index)
        case .retire(let index): peers.retire(index)
        case .routes(let table): routes = Routes(table)
        case .exit(let fence): exit = fence.map { ExitGate($0, .homeward) }
        case .fence(let slot): fenced.insert(slot)
        case .sources(let slot, let addresses): leased[slot] = addresses
        case .removePeer(let slot):
            drops.add(.stagedPeerGone, peers.remove(slot) + paced.remove(slot))
            fenced.remove(slot)
            leased[slot] = nil
        }
    }

    /// The session by which a peer is sent to.
    public func sendingSession(of slot: PeerSlot) -> Session? { peers.session(of: slot) }

    /// The carrier over which a peer is sent to.
    public func carrier(of slot: PeerSlot) -> Carrier? { peers.carrier(of: slot) }

    /// Packets that wait for a session of this peer.
    public func stagedCount(of slot: PeerSlot) -> Int { peers.stagedCount(of: slot) }

    // MARK: - Packets

    /// Takes the inner packet that is exactly `packet` of `buffer`, with `Limits.headroom` before it and
    /// `Limits.tailroom` after it, and seals it in place if its peer has a session. With bucket padding the buffer must
    /// have room for a packet of the path's MTU instead. To be followed by `settle` at the end of a batch.
    public mutating func outbound(
        _ buffer: inout MutableSpan<UInt8>, packet: Range<Int>, now: Instant
    ) -> OutboundVerdict {
        guard packet.count <= Limits.largestPayload else { return drop(.innerTooLarge) }
        guard let inner = InnerPacket(buffer, packet) else { return drop(.innerMalformed) }
        let slot = routes.destination(inner)
        guard slot >= 0 else { return drop(.noRoute) }
        if exit != nil, let refusal = refusal(of: packet, inner, to: Int(slot), buffer, now) { return drop(refusal) }
        if !leased.isEmpty, !isOurs(inner, to: Int(slot)) { return drop(.innerSource) }
        return send(&buffer, packet: packet, to: Int(slot), now: now)
    }

    // MARK: - Exit (§8)

    /// Whether a packet comes from an address that the exit gave: it would end the session over others, and the kernel picks a
    /// source as it likes while there is no lease.
    @inline(never)
    private func isOurs(_ inner: InnerPacket, to slot: PeerSlot) -> Bool {
        guard let addresses = leased[slot] else { return true }
        return switch inner {
        case .v4(let source, _): addresses.contains(IPAddress(v4: source))
        case .v6(let source, _): addresses.contains(IPAddress(v6: source))
        }
    }

    /// Why a packet does not go to an exit's guest; nil where it does, or to somebody else.
    @inline(never)
    private mutating func refusal(
        of packet: Range<Int>, _ inner: InnerPacket, to slot: PeerSlot, _ buffer: borrowing MutableSpan<UInt8>,
        _ now: Instant
    ) -> DropReason? {
        guard fenced.contains(slot) else { return nil }
        switch exit?.judge(buffer, packet, inner, now: now) {
        case .accept, nil: return nil
        case .refuse: return .exitRefused
        case .unreadable: return .exitUnreadable
        }
    }

    /// Writes what a guest is told of a packet that may not go where it wanted to into `target`, and seals it there; nil where
    /// nobody is to be told.
    public mutating func prohibit(
        _ source: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, from slot: PeerSlot,
        into target: inout MutableSpan<UInt8>, now: Instant
    ) -> (datagram: Range<Int>, carrier: Carrier, trafficClass: UInt8)? {
        guard Limits.headroom + PacketProhibited.largest + Limits.tailroom <= target.count,
            let length = PacketProhibited.write(about: source, packet, into: &target, at: Limits.headroom)
        else { return nil }
        let message = Limits.headroom..<Limits.headroom + length
        switch send(&target, packet: message, to: slot, now: now) {
        case .transmit(let datagram, let carrier, let trafficClass):
            settle()
            return (datagram, carrier, trafficClass)
        // A guest that is not there any more, or whose path is too narrow for it.
        case .exceeds, .staged, .drop: return nil
        }
    }

    @inline(__always)
    private mutating func send(
        _ buffer: inout MutableSpan<UInt8>, packet: Range<Int>, to slot: PeerSlot, isPaced: Bool = false, now: Instant
    ) -> OutboundVerdict {
        guard let session = peers.reference(slot) else {
            return stage(buffer, packet: packet, for: slot, isKeySpent: false, now: now)
        }
        let mtu = peers.mtu(of: slot)
        guard packet.count <= mtu else { return .exceeds(mtu: mtu) }
        if peers.isQuilted(slot) {
            return stitch(&buffer, packet: packet, to: slot, by: session, mtu: mtu, isPaced: isPaced, now: now)
        }
        MaximumSegment.clamp(&buffer, packet, mtu: mtu)
        let trafficClass = TrafficClass.of(buffer, at: packet.lowerBound) & shownClass
        guard let turn = peers.counter(slot, of: session, now: now) else {
            return stage(buffer, packet: packet, for: slot, isKeySpent: true, now: now)
        }
        let sealed = seal(&buffer, packet, by: session, turn, mtu: mtu, skipped: 0, now)
        return hand(&buffer, sealed, over: peers.sendingCarrier(of: slot), trafficClass, now)
    }

    @inline(__always)
    private mutating func seal(
        _ buffer: inout MutableSpan<UInt8>, _ packet: Range<Int>, by session: SessionReference,
        _ turn: (counter: UInt64, key: SendingKeyReference), mtu: Int, skipped: UInt8, _ now: Instant
    ) -> Range<Int> {
        // Closures here use locals only: one that captures `self` makes the compiler copy all of it.
        let padding = padding
        let sealed = turn.key.withObject { key in
            session.withObject {
                $0.seal(
                    &buffer, type: .ip, payload: packet, counter: turn.counter, key: key, padding: padding,
                    ceiling: mtu + Limits.frameHeader, skipped: skipped)
            }
        }
        note(sealed.count, sentBy: session, now)
        return sealed
    }

    @inline(__always)
    private mutating func hand(
        _ buffer: inout MutableSpan<UInt8>, _ sealed: Range<Int>, over carrier: Carrier, _ trafficClass: UInt8,
        _ now: Instant
    ) -> OutboundVerdict {
        if case .circuit(let place) = carrier { return wrap(&buffer, sealed, in: place, now: now) }
        return .transmit(sealed, carrier, trafficClass: trafficClass)
    }

    /// The same for a session with several carriers (§9). Apart, so that the others count no references.
    @inline(never)
    private mutating func stitch(
        _ buffer: inout MutableSpan<UInt8>, packet: Range<Int>, to slot: PeerSlot, by session: SessionReference,
        mtu: Int,
        isPaced: Bool, now: Instant
    ) -> OutboundVerdict {
        let quilt = peers.quilt(of: slot)!
        if !isPaced, let opens = opens(quilt, slot, now) {
            return pace(buffer, packet, to: slot, by: quilt, opens: opens, now)
        }
        MaximumSegment.clamp(&buffer, packet, mtu: mtu)
        let trafficClass = TrafficClass.of(buffer, at: packet.lowerBound) & shownClass
        guard let turn = peers.counter(slot, of: session, now: now) else {
            return stage(buffer, packet: packet, for: slot, isKeySpent: true, now: now)
        }
        // Sealing is in place: what is asked of the packet itself is asked before.
        let flow = FlowHash.of(buffer, packet)
        let isExpress = TrafficClass.of(buffer, at: packet.lowerBound) >> 2 == TrafficClass.express
        let skipped = quilt.skipped(before: turn.counter)
        let kept = quilt.repairs ? OutboundPlane.copy(buffer, packet) : nil
        let sealed = seal(&buffer, packet, by: session, turn, mtu: mtu, skipped: skipped, now)
        var carrier = peers.sendingCarrier(of: slot)
        if let way = address(&buffer, sealed, flow: flow, by: quilt, isExpress: isExpress, now: now) {
            carrier = way.carrier
            if let kept { repair(kept, under: turn.counter, sentOn: way.patch, by: quilt, now: now) }
        }
        return hand(&buffer, sealed, over: carrier, trafficClass, now)
    }

    // MARK: - Circuits (§8)

    /// Seals the payload of a RELAY frame, circuit id included, for a peer: a relay's step, and that of each layer around an
    /// inner packet. In place; a peer that is reached through a circuit takes 24 bytes more in front and 16 behind for each
    /// layer. What the path does not carry, or for whom there is no session, is dropped: nothing queues here.
    public mutating func relay(
        _ buffer: inout MutableSpan<UInt8>, payload: Range<Int>, to slot: PeerSlot, now: Instant
    ) -> OutboundVerdict {
        switch sealRelay(&buffer, payload, to: slot, now) {
        case .refused(let reason): return drop(reason)
        case .sealed(let datagram, .circuit(let place)): return wrap(&buffer, datagram, in: place, now: now)
        // Nobody outside is told what is inside: the traffic class is 0.
        case .sealed(let datagram, let carrier): return .transmit(datagram, carrier, trafficClass: 0)
        }
    }

    /// Whether what is relayed to a peer takes one layer: 20 bytes in front of the payload and 16 behind.
    public func isDirect(_ slot: PeerSlot) -> Bool {
        guard case .udp? = peers.carrier(of: slot) else { return false }
        return true
    }

    /// The same for a payload that lies in another buffer: copied to `Limits.headroom` of this one, where its layers have room.
    public mutating func relay(
        _ source: borrowing MutableSpan<UInt8>, payload: Range<Int>, into buffer: inout MutableSpan<UInt8>,
        to slot: PeerSlot, now: Instant
    ) -> OutboundVerdict {
        guard Limits.headroom + payload.count + Limits.tailroom <= buffer.count else { return drop(.sendTooLarge) }
        buffer.copy(source, payload, to: Limits.headroom)
        return relay(&buffer, payload: Limits.headroom..<Limits.headroom + payload.count, to: slot, now: now)
    }

    /// Puts the layers around a sealed datagram that its carrier asks for. In place: a circuit takes 24 bytes in front and 16 behind
    /// for each.
    public mutating func carry(
        _ buffer: inout MutableSpan<UInt8>, _ datagram: Range<Int>, over carrier: Carrier, now: Instant
    ) -> OutboundVerdict {
        guard case .circuit(let place) = carrier else { return .transmit(datagram, carrier, trafficClass: 0) }
        return wrap(&buffer, datagram, in: place, now: now)
    }

    private enum SealedRelay {
        case sealed(Range<Int>, Carrier)
        case refused(DropReason)
    }

    /// Adds the layers around a sealed datagram, innermost first, until one is carried by UDP.
    @inline(never)
    private mutating func wrap(
        _ buffer: inout MutableSpan<UInt8>, _ datagram: Range<Int>, in place: CircuitPlace, now: Instant
    ) -> OutboundVerdict {
        var (datagram, place) = (datagram, place)
        for _ in 1..<Limits.circuitHops {
            let start = datagram.lowerBound - Limits.circuitID
            guard start >= Limits.outerHeader + Limits.frameHeader, datagram.upperBound + Limits.tag <= buffer.count
            else { return drop(.innerTooLarge) }
            buffer.store(place.id, at: start)
            switch sealRelay(&buffer, start..<datagram.upperBound, to: place.outer, now) {
            case .refused(let reason): return drop(reason)
            case .sealed(let outer, .circuit(let next)): (datagram, place) = (outer, next)
            case .sealed(let outer, let carrier): return .transmit(outer, carrier, trafficClass: 0)
            }
        }
        return drop(.circuitBroken)
    }

    private mutating func sealRelay(
        _ buffer: inout MutableSpan<UInt8>, _ payload: Range<Int>, to slot: PeerSlot, _ now: Instant
    ) -> SealedRelay {
        guard let session = peers.reference(slot) else { return .refused(.circuitBroken) }
        let carrier = peers.sendingCarrier(of: slot)
        // Of inner layers nobody here knows what their path carries: whoever sends in them finds out.
        if case .udp = carrier, payload.count > peers.mtu(of: slot) { return .refused(.pathMTU) }
        guard payload.count <= Limits.largestPayload, let turn = peers.counter(slot, of: session, now: now) else {
            return .refused(.circuitBroken)
        }
        let sealed = turn.key.withObject { key in
            session.withObject {
                // §8: RELAY frames are not padded twice.
                $0.seal(
                    &buffer, type: .relay, payload: payload, counter: turn.counter, key: key, padding: .none,
                    ceiling: 0)
            }
        }
        note(sealed.count, sentBy: session, now)
        return .sealed(sealed, carrier)
    }

    /// What was sealed is told to the sessions by turns: one of theirs after the other, or at the end of a batch.
    @inline(__always)
    private mutating func note(_ bytes: Int, sentBy session: SessionReference, _ now: Instant) {
        if tallied != session {
            settle()
            tallied = session
        }
        talliedAt = now
        tally.packets += 1
        tally.bytes += UInt64(bytes)
    }

    /// Notes in the sessions what was sealed: at the end of a batch.
    @inline(__always)
    public mutating func settle() {
        guard let session = tallied else { return }
        let (tally, now) = (SessionTally(packets: tally.packets, bytes: tally.bytes, hasPayload: true), talliedAt)
        session.withObject { $0.account(sent: tally, now: now) }
        self.tally = SessionTally()
        tallied = nil
    }

    @inline(never)
    private mutating func stage(
        _ buffer: borrowing MutableSpan<UInt8>, packet: Range<Int>, for slot: PeerSlot, isKeySpent: Bool, now: Instant
    ) -> OutboundVerdict {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(packet.count)
        for offset in packet { bytes.append(buffer[offset]) }
        if isKeySpent {
            settle()
            peers.stopSending(slot)
        }
        guard let dropped = peers.stage(.init(bytes: bytes, since: now), for: slot) else {
            return drop(.stagedOverflow)
        }
        drops.add(.stagedOverflow, dropped)
        return .staged(slot, wantSession: peers.wantsSession(slot, now: now))
    }

    // MARK: - Pace (§9)

    /// When a patch takes a packet to this peer; nil where one does now and no other packet waits for it.
    @inline(never)
    private func opens(_ quilt: Quilt, _ slot: PeerSlot, _ now: Instant) -> Instant? {
        paced.isWaiting(slot) ? now : quilt.withState { $0.opens(now: now) }
    }

    @inline(never)
    private mutating func pace(
        _ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, to slot: PeerSlot, by quilt: Quilt,
        opens: Instant, _ now: Instant
    ) -> OutboundVerdict {
        let limit = quilt.withState { $0.pacedBytes }
        let copy = OutboundPlane.copy(buffer, packet)
        guard paced.append(copy, for: slot, opens: opens, limit: limit, now: now) else { return drop(.pacedOverflow) }
        return .staged(slot, wantSession: false)
    }

    /// When `nextStaged` has packets that a patch takes; nil where none wait.
    public var deadline: Instant? { paced.isEmpty ? nil : paced.due }

    private mutating func nextPaced(_ now: Instant) -> (PeerSlot, [UInt8])? {
        while !paced.isEmpty, let slot = paced.ready(now: now) {
            drops.add(.pacedOverflow, paced.expire(slot, now: now))
            if let quilt = peers.hasPeer(slot) ? peers.quilt(of: slot) : nil,
                let opens = quilt.withState({ $0.opens(now: now) })
            {
                paced.postpone(slot, until: opens)
            } else if let packet = paced.removeFirst(slot) {
                return (slot, packet)
            }
        }
        return nil
    }

    /// Copies the next packet that waited and can go now into `buffer`, seals it there and says where to send it; nil
    /// if there is none. To be called until nil after commands were applied, before any newer packet, and at `deadline`.
    ///
    /// - Parameter buffer: at least `Limits.headroom + Limits.stagedBytes + Limits.tailroom` bytes take any packet;
    ///   one that does not fit is dropped, as is one that the path does not carry any more.
    public mutating func nextStaged(
        into buffer: inout MutableSpan<UInt8>, now: Instant
    ) -> (datagram: Range<Int>, carrier: Carrier, trafficClass: UInt8)? {
        while let (slot, packet) = peers.nextReady() {
            guard now.since(packet.since) < Limits.stagedLifetime else {
                drops.add(.stagedExpired)
                continue
            }
            let range = Limits.headroom..<Limits.headroom + packet.bytes.count
            guard range.upperBound + Limits.tailroom <= buffer.count else {
                drops.add(.innerTooLarge)
                continue
            }
            buffer.copy(packet.bytes.span, 0..<packet.bytes.count, to: Limits.headroom)
            switch send(&buffer, packet: range, to: slot, now: now) {
            case .transmit(let datagram, let carrier, let trafficClass): return (datagram, carrier, trafficClass)
            case .exceeds: drops.add(.pathMTU)
            case .staged, .drop: break
            }
        }
        while let (slot, packet) = nextPaced(now) {
            let range = Limits.headroom..<Limits.headroom + packet.count
            guard range.upperBound + Limits.tailroom <= buffer.count else {
                drops.add(.innerTooLarge)
                continue
            }
            buffer.copy(packet.span, 0..<packet.count, to: Limits.headroom)
            switch send(&buffer, packet: range, to: slot, isPaced: true, now: now) {
            case .transmit(let datagram, let carrier, let trafficClass): return (datagram, carrier, trafficClass)
            case .exceeds: drops.add(.pathMTU)
            case .staged, .drop: break
            }
        }
        settle()
        return nil
    }

    private func drop(_ reason: DropReason) -> OutboundVerdict {
        drops.add(reason)
        return .drop(reason)
    }
}
