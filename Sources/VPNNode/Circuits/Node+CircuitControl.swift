// SPDX-License-Identifier: Apache-2.0
// A node's circuits as those meet them who ask and order: the part of NodeControl that is about circuits.
internal import Foundation
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

extension Node {
    // MARK: - Looking

    public func circuitsReport() -> CircuitsReport {
        CircuitsReport(circuits: ownCircuits(now: MonotonicClock.now), relay: relayReport)
    }

    var relayReport: CircuitsReport.Relay {
        let relay = machine.relaySnapshot
        return CircuitsReport.Relay(
            isEnabled: relay.isEnabled, circuits: relay.circuits, guests: relay.guests, packets: relay.totalPackets,
            bytes: relay.totalBytes)
    }

    func ownCircuits(now: Instant) -> [CircuitsReport.Own] {
        let snapshots = Dictionary(machine.circuitSnapshots(now: now).map { ($0.number, $0) }) { first, _ in first }
        return circuits.entries.map { entry in
            let snapshot = entry.number.flatMap { snapshots[$0] }
            // Of a path that this node chose there are none in what was asked for.
            let hops = snapshot?.hops ?? entry.request.hops
            let names = hops.map(nodeName)
            let failure = entry.lastFailure.map { failure in
                let advice = CircuitAdvice(failure, hops: names)
                return CircuitsReport.Failure(
                    code: failure.code, node: advice.node, text: advice.text, fix: advice.fix)
            }
            return CircuitsReport.Own(
                name: entry.request.name, origin: entry.origin.rawValue,
                state: snapshot.map { $0.state.rawValue } ?? "waiting",
                hops: zip(names, hops).map { CircuitsReport.Hop(name: $0, peerID: $1.hex) },
                networks: entry.request.allowedIPs.map { "\($0)" },
                shared: snapshot.flatMap { $0.shared.isEmpty ? nil : $0.shared.map(\.rawValue) },
                paths: entry.request.quilt == nil
                    ? nil
                    : (snapshot?.paths ?? []).map { path in
                        path.map { CircuitsReport.Hop(name: nodeName($0), peerID: $0.hex) }
                    },
                wantedPaths: entry.request.quilt?.paths,
                isRelaxed: entry.request.quilt == nil ? nil : snapshot?.isRelaxed,
                since: snapshot?.age.map { Self.clock($0) }, ageSeconds: snapshot?.age?.seconds,
                replacesInSeconds: snapshot?.replacesIn?.seconds, replaced: entry.replacements,
                mtu: snapshot?.pathMTU,
                session: snapshot?.session.map { StatusReport.Session($0, hasPresharedKey: false) },
                failures: entry.failures, retryInSeconds: entry.due.map { $0.since(now).seconds }, lastFailure: failure)
        }
    }

    /// When something began that is so old now: UTC, to the second.
    private static func clock(_ age: TimeSpan) -> String {
        Date(timeIntervalSinceNow: -age.seconds).formatted(.iso8601)
    }

    // MARK: - Orders

    public func buildCircuit(
        _ name: String, ways: [[String]], networks: [String], together scheduler: String?
    ) throws -> CircuitOrderReport {
        let now = MonotonicClock.now
        if let complaint = TextForm.printable(maximum: 63).complaint(about: name) {
            throw NodeFailure(.usage, "the name of a circuit \(complaint.message)")
        }
        guard circuits[name] == nil, !configuration.peers.contains(where: { $0.name == name }) else {
            throw NodeFailure(
                .usage, "there is a circuit or a peer '\(name)': take another name, or pqvpn circuit close")
        }
        var prefixes: [IPPrefix] = []
        for network in networks {
            if let complaint = TextForm.prefix.complaint(about: network) {
                let near = complaint.suggestion.map { "; did you mean '\($0)'?" } ?? ""
                throw NodeFailure(.usage, "--route: \(complaint.message)\(near)")
            }
            prefixes.append(try IPPrefix(network))
        }
        try checkRoutes(of: prefixes)
        let hops = try (ways.first ?? []).map(identity)
        var request = CircuitRequest(
            name: name, hops: hops, allowedIPs: prefixes, wantsLease: hops.count > 1 && !prefixes.isEmpty)
        var others = try ways.dropFirst().map { try $0.map(identity) }
        if let scheduler {
            request.quilt = try quilt(of: others, beside: hops, scheduler)
            others = []
        }
        let number: OwnCircuit.Number
        do throws(CircuitRefusal) { number = try machine.buildCircuit(request, now: now) } catch {
            let advice = CircuitAdvice(.refused(error), hops: hopNames(request))
            throw NodeFailure(.usage, "\(advice.text): \(advice.fix)")
        }
        circuits.add(request, alternatives: others, .command, now: now)
        circuits.began(name, as: number, now: now)
        settle()
        routeToGuests()
        return CircuitOrderReport(
            action: "build", circuit: name,
            text: "circuit '\(name)' is being built through \(hopNames(request).joined(separator: ", "))")
    }

    /// A network that gets no route would be left in clear, whatever the circuit says of it.
    private func checkRoutes(of prefixes: [IPPrefix]) throws {
        guard configuration.tunnel.isEnabled, configuration.tunnel.table == nil else { return }
        let endpoints = configuration.peers.compactMap { machine.endpoint(ofPeer: $0.name) }
        for prefix in prefixes {
            if let complaint = NodePlan.complaint(aboutRoute: prefix, endpoints) {
                throw NodeFailure(.usage, "--route: \(complaint)")
            }
        }
    }

    /// All ways at once.
    private func quilt(of others: [[PeerID]], beside hops: [PeerID], _ word: String) throws -> CircuitQuilt {
        guard let scheduler = QuiltScheduler(rawValue: word.lowercased()) else {
            let all = QuiltScheduler.allCases.map(\.rawValue).joined(separator: ", ")
            throw NodeFailure(.usage, "there is no scheduler '\(word)': it is one of \(all)")
        }
        guard (1..<Limits.patches).contains(others.count) else {
            throw NodeFailure(
                .usage, "--together needs two to \(Limits.patches) ways: give --hops as often as there are paths")
        }
        let isOneEnd = others.allSatisfy { $0.last == hops.last && $0.count > 1 } && hops.count > 1
        guard isOneEnd else {
            throw NodeFailure(
                .usage,
                "--together needs ways that end at one exit, with a relay or more before it: their last hops differ")
        }
        let relays = ([hops] + others).flatMap { $0.dropLast() }
        guard Set(relays).count == relays.count else {
            throw NodeFailure(
                .usage, "--together needs ways with no relay in common but the last: one is in two of them")
        }
        return CircuitQuilt(
            configuration: QuiltConfiguration(scheduler: scheduler), paths: others.count + 1, named: others)
    }

    public func closeCircuit(_ name: String) throws -> CircuitOrderReport {
        let entry = try wanted(name)
        if let number = circuits.remove(entry.request.name) {
            machine.closeCircuit(number, now: MonotonicClock.now)
            settle()
        }
        settleLeases()
        routeToGuests()
        let comesBack =
            entry.origin == .configuration
            ? "; the configuration wants it, so that the next reload or start builds it again" : ""
        return CircuitOrderReport(
            action: "close", circuit: entry.request.name, text: "circuit '\(entry.request.name)' is closed\(comesBack)")
    }

    public func renewCircuit(_ name: String) throws -> CircuitOrderReport {
        let entry = try wanted(name)
        let now = MonotonicClock.now
        guard let number = entry.number, entry.isReady else {
            throw NodeFailure(
                .failure,
                "circuit '\(entry.request.name)' is not ready: there is nothing to replace; see pqvpn circuits")
        }
        guard entry.request.hops.count > 1 else {
            throw NodeFailure(
                .failure, "circuit '\(entry.request.name)' has one hop: renew it with pqvpn rekey")
        }
        guard machine.replaceCircuit(number, now: now) else {
            throw NodeFailure(.failure, "another path for circuit '\(entry.request.name)' is being built already")
        }
        settle()
        return CircuitOrderReport(
            action: "renew", circuit: entry.request.name,
            text: "another path for circuit '\(entry.request.name)' is being built; the present one goes on until then")
    }

    private func wanted(_ name: String) throws -> WantedCircuits.Entry {
        if let entry = circuits[name] { return entry }
        let near = Spelling.nearest(to: name, among: circuits.entries.map(\.request.name))
        throw NodeFailure(
            .usage, "there is no circuit '\(name)'" + (near.map { "; did you mean '\($0)'?" } ?? ": see pqvpn circuits")
        )
    }

    /// Of a node that is pinned here or a peer: by its name, its peer_id, or 8 digits of it or more.
    private func identity(_ text: String) throws -> PeerID {
        let peers = configuration.peers.compactMap { peer in peer.peerID.map { (peer.name, $0) } }
        let pins = knownPeers.pins.map { ($0.name, $0.peerID) }
        if let named = (peers + pins).first(where: { $0.0 == text }) { return named.1 }
        let ids = Set((peers + pins).map(\.1)).filter { text.count >= 8 && $0.hex.hasPrefix(text.lowercased()) }
        if ids.count == 1, let id = ids.first { return id }
        if ids.count > 1 { throw NodeFailure(.usage, "'\(text)' is the beginning of several peer_ids") }
        let near = Spelling.nearest(to: text, among: (peers + pins).map(\.0))
        throw NodeFailure(
            .usage,
            "there is no pinned node '\(text)'"
                + (near.map { "; did you mean '\($0)'?" }
                    ?? ": pqvpn peers list; pqvpn peers add FILE (its identity.pub)"))
    }

    // MARK: - Trace

    public func trace(_ peer: String, timeout: Duration) async throws -> TraceReport {
        let now = MonotonicClock.now
        var hops: [TraceReport.Hop] = []
        var slots: [PeerSlot] = []
        if let entry = circuits[peer] {
            let snapshot = machine.circuitSnapshots(now: now).first { $0.number == entry.number }
            guard let snapshot, snapshot.state != .building else {
                throw NodeFailure(
                    .failure, "circuit '\(peer)' is not ready: pqvpn circuit show \(peer) says why")
            }
            slots = snapshot.slots
            let first = machine.snapshot(now: now).first { $0.slot == slots.first }
            for (number, id) in snapshot.hops.enumerated() {
                hops.append(
                    TraceReport.Hop(
                        number: number + 1, name: nodeName(id), peerID: id.hex,
                        endpoint: number == 0 ? first?.carrier?.text : nil, roundTripSeconds: nil))
            }
        } else {
            let found = try peerSnapshot(peer)
            slots = [found.slot]
            hops = [
                TraceReport.Hop(
                    number: 1, name: found.name, peerID: found.identity?.hex, endpoint: found.carrier?.text,
                    roundTripSeconds: nil)
            ]
        }
        // All at once: who asks wants to know how it is, not how it was.
        let answers = await withTaskGroup(of: (Int, Double?).self) { group in
            for (number, slot) in slots.enumerated() {
                group.addTask { (number, await self.roundTrip(slot, timeout: timeout)) }
            }
            var answers: [Int: Double] = [:]
            for await (number, seconds) in group { answers[number] = seconds }
            return answers
        }
        for number in hops.indices { hops[number].roundTripSeconds = answers[number] }
        return TraceReport(peer: peer, hops: hops)
    }
}
