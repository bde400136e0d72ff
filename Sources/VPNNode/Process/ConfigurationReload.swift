// SPDX-License-Identifier: Apache-2.0
// SIGHUP: the configuration file is read again, checked as a whole, and what a running node can take of it is taken. A file
// that is no good changes nothing. What a node does with new peers is in Node/.
internal import Logging
internal import VPNCore

/// The configuration of one run, and how it becomes another. One reload at a time.
actor ConfigurationReload {
    /// What a reload did.
    struct Outcome: Sendable {
        var applied: [String]
        /// Waits for a restart.
        var pending: [String]
    }

    private let run: DaemonRun
    /// Absolute: a daemon leaves the directory that it was started in.
    private let file: String
    private let started: LoadedConfiguration
    private var applied: LoadedConfiguration
    private var configuration: NodeConfiguration
    private let identity: LoadedIdentity
    private let knownPeers: KnownPeersStore
    private let revocations: RevocationList
    private let node: Node
    private let output: LogOutput
    private let logger: Logger

    init(
        _ run: DaemonRun, file: String, started: LoadedConfiguration, configuration: NodeConfiguration,
        identity: LoadedIdentity, knownPeers: KnownPeersStore, revocations: RevocationList, node: Node,
        output: LogOutput, logger: Logger
    ) {
        self.run = run
        self.file = file
        self.started = started
        applied = started
        self.configuration = configuration
        self.identity = identity
        self.knownPeers = knownPeers
        self.revocations = revocations
        self.node = node
        self.output = output
        self.logger = logger
    }

    /// Reads the file and takes it, or logs why not.
    func perform() async {
        do {
            let outcome = try await take()
            logger.notice(
                "configuration read again",
                metadata: [
                    "event": "config.reloaded", "applied": .array(outcome.applied.map { "\($0)" }),
                    "pending": .array(outcome.pending.map { "\($0)" }),
                ])
            guard !outcome.pending.isEmpty else { return }
            logger.warning(
                "needs a restart, the old value stays until then: \(outcome.pending.joined(separator: ", "))",
                metadata: ["event": "config.pending"])
        } catch {
            let failure = NodeFailure(error)
            logger.error(
                "configuration refused, the old one stays: \(failure.message)",
                metadata: [
                    "event": "config.refused",
                    "errors": .array(failure.message.split(separator: "\n").map { "\($0)" }),
                ])
        }
    }

    private func take() async throws -> Outcome {
        let loaded = try LoadedConfiguration(file: file)
        let new = configuration.taking(live: try run.overridden(loaded.configuration))
        try new.check(pins: knownPeers.pins, revoked: revocations.ids, own: identity.peerID)
        try new.checkNamed()
        let keys = try PresharedKeyFile.all(of: new.peers)
        // It looks names up, which may take long: not on the threads that everybody shares, and not on the node.
        let (merged, identity) = (new, identity)
        let plan = await Task.detached { NodePlan(merged, identity: identity, presharedKeys: keys) }.value
        try await node.reconfigure(to: new, plan: plan)
        output.setLevel(new.logLevel)
        let change = ConfigurationChange(started: started, applied: applied, new: loaded)
        applied = loaded
        configuration = new
        for warning in loaded.warnings {
            logger.warning("\(warning.description(file: file))", metadata: ["event": "config.warning"])
        }
        // The command line goes before the file for as long as the run lasts.
        let overruled = run.logLevel == nil ? [] : change.live.map(\.key).filter { $0 == "logging.level" }
        return Outcome(
            applied: change.live.map(\.key).filter { !overruled.contains($0) },
            pending: change.restart.map(\.key) + overruled)
    }
}

extension NodeConfiguration {
    /// The new file may let peers be met first where the running node, whose `security.tofu` needs a restart, does not.
    fileprivate func checkNamed() throws {
        guard !security.trustsOnFirstUse, let peer = peers.first(where: { $0.peerID == nil }) else { return }
        throw ConfigurationError(
            file: file,
            issues: [
                ConfigurationIssue(
                    .missing, "peers.\(peer.name).peer_id", at: peer.mark,
                    "is missing, and the running node has security.tofu: false, which needs a restart to change")
            ])
    }
}
