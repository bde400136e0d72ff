// SPDX-License-Identifier: Apache-2.0
// A worker's view of the network: which session an inner packet leaves by, and which one a datagram came in by. One
// value per worker, single-threaded, owner of its tables; the control plane changes them by commands. It moves no
// bytes itself: buffers and time come in, verdicts go out, so that it runs the same in an engine and in a simulation.

/// What the control plane tells a data plane.
public enum DataPlaneCommand: Sendable {
    /// Makes a session receivable by its local index.
    case install(Session)
    /// Makes a session the one by which its peer is sent to, over the carrier; installs it if need be, and readies
    /// the packets that wait for it (`nextStaged`).
    case activate(Session, Carrier)
    /// Sends to a peer over another carrier from now on.
    case move(PeerSlot, Carrier)
    /// Forgets a session by its local index; a peer that was sent to by it has no session then.
    case retire(UInt32)
    /// Replaces all routes.
    case routes(RouteTable)
    /// Forgets a peer: its sessions and its waiting packets.
    case removePeer(PeerSlot)
}

/// What becomes of an inner packet.
public enum OutboundVerdict: Sendable {
    /// The datagram to send, and over what.
    case transmit(Range<Int>, Carrier)
    /// Copied, to be sent when its peer has a session. `wantSession` is true at most once a second.
    case staged(PeerSlot, wantSession: Bool)
    /// Dropped, and counted already.
    case drop(DropReason)
}

/// What a datagram turned out to be.
public enum InboundOutcome: Sendable {
    /// An inner IP packet for the TUN, its source checked.
    case deliver(Range<Int>)
    /// A frame for the control plane; the payload lies at the range.
    case control(Session, FrameType, Range<Int>)
    /// A handshake datagram (its header is valid, nothing else is checked).
    case handshake(OuterHeader)
    /// Authentic and without content.
    case consumed
    /// Dropped, and counted already.
    case drop(DropReason)
    /// Dropped and counted, and its session must be closed: an authentic datagram broke the protocol, or the key is
    /// spent. Said once per session; after that it is `drop`.
    case violation(Session, DropReason)
}

/// What a datagram turned out to be, and whether it was the first of its session.
public struct InboundVerdict: Sendable {
    public var outcome: InboundOutcome
    /// The session that this datagram, its first valid DATA, confirmed (§6); once in the life of a session, with
    /// whatever outcome.
    public var firstData: Session?
}

/// Routes, sessions and waiting packets of one worker.
public struct DataPlane {
    /// Where drops are counted. The worker that drives this adds its own.
    public let drops: DropCounters
    public var padding: PaddingPolicy
    /// The longest plaintext, frame header included, that padding may reach on the path.
    public var paddingCeiling: Int

    private var sessions = SessionTable()
    private var peers = PeerTable()
    private var routes4: IntervalMap<UInt32>
    private var routes6: IntervalMap<UInt128>

    public init(
        drops: DropCounters = DropCounters(), padding: PaddingPolicy = .none,
        paddingCeiling: Int = Limits.innerMTUOverIPv6 + Limits.frameHeader
    ) {
        self.drops = drops
        self.padding = padding
        self.paddingCeiling = paddingCeiling
        let none = RouteTable()
        routes4 = none.v4
        routes6 = none.v6
    }

    // MARK: - Commands

    public mutating func apply(_ command: DataPlaneCommand) {
        switch command {
        case .install(let session):
            install(session)
        case .activate(let session, let carrier):
            install(session)
            peers.activate(session, carrier)
        case .move(let slot, let carrier):
            peers.move(slot, carrier)
        case .retire(let index):
            if let session = sessions.remove(index) { peers.forget(session) }
        case .routes(let table):
            routes4 = table.v4
            routes6 = table.v6
        case .removePeer(let slot):
            for session in sessions.owners.values where session.peer == slot {
                _ = sessions.remove(session.localIndex)
            }
            drops.add(.stagedPeerGone, peers.remove(slot))
        }
    }

    private mutating func install(_ session: Session) {
        let isNew = sessions.insert(session)
        precondition(isNew, "two sessions with one receiver index")
    }

    /// The session by which a peer is sent to.
    public func sendingSession(of slot: PeerSlot) -> Session? { peers.session(of: slot) }

    /// The carrier over which a peer is sent to.
    public func carrier(of slot: PeerSlot) -> Carrier? { peers.carrier(of: slot) }

    /// Packets that wait for a session of this peer.
    public func stagedCount(of slot: PeerSlot) -> Int { peers.stagedCount(of: slot) }

    // MARK: - Out

    /// Takes the inner packet that is exactly `packet` of `buffer`, with `Limits.headroom` before it and
    /// `Limits.tailroom` after it, and seals it in place if its peer has a session. With bucket padding the buffer must
    /// have room for `paddingCeiling` instead of the packet.
    public mutating func outbound(
        _ buffer: inout MutableSpan<UInt8>, packet: Range<Int>, now: Instant
    ) -> OutboundVerdict {
        guard packet.count <= Limits.largestPayload else { return drop(.innerTooLarge) }
        guard let inner = InnerPacket(buffer, packet) else { return drop(.innerMalformed) }
        let slot: Int32
        switch inner {
        case .v4(_, let destination): slot = routes4.lookup(destination)
        case .v6(_, let destination): slot = routes6.lookup(destination)
        }
        guard slot >= 0 else { return drop(.noRoute) }
        return send(&buffer, packet: packet, to: Int(slot), now: now)
    }

    @inline(__always)
    private mutating func send(
        _ buffer: inout MutableSpan<UInt8>, packet: Range<Int>, to slot: PeerSlot, now: Instant
    ) -> OutboundVerdict {
        guard let session = peers.reference(slot) else {
            return stage(buffer, packet: packet, for: slot, isKeySpent: false, now: now)
        }
        // Closures here use locals only: one that captures `self` makes the compiler copy all of it.
        let (padding, ceiling) = (padding, paddingCeiling)
        let sealed = session.withSession {
            $0.seal(&buffer, type: .ip, payload: packet, padding: padding, ceiling: ceiling, now: now)
        }
        guard let sealed else { return stage(buffer, packet: packet, for: slot, isKeySpent: true, now: now) }
        return .transmit(sealed, peers.sendingCarrier(of: slot))
    }

    @inline(never)
    private mutating func stage(
        _ buffer: borrowing MutableSpan<UInt8>, packet: Range<Int>, for slot: PeerSlot, isKeySpent: Bool, now: Instant
    ) -> OutboundVerdict {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(packet.count)
        for offset in packet { bytes.append(buffer[offset]) }
        if isKeySpent { peers.stopSending(slot) }
        guard let dropped = peers.stage(.init(bytes: bytes, since: now), for: slot) else {
            return drop(.stagedOverflow)
        }
        drops.add(.stagedOverflow, dropped)
        return .staged(slot, wantSession: peers.wantsSession(slot, now: now))
    }

    /// Copies the next packet that waited and can go now into `buffer`, seals it there and says where to send it; nil
    /// if there is none. To be called until nil after commands were applied, before any newer packet.
    ///
    /// - Parameter buffer: at least `Limits.headroom + Limits.stagedBytes + Limits.tailroom` bytes take any packet;
    ///   one that does not fit is dropped.
    public mutating func nextStaged(into buffer: inout MutableSpan<UInt8>, now: Instant) -> (Range<Int>, Carrier)? {
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
            for (offset, byte) in packet.bytes.enumerated() { buffer[Limits.headroom + offset] = byte }
            if case .transmit(let datagram, let carrier) = send(&buffer, packet: range, to: slot, now: now) {
                return (datagram, carrier)
            }
        }
        return nil
    }

    // MARK: - In

    /// Takes the datagram that is exactly `datagram` of `buffer` and opens it in place if it is DATA.
    ///
    /// - Parameter carrier: how it came. Today nothing here depends on it: an address proves nothing.
    public mutating func inbound(
        _ buffer: inout MutableSpan<UInt8>, datagram: Range<Int>, from carrier: Carrier, now: Instant
    ) -> InboundVerdict {
        let header: OuterHeader
        switch OuterHeader.decode(buffer, datagram) {
        case .header(let decoded): header = decoded
        case .drop(let reason): return InboundVerdict(outcome: dropInbound(reason))
        }
        guard header.type.isData else {
            // §3: handshake datagrams never exceed 1232 bytes.
            if datagram.count > Limits.handshakeDatagram { return InboundVerdict(outcome: dropInbound(.tooLong)) }
            return InboundVerdict(outcome: .handshake(header))
        }
        guard let session = sessions.reference(header.receiverIndex) else {
            return InboundVerdict(outcome: dropInbound(.unknownIndex))
        }
        switch session.withSession({ $0.open(&buffer, datagram: datagram, header: header, now: now) }) {
        case .frame(let frame):
            let outcome = accept(frame, from: session, buffer)
            return InboundVerdict(outcome: outcome, firstData: confirmed(session))
        case .violation(let reason):
            return InboundVerdict(outcome: violation(session, reason), firstData: confirmed(session))
        case .drop(.receiveKeySpent):
            return InboundVerdict(outcome: violation(session, .receiveKeySpent))
        case .drop(let reason):
            return InboundVerdict(outcome: dropInbound(reason))
        }
    }

    @inline(__always)
    private func accept(
        _ frame: FrameView, from session: SessionReference, _ buffer: borrowing MutableSpan<UInt8>
    ) -> InboundOutcome {
        switch frame.type {
        case .ip: deliver(frame.payload, from: session.withSession { $0.peer }, buffer)
        case .pad: .consumed
        default: .control(session.retained, frame.type, frame.payload)
        }
    }

    @inline(__always)
    private func confirmed(_ session: SessionReference) -> Session? {
        session.withSession { $0.markConfirmed() } ? session.retained : nil
    }

    /// §7: inner source addresses must belong to the peer's allowed IPs, by longest prefix.
    @inline(__always)
    private func deliver(
        _ packet: Range<Int>, from peer: PeerSlot, _ buffer: borrowing MutableSpan<UInt8>
    ) -> InboundOutcome {
        guard let inner = InnerPacket(buffer, packet) else { return dropInbound(.innerMalformed) }
        let slot: Int32
        switch inner {
        case .v4(let source, _): slot = routes4.lookup(source)
        case .v6(let source, _): slot = routes6.lookup(source)
        }
        guard Int(slot) == peer else { return dropInbound(.innerSource) }
        return .deliver(packet)
    }

    private func violation(_ session: SessionReference, _ reason: DropReason) -> InboundOutcome {
        drops.add(reason)
        return session.withSession { $0.markViolated() } ? .violation(session.retained, reason) : .drop(reason)
    }

    private func drop(_ reason: DropReason) -> OutboundVerdict {
        drops.add(reason)
        return .drop(reason)
    }

    private func dropInbound(_ reason: DropReason) -> InboundOutcome {
        drops.add(reason)
        return .drop(reason)
    }
}
