// SPDX-License-Identifier: Apache-2.0
// The relays that a running node knows, and its guards, between the core and their files: what was kept comes back at the start, what
// is learned is kept, and what the operator changes is taken.
internal import Logging
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

/// What the node remembers of the files of relays and guards.
struct RelayFiles: Sendable {
    let store: RelayStore
    let guards: GuardFile
    let watch: RelayWatch
    /// Ids that the file of relays had when it was read last.
    var inFile: Set<PeerID> = []
    /// Whether there is something to be written, and since when.
    var changed: Instant?
    /// Whether it is being written.
    var isBeingKept = false
    /// Of the state that went to the file last.
    var number: UInt64 = 0
    /// Guards that could not be written yet.
    var guardsUnkept: GuardList?

    init(_ directory: NodeConfiguration.Directory) {
        store = RelayStore(path: directory.file)
        guards = GuardFile(path: directory.guardsFile)
        watch = RelayWatch(store: store, ownFile: directory.ownFile)
    }

    /// A write is the whole file: what comes within a minute goes together.
    static let pause = TimeSpan.seconds(60)
}

extension Node {
    /// At the start. Throws ``NodeFailure`` for a file that is damaged, or that others can reach.
    func restoreRelays() throws {
        machine.restoreGuards(try relayFiles.guards.read())
        for finding in relayFiles.watch.look() {
            if case .refused(let words) = finding { throw NodeFailure(.usage, words) }
            take(finding, now: MonotonicClock.now)
        }
    }

    func take(_ finding: RelayWatch.Finding, now: Instant) {
        switch finding {
        case .relays(let relays): takeRelays(relays, now: now)
        case .own(let descriptor): takeOwn(descriptor)
        case .refused(let words):
            logger.error("\(words); what was read before stays in force", metadata: ["event": "relay.not_read"])
        }
    }

    private func takeRelays(_ relays: [KeptRelay], now: Instant) {
        let ids = Set(relays.map(\.id))
        // Whoever was in the file and is not any more was taken out by the operator.
        for id in relayFiles.inFile.subtracting(ids).sorted() { machine.removeRelay(id, now: now) }
        relayFiles.inFile = ids
        // They may be here because somebody has set the clock.
        machine.setClock(unixSeconds: UnixTime.now, now: now)
        let refused = machine.addRelays(relays.map { ($0.descriptor, $0.source) }, now: now)
        // What is here already is no news of anything.
        for (id, refusal) in refused where refusal != .known && refusal != .older {
            logger.warning(
                "a relay in \(relayFiles.store.path) is not used",
                metadata: ["event": "relay.unused", "peer": "\(id.short)", "reason": "\(refusal.rawValue)"])
        }
        logger.info(
            "relays are known",
            metadata: ["event": "relay.known", "relays": .stringConvertible(machine.relays.count)])
        if hasStarted { relaysChanged(now: now) }
    }

    private func takeOwn(_ descriptor: Descriptor) {
        let roles = DescriptorRoles(rawValue: descriptor.roles)
        guard descriptor.keys.peerID == machine.id, roles.contains(.relay), descriptor.notAfter > UnixTime.now else {
            logger.warning(
                "what this node published as a relay is of another identity or has expired: it is not handed on; see `pqvpn relay publish`",
                metadata: ["event": "relay.not_published"])
            return machine.publish(nil)
        }
        machine.publish(descriptor)
        logger.info(
            "this node is published as a relay",
            metadata: ["event": "relay.published", "serial": .stringConvertible(descriptor.serial)])
    }

    /// What an event changes on disk.
    func keepRelays(after event: Event, now: Instant) {
        switch event {
        case .relayLearned, .relaysExpired:
            relayFiles.changed = relayFiles.changed ?? now
            relaysChanged(now: now)
        case .guardsChanged(let list): keepGuards(list)
        default: break
        }
    }

    private func keepGuards(_ list: GuardList) {
        let isRepeat = relayFiles.guardsUnkept != nil
        do {
            try relayFiles.guards.write(list)
            relayFiles.guardsUnkept = nil
        } catch {
            relayFiles.guardsUnkept = list
            if isRepeat { return }
            logger.error(
                "cannot keep guards in \(relayFiles.guards.path): \(error); after a restart others may be chosen",
                metadata: ["event": "relay.guards_not_kept"])
        }
    }

    /// Writes what was learned, a minute after the first of it or at the end. The file is read for that, and each signature in it
    /// checked anew, which may take seconds: beside the node, unless it ends.
    func keepRelays(isLast: Bool, now: Instant) {
        if let list = relayFiles.guardsUnkept { keepGuards(list) }
        let isDue = relayFiles.changed.map { isLast || now.since($0) >= RelayFiles.pause } ?? false
        guard isDue && !relayFiles.isBeingKept || isLast && relayFiles.isBeingKept else { return }
        relayFiles.changed = nil
        relayFiles.number += 1
        let (store, number) = (relayFiles.store, relayFiles.number)
        let relays = machine.relays.map { KeptRelay(descriptor: $0.descriptor, source: $0.source) }
        if isLast { return kept(relays, store.outcome(ofKeeping: relays, number: number)) }
        relayFiles.isBeingKept = true
        Task {
            let outcome = await Task.detached { store.outcome(ofKeeping: relays, number: number) }.value
            relayFiles.isBeingKept = false
            kept(relays, outcome)
        }
    }

    private func kept(_ relays: [KeptRelay], _ failure: NodeFailure?) {
        if let failure {
            logger.error(
                "cannot keep relays in \(relayFiles.store.path): \(failure)", metadata: ["event": "relay.not_kept"])
            // Again in a minute: there may be room by then.
            relayFiles.changed = relayFiles.changed ?? MonotonicClock.now
        } else {
            relayFiles.inFile.formUnion(relays.map(\.id))
        }
    }

    // MARK: - The circuit of this node's own choice

    /// As the configuration wants it; none while its exit is nobody that is known.
    var chosenCircuits: [CircuitRequest] {
        let circuit = configuration.circuit
        guard !circuit.allowedIPs.isEmpty else { return [] }
        var wish = PathWish(hops: circuit.hops, relaxesDiversity: circuit.relaxesDiversity)
        if let name = circuit.exit {
            guard let id = relayID(named: name) else { return [] }
            wish.exit = id
        }
        return [
            CircuitRequest(
                name: NodeConfiguration.Circuit.name, hops: [], allowedIPs: circuit.allowedIPs,
                // An exit by its own word; one that is none says so.
                wantsLease: circuit.hops > 1, wish: wish,
                quilt: circuit.paths < 2
                    ? nil
                    : CircuitQuilt(
                        configuration: QuiltConfiguration(
                            scheduler: circuit.scheduler, relaxesDisjointness: circuit.relaxesDisjointness),
                        paths: circuit.paths))
        ]
    }

    /// Other relays are known than before: a circuit may be possible that was not.
    func relaysChanged(now: Instant) {
        guard !configuration.circuit.allowedIPs.isEmpty else { return }
        tellOfMissingExit()
        configureCircuits(now: now)
        buildCircuits(now: now)
    }

    /// Nobody knows the exit that is named: the circuit waits until somebody brings it.
    func tellOfMissingExit() {
        guard !configuration.circuit.allowedIPs.isEmpty, let name = configuration.circuit.exit,
            relayID(named: name) == nil
        else { return }
        logger.warning(
            "circuit.exit '\(name)' is no relay that this node knows, or the name of several: see `pqvpn relays`",
            metadata: ["event": "circuit.no_exit"])
    }

    /// The relay that a configuration or a person names; nil where there is none, or more than one.
    func relayID(named text: String) -> PeerID? {
        if let id = PeerID(hex: text) { return id }
        let relays = machine.relays
        let named = relays.filter { $0.descriptor.nickname == text }.map(\.id)
        if named.count == 1 { return named[0] }
        guard named.isEmpty else { return nil }
        if let pin = knownPeers.pins.first(where: { $0.name == text }) { return pin.peerID }
        let isPrefix = text.utf8.count >= 8 && text.allSatisfy(\.isHexDigit)
        let found = isPrefix ? relays.map(\.id).filter { $0.hex.hasPrefix(text.lowercased()) } : []
        return found.count == 1 ? found[0] : nil
    }
}
