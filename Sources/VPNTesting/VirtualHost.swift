// SPDX-License-Identifier: Apache-2.0
// A node on the virtual network: the real control side and the real packet path, with virtual time instead of threads.
public import VPNCore
public import VPNCrypto

/// One node. It does what the engine and the daemon do with the core's actions, and keeps what came out for the test.
public final class VirtualHost {
    public let name: String
    public internal(set) var endpoint: Endpoint
    public let identity: any IdentitySigner
    let cryptography: any HandshakeCryptography
    public internal(set) var nat: VirtualNAT?

    public private(set) var events: [(at: Instant, event: Event)] = []
    /// Inner packets that came through the tunnel.
    public private(set) var delivered: [[UInt8]] = []
    /// When each of them came.
    public private(set) var deliveredAt: [Instant] = []
    /// Who takes them; then they are not kept here.
    public var deliver: (([UInt8], Instant) -> Void)?
    /// Further addresses: of interfaces 1, 2, … . Each reaches what has the same first 24 bits, and whoever is told to leave by it.
    public var interfaces: [Endpoint] = []
    /// Which of its addresses it was called at so far: the numbers of `Endpoint.source`, from 1 on.
    private var called: [Endpoint] = []
    /// Inner packets that were longer than the path, and what it carries.
    public private(set) var exceeded: [(packet: [UInt8], mtu: Int)] = []
    public private(set) var remembered: [PinnedPeer] = []
    /// Invitations that somebody proved to hold, and who answers for the file of invitations.
    public private(set) var claims: [InvitationClaim] = []
    public var redeem: ((InvitationClaim) -> InvitationVerdict)?
    public var dataPlaneDrops: DropCounters { plane.drops }
    /// Stopped, as by SIGSTOP or a lid: no timer fires, and of what arrives the first datagrams wait.
    var isSuspended = false
    var waiting: [VirtualDatagram] = []
    public private(set) var bytesSent = 0
    public private(set) var bytesReceived = 0
    /// What this host, as a hostile relay, makes of a RELAY payload that passes: none, one or many.
    public var tamper: (([UInt8]) -> [[UInt8]])?
    /// Frames that come here and are not heard.
    public var deafTo: Set<FrameType> = []
    /// Takes no DIRECTORY frame: what it says there is made by a test.
    public var isMute = false
    /// RELAY frames that went on to another node.
    public private(set) var relayed = 0
    public private(set) var jobsRun = 0
    /// Jobs by the second in which they ended.
    public private(set) var jobsBySecond: [UInt64: Int] = [:]

    /// How long a job of public-key work takes in virtual time.
    public var jobDuration: TimeSpan = .milliseconds(7)
    /// The same by kind of job; goes before `jobDuration`.
    public var jobDurations: [CryptoJob.Kind: TimeSpan] = [:]
    /// How many jobs run at once, the others waiting for their turn; nil: all that there are.
    public var processors: Int? { didSet { busyUntil = Array(repeating: .origin, count: processors ?? 0) } }
    /// What a hostile node makes of its public-key work.
    public var alterJob: ((CryptoJob) -> CryptoJob)?
    /// Nobody runs its jobs, as where a pool is full.
    public var refusesJobs = false
    private var busyUntil: [Instant] = []

    var machine: NodeStateMachine
    var plane: DataPlane
    private var jobs: [(due: Instant, job: CryptoJob)] = []
    private var buffer = [UInt8](repeating: 0, count: Limits.headroom + Limits.stagedBytes + Limits.tailroom)
    /// Where what is relayed gets new layers.
    private var aside = [UInt8](repeating: 0, count: Limits.headroom + Limits.stagedBytes + Limits.tailroom)

    public init(
        name: String, endpoint: Endpoint, identity: any IdentitySigner, cryptography: any HandshakeCryptography,
        parameters: NodeParameters, pins: [PinnedPeer] = [], peers: [PeerConfiguration] = [], now: Instant
    ) {
        self.name = name
        self.endpoint = endpoint
        self.identity = identity
        self.cryptography = cryptography
        machine = NodeStateMachine(
            signer: identity, cryptography: cryptography, parameters: parameters, pins: pins, peers: peers, now: now)
        // As the engine's workers begin: a path of which nothing is known takes what the interface does.
        plane = DataPlane(padding: parameters.padding, mtu: Int(parameters.mtu))
        nextDeadline = machine.nextDeadline
    }

    // MARK: What tests look at

    public var controlDrops: DropCounters { machine.drops }

    /// Keeps no more of what has happened.
    public func forgetEvents() { events = [] }

    public var establishedSessions: [SessionSummary] {
        events.compactMap { if case .sessionEstablished(let summary) = $0.event { summary } else { nil } }
    }

    public var confirmedSessions: [SessionSummary] {
        events.compactMap { if case .sessionConfirmed(let summary) = $0.event { summary } else { nil } }
    }

    /// Sessions, handshakes and fragments that this node holds.
    public var footprint: ControlFootprint { machine.footprint }

    /// What its operator sees.
    public func snapshot(now: Instant) -> [PeerSnapshot] { machine.snapshot(now: now) }

    public var degradedSessions: UInt64 { machine.degradedSessions }
    public var cover: CoverCost { machine.cover }

    /// Whether the session of the first configured peer stands on one signature.
    public var isDegraded: Bool { machine.isDegraded(0) }
    /// Whether its time stands still.
    public var isStopped: Bool { isSuspended }

    /// Where a peer is sent to, from whichever address of this host.
    public func carrier(of slot: PeerSlot) -> Carrier? { plane.sender.carrier(of: slot)?.fromAnyAddress }

    /// The session by which a peer is sent to.
    public func sendingSession(of slot: PeerSlot) -> Session? { plane.sender.sendingSession(of: slot) }

    /// Its circuits, and what it relays.
    public func circuits(now: Instant) -> [CircuitSnapshot] { machine.circuitSnapshots(now: now) }
    public var relaySnapshot: RelaySnapshot { machine.relaySnapshot }
    /// Where circuits that it opened pass it.
    public var circuitPlaces: [CircuitPlace] { machine.circuitSnapshots(now: .origin).flatMap(\.places) }

    /// Whether datagrams to this address come here.
    func owns(_ destination: Endpoint) -> Bool { endpoint == destination || interfaces.contains(destination) }

    /// Patches of the session with a peer.
    public func quilt(of slot: PeerSlot, now: Instant) -> QuiltSnapshot? { machine.quiltSnapshot(of: slot, now: now) }

    // MARK: What the network calls

    func enableRelay(_ policy: RelayPolicy?, now: Instant, send: (VirtualDatagram) -> Void) {
        machine.enableRelay(policy, now: now)
        drain(now: now, send: send)
    }

    func openExit(_ terms: ExitTerms, now: Instant, send: (VirtualDatagram) -> Void) {
        machine.openExit(terms)
        drain(now: now, send: send)
    }

    func changeExit(_ fence: ExitFence, now: Instant, send: (VirtualDatagram) -> Void) {
        machine.changeExit(fence, isAllowAll: false)
        drain(now: now, send: send)
    }

    /// Leases that are out.
    public var exitLeases: Int { machine.exitLeases }

    func build(
        _ request: CircuitRequest, now: Instant, send: (VirtualDatagram) -> Void
    ) throws(CircuitRefusal) -> OwnCircuit.Number {
        defer { drain(now: now, send: send) }
        return try machine.buildCircuit(request, now: now)
    }

    func replaceCircuit(_ number: OwnCircuit.Number, now: Instant, send: (VirtualDatagram) -> Void) -> Bool {
        defer { drain(now: now, send: send) }
        return machine.replaceCircuit(number, now: now)
    }

    func closeCircuit(_ number: OwnCircuit.Number, now: Instant, send: (VirtualDatagram) -> Void) -> Bool {
        defer { drain(now: now, send: send) }
        return machine.closeCircuit(number, now: now)
    }

    func assign(_ prefixes: [IPPrefix], to slot: PeerSlot, now: Instant, send: (VirtualDatagram) -> Void) -> Bool {
        defer { drain(now: now, send: send) }
        return machine.assign(prefixes, to: slot, now: now)
    }

    /// Puts a payload of its own making into the session by which a peer is sent to: for tests of what a hostile one says.
    func say(_ type: FrameType, _ payload: [UInt8], to slot: PeerSlot, now: Instant, send: (VirtualDatagram) -> Void) {
        guard let session = plane.sender.sendingSession(of: slot), let carrier = plane.sender.carrier(of: slot),
            let datagram = session.sealFrame(type: type, payload: payload, now: now)
        else { return }
        guard case .circuit(let place) = carrier else { return transmit(datagram, carrier, send: send) }
        var id: [UInt8] = []
        for shift in [24, 16, 8, 0] as [UInt32] { id.append(UInt8(truncatingIfNeeded: place.id >> shift)) }
        say(.relay, id + datagram, to: place.outer, now: now, send: send)
    }

    /// Kept, not computed: a network of a thousand hosts asks all of them for each event.
    private(set) var nextDeadline: Instant

    func start(now: Instant, send: (VirtualDatagram) -> Void) {
        machine.start(now: now)
        drain(now: now, send: send)
    }

    func resolved(_ endpoints: [Endpoint], ofPeer name: String, now: Instant, send: (VirtualDatagram) -> Void) {
        machine.setEndpoints(endpoints, ofPeer: name, now: now)
        drain(now: now, send: send)
    }

    func renew(_ slot: PeerSlot, now: Instant, send: (VirtualDatagram) -> Void) {
        machine.renew(slot, now: now)
        drain(now: now, send: send)
    }

    func ask(_ slot: PeerSlot, now: Instant, send: (VirtualDatagram) -> Void) -> Bool {
        defer { drain(now: now, send: send) }
        return machine.ask(slot, now: now)
    }

    func drop(_ slot: PeerSlot, now: Instant, send: (VirtualDatagram) -> Void) -> Bool {
        defer { drain(now: now, send: send) }
        return machine.drop(slot, now: now)
    }

    func close(now: Instant, send: (VirtualDatagram) -> Void) {
        machine.close(now: now)
        drain(now: now, send: send)
    }

    func updatePins(_ pins: [PinnedPeer], now: Instant, send: (VirtualDatagram) -> Void) {
        machine.updatePins(pins, now: now)
        drain(now: now, send: send)
    }

    func updatePeers(_ peers: [PeerConfiguration], moved: Set<String>, now: Instant, send: (VirtualDatagram) -> Void) {
        machine.updatePeers(peers, moved: moved, now: now)
        drain(now: now, send: send)
    }

    public func updateInvitations(_ invitations: [Invitation]) { machine.updateInvitations(invitations) }

    func limitHandshakes(perMinute limit: Int) { machine.limitHandshakes(perMinute: limit) }

    func updateRevoked(_ ids: Set<PeerID>, now: Instant, send: (VirtualDatagram) -> Void) {
        machine.updateRevoked(ids, now: now)
        drain(now: now, send: send)
    }

    func advance(now: Instant, send: (VirtualDatagram) -> Void) {
        while let next = jobs.indices.min(by: { jobs[$0].due < jobs[$1].due }), jobs[next].due <= now {
            let job = jobs.remove(at: next).job
            jobsRun += 1
            jobsBySecond[now.nanoseconds / 1_000_000_000, default: 0] += 1
            machine.jobFinished((alterJob?(job) ?? job).perform(with: cryptography), now: now)
            drain(now: now, send: send)
        }
        keepTime(now: now, send: send)
        if machine.nextDeadline <= now {
            machine.timeout(now: now)
            drain(now: now, send: send)
        }
    }

    func receive(_ arrived: VirtualDatagram, now: Instant, send: (VirtualDatagram) -> Void) {
        let datagram = arrived.bytes
        bytesReceived += datagram.count
        guard datagram.count <= buffer.count else { return }
        buffer.replaceSubrange(0..<datagram.count, with: datagram)
        var caller = arrived.source
        // A NAT leads to the only address behind it.
        caller.source = number(of: nat == nil ? arrived.destination : endpoint)
        let source = Carrier.udp(caller)
        plane.receiver.begin(Train(0..<datagram.count), from: source)
        while true {
            var span = buffer.mutableSpan
            guard let verdict = plane.receiver.next(&span, now: now) else { break }
            take(verdict, from: source, now: now, send: send)
        }
        drain(now: now, send: send)
    }

    private func take(
        _ verdict: InboundVerdict, from source: Carrier, now: Instant, send: (VirtualDatagram) -> Void
    ) {
        let carrier = verdict.place.map { Carrier.circuit($0) } ?? source
        if verdict.hasNews {
            let news = plane.receiver.takeNews()
            if let (session, bytes) = news.changedCarrier {
                machine.carrierChanged(session, to: source, bytes: bytes, now: now)
            }
            if let first = news.firstData { machine.firstDataReceived(first, now: now) }
        }
        switch verdict.outcome {
        case .handshake(let range): machine.receive(Array(buffer[range]), on: carrier, now: now)
        case .deliver(let range): note(delivered: Array(buffer[range]), now: now)
        case .deliverReleased(let length):
            var span = aside.mutableSpan
            plane.receiver.copyReleased(into: &span, at: 0)
            note(delivered: Array(aside[..<length]), now: now)
        case .control(_, .directory, _) where isMute: break
        case .control(_, let type, _) where deafTo.contains(type): break
        case .control(let session, let type, let range):
            machine.controlFrame(session, type, Array(buffer[range]), on: carrier, now: now)
        case .violation(let session, _): machine.sessionViolated(session, now: now)
        case .relay(let range, let slot): relay(range, to: slot, now: now, send: send)
        case .prohibited(let range, let slot): prohibit(range, from: slot, now: now, send: send)
        // There is no other worker.
        case .passOn, .drop, .consumed: break
        }
    }

    private func note(delivered packet: [UInt8], now: Instant) {
        if let deliver { return deliver(packet, now) }
        delivered.append(packet)
        deliveredAt.append(now)
    }

    /// As a worker does with what is due by time alone.
    private func keepTime(now: Instant, send: (VirtualDatagram) -> Void) {
        guard let deadline = plane.deadline, deadline <= now else { return }
        plane.expire(now: now)
        while true {
            var span = buffer.mutableSpan
            guard let verdict = plane.receiver.next(&span, now: now) else { break }
            take(verdict, from: .udp(endpoint), now: now, send: send)
        }
        flushStaged(now: now, send: send)
        drain(now: now, send: send)
    }

    /// As a worker does: from the buffer of what came into one of what goes.
    private func relay(_ range: Range<Int>, to slot: PeerSlot, now: Instant, send: (VirtualDatagram) -> Void) {
        let payload = Array(buffer[range])
        for payload in tamper?(payload) ?? [payload] { relay(payload, to: slot, now: now, send: send) }
    }

    private func relay(_ bytes: [UInt8], to slot: PeerSlot, now: Instant, send: (VirtualDatagram) -> Void) {
        let payload = Limits.headroom..<Limits.headroom + bytes.count
        aside.replaceSubrange(payload, with: bytes)
        var span = aside.mutableSpan
        guard
            case .transmit(let datagram, let carrier, _) = plane.sender.relay(
                &span, payload: payload, to: slot, now: now)
        else { return }
        plane.sender.settle()
        relayed += 1
        transmit(Array(aside[datagram]), carrier, send: send)
    }

    /// As a worker does where it is an exit.
    private func prohibit(_ range: Range<Int>, from slot: PeerSlot, now: Instant, send: (VirtualDatagram) -> Void) {
        let source = buffer.mutableSpan
        var span = aside.mutableSpan
        guard
            let (datagram, carrier, _) = plane.sender.prohibit(source, range, from: slot, into: &span, now: now)
        else { return }
        transmit(Array(aside[datagram]), carrier, send: send)
    }

    /// Hands an inner IP packet to the tunnel.
    func sendInner(_ packet: [UInt8], now: Instant, send: (VirtualDatagram) -> Void) {
        let start = Limits.headroom
        buffer.replaceSubrange(start..<start + packet.count, with: packet)
        var span = buffer.mutableSpan
        let verdict = plane.outbound(&span, packet: start..<start + packet.count, now: now)
        switch verdict {
        case .transmit(let range, let carrier, _):
            transmit(Array(buffer[range]), carrier, send: send)
        case .staged(let slot, let wantSession):
            if wantSession { machine.sessionWanted(slot, now: now) }
        case .exceeds(let mtu): exceeded.append((packet, mtu))
        case .drop: break
        }
        drain(now: now, send: send)
    }

    // MARK: Actions

    private func drain(now: Instant, send: (VirtualDatagram) -> Void) {
        while let action = machine.nextAction() {
            switch action {
            case .transmit(let datagram, let carrier): carry(datagram, carrier, now: now, send: send)
            case .run(let job) where refusesJobs: machine.jobRefused(job.id, now: now)
            case .run(let job): jobs.append((schedule(job, now: now), job))
            case .dataPlane(let command):
                plane.apply(command)
                flushStaged(now: now, send: send)
            case .remember(let pin): remembered.append(pin)
            case .redeem(let claim):
                claims.append(claim)
                machine.settle(claim, redeem?(claim) ?? .refused(.unknown), now: now)
            case .emit(let event):
                events.append((now, event))
                if let (slot, carrier) = event.chosen, isUsual(carrier) { machine.letRoutesChoose(slot, over: carrier) }
            }
        }
        while let (datagram, carrier) = plane.nextFrame() { carry(datagram, carrier, now: now, send: send) }
        nextDeadline = jobs.map(\.due).min().map { min($0, machine.nextDeadline) } ?? machine.nextDeadline
        if let due = plane.deadline { nextDeadline = min(nextDeadline, due) }
    }

    /// When a job will be done: at once begun, or by the processor that is free first.
    private func schedule(_ job: CryptoJob, now: Instant) -> Instant {
        let duration = jobDurations[job.kind] ?? jobDuration
        guard let first = busyUntil.indices.min(by: { busyUntil[$0] < busyUntil[$1] }) else { return now + duration }
        busyUntil[first] = max(busyUntil[first], now) + duration
        return busyUntil[first]
    }

    private func flushStaged(now: Instant, send: (VirtualDatagram) -> Void) {
        while true {
            var span = buffer.mutableSpan
            guard let (range, carrier, _) = plane.sender.nextStaged(into: &span, now: now) else { return }
            transmit(Array(buffer[range]), carrier, send: send)
        }
    }

    /// What the control side has sealed, or the data plane says itself: over a circuit in its layers.
    private func carry(_ bytes: [UInt8], _ carrier: Carrier, now: Instant, send: (VirtualDatagram) -> Void) {
        guard case .circuit = carrier else { return transmit(bytes, carrier, send: send) }
        let range = Limits.headroom..<Limits.headroom + bytes.count
        aside.replaceSubrange(range, with: bytes)
        var span = aside.mutableSpan
        guard case .transmit(let datagram, let carrier, _) = plane.sender.carry(&span, range, over: carrier, now: now)
        else { return }
        plane.sender.settle()
        transmit(Array(aside[datagram]), carrier, send: send)
    }

    private func transmit(_ datagram: [UInt8], _ carrier: Carrier, send: (VirtualDatagram) -> Void) {
        guard case .udp(let destination) = carrier else { return }
        bytesSent += datagram.count
        send(VirtualDatagram(bytes: datagram, source: source(for: destination), destination: destination))
    }

    /// Whether routes would choose the address that a carrier binds this host to.
    private func isUsual(_ carrier: Carrier) -> Bool {
        guard case .udp(let endpoint) = carrier, case .udp(let free) = carrier.fromAnyAddress, endpoint.source > 0,
            endpoint.source <= called.count
        else { return false }
        return source(for: free) == called[Int(endpoint.source) - 1]
    }

    private func number(of own: Endpoint) -> UInt8 {
        let place = called.firstIndex(of: own) ?? called.count
        if place == called.count { called.append(own) }
        return UInt8(clamping: place + 1)
    }

    /// Its address on the way to somebody: that of the interface which it is told to leave by, or which reaches there.
    private func source(for destination: Endpoint) -> Endpoint {
        let number = Int(destination.source)
        if number > 0, number <= called.count, owns(called[number - 1]) { return called[number - 1] }
        if destination.scope > 0, Int(destination.scope) <= interfaces.count {
            return interfaces[Int(destination.scope) - 1]
        }
        return interfaces.first { ($0.low ^ destination.low) >> 8 == 0 && $0.high == destination.high } ?? endpoint
    }
}
