// SPDX-License-Identifier: Apache-2.0
// One run of the daemon from its command line to its end: what must be there before the node, and what must be gone after
// it. The node itself is in Node/.
internal import Foundation
internal import Glibc
internal import Logging
internal import ServiceLifecycle
internal import UnixSignals
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

/// `pqvpn run`.
public struct DaemonRun: Sendable {
    public var configurationFile: String
    /// One of the level names, of either case; nil = as configured.
    public var logLevel: String?
    public var pidFile: String?
    /// `--no-temp-keys`: the persistent identity, whatever the configuration says.
    public var usesPersistentKeys: Bool
    /// `--passphrase-file`.
    public var passphraseFile: String?
    /// `--policy-routing`: the routes go to the table of the mark's number, to which somebody else's rules lead.
    public var usesPolicyRouting: Bool
    /// `--hops`, `--exit` and `--paths`, instead of those of `circuit`.
    public var hops: Int?
    public var paths: Int?
    public var exit: String?
    /// Who tells this host the name servers of leases, where `pqvpn up` started this.
    public var hostNames: LeasedNames?
    /// Who waits for the start, if anybody.
    public var readiness: Readiness
    /// Leaves the directory that it was started in.
    public var isDaemon: Bool
    /// What runs beside the node.
    public var companions: [NodeCompanion]

    public init(
        configurationFile: String, logLevel: String? = nil, pidFile: String? = nil, usesPersistentKeys: Bool = false,
        passphraseFile: String? = nil, usesPolicyRouting: Bool = false,
        readiness: Readiness = Readiness(descriptor: nil), isDaemon: Bool = false,
        companions: [NodeCompanion] = []
    ) {
        self.configurationFile = configurationFile
        self.logLevel = logLevel
        self.pidFile = pidFile
        self.usesPersistentKeys = usesPersistentKeys
        self.passphraseFile = passphraseFile
        self.usesPolicyRouting = usesPolicyRouting
        self.readiness = readiness
        self.isDaemon = isDaemon
        self.companions = companions
    }

    /// Runs until SIGINT or SIGTERM; SIGHUP reads the configuration again. Throws ``NodeFailure`` where the node cannot start or breaks; whoever waits
    /// for the start has been told then.
    public func run() async throws(NodeFailure) {
        do {
            try await start()
        } catch {
            let failure = NodeFailure(error)
            readiness.failed(failure)
            throw failure
        }
    }

    private static let leastFiles = 32

    private func start() async throws {
        // With fewer the language's own runtime traps when it cannot open what it waits on.
        if let files = Surroundings.openFileLimit(), files < Self.leastFiles {
            throw NodeFailure(
                .failure, "only \(files) files may be open, and \(Self.leastFiles) are needed at least: ulimit -n 1024")
        }
        // Whoever read the log, or waited for the start, may be gone: a line is lost then, and not the node. A handler and not SIG_IGN,
        // which programs that are started would inherit.
        _ = Glibc.signal(SIGPIPE) { _ in }
        // Before anything that takes time: until it is trapped, SIGHUP kills.
        let hangUps = await UnixSignalsSequence(trapping: .sighup)
        let notifier = ServiceNotifier(environment: ProcessInfo.processInfo.environment)
        let file = PathResolver(file: "./x").absolute(configurationFile)
        let loaded = try LoadedConfiguration(file: configurationFile)
        var configuration = try overridden(loaded.configuration)
        let pid = try pidFile.map { try PIDFile(path: PathResolver(file: "./x").absolute($0)) }
        defer { pid?.remove() }
        let limits = configuration.logFileLimits
        var output =
            try configuration.logFile.map { try LogOutput.file($0, limits: limits) } ?? LogOutput.standardError()
        output.scrubsAddresses = configuration.scrubsAddresses
        let logger = output.logger("node", level: configuration.logLevel)
        for warning in loaded.warnings {
            logger.warning(
                "\(warning.description(file: configuration.file))", metadata: ["event": "config.warning"])
        }
        // Before there is any secret.
        if !ProcessMemory.forbidDumps() {
            logger.warning("core dumps cannot be forbidden", metadata: ["event": "memory.dumpable"])
        }
        try Self.selfTest()
        // A daemon in the background has no terminal to ask at.
        let unlocker = Unlocker(
            PassphraseSource(
                file: passphraseFile, configuredFile: configuration.passphraseFile, usesTerminal: !isDaemon))
        let identity = try LoadedIdentity.load(
            configuration.identity, nickname: configuration.nickname, unlocker: unlocker)
        let knownPeers = try KnownPeersStore(path: configuration.security.knownPeersFile, unlocker: unlocker)
        let revocations = try RevocationList(path: configuration.security.revokedFile)
        let invitations = try InvitationStore(path: configuration.invites.file)
        try configuration.check(pins: knownPeers.pins, revoked: revocations.ids, own: identity.peerID)
        configuration.dropUnpinnedGuests(knownPeers.pins)
        let directory = try runtimeDirectory(configuration, identity)
        defer { directory?.remove() }
        logger.info(
            "identity loaded",
            metadata: [
                "event": "identity.loaded", "peer_id": "\(identity.peerID.hex)",
                "temporary": .stringConvertible(identity.isTemporary), "directory": "\(directory?.path ?? "")",
            ])
        if !Secret.isMemoryLocked {
            logger.warning(
                "secret memory could not be locked: raise RLIMIT_MEMLOCK", metadata: ["event": "memory.unlocked"])
        }
        // Whatever it was started in may be unmounted some day.
        if isDaemon { _ = FileManager.default.changeCurrentDirectoryPath("/") }
        let readiness = readiness
        let privileges = DaemonPrivileges(configuration)
        let files = DaemonFiles(
            configuration, pidFile: pid?.path, runtime: directory?.path, host: hostNames?.places)
        let gate = StartGate {
            // Everything is open.
            privileges.take(files, logger)
            logger.info("node is up", metadata: ["event": "node.ready"])
            readiness.ready()
            notifier.ready("up")
        }
        let node = try Node(
            configuration: configuration, identity: identity, knownPeers: knownPeers, revocations: revocations,
            invitations: invitations, hostNames: hostNames, logger: logger, onReady: { gate.arrive() })
        let reload = ConfigurationReload(
            self, file: file, started: loaded, configuration: configuration, identity: identity,
            knownPeers: knownPeers, revocations: revocations, node: node, notifier: notifier, output: output,
            logger: logger)
        let server = try controlServer(
            configuration, RunningNode(node: node, reloading: reload, output: output, logger: logger), logger)
        defer { server?.stop() }
        let context = NodeCompanion.Context(
            configuration: configuration, node: node, output: output, logger: logger)
        let diagnostics = CompanionService(body: { _ in try await Diagnostics(node: node, logger: logger).run() }) {}
        let beside =
            try [diagnostics]
            + companions.compactMap { try $0.make(context) }.map { body in
                gate.expectOneMore()
                return CompanionService(body: body, onServing: { gate.arrive() })
            }
        let reloading = Task {
            // A file that is no good is in the log, and nobody waits for more.
            for await _ in hangUps { _ = try? await reload.perform() }
        }
        let watchdog = Task { await Self.watch(node, notifier, logger) }
        defer {
            reloading.cancel()
            watchdog.cancel()
        }
        try await serve(node, notifier, beside: beside, logger: logger)
        logger.info("stopped", metadata: ["event": "node.stopped"])
    }

    /// A place that the operator named must be had; the usual one is a matter of luck, and a node without a socket works, too.
    private func controlServer(
        _ configuration: NodeConfiguration, _ control: any RunControl, _ logger: Logger
    ) throws -> ControlServer? {
        guard configuration.control.isEnabled else { return nil }
        func serve(_ path: String) throws -> ControlServer {
            let server = try ControlServer(
                path: path, group: configuration.control.group, control: control, logger: logger)
            logger.info("control socket is open", metadata: ["event": "control.listening", "path": "\(path)"])
            return server
        }
        if let path = configuration.control.socket { return try serve(path) }
        let environment = ProcessInfo.processInfo.environment
        let directory = ControlPlace.directory(environment)
        let name = ControlPlace.fileName(configuration.nickname)
        do {
            let isTaken = ControlPlace.isServed("\(directory)/\(name)")
            let free = isTaken ? "\(name.dropLast(".sock".count))-\(getpid()).sock" : name
            return try serve("\(directory)/\(free)")
        } catch {
            logger.warning(
                "no control socket: \(error)", metadata: ["event": "control.absent"])
            return nil
        }
    }

    func overridden(_ loaded: NodeConfiguration) throws -> NodeConfiguration {
        var configuration = loaded
        if let logLevel { configuration.logLevel = try LogLevelName.level(logLevel) }
        if usesPersistentKeys, case .temporary = configuration.identity {
            configuration.identity = .directory(configuration.keyDirectory)
        }
        if hops != nil || exit != nil || paths != nil {
            guard !configuration.circuit.allowedIPs.isEmpty else {
                throw NodeFailure(
                    .usage,
                    "--hops, --exit and --paths are of the circuit that circuit.allowed_ips asks for, which is empty")
            }
            configuration.circuit.hops = hops ?? configuration.circuit.hops
            if let exit, let complaint = TextForm.printable(maximum: 64).complaint(about: exit) {
                throw NodeFailure(.usage, "--exit \(complaint.message): it is a relay's name or peer_id, or auto")
            }
            if let exit { configuration.circuit.exit = exit.lowercased() == "auto" ? nil : exit }
            guard (2...Limits.circuitHops).contains(configuration.circuit.hops) else {
                throw NodeFailure(.usage, "--hops is between 2 and \(Limits.circuitHops)")
            }
            configuration.circuit.paths = paths ?? configuration.circuit.paths
            guard (1...Limits.patches).contains(configuration.circuit.paths) else {
                throw NodeFailure(.usage, "--paths is between 1 and \(Limits.patches)")
            }
        }
        if usesPolicyRouting { configuration.tunnel.table = configuration.network.mark }
        return configuration
    }

    /// §1: one known answer per primitive, or no start.
    private static func selfTest() throws {
        let failed = SelfTest.run(measure: false).filter { !$0.passed }.map(\.name)
        guard failed.isEmpty else {
            throw NodeFailure(
                .failure, "the self-test of \(failed.joined(separator: ", ")) failed: this build is unfit")
        }
    }

    private func runtimeDirectory(
        _ configuration: NodeConfiguration, _ identity: LoadedIdentity
    ) throws -> RuntimeKeyDirectory? {
        guard case .temporary(let prefix) = configuration.identity else { return nil }
        return try RuntimeKeyDirectory(prefix: prefix, descriptor: identity.descriptor)
    }

    /// A sign of life at half of the time that the service manager gives, as long as there is life.
    private static func watch(_ node: Node, _ notifier: ServiceNotifier, _ logger: Logger) async {
        guard let interval = notifier.watchdogInterval else { return }
        while true {
            do { try await Task.sleep(for: interval) } catch { return }
            if await node.isAlive() {
                notifier.isAlive()
            } else {
                logger.error("a worker does not answer: no sign of life is given", metadata: ["event": "node.stuck"])
            }
        }
    }

    private func serve(
        _ node: Node, _ notifier: ServiceNotifier, beside companions: [CompanionService], logger: Logger
    ) async throws {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(
                        service: NodeService(node: node, notifier: notifier),
                        successTerminationBehavior: .gracefullyShutdownGroup)
                ] + companions.map { .init(service: $0) },
                gracefulShutdownSignals: [.sigint, .sigterm], logger: quiet))
        try await group.run()
    }
}

/// The node as a service: a shutdown cancels it.
private struct NodeService: Service {
    let node: Node
    let notifier: ServiceNotifier

    func run() async throws {
        let (node, notifier) = (node, notifier)
        do {
            try await withGracefulShutdownHandler {
                try await cancelWhenGracefulShutdown { try await node.run() }
            } onGracefulShutdown: {
                notifier.stopping()
            }
        } catch is CancellationError {
            return
        }
    }
}
