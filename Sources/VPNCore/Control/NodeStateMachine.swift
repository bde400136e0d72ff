// SPDX-License-Identifier: Apache-2.0
// A node's control side, sans-IO: datagrams of handshakes, reports of the packet workers, finished jobs and time go in;
// actions come out. One mutation, then `nextAction()` to nil, then `nextDeadline`.
// In this file: state, inputs and the queue. Responding, initiating, sessions and maintenance: the files beside it.
internal import DequeModule
public import VPNCrypto

/// What a node is told about itself.
public struct NodeParameters: Sendable {
    public var offers: Offers
    /// Inner MTU, told to peers.
    public var mtu: UInt16
    public var trust: TrustPolicy
    /// Own descriptor, shown to initiators that ask; empty = none.
    public var descriptor: [UInt8]
    /// Ignores initiators that do not know this node's id (§4).
    public var isStealthy = false
    /// `security.handshake_per_minute_per_ip`; 0 = off.
    public var handshakesPerMinute: Int
    /// `network.max_concurrent_datagrams`: public-key work in flight for others.
    public var maximumJobs: Int
    /// `rekey.threshold_seconds` and `rekey.interval_seconds`.
    public var rekeyThreshold: TimeSpan
    public var rekeyInterval: TimeSpan
    /// `rekey.bytes` and `rekey.packets`: of both directions of a session, as they are on the wire.
    public var rekeyBytes: UInt64 = 100_000_000_000
    public var rekeyPackets: UInt64 = 1 << 32
    /// `traffic_obfuscation.*`: of frames that the control side sends itself; packets have the same in their data plane.
    public var padding = PaddingPolicy.none
    /// Of cover traffic to each peer with a session, in bytes of UDP payload on average; 0 = none. Needs a `padding` that has sizes.
    public var coverBytesPerSecond = 0
    /// Whether it asks relays which others they know, and answers them (§7).
    public var exchangesDirectory = false
    /// Where relays may be.
    public var relayAddresses = RelayAddressRule.publicOnly
    /// This node's own descriptor as a relay, handed on; nil: it has published none.
    public var relayDescriptor: Descriptor?
    /// Packet threads among which datagrams are shared out by their index: all patches of a session come to one (§9).
    public var workers = 1
    /// Unix seconds at the start: for keepalives' timestamps, for what descriptors say that they are good for, and for guards.
    public var unixSeconds: UInt64

    public init(
        offers: Offers, mtu: UInt16, trust: TrustPolicy, descriptor: [UInt8], handshakesPerMinute: Int,
        maximumJobs: Int,
        rekeyThreshold: TimeSpan, rekeyInterval: TimeSpan, unixSeconds: UInt64
    ) {
        self.offers = offers
        self.mtu = mtu
        self.trust = trust
        self.descriptor = descriptor
        self.handshakesPerMinute = handshakesPerMinute
        self.maximumJobs = maximumJobs
        self.rekeyThreshold = rekeyThreshold
        self.rekeyInterval = rekeyInterval
        self.unixSeconds = unixSeconds
    }
}

/// The whole protocol of one node but for the packets of established sessions (DataPlane).
public struct NodeStateMachine: ~Copyable {
    /// Who waits for a job.
    enum JobOwner {
        case initiation(PeerSlot, index: UInt32, CryptoJob.Work)
        case inbound(InboundKey)
        case answer(InboundKey, OpenedS1, slot: PeerSlot?, Standing, invitation: UInt32?, index: UInt32)
        /// Throwaway keys for a hop.
        case hop(CircuitPath.Number, hop: Int)
        /// A relay's descriptor, brought by this one.
        case directory(PeerID, DirectoryName)
    }

    /// How an initiator is known that is being answered.
    enum Standing {
        case pinned
        /// Its keys came along and are to be pinned.
        case firstUse
        /// Its keys came along and are for this circuit alone.
        case guest
    }

    /// What a receiver index stands for.
    enum IndexOwner {
        case initiation(PeerSlot)
        case session(PeerSlot)
        /// Given out to a handshake that is being answered.
        case reserved
    }

    let signer: any IdentitySigner
    let cryptography: any HandshakeCryptography
    var parameters: NodeParameters
    let started: Instant
    /// The wall clock's last word, and when it came.
    var clock: WallClock
    let ownID: PeerID
    let descriptorHash: UInt64
    let ownMAC1Key: MAC1Key

    var trust: TrustStore
    /// By name.
    var invitations: [UInt32: Invitation] = [:]
    var peers = Peers()
    /// What all quilts keep to send it again (§9).
    let sentByQuilts = SharedBytes(limit: Limits.sentBytesOfAllQuilts)
    var slotsByIdentity: [PeerID: PeerSlot] = [:]
    var nextSlot: PeerSlot = 0
    /// Callers by circuits among them.
    private(set) var guestCount = 0
    /// Slots of peers that are gone, oldest first.
    var freeSlots = Deque<PeerSlot>()
    /// Circuits that pass through, and those that this node has for itself (§8).
    var relay = RelayStateMachine()
    var circuits = OwnCircuits()
    /// What this node is for its guests, if it is an exit.
    var exit: OpenExit?
    /// The relays that this node knows, those that its paths begin with, and whom it asks for more.
    var directory: RelayDirectory
    var guards = GuardList()
    var directoryTraffic = DirectoryTraffic()
    /// Peers that got or lost a session since circuits were last looked at.
    var touched: Set<PeerSlot> = []
    var cookies: CookieJar
    var inbound = InboundHandshakes()
    var rate: HandshakeRate
    var history = InitiationHistory()
    var renewals = RenewalCalendar()
    var indices: [UInt32: IndexOwner] = [:]
    var jobs: [CryptoJob.ID: JobOwner] = [:]
    var nextJob: CryptoJob.ID = 1
    /// Jobs that strangers caused; bounded by `maximumJobs`.
    var jobsForOthers = 0
    /// Peers that came by themselves and were not pinned before, oldest first; some of them confirmed or gone by now.
    var strangers = Deque<PeerSlot>()
    var nextTick: Instant
    /// Sessions that one signature had to do for (§2), since the start.
    public internal(set) var degradedSessions: UInt64 = 0
    public internal(set) var cover = CoverCost()
    private var actions = Deque<Action>()
    /// Slots of peers that have gone and to which routes lead still: one table without all of them follows the other actions, and
    /// only then are they taken from the workers, with what waits there, and free for others.
    private var leaving: [PeerSlot] = []
    /// Datagrams dropped by the control side, by reason.
    public let drops = DropCounters()

    public init(
        signer: any IdentitySigner, cryptography: any HandshakeCryptography, parameters: NodeParameters,
        pins: [PinnedPeer], peers configured: [PeerConfiguration], now: Instant
    ) {
        self.signer = signer
        self.cryptography = cryptography
        self.parameters = parameters
        started = now
        clock = WallClock(unix: parameters.unixSeconds, at: now)
        ownID = signer.publicKeys.peerID
        ownMAC1Key = MAC1Key(responder: ownID)
        descriptorHash = Hash.sha256(parameters.descriptor).u64(at: 0)
        trust = TrustStore(policy: parameters.trust, own: ownID, pins: pins)
        directory = RelayDirectory(own: ownID, addresses: parameters.relayAddresses)
        cookies = CookieJar(cryptography: cryptography, now: now)
        rate = HandshakeRate(limit: parameters.handshakesPerMinute)
        nextTick = now + Limits.maintenanceTick
        for configuration in configured {
            let identity = configuration.peerID ?? trust.pin(named: configuration.name)?.peerID
            addPeer(configuration, isConfigured: true, identity: identity)
        }
        emitRoutes()
    }

    // MARK: Inputs

    /// Calls every peer that has an endpoint. Once, when packets can flow.
    public mutating func start(now: Instant) {
        for slot in peers.keys.sorted() where peers[slot]?.configuration.endpoint != nil {
            initiate(slot, now: now)
        }
    }

    /// A handshake datagram (types 01 … 07) that passed the outer length gate.
    public mutating func receive(_ datagram: [UInt8], on carrier: Carrier, now: Instant) {
        guard datagram.count >= OuterHeader.size, datagram.count <= Limits.handshakeDatagram,
            let type = DatagramType(rawValue: datagram[1])
        else { return drop(.tooShort) }
        if let place = carrier.place, let reason = refusal(of: type, on: place) { return drop(reason) }
        switch type {
        case .s0: receive(s0: datagram, on: carrier, now: now)
        case .s1: receive(s1: datagram, on: carrier, now: now)
        case .infoRequest: receive(infoRequest: datagram, on: carrier, now: now)
        case .retry, .s2, .infoResponse, .needFull: receive(answer: datagram, type, on: carrier, now: now)
        case .data0, .data1: drop(.unknownType)
        }
    }

    /// The result of a job that an action asked for.
    public mutating func jobFinished(_ result: CryptoJobResult, now: Instant) {
        guard let owner = jobs.removeValue(forKey: result.id) else { return }
        switch owner {
        case .initiation(let slot, let index, let work):
            guard peers[slot]?.initiation?.index == index else { return }
            advanceInitiation(slot, now: now) { $0.jobFinished(result.outcome, work: work, now: now) }
        case .inbound(let key):
            jobsForOthers -= 1
            guard case .openedS1(let opened) = result.outcome else { return }
            s1Opened(opened, key: key, now: now)
            startWaiting(now: now)
        case .answer(let key, let opened, let slot, let standing, let invitation, let index):
            jobsForOthers -= 1
            guard case .composedS2(let composed) = result.outcome else { return }
            s2Composed(
                composed, for: opened, key: key, slot: slot, standing, invitation: invitation, index: index, now: now)
            startWaiting(now: now)
        case .hop(let path, let hop):
            guard case .madeIdentity(let signer) = result.outcome else { return }
            hopIdentified(signer, path: path, hop: hop, now: now)
        case .directory(let source, let name):
            guard case .readDescriptor(let result) = result.outcome else { return }
            descriptorRead(result, name, from: source, now: now)
        }
    }

    /// Whoever runs jobs had no room for this one. What a stranger caused is forgotten, so that its repeat finds room; an
    /// attempt of our own begins again at its time.
    public mutating func jobRefused(_ id: CryptoJob.ID, now: Instant) {
        guard let owner = jobs.removeValue(forKey: id) else { return }
        drop(.jobsFull)
        switch owner {
        case .initiation: return
        case .hop(let path, let hop): hopIdentified(nil, path: path, hop: hop, now: now)
        case .directory(let source, let name): descriptorRead(nil, name, from: source, now: now)
        case .inbound(let key):
            jobsForOthers -= 1
            inbound.remove(key)
        case .answer(let key, _, _, _, _, let index):
            jobsForOthers -= 1
            indices[index] = nil
            inbound.remove(key)
        }
    }

    /// Time has come to the deadline, or gone past it.
    public mutating func timeout(now: Instant) {
        for _ in 0..<inbound.expire(now: now) { drop(.handshakeExpired) }
        settleCircuits(now: now)
        for slot in peers.due(by: now) {
            initiationTimeout(slot, now: now)
            advancePath(slot, now: now)
            advanceMove(slot, now: now)
            coverTraffic(slot, now: now)
            advanceQuilts(slot, now: now)
        }
        if now >= nextTick {
            nextTick = now + Limits.maintenanceTick
            maintainSessions(now: now)
            maintainRelaying(now: now)
            exit?.pool.settle(now: now)
            maintainDirectory(now: now)
        }
        advanceCircuits(now: now)
        advanceExchanges(now: now)
    }

    /// The earliest moment at which `timeout` has something to do.
    public var nextDeadline: Instant {
        mutating get {
            if !touched.isEmpty { return .origin }
            var deadline = min(nextTick, peers.deadline)
            if let due = relay.deadline { deadline = min(deadline, due) }
            if let due = circuits.deadline { deadline = min(deadline, due) }
            if let due = directoryTraffic.deadline { deadline = min(deadline, due) }
            if let due = inbound.deadline { deadline = min(deadline, due) }
            return deadline
        }
    }

    // MARK: Outputs

    public mutating func nextAction() -> Action? {
        if let action = actions.popFirst() { return action }
        guard !leaving.isEmpty else { return nil }
        emitRoutes()
        return actions.popFirst()
    }

    mutating func push(_ action: Action) { actions.append(action) }

    mutating func emit(_ event: Event) { push(.emit(event)) }

    func drop(_ reason: DropReason) { drops.add(reason) }

    /// Sends a datagram over whatever carries it: on a circuit, in a RELAY frame of each session around it (§8).
    mutating func transmit(_ datagram: [UInt8], over carrier: Carrier, now: Instant) {
        var (datagram, carrier) = (datagram, carrier)
        for _ in 0..<Limits.circuitHops {
            guard case .circuit(let place) = carrier else { return push(.transmit(datagram, carrier)) }
            guard let outer = peers[place.outer], let session = outer.ring.current?.session, let next = outer.carrier,
                datagram.count <= Limits.largestPayload - Limits.circuitID,
                let sealed = session.sealFrame(
                    type: .relay, payload: RelayMessage.encoded(id: place.id, datagram: datagram), now: now)
            else { break }
            (datagram, carrier) = (sealed, next)
        }
        drop(.circuitBroken)
    }

    // MARK: Small shared steps

    /// A random receiver index that nothing here uses; never 0, which means unknown (§3).
    ///
    /// - Parameter sibling: an index whose datagrams those of this one come with, to the same packet thread.
    mutating func freshIndex(for owner: IndexOwner, with sibling: UInt32? = nil) -> UInt32 {
        let workers = UInt32(parameters.workers)
        while true {
            let index = cryptography.randomBytes(4).u32(at: 0)
            if let sibling, index % workers != sibling % workers { continue }
            if index != 0, indices[index] == nil {
                indices[index] = owner
                return index
            }
        }
    }

    mutating func run(_ work: CryptoJob.Work, for owner: JobOwner) {
        let id = nextJob
        nextJob += 1
        jobs[id] = owner
        push(.run(CryptoJob(id: id, work: work)))
    }

    @discardableResult
    mutating func addPeer(
        _ configuration: PeerConfiguration, isConfigured: Bool, identity: PeerID?, place: Peer.Place = .direct
    ) -> PeerSlot {
        let slot = freshSlot()
        peers[slot] = Peer(slot: slot, configuration: configuration, isConfigured: isConfigured, identity: identity)
        peers[slot]?.place = place
        if case .guest = place { guestCount += 1 }
        // Whoever is a hop may be known directly as well, and is somebody else then.
        if let identity, peers[slot]?.isHop == false { slotsByIdentity[identity] = slot }
        return slot
    }

    /// Slots are few, and what a worker tells of one may be under way still when its peer has gone: the longest unused comes
    /// first, and none before many others are free.
    private mutating func freshSlot() -> PeerSlot {
        if freeSlots.count > Limits.slotsKeptFree, let slot = freeSlots.popFirst() { return slot }
        defer { nextSlot += 1 }
        return nextSlot
    }

    /// Forgets a peer that has no session any more.
    mutating func erase(_ slot: PeerSlot) {
        guard let peer = peers.removeValue(forKey: slot) else { return }
        if let identity = peer.identity, slotsByIdentity[identity] == slot { slotsByIdentity[identity] = nil }
        if peer.isGuest { guestCount -= 1 }
        takeBackLease(of: peer)
        endCircuits(of: slot)
        if peer.configuration.allowedIPs.isEmpty { vacate(slot) } else { leaving.append(slot) }
    }

    private mutating func vacate(_ slot: PeerSlot) {
        push(.dataPlane(.removePeer(slot)))
        freeSlots.append(slot)
    }

    mutating func emitRoutes() {
        var table = PrefixTable<PeerSlot>()
        for slot in peers.keys.sorted() where peers[slot]?.isConfigured == true {
            for prefix in peers[slot]?.configuration.allowedIPs ?? [] {
                let earlier = table.insert(prefix, slot)
                precondition(earlier == nil, "two peers with one prefix: configuration must refuse that")
            }
        }
        // What circuits lead to, and what guests were given: the operator's word goes before.
        for slot in peers.keys.sorted() where peers[slot]?.isConfigured == false {
            for prefix in peers[slot]?.configuration.allowedIPs ?? [] { table.insert(prefix, slot) }
        }
        push(.dataPlane(.routes(RouteTable(table))))
        for slot in leaving { vacate(slot) }
        leaving = []
    }
}
