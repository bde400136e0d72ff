// SPDX-License-Identifier: Apache-2.0
// SIGHUP and `pqvpn reload`: the configuration file is read again, checked as a whole, and what a running node can take of it is taken. A file
// that is no good changes nothing. What a node does with new peers is in Node/.
internal import Foundation
internal import Logging
internal import VPNCore

/// The configuration of one run, and how it becomes another. One reload at a time.
actor ConfigurationReload {
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
    private let notifier: ServiceNotifier
    private let output: LogOutput
    private let logger: Logger
    /// The end of the one before: an actor alone would let the next one in while this one waits for names.
    private var latest: Task<ReloadReport, any Error>?

    init(
        _ run: DaemonRun, file: String, started: LoadedConfiguration, configuration: NodeConfiguration,
        identity: LoadedIdentity, knownPeers: KnownPeersStore, revocations: RevocationList, node: Node,
        notifier: ServiceNotifier, output: LogOutput, logger: Logger
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
        self.notifier = notifier
        self.output = output
        self.logger = logger
    }

    /// Reads the file and takes it, or logs why not and throws it.
    ///
    /// - Parameter isTrial: all of the checks and nothing else; nothing is logged.
    func perform(isTrial: Bool = false) async throws -> ReloadReport {
        let before = latest
        let task = Task {
            _ = try? await before?.value
            return try await isTrial ? take(isTrial: true) : announced()
        }
        latest = task
        return try await task.value
    }

    private func announced() async throws -> ReloadReport {
        notifier.reloading()
        defer { notifier.ready("up") }
        do {
            let outcome = try await take(isTrial: false)
            logger.notice(
                "configuration read again",
                metadata: [
                    "event": "config.reloaded", "applied": .array(outcome.applied.map { "\($0)" }),
                    "pending": .array(outcome.pending.map { "\($0)" }),
                ])
            if !outcome.pending.isEmpty {
                logger.warning(
                    "needs a restart, the old value stays until then: \(outcome.pending.joined(separator: ", "))",
                    metadata: ["event": "config.pending"])
            }
            return outcome
        } catch {
            let failure = NodeFailure(error)
            logger.error(
                "configuration refused, the old one stays: \(failure.message)",
                metadata: [
                    "event": "config.refused",
                    "errors": .array(failure.message.split(separator: "\n").map { "\($0)" }),
                ])
            throw failure
        }
    }

    private func take(isTrial: Bool) async throws -> ReloadReport {
        // Somebody may have pinned a peer a moment ago.
        _ = try? await node.look()
        let loaded = try LoadedConfiguration(file: file)
        var new = configuration.taking(live: try run.overridden(loaded.configuration))
        try new.check(pins: knownPeers.pins, revoked: revocations.ids, own: identity.peerID)
        try new.checkNamed()
        new.dropUnpinnedGuests(knownPeers.pins)
        let keys = try PresharedKeyFile.all(of: new.peers)
        let change = ConfigurationChange(started: started, applied: applied, new: loaded)
        var warnings = loaded.warnings.map { $0.description(file: file) }
        if !isTrial {
            // It looks names up, which may take long: not on the threads that everybody shares, and not on the node.
            let (merged, identity) = (new, identity)
            let plan = await withCheckedContinuation { continuation in
                Thread.detachNewThread {
                    continuation.resume(returning: NodePlan(merged, identity: identity, presharedKeys: keys))
                }
            }
            warnings += try await node.reconfigure(to: new, plan: plan)
            output.setLevel(new.logLevel)
            applied = loaded
            configuration = new
            for warning in loaded.warnings {
                logger.warning("\(warning.description(file: file))", metadata: ["event": "config.warning"])
            }
        }
        // The command line goes before the file for as long as the run lasts.
        let overruled = run.logLevel == nil ? [] : change.live.map(\.key).filter { $0 == "logging.level" }
        return ReloadReport(
            isTrial: isTrial, file: file, applied: change.live.map(\.key).filter { !overruled.contains($0) },
            pending: change.restart.map(\.key) + overruled, warnings: warnings)
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
