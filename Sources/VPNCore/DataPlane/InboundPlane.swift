// SPDX-License-Identifier: Apache-2.0
// The inbound half of a data plane: which session a datagram came in by, and whether its inner packet may come out of it. One
// value per worker, single-threaded, owner of its tables. It moves no bytes itself: a train of datagrams goes in, verdicts
// come out.

/// What a datagram turned out to be.
public enum InboundOutcome: Sendable {
    /// An inner IP packet for the TUN, its source checked.
    case deliver(Range<Int>)
    /// A frame for the control plane; the payload lies at the range.
    case control(Session, FrameType, Range<Int>)
    /// A handshake datagram, where it lies (its header is valid, nothing else is checked).
    case handshake(Range<Int>)
    /// A RELAY payload, its circuit id replaced already, that is to be sealed for the next node (`OutboundPlane.relay`).
    case relay(Range<Int>, to: PeerSlot)
    /// An inner packet that waited for earlier ones, or that a repair brought back: `copyReleased` gives it.
    case deliverReleased(length: Int)
    /// An exit's guest wanted to go where it may not: dropped and counted already; it is to be told (`PacketProhibited`).
    case prohibited(Range<Int>, from: PeerSlot)
    /// A datagram that came on a circuit and that another worker is to open (§9), with the ECN field that it came with: it gets
    /// that worker's `begin` with the circuit as the carrier.
    case passOn(Range<Int>, to: Int, trafficClass: UInt8)
    /// Authentic and without content.
    case consumed
    /// Dropped, and counted already.
    case drop(DropReason)
    /// Dropped and counted, and its session must be closed: an authentic datagram broke the protocol, or the key is
    /// spent. Said once per session; after that it is `drop`.
    case violation(Session, DropReason)
}

/// What a datagram turned out to be.
public struct InboundVerdict: Sendable {
    public var outcome: InboundOutcome
    /// There is something to be had by `InboundPlane.takeNews`. Not in the verdict itself, which is copied and destroyed with each
    /// packet, and would count references for what one of a million brings.
    public internal(set) var hasNews = false
    private var placeKey: UInt64 = 0

    @inline(__always)
    init(outcome: InboundOutcome, hasNews: Bool = false, place: CircuitPlace? = nil) {
        self.outcome = outcome
        self.hasNews = hasNews
        self.place = place
    }

    /// The circuit by which it came, where it lay in another session's datagram; nil where it came as its train did.
    public internal(set) var place: CircuitPlace? {
        @inline(__always) get { placeKey == 0 ? nil : CircuitPlace(key: placeKey) }
        @inline(__always) set { placeKey = newValue?.key ?? 0 }
    }
}

/// What a datagram brought beside its outcome.
public struct InboundNews: Sendable {
    /// The session that this datagram, its first valid DATA, confirmed (§6); once in the life of a session, with
    /// whatever outcome.
    public internal(set) var firstData: Session?
    /// The session whose peer spoke last from another carrier than it is sent to (§7), and how many bytes came from there; once
    /// a train at most, and for one carrier once a second.
    public internal(set) var changedCarrier: (session: Session, bytes: Int)?
}

/// Sessions and routes of one worker.
///
/// A train goes in by `begin`; then `next` gives the verdicts, one by one, until nil.
public struct InboundPlane {
    /// Where drops are counted. The worker that drives this adds its own.
    public let drops: DropCounters

    var sessions = SessionTable()
    private var news = InboundNews()
    private var routes = Routes()
    var peers: [PeerPath] = []
    /// What guests may reach; nil where this is no exit.
    var exit: ExitGate?
    /// What goes on from one circuit to another.
    var relays = RelayTable()
    private let mtu: Int
    /// Which of how many workers this is.
    let worker: Int
    let workers: Int
    /// The receiving sides of quilts, by the index of their session (§9).
    var quilts: [UInt32: Int] = [:]
    var weaves: [QuiltReceiver?] = []
    /// Frames that a patch is answered with.
    var answers: [(datagram: [UInt8], carrier: Carrier)] = []
    /// Which of them has packets to let go, and those after it.
    var releasing: [Int] = []
    /// What `copyReleased` gives.
    var released = ReleasedPacket.none
    /// A packet that waits until there is room to let it wait.
    var postponed: PostponedPacket?
    /// Quilts that have cells, and those that are to give them up when nothing waits there any more; cells that nobody has.
    var equipped: Set<Int> = []
    var yielding: Set<Int> = []
    var spareCells: [UInt8] = []
    /// Of sessions that are over: they go when nothing waits in them.
    var leaving: [Int] = []
    /// Of the frames that are answered here.
    let padding: PaddingPolicy

    /// What counts for a peer, by slot.
    struct PeerPath {
        /// The longest inner packet to it.
        var mtu: Int
        /// Where it is sent to; nil before its first session.
        var carrier: Carrier?
        /// Where else it was heard last, and when that was told.
        @Rare var elsewhere: (carrier: Carrier, told: Instant)? = nil
        /// A guest of this exit.
        var isFenced = false
        /// Packets of a guest with a foreign source, since when.
        @Rare var foreign: (since: Instant, count: Int)? = nil
    }

    /// What is left of the train, and how it came.
    private var rest: Train?
    private(set) var carrier: Carrier?
    private(set) var congestion = CongestionMark.none
    /// The datagrams that were opened together, the next of them to tell, and the session they are of.
    private var opened = OpenedTrain()
    private var told = 0
    private var session: SessionReference?
    /// Where its packets are put in order, and the patch by which these came; −1 where it has one carrier.
    var weave = -1
    private var patch = 0
    /// Bytes of the opened datagrams, where they came from elsewhere, until that is told.
    private var bytesFromElsewhere = 0
    /// A datagram in the datagram that was told last.
    var peeling: (datagram: Range<Int>, place: CircuitPlace)?
    /// Datagrams in each other that were opened for the verdict that is next.
    var layers = 0

    /// - Parameters:
    ///   - mtu: the longest inner packet, in bytes, to a peer of whose path nothing is known.
    ///   - worker: which of how many it is: the one that a session's datagrams come to puts its packets in order (§9).
    public init(
        drops: DropCounters = DropCounters(), padding: PaddingPolicy = .none, mtu: Int = Limits.largestPayload,
        worker: Int = 0, of workers: Int = 1
    ) {
        precondition((0..<workers).contains(worker))
        self.drops = drops
        self.padding = padding
        self.mtu = mtu
        self.worker = worker
        self.workers = workers
    }

    // MARK: - Commands

    public mutating func apply(_ command: DataPlaneCommand) {
        switch command {
        case .install(let session): insert(session)
        case .activate(let session, let carrier):
            insert(session)
            grow(to: session.peer)
            peers[session.peer].carrier = carrier.seen
        case .retire(let index):
            _ = sessions.remove(index)
            unravel(index)
        case .quilt(let quilt): knit(quilt)
        case .patch(let quilt, let number, let index):
            knit(quilt)
            sessions.insert(patch: UInt8(number), of: quilt.session, index: index)
        case .removePatch(let index): sessions.removePatch(index)
        case .routes(let table): routes = Routes(table)
        case .removePeer(let slot):
            for index in sessions.indices(of: slot) {
                _ = sessions.remove(index)
                unravel(index)
            }
            if slot < peers.count { peers[slot] = PeerPath(mtu: mtu) }
        case .limit(let slot, let mtu):
            grow(to: slot)
            peers[slot].mtu = mtu
        case .move(let slot, let carrier):
            grow(to: slot)
            peers[slot].carrier = carrier.seen
        case .relay(let place, let onward, let traffic): relays.add(place, to: onward, traffic)
        case .stopRelaying(let place): relays.remove(place)
        case .exit(let fence): exit = fence.map { ExitGate($0, .outward) }
        case .fence(let slot):
            grow(to: slot)
            peers[slot].isFenced = true
        case .dropOldKeys, .sources: break
        }
    }

    private mutating func insert(_ session: Session) {
        let isNew = sessions.insert(session)
        precondition(isNew, "two sessions with one receiver index")
    }

    private mutating func grow(to slot: PeerSlot) {
        while peers.count <= slot { peers.append(PeerPath(mtu: mtu)) }
    }

    // MARK: - Datagrams

    /// Takes a train that lies in the buffer of the following `next`. What was left of an earlier one is forgotten.
    ///
    /// - Parameters:
    ///   - carrier: how it came; nil where nobody wants to know whether that changes. A circuit for what another worker passed on
    ///     (`passOn`).
    ///   - congestion: the ECN field that it came with (RFC 6040).
    @inline(__always)
    public mutating func begin(_ train: Train, from carrier: Carrier? = nil, congestion: CongestionMark = .none) {
        rest = train
        self.carrier = carrier
        bytesFromElsewhere = 0
        self.congestion = congestion
        opened.removeAll()
        told = 0
        peeling = nil
    }

    /// The verdict on the next datagram, opened in place if it is DATA; nil after the last.
    @inline(__always)
    public mutating func next(_ buffer: inout MutableSpan<UInt8>, now: Instant) -> InboundVerdict? {
        if !releasing.isEmpty, let verdict = nextReleased(&buffer, now: now) { return verdict }
        if told == opened.count {
            if let (datagram, place) = peeling {
                peeling = nil
                return arrive(&buffer, datagram, on: place, now: now)
            }
            guard let train = rest else { return nil }
            opened.removeAll()
            told = 0
            if let verdict = open(&buffer, train, now: now) { return verdict }
        }
        guard let session else { return nil }
        layers = 0
        var verdict =
            weave < 0
            ? verdict(on: opened[told], of: session, &buffer, now)
            : verdict(on: opened[told], of: session, weave: weave, patch: patch, &buffer, now)
        told += 1
        if bytesFromElsewhere > 0 {
            news.changedCarrier = (session.retained, bytesFromElsewhere)
            verdict.hasNews = true
            bytesFromElsewhere = 0
        }
        return verdict
    }

    @inline(__always)
    mutating func verdict(
        on opened: OpenVerdict, of session: SessionReference, _ buffer: inout MutableSpan<UInt8>, _ now: Instant
    ) -> InboundVerdict {
        switch opened {
        case .frame(let frame):
            if frame.type == .relay { return unwrap(&buffer, frame.payload, from: session, now: now) }
            return InboundVerdict(outcome: accept(frame, from: session, &buffer, now), hasNews: confirmed(session))
        case .violation(let reason):
            return InboundVerdict(outcome: violation(session, reason), hasNews: confirmed(session))
        case .drop(.receiveKeySpent):
            return InboundVerdict(outcome: violation(session, .receiveKeySpent))
        case .drop(let reason):
            return InboundVerdict(outcome: drop(reason))
        }
    }

    /// Opens the datagrams at the head of the train that are of one session; or gives the verdict on the first, if it is of
    /// none.
    private mutating func open(
        _ buffer: inout MutableSpan<UInt8>, _ train: Train, now: Instant
    ) -> InboundVerdict? {
        let first = train.datagram(0)
        let header: OuterHeader
        switch OuterHeader.decode(buffer, first) {
        case .header(let decoded): header = decoded
        case .drop(let reason): return skip(train, drop(reason))
        }
        guard header.type.isData else {
            // §3: handshake datagrams never exceed 1232 bytes.
            return skip(train, first.count > Limits.handshakeDatagram ? drop(.tooLong) : .handshake(first))
        }
        guard let entry = sessions.entry(header.receiverIndex), let session = entry.session else {
            return skip(train, drop(.unknownIndex))
        }
        // §8: what was made on a circuit is spoken there alone.
        guard session.withObject({ $0.placeKey }) == 0 else {
            guard case .circuit(let place)? = carrier else { return skip(train, drop(.circuitSession)) }
            rest = train.dropping(1)
            layers = 0
            return arrive(&buffer, first, on: place, now: now)
        }
        self.session = session
        (weave, patch) = (-1, Int(entry.patch))
        if entry.isQuilted { weave = quilts[session.withObject { $0.localIndex }] ?? -1 }
        let isNewest = session.withObject {
            $0.open(&buffer, train: train, header: header, now: now, into: &opened)
        }
        rest = train.dropping(opened.count)
        if weave >= 0 { count(train, now) }
        if isNewest, let carrier, patch == 0 { compare(carrier, session.withObject { $0.peer }, train, now) }
        return nil
    }

    /// One comparison a train, while a peer stays where it is.
    @inline(__always)
    private mutating func compare(_ carrier: Carrier, _ slot: PeerSlot, _ train: Train, _ now: Instant) {
        guard slot < peers.count, let known = peers[slot].carrier, !known.isHeard(as: carrier) else { return }
        noteElsewhere(carrier, slot, train, now)
    }

    @inline(never)
    private mutating func noteElsewhere(_ carrier: Carrier, _ slot: PeerSlot, _ train: Train, _ now: Instant) {
        if let known = peers[slot].elsewhere {
            let rest = known.carrier == carrier ? Limits.carrierReports : Limits.carrierChanges
            if now.since(known.told) < rest { return }
        }
        let bytes = (0..<opened.count).reduce(0) { $0 + train.datagram($1).count }
        // It could not pay for a question there, and while a move waits in vain no other begins: what comes next is told.
        guard bytes >= PathMessage.datagram else { return }
        peers[slot].elsewhere = (carrier, now)
        bytesFromElsewhere = bytes
    }

    /// What came by a patch.
    @inline(never)
    private mutating func count(_ train: Train, _ now: Instant) {
        var arrivals = QuiltState.Arrivals()
        for place in 0..<opened.count { arrivals.add(opened[place], bytes: train.datagram(place).count) }
        guard arrivals.packets > 0 else { return }
        let (number, total) = (patch, arrivals)
        weaves[weave]?.quilt.withState { $0.received(total, on: number, now: now) }
    }

    /// The same of one datagram.
    func note(_ opened: OpenVerdict, bytes: Int, weave: Int, patch: Int, _ now: Instant) {
        var arrivals = QuiltState.Arrivals()
        arrivals.add(opened, bytes: bytes)
        guard arrivals.packets > 0 else { return }
        let total = arrivals
        weaves[weave]?.quilt.withState { $0.received(total, on: patch, now: now) }
    }

    private mutating func skip(_ train: Train, _ outcome: InboundOutcome) -> InboundVerdict {
        rest = train.dropping(1)
        return InboundVerdict(outcome: outcome)
    }

    @inline(__always)
    mutating func accept(
        _ frame: FrameView, from session: SessionReference, _ buffer: inout MutableSpan<UInt8>, _ now: Instant
    ) -> InboundOutcome {
        switch frame.type {
        case .ip where frame.skipped != 0 && weave < 0: violation(session, .frameFlags)
        case .ip: deliver(frame.payload, from: session, &buffer, now)
        case .pad: .consumed
        default: .control(session.retained, frame.type, frame.payload)
        }
    }

    /// Whether this was the first valid DATA of a session, which is news then.
    @inline(__always)
    mutating func confirmed(_ session: SessionReference) -> Bool {
        guard session.withObject({ $0.markConfirmed() }) else { return false }
        news.firstData = session.retained
        return true
    }

    /// What the last verdict told of by `hasNews`; to be had before the next one.
    public mutating func takeNews() -> InboundNews {
        defer { news = InboundNews() }
        return news
    }

    /// §7: inner source addresses must belong to the peer's allowed IPs, by longest prefix.
    @inline(__always)
    private mutating func deliver(
        _ packet: Range<Int>, from session: SessionReference, _ buffer: inout MutableSpan<UInt8>, _ now: Instant
    ) -> InboundOutcome {
        let peer = session.withObject { $0.peer }
        guard let inner = InnerPacket(buffer, packet) else { return drop(.innerMalformed) }
        guard Int(routes.source(inner)) == peer else { return foreign(session, peer, now) }
        if exit != nil, peer < peers.count, peers[peer].isFenced,
            let refusal = refusal(of: packet, inner, from: peer, buffer, now)
        {
            return refusal
        }
        guard congestion == .none || congestion.apply(to: &buffer, packet) else { return drop(.congestion) }
        // What the other end may send here is its own business; what our side may send there is told in its SYN.
        MaximumSegment.clamp(&buffer, packet, mtu: peer < peers.count ? peers[peer].mtu : mtu)
        return .deliver(packet)
    }

    func violation(_ session: SessionReference, _ reason: DropReason) -> InboundOutcome {
        drops.add(reason)
        return session.withObject { $0.markViolated() } ? .violation(session.retained, reason) : .drop(reason)
    }

    func drop(_ reason: DropReason) -> InboundOutcome {
        drops.add(reason)
        return .drop(reason)
    }
}
