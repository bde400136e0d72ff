// SPDX-License-Identifier: Apache-2.0
// The daemon's heart: feeds the core's state machine and performs its actions. Everything slow or dear is elsewhere:
// packets on the engine's threads, public-key work on the job pool, files in the stores.
public import Logging
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

/// One node, from its sockets to its goodbye.
public actor Node {
    /// Why the node looks at its mail.
    enum Wake: Sendable {
        case engine
        case job(CryptoJobResult)
        case timer
        case resolved(EndpointName, [Endpoint])
        case resolveAgain
        case ephemeralMade(isMade: Bool)
        case trust(TrustWatch.Finding)
        case exit(ExitSurroundings)
        /// The kernel has forgotten the connections of these addresses, or why not.
        case forgotten(Set<IPAddress>, failure: EngineError?)
        case relays(RelayWatch.Finding)
        /// Every few seconds: what only a look can tell.
        case tick
        /// These are the name servers of the host now, or why they are not.
        case named([IPAddress], complaint: String?)
        case stop
    }

    var configuration: NodeConfiguration
    let knownPeers: KnownPeersStore
    /// Nil for a node that lets nobody in.
    let invitations: InvitationStore?
    /// Sees each event of the core after the log has.
    private let observer: (@Sendable (Event) -> Void)?
    private let trustWatch: TrustWatch
    private let cryptography: any HandshakeCryptography
    private let ephemerals: EphemeralPool
    let engine: Engine
    private let pool: JobPool
    private let log: EventLog
    var metrics = NodeMetrics()
    /// Whether packets can flow.
    var isReady: Bool { hasStarted && !isStopping && !isTunnelOut }
    private(set) var hasStarted = false
    let logger: Logger
    private let onReady: @Sendable () -> Void
    private let wakes: AsyncStream<Wake>
    let waker: AsyncStream<Wake>.Continuation
    var machine: NodeStateMachine
    private var timer: (due: Instant, task: Task<Void, Never>)?
    private(set) var names: NameResolver
    /// Looks names up again until all are found.
    private var asking: Task<Void, Never>?
    var routes: KernelRoutes
    /// The files of relays and guards (Node+Relays).
    var relayFiles: RelayFiles
    /// Pins by first use that could not be written to known_peers.yaml.
    private(set) var unkept: [PinnedPeer] = []
    /// Whether the identity ends with the run.
    let isTemporary: Bool
    /// Of the interface, in bytes.
    let mtu: Int
    var tunnelLoss = TunnelLoss()
    /// Somebody has set the interface down.
    var isLinkDown = false
    /// The interface as it was made, and who makes it anew (Node+Tunnel).
    let tunnelPlan: EngineConfiguration.Tunnel?
    var restoring: Task<Void, Never>?
    /// Who waits for a peer's answer (Node+Control).
    /// What makes this node an exit; nil if nothing does.
    var exit: NodeExit?
    /// What exits gave this node, and what of it is on the host (Node+Leases).
    var leases = HeldLeases()
    var settled: SettledLeases
    /// The table of `pqvpn up`, which keeps neighbours from inner addresses.
    let neighbours: InnerFenceSet?
    /// Who tells the host the name servers of leases; nil where nobody does.
    let hostNames: LeasedNames?
    var pings: [UInt64: (slot: PeerSlot, continuation: CheckedContinuation<Double?, Never>)] = [:]
    var nextPing: UInt64 = 0
    /// Those that the configuration or a person wants (Node+Circuits).
    var circuits = WantedCircuits()
    /// More paths to peers than one (Quilt/Node+Quilt).
    var quilts: WantedQuilts
    /// What a look at the network gathers while it lasts (Netcheck/Node+Netcheck).
    var netcheck: NetcheckFindings?
    private(set) var isStopping = false
    private var freeMemory = FreeMemory()
    private var isMakingEphemeral = false

    /// Opens the UDP socket and the TUN interface; nothing moves before `run`. Throws `NodeFailure`.
    ///
    /// - Parameter onReady: called once, when packets can flow.
    public init(
        configuration: NodeConfiguration, identity: LoadedIdentity, knownPeers: KnownPeersStore,
        revocations: RevocationList, invitations: InvitationStore? = nil, hostNames: LeasedNames? = nil,
        logger: Logger, onReady: @escaping @Sendable () -> Void = {}
    ) throws {
        try self.init(
            configuration: configuration, identity: identity, knownPeers: knownPeers, revocations: revocations,
            invitations: invitations, presharedKeys: PresharedKeyFile.all(of: configuration.peers),
            hostNames: hostNames, logger: logger, observer: nil, onReady: onReady)
    }

    /// - Parameter presharedKeys: by the name of the peer.
    init(
        configuration: NodeConfiguration, identity: LoadedIdentity, knownPeers: KnownPeersStore,
        revocations: RevocationList, invitations: InvitationStore?, presharedKeys: [String: PresharedKey],
        hostNames: LeasedNames? = nil, logger: Logger, observer: (@Sendable (Event) -> Void)?,
        onReady: @escaping @Sendable () -> Void
    ) throws {
        self.configuration = configuration
        self.knownPeers = knownPeers
        self.invitations = invitations
        self.observer = observer
        trustWatch = TrustWatch(knownPeers: knownPeers, revocations: revocations, invitations: invitations)
        self.logger = logger
        self.onReady = onReady
        isTemporary = identity.isTemporary
        let plan = NodePlan(configuration, identity: identity, presharedKeys: presharedKeys)
        mtu = Int(plan.parameters.mtu)
        settled = SettledLeases(mtu: mtu, own: configuration.resolver.servers)
        self.hostNames = hostNames
        neighbours = (plan.engine.tunnel?.name).flatMap { InnerFenceSet(interface: $0) }
        quilts = plan.quilts
        tunnelPlan = plan.engine.tunnel
        for warning in plan.warnings { logger.warning("\(warning)", metadata: ["event": "config.warning"]) }
        (wakes, waker) = AsyncStream.makeStream()
        ephemerals = EphemeralPool(capacity: NodePlan.ephemeralsKept)
        cryptography = SystemCryptography(ephemeralPool: ephemerals)
        do throws(EngineError) {
            engine = try Engine(plan.engine) { [waker] in waker.yield(.engine) }
            pool = try JobPool(threads: NodePlan.jobThreads, capacity: plan.jobCapacity)
            names = try NameResolver(
                plan.names, unresolved: plan.unresolved, network: configuration.network
            ) { [waker] name, endpoints in
                waker.yield(.resolved(name, endpoints))
            }
        } catch { throw NodeFailure(error) }
        var parameters = plan.parameters
        parameters.workers = engine.workers
        machine = NodeStateMachine(
            signer: identity.signer, cryptography: cryptography, parameters: parameters, pins: knownPeers.pins,
            peers: plan.peers, now: MonotonicClock.now)
        machine.updateRevoked(revocations.ids, now: MonotonicClock.now)
        relayFiles = RelayFiles(configuration.directory)
        log = EventLog(logger: logger)
        exit = try NodeExit(configuration, interface: engine.interface?.name)
        routes = KernelRoutes(plan.engine.tunnel, interface: engine.interface)
        let socket = engine.socket
        logger.info(
            "listening",
            metadata: [
                "event": "node.listening", "address": "\(socket.local.text)",
                "receive_buffer": .stringConvertible(socket.receiveBuffer),
                "send_buffer": .stringConvertible(socket.sendBuffer),
                "offloads": "\(engine.offloads)", "workers": .stringConvertible(engine.workers),
                "interface": "\(engine.interface?.name ?? "none")", "mtu": .stringConvertible(plan.parameters.mtu),
                "peer_id": "\(identity.peerID.hex)",
            ])
    }

    /// Runs until its task is cancelled; then says goodbye to every peer and takes the interface down.
    public func run() async throws {
        try openExit()
        defer { closeExit() }
        do throws(EngineError) { try engine.start() } catch { throw NodeFailure(error) }
        makeEphemeral()
        showInvitations()
        try restoreRelays()
        tellOfMissingExit()
        applyRelay(now: MonotonicClock.now)
        reviewQuilts(now: MonotonicClock.now)
        machine.start(now: MonotonicClock.now)
        configureCircuits(now: MonotonicClock.now)
        buildCircuits(now: MonotonicClock.now)
        settle()
        askUntilFound()
        let watcher = Task { await watchTrust() }
        hasStarted = true
        onReady()
        ProcessMemory.releaseCode()
        // Reading a long configuration leaves as much again.
        ProcessMemory.releaseFree()
        await withTaskCancellationHandler {
            for await wake in wakes {
                handle(wake)
                if isStopping { break }
            }
        } onCancel: {
            waker.yield(.stop)
        }
        asking?.cancel()
        watcher.cancel()
        await endRestoring()
        endPings()
        timer?.task.cancel()
        machine.close(now: MonotonicClock.now)
        settle()
        keepRelays(isLast: true, now: MonotonicClock.now)
        timer?.task.cancel()
        engine.stop()
        pool.stop()
        names.stop()
        log.totals(engine.counters(), control: machine.drops, degradedSessions: machine.degradedSessions)
    }

    // MARK: Inputs

    private func handle(_ wake: Wake) {
        let now = MonotonicClock.now
        switch wake {
        case .engine: for event in engine.drainEvents() { handle(event, now: now) }
        case .job(let result): machine.jobFinished(result, now: now)
        case .timer:
            timer = nil
            machine.timeout(now: now)
            buildCircuits(now: now)
        case .resolved(let name, let endpoints):
            for peer in names.finish(name, isFound: !endpoints.isEmpty) {
                machine.setEndpoints(endpoints, ofPeer: peer, now: now)
            }
            resolvedForQuilts(name, endpoints, now: now)
        case .resolveAgain: names.askAgain()
        case .ephemeralMade(let isMade):
            isMakingEphemeral = false
            // Where that failed the next job asks again.
            if isMade { makeEphemeral() }
        case .trust(let finding): take(finding, now: now)
        case .exit(let surroundings): reviewExit(surroundings)
        case .forgotten(let addresses, let failure): forgotten(addresses, failure: failure)
        case .relays(let finding): take(finding, now: now)
        case .tick:
            machine.setClock(unixSeconds: UnixTime.now, now: now)
            lookAtLink()
            reviewQuilts(now: now)
            tellNames()
            forgetLeavers(now: now)
            if freeMemory.isDue(now: now) { Task.detached { ProcessMemory.releaseFree() } }
        case .named(let servers, let complaint): named(servers, complaint: complaint)
        case .stop: isStopping = true
        }
        settle()
    }

    private func handle(_ event: EngineEvent, now: Instant) {
        switch event {
        case .datagram(let datagram, let carrier):
            netcheck?.hear(datagram, on: carrier)
            machine.receive(datagram, on: carrier, now: now)
        case .control(let session, let type, let payload, let carrier):
            machine.controlFrame(session, type, payload, on: carrier, now: now)
        case .changedCarrier(let session, let carrier, let bytes):
            machine.carrierChanged(session, to: carrier, bytes: bytes, now: now)
        case .firstData(let session, _): machine.firstDataReceived(session, now: now)
        case .wantSession(let slot): machine.sessionWanted(slot, now: now)
        case .violation(let session, let reason):
            log.violation(session, reason)
            machine.sessionViolated(session, now: now)
        case .tunGone: tunnelVanished()
        case .offloadLost(let offloads, let errno):
            logger.warning(
                "the kernel refuses \(offloads) (errno \(errno)): going on without, slower",
                metadata: ["event": "offload.lost", "offload": "\(offloads)", "errno": .stringConvertible(errno)])
        }
    }

    private func askUntilFound() {
        asking?.cancel()
        asking = names.isComplete ? nil : Task { await resolveUntilFound() }
    }

    private func resolveUntilFound() async {
        while !names.isComplete {
            do { try await Task.sleep(for: NodePlan.resolvePause) } catch { return }
            waker.yield(.resolveAgain)
        }
    }

    // MARK: Actions

    /// Performs what the core wants done, then arms the timer for its next deadline.
    func settle() {
        while let action = machine.nextAction() { perform(action) }
        engine.setHandshakePrice(machine.handshakePrice)
        arm(min(machine.nextDeadline, circuits.deadline ?? machine.nextDeadline))
    }

    private func perform(_ action: Action) {
        switch action {
        case .transmit(let datagram, let carrier): engine.transmit(datagram, over: carrier)
        case .dataPlane(let command): engine.post(command)
        case .run(let job): submit(job, now: MonotonicClock.now)
        case .remember(let pin):
            do {
                try knownPeers.add(pin, patience: KnownPeersStore.nodesPatience)
            } catch {
                unkept.append(pin)
                logger.error(
                    "cannot keep a new peer in \(knownPeers.path): \(error); it will be a first contact again after a restart",
                    metadata: ["event": "peers.not_kept", "peer": "\(pin.peerID.short)"])
            }
        case .redeem(let claim): redeem(claim)
        case .emit(let event):
            log.record(event)
            if case .sessionEstablished = event { freeMemory.note(now: MonotonicClock.now) }
            if case .sessionEnded = event { freeMemory.note(now: MonotonicClock.now) }
            metrics.record(event)
            netcheck?.record(event, unixSeconds: UnixTime.now)
            observer?(event)
            keepRelays(after: event, now: MonotonicClock.now)
            heed(event, now: MonotonicClock.now)
            if let (slot, carrier) = event.chosen, engine.isUsual(carrier, mark: configuration.network.mark) {
                machine.letRoutesChoose(slot, over: carrier)
            }
            switch event {
            case .circuit(let event): followLease(event)
            case .leaseEnded(_, let lease): exit?.leavers.add(lease.addresses, now: MonotonicClock.now)
            case .keepaliveAnswered(let slot, let roundTrip): answeredPings(slot, roundTrip)
            // Perhaps it lives elsewhere by now.
            case .peerSilent(_, let name, _), .handshakeTimedOut(_, _, let name, _): names.ask(forPeer: name)
            default: break
            }
        }
    }

    private func submit(_ job: CryptoJob, now: Instant) {
        let taken = pool.submit { [waker, cryptography] in waker.yield(.job(job.perform(with: cryptography))) }
        if !taken {
            logger.warning("too much public-key work at once", metadata: ["event": "jobs.full"])
            machine.jobRefused(job.id, now: now)
        }
        makeEphemeral()
    }

    /// Makes brainpool ephemerals ahead of time, which takes their making out of a handshake. One at a time: a handshake
    /// that comes meanwhile waits for one at most.
    private func makeEphemeral() {
        let ready = ephemerals.count
        guard !isMakingEphemeral, ready < NodePlan.ephemeralsKept else { return }
        isMakingEphemeral = pool.submit { [ephemerals, waker] in
            // A failure here is a failure of the handshake that comes next, which tells.
            let isMade = (try? ephemerals.refill(upTo: ready + 1)) != nil
            waker.yield(.ephemeralMade(isMade: isMade))
        }
    }

    // MARK: Metrics

    /// Whatever their state.
    var sessionCount: Int { machine.footprint.sessions }

    /// All metrics but those of the process. Between two inputs, as all that an actor does.
    func metricFamilies() -> [MetricFamily] {
        let observation = NodeObservation(
            isReady: isReady, counters: engine.counters(), drops: machine.drops.nonZero, footprint: machine.footprint,
            cover: machine.cover, census: machine.census, relay: machine.relaySnapshot, circuits: circuits.counts,
            peers: configuration.metrics.isPerPeer ? machine.traffic : [], quilts: quiltObservation,
            insecureSettings: configuration.insecureSettings.count, refusedSeries: metrics.registry.refused,
            now: MonotonicClock.now, unixSeconds: UnixTime.now)
        return observation.families + metrics.registry.families
    }

    // MARK: Trust

    /// The operator's changes on disk: within seconds, for two stat calls each time.
    private func watchTrust() async {
        let (watch, relays) = (trustWatch, relayFiles.watch)
        while true {
            do { try await Task.sleep(for: NodePlan.trustPause) } catch { return }
            keepLate()
            for finding in await Task.detached(operation: { watch.look() }).value { waker.yield(.trust(finding)) }
            if let exit { waker.yield(.exit(await Task.detached { exit.look() }.value)) }
            waker.yield(.tick)
            keepRelays(isLast: false, now: MonotonicClock.now)
            for finding in await Task.detached(operation: { relays.look() }).value { waker.yield(.relays(finding)) }
        }
    }

    /// The same at once, for somebody who has just changed a file. Throws where one of them cannot be read: then what it said
    /// before is in force.
    public func look() async throws -> ControlReport {
        let watch = trustWatch
        for finding in await Task.detached(operation: { watch.look() }).value { take(finding, now: MonotonicClock.now) }
        settle()
        let refusals = watch.refusals
        guard refusals.isEmpty else { throw NodeFailure(.failure, refusals.joined(separator: "\n")) }
        return ControlReport(action: "look", peer: "", text: "pins, revocations and invitations are as on disk")
    }

    /// Writes down what could not be written before: the disk may have room again, or the directory its rights.
    private func keepLate() {
        guard !unkept.isEmpty else { return }
        let kept: [PinnedPeer]
        // In one change: each is the whole file, and the lock may have to be waited for.
        do { kept = try knownPeers.add(all: unkept, patience: KnownPeersStore.nodesPatience) } catch { return }
        let ids = Set(kept.map(\.peerID))
        unkept.removeAll { ids.contains($0.peerID) }
        for pin in kept {
            logger.notice(
                "a peer that could not be kept before is in \(knownPeers.path) now",
                metadata: ["event": "peers.kept", "peer": "\(pin.peerID.short)"])
        }
    }

    private func take(_ finding: TrustWatch.Finding, now: Instant) {
        switch finding {
        case .pins:
            // What could not be written is believed until the end of the run all the same.
            unkept.removeAll { knownPeers.pin(of: $0.peerID) != nil }
            machine.updatePins(knownPeers.pins + unkept, now: now)
            applyRelay(now: now)
        case .invitations: showInvitations()
        case .revoked(let ids): machine.updateRevoked(ids, now: now)
        case .refused(let words): logger.error("\(words)", metadata: ["event": "trust.not_read"])
        }
    }

    // MARK: Reconfiguration

    /// Takes the peers and the limits of a configuration that has been checked; the rest of it is what this node has. All or
    /// nothing: throws ``NodeFailure`` before anything has changed.
    ///
    /// - Parameter plan: made of it.
    /// - Returns: what could not be done, for the log and for whoever asked.
    func reconfigure(to given: NodeConfiguration, plan made: NodePlan) throws -> [String] {
        let now = MonotonicClock.now
        var (new, plan) = (given, made)
        try invitations?.reread()
        showInvitations()
        // Whoever came since the file was read is in it by now.
        for guest in new.addGuests(invitations?.guests ?? [], pins: knownPeers.pins) {
            plan.peers.append(
                PeerConfiguration(
                    name: guest.name, peerID: guest.peerID, endpoint: nil, allowedIPs: guest.allowedIPs))
        }
        let before = Dictionary(configuration.peers.map { ($0.name, $0.endpoint) }) { first, _ in first }
        let moved = Set(new.peers.filter { before[$0.name] != .some($0.endpoint) }.map(\.name))
        var warnings = plan.warnings
        if configuration.tunnel.isEnabled {
            // Of a name that does not resolve now, what it resolved to earlier is still no place to route over.
            let earlier = new.peers.filter { !moved.contains($0.name) }.compactMap { machine.endpoint(ofPeer: $0.name) }
            var ignored: [String] = []
            let wanted = NodePlan.routes(
                routed(new), avoiding: plan.peers.compactMap(\.endpoint) + earlier, warnings: &ignored)
            do throws(EngineError) { warnings += try routes.replace(by: wanted) } catch { throw NodeFailure(error) }
        }
        configuration = new
        closeToGuests()
        machine.limitHandshakes(perMinute: new.security.handshakesPerMinutePerAddress)
        configureCircuits(now: now)
        machine.updatePeers(plan.peers.filter { !$0.isBootstrap }, moved: moved, now: now)
        let former = quilts.peers
        quilts.replace(by: plan.quilts)
        reviewQuilts(also: former, now: now)
        applyRelay(now: now)
        buildCircuits(now: now)
        settle()
        settleLeases()
        names.replace(by: plan.names, unresolved: plan.unresolved)
        askUntilFound()
        for warning in warnings { logger.warning("\(warning)", metadata: ["event": "config.warning"]) }
        return warnings
    }

    /// Whether this actor and its workers still answer: whoever is stuck does not come back from here, or says no.
    func isAlive() -> Bool { engine.areWorkersAlive() }

    private func arm(_ due: Instant) {
        if let timer, timer.due <= due { return }
        timer?.task.cancel()
        let wait = due.since(MonotonicClock.now)
        timer = (
            due,
            Task { [waker] in
                do {
                    try await Task.sleep(for: .nanoseconds(Int64(wait.nanoseconds)), clock: .continuous)
                    waker.yield(.timer)
                } catch {}
            }
        )
    }
}
