// SPDX-License-Identifier: Apache-2.0
// The node as a relay and as one who has circuits of its own: what the configuration wants is built, kept and built again. How a
// circuit is made is the core's; when to try again, WantedCircuits'.
internal import Logging
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

extension Node {
    // MARK: - What the configuration wants

    /// Relays, or does so no more. Again whenever peers, pins or the configuration are others.
    func applyRelay(now: Instant) {
        machine.enableRelay(
            configuration.relay.policy(directory: configuration.relayDirectory(knownPeers.pins)), now: now)
    }

    /// Ends the circuits that nobody wants any more; before the peers are others, since one of them may get what was theirs.
    func configureCircuits(now: Instant) {
        let direct = Set(configuration.directPeers.flatMap(\.allowedIPs))
        for number in circuits.configure(
            configuration.circuitRequests + chosenCircuits, directPrefixes: direct, now: now)
        {
            machine.closeCircuit(number, now: now)
        }
    }

    /// Begins what is due.
    func buildCircuits(now: Instant) {
        for request in circuits.next(now: now) {
            do throws(CircuitRefusal) {
                circuits.began(request.name, as: try machine.buildCircuit(request, now: now), now: now)
            } catch {
                circuitFailed(request.name, .refused(error), now: now)
            }
        }
    }

    private func circuitFailed(_ name: String, _ failure: WantedCircuits.Failure, now: Instant) {
        circuits.failed(name, failure, jitter: Double.random(in: WantedCircuits.jitter), now: now)
        metrics.circuitBuilt(failure.code)
        guard let entry = circuits[name] else { return }
        let advice = CircuitAdvice(
            failure, hops: hopNames(entry.request), selection: machine.selectionFailure)
        var fields: Logger.Metadata = [
            "event": "circuit.failed", "component": "circuit", "circuit": "\(name)", "reason": "\(failure.code)",
            "fix": "\(advice.fix)", "failures": .stringConvertible(entry.failures),
        ]
        if case .failed(let hop, _) = failure { fields["hop"] = .stringConvertible(hop + 1) }
        if let node = advice.node { fields["node"] = "\(node)" }
        if let due = entry.due {
            fields["retry_seconds"] = .stringConvertible((due.since(now).seconds * 10).rounded() / 10)
        }
        logger.warning("circuit failed: \(advice.text)", metadata: fields)
    }

    // MARK: - What becomes of it

    /// What the core tells of circuits, and of sessions that circuits may wait for.
    func heed(_ event: Event, now: Instant) {
        switch event {
        case .sessionConfirmed(let summary): circuits.met(summary.peer, now: now)
        case .circuit(.ready(let number, _, _, _)):
            if let span = circuits.ready(number, now: now) { metrics.circuitBuilt("ok", after: span) }
        case .circuit(.replaced(let number, _)):
            circuits.replaced(number)
            metrics.circuitBuilt("replaced")
        case .circuit(.replacementFailed(_, _, _, let failure, _)), .circuit(.pathLost(_, _, _, let failure, _)):
            metrics.circuitBuilt(failure.code)
        case .circuit(.failed(let number, let name, let hop, let failure)):
            guard circuits[name]?.number == number else { return }
            circuitFailed(name, .failed(hop: hop, failure), now: now)
        default: break
        }
    }

    // MARK: - Names

    /// Of hops, as the configuration, the pins or the directory have them.
    func hopNames(_ request: CircuitRequest) -> [String] { request.hops.map(nodeName) }

    func nodeName(_ id: PeerID) -> String {
        if let peer = configuration.peers.first(where: { $0.peerID == id }) { return peer.name }
        if let pin = knownPeers.pin(of: id), !pin.name.isEmpty { return pin.name }
        if let relay = machine.relay(id), !relay.descriptor.nickname.isEmpty { return relay.descriptor.nickname }
        return id.short
    }

    /// The configuration with what persons asked for, as far as networks lead to it: what the kernel's routes follow.
    func routed(_ configuration: NodeConfiguration) -> NodeConfiguration {
        var result = configuration
        for entry in circuits.entries where entry.origin == .command {
            result.peers.append(
                NodeConfiguration.Peer(
                    name: entry.request.name, peerID: entry.request.hops.last, endpoint: nil,
                    allowedIPs: entry.request.allowedIPs, keepaliveSeconds: 0, presharedKeyFile: nil,
                    via: [entry.request.name], mark: SourceMark(line: 1, column: 1), invitation: nil))
        }
        return result
    }
}
