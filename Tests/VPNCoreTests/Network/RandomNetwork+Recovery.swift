// SPDX-License-Identifier: Apache-2.0
// A network that was ill gets well: who should talk talks in time, then no packet is lost, and at the end nothing is left of who is gone.
// What is wrong is told in words; nil is nothing.
import VPNCrypto
import VPNTesting

@testable import VPNCore

extension RandomNetwork {
    /// Silence is noticed after three questions of 5 s and a tick (§7), an attempt that stands on lost cookies begins anew after 20 s (§5), its
    /// handshake takes a second or two; where the second end notices only after the first one's attempt, that once more.
    static let pairsRecover = TimeSpan.seconds(60)
    /// A guard that was out of reach is tried again after 30 s, then after 60 (§8); then a path is built, hop by hop.
    static let circuitsRecover = TimeSpan.seconds(180)
    /// An exit ends what a guest had when nothing came from it for 90 s; until then it asks its patches, so that the relays between have
    /// an idle circuit only then, which ends after 90 s more (§8).
    static let goneIsForgotten = TimeSpan.seconds(200)

    /// The whole of it.
    func life() -> String? {
        run(for: .seconds(2))
        for _ in 0..<plan.steps {
            step()
            if let fault = fault() { return fault }
        }
        return heal() ?? goOn() ?? leave()
    }

    // MARK: - At all times

    func fault() -> String? {
        if let fault = ledger.faults.first { return "packet: \(fault)" }
        if let shown = network.disclosures.first {
            return "a packet in clear from \(shown.source.v4) to \(shown.destination.v4)"
        }
        for node in hosts.indices {
            guard let host = hosts[node] else { continue }
            if let excess = excess(host.footprint) { return "\(host.name): \(excess): \(host.footprint)" }
        }
        return nil
    }

    /// What a node holds more of than it may.
    private func excess(_ footprint: ControlFootprint) -> String? {
        let nodes = plan.nodes.count
        if footprint.relayed > relayPolicy.circuits { return "too many circuits" }
        if footprint.guests > relayPolicy.guests { return "too many guests" }
        if footprint.peers > 2 * nodes + footprint.guests + 3 * footprint.paths + footprint.circuits {
            return "too many peers"
        }
        // Current, next and previous ones.
        if footprint.sessions > (2 + Limits.previousSessions) * footprint.peers { return "too many sessions" }
        if footprint.reassemblies > Limits.reassemblies { return "too many reassemblies" }
        if footprint.inboundHandshakes > 64 + 16 * nodes + Limits.reassemblies { return "too many handshakes" }
        if footprint.jobs > 16 + footprint.initiations + footprint.paths { return "too many jobs" }
        let indices = Limits.patches * footprint.sessions + footprint.initiations + footprint.inboundHandshakes
        if footprint.receiverIndices > indices { return "too many indices" }
        if footprint.paths > 6 * footprint.circuits { return "too many paths" }
        if footprint.chainedKeys > Limits.chainedKeys * footprint.peers { return "too many keys" }
        return nil
    }

    // MARK: - All is well

    private func heal() -> String? {
        tell("all is well")
        links.removeAttackers()
        links.islands = [:]
        links.isCalm = true
        for host in hosts.compactMap({ $0 }) where host.isStopped { network.resume(host) }
        for stranger in strangers { network.detach(stranger) }
        strangers = []
        restoreConfigurations()
        for due in returns where hosts[due.node] == nil { start(due.node) }
        returns = []
        let began = now
        var pending = routes
        var sent: [Route: [Int]] = [:]
        while !pending.isEmpty {
            for route in pending {
                if let number = send(route, length: 100) { sent[route, default: []].append(number) }
            }
            run(for: .seconds(1))
            if let fault = fault() { return fault }
            let age = now.since(began)
            pending.removeAll { route in
                guard (sent[route] ?? []).contains(where: { ledger.entries[$0].arrived != nil }) else { return false }
                if case .pair = route {
                    counts.slowestPair = max(counts.slowestPair, age)
                } else {
                    counts.slowestCircuit = max(counts.slowestCircuit, age)
                }
                return true
            }
            let late = pending.filter {
                if case .pair = $0 { age >= Self.pairsRecover } else { age >= Self.circuitsRecover }
            }
            if !late.isEmpty { return "no way back: \(late.map(describe)) of \(routes.count)" }
        }
        return nil
    }

    private func restoreConfigurations() {
        let (away, revoked) = (absent, revoking)
        absent = []
        revoking = []
        for node in hosts.indices {
            guard let host = hosts[node] else { continue }
            network.limitHandshakes(perMinute: 0, of: host)
            if revoked.contains(node) {
                // What was revoked left the directory, too.
                network.updateRevoked([], of: host)
                importRelays(node, host)
            }
            if !away.isEmpty || !revoked.isEmpty { network.updatePeers(peers(node), of: host) }
        }
    }

    /// From now on nothing is lost, whatever is renewed and whoever adds to what passes.
    private func goOn() -> String? {
        var sent: [(Route, Int)] = []
        let isWatched = random.chance(0.5)
        let narrowed = tooNarrow
        // What a NAT forgot while nothing was said is known again after this.
        tellDrops()
        for _ in 0..<3 {
            for route in routes { send(route, length: 60) }
            run(for: .milliseconds(500))
        }
        for round in 0..<8 {
            if isWatched, round % 4 == 0 { sitDown(addsOnly: true) }
            renew()
            if round == 3, let place = plan.circuits.indices.randomElement(using: &random),
                let number = wanted[place].number, let host = hosts[plan.circuits[place].client]
            {
                network.replaceCircuit(number, at: host)
            }
            for route in routes {
                guard let number = send(route, length: Int.random(in: 60...1000, using: &random)) else {
                    return "no lease: \(describe(route))"
                }
                sent.append((route, number))
            }
            run(for: .milliseconds(500))
        }
        links.removeAttackers()
        run(for: .seconds(3))
        if let fault = fault() { return fault }
        let lost = sent.filter { ledger.entries[$0.1].arrived == nil }
        // A relay whose way on became narrower says nothing; whoever built the circuit asks its width anew every 15 s (§7).
        guard lost.count > tooNarrow - narrowed, let first = lost.first else { return nil }
        for (route, number) in lost { tell("lost: \(number) by \(describe(route)) at \(ledger.entries[number].sent)") }
        tellDrops()
        return "\(lost.count) of \(sent.count) packets lost without a reason, the first by \(describe(first.0)) at "
            + "\(ledger.entries[first.1].sent.since(.origin).seconds) s"
    }

    private var tooNarrow: Int {
        hosts.compactMap { $0 }.reduce(0) { $0 + Int($1.dataPlaneDrops[.pathMTU]) }
    }

    // MARK: - The end

    /// Half of the clients leave, with a word or without; then nothing is left of them.
    private func leave() -> String? {
        let leaving = plan.clients.filter { _ in random.chance(0.5) }
        for node in leaving { stop(node, says: random.chance(0.5)) }
        for place in plan.circuits.indices {
            if let number = wanted[place].number, let host = hosts[plan.circuits[place].client] {
                wanted[place].due = now + .seconds(10_000)
                network.closeCircuit(number, at: host)
                collect()
                wanted[place].due = now + .seconds(10_000)
            }
        }
        let began = now
        while let holder = hosts.compactMap({ $0 }).first(where: isHolding) {
            if now.since(began) >= Self.goneIsForgotten { return "\(holder.name) still holds \(holder.footprint)" }
            run(for: .seconds(5))
            if let fault = fault() { return fault }
        }
        counts.slowestEnd = now.since(began)
        return nil
    }

    /// Whether a node holds anything of a circuit, or of a handshake that is under way.
    private func isHolding(_ host: VirtualHost) -> Bool {
        let left = host.footprint
        if left.relayed + left.guests + left.paths + left.circuits + left.reassemblies + host.exitLeases > 0 {
            return true
        }
        // Answers are kept for 30 s (§5): those of renewals, of calls through a NAT that forgot, of whoever asks for relays.
        if left.inboundHandshakes > 4 * left.peers { return true }
        let calls = host.snapshot(now: now).count { $0.state == .connecting || $0.state == .silent }
        return left.initiations > calls && plan.rekeyThreshold > .seconds(120)
    }

    // MARK: - For people

    private func tellDrops() {
        for host in hosts.compactMap({ $0 }) {
            tell("\(host.name) dropped \(host.controlDrops.nonZero) \(host.dataPlaneDrops.nonZero)")
        }
    }

    func describe(_ route: Route) -> String {
        switch route {
        case .pair(let number, let isBack):
            let pair = plan.pairs[number]
            return isBack ? "n\(pair.called)→n\(pair.caller)" : "n\(pair.caller)→n\(pair.called)"
        case .circuit(let number, let isBack):
            let circuit = plan.circuits[number]
            return
                "n\(circuit.client)\(isBack ? "←" : "→")exit n\(circuit.exit) (\(circuit.hops) hops, \(circuit.paths) paths)"
        }
    }
}
