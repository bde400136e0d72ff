// SPDX-License-Identifier: Apache-2.0
// A node's quilts: what the configuration asks for is told the core, again whenever this host's interfaces or routes say something else;
// and how they stand, for those who ask.
internal import Logging
internal import VPNCore
internal import VPNEngine

extension Node {
    /// Looks at this host's interfaces and routes, and tells the core what has changed. Some system calls for each quilt.
    func reviewQuilts(also former: [String] = [], now: Instant) {
        let peers = quilts.peers
        guard !peers.isEmpty || !former.isEmpty else { return }
        let surroundings = QuiltSurroundings.host(mark: configuration.network.mark)
        var notes: [String] = []
        for name in peers {
            guard let plan = quilts.plan(name, endpoint: machine.endpoint(ofPeer: name), surroundings) else { continue }
            notes += plan.notes
            guard quilts.isNews(plan.configuration, for: name) else { continue }
            machine.setQuilt(plan.configuration, ofPeer: name, now: now)
        }
        for name in former where !peers.contains(name) { machine.setQuilt(nil, ofPeer: name, now: now) }
        for note in quilts.news(notes) { logger.warning("\(note)", metadata: ["event": "quilt.incomplete"]) }
    }

    /// A name that a quilt waits for has an address.
    func resolvedForQuilts(_ name: EndpointName, _ endpoints: [Endpoint], now: Instant) {
        if quilts.resolved(name, endpoints) { reviewQuilts(now: now) }
    }

    public func quilt(_ peer: String?) throws -> QuiltReport {
        let now = MonotonicClock.now
        if let peer, circuits[peer] != nil { return try quilt(ofCircuit: peer, now: now) }
        let named = try peer.map { try peerSnapshot($0) }
        let peers = named.map { [$0] } ?? machine.snapshot(now: now)
        let quilts = peers.compactMap { peer in
            machine.quiltSnapshot(of: peer.slot, now: now).map {
                QuiltReport.Quilt(peer.name, $0, firstMTU: peer.pathMTU, interface: interfaceName)
            }
        }
        if let named, quilts.isEmpty {
            throw NodeFailure(
                .failure,
                "the session with '\(named.name)' goes by one path (\(named.state.rawValue)): more of them are peers[].quilt's"
            )
        }
        return QuiltReport(quilts: quilts + (peer == nil ? circuitQuilts(now: now) : []))
    }

    private func quilt(ofCircuit name: String, now: Instant) throws -> QuiltReport {
        let quilts = circuitQuilts(now: now).filter { $0.peer == name }
        guard quilts.isEmpty else { return QuiltReport(quilts: quilts) }
        throw NodeFailure(
            .failure, "circuit '\(name)' goes by one path: more of them are circuit.paths, or circuit build --together")
    }

    /// Of circuits with several paths, each named by its relays.
    private func circuitQuilts(now: Instant) -> [QuiltReport.Quilt] {
        machine.circuitSnapshots(now: now).compactMap { circuit in
            machine.quiltSnapshot(of: circuit.destination, now: now).map { quilt in
                QuiltReport.Quilt(
                    circuit.name, quilt, firstMTU: circuit.pathMTU, interface: interfaceName,
                    circuit: { place in
                        machine.relays(on: place).map(nodeName).joined(separator: ", ")
                    })
            }
        }
    }

    private func interfaceName(_ index: UInt32) -> String { NetworkInterface.name(of: index) ?? "#\(index)" }

    /// For the metrics.
    var quiltObservation: QuiltObservation {
        let now = MonotonicClock.now
        let ends =
            machine.snapshot(now: now).map { (name: $0.name, slot: $0.slot) }
            + machine.circuitSnapshots(now: now).map { (name: $0.name, slot: $0.destination) }
        let quilts = ends.compactMap { end in
            machine.quiltSnapshot(of: end.slot, now: now).map { (peer: end.name, quilt: $0) }
        }
        return QuiltObservation(
            quilts: quilts, ofGuests: machine.guestQuilts(now: now), isPerPeer: configuration.metrics.isPerPeer)
    }

    /// For the status.
    var quiltSummaries: [StatusReport.Quilt] {
        ((try? quilt(nil).quilts) ?? []).map { quilt in
            StatusReport.Quilt(
                peer: quilt.peer, scheduler: quilt.scheduler, up: quilt.up,
                paths: quilt.paths.count + quilt.joining.count)
        }
    }
}
