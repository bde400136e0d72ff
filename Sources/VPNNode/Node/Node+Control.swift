// SPDX-License-Identifier: Apache-2.0
// The node as those meet it who ask how it stands and what it shall do: NodeControl, on the node's own actor.
internal import Glibc
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

extension Node: NodeControl {
    public func status() async -> StatusReport {
        lookAtLink()
        // By a program, which takes its time: this actor goes on meanwhile.
        let isLocked = configuration.tunnel.isLockedDown
        let isPresent = isLocked ? await Task.detached(operation: { Lockdown.isPresent() }).value : nil
        return status(isLockdownMissing: isPresent == false)
    }

    private func status(isLockdownMissing: Bool) -> StatusReport {
        let now = MonotonicClock.now
        let counters = engine.counters()
        var drops: [String: UInt64] = [:]
        for (reason, count) in counters.drops + machine.drops.nonZero { drops[reason.name, default: 0] += count }
        let peers = machine.snapshot(now: now).map(StatusReport.Peer.init)
        var facts = HealthFacts()
        facts.insecureSettings = configuration.insecureSettings
        facts.isTemporaryIdentity = isTemporary
        facts.configurationFile = configuration.file
        facts.isMemoryLocked = Secret.isMemoryLocked
        facts.unkeptPins = unkept.count
        facts.knownPeersFile = knownPeers.path
        facts.isTunnelGone = isTunnelGone
        facts.isLinkDown = isLinkDown
        facts.interface = configuration.tunnel.interface
        facts.isLockedDown = configuration.tunnel.isLockedDown
        facts.isLockdownMissing = isLockdownMissing
        facts.unresolved = names.unresolvedNames
        let own = ownCircuits(now: now)
        return StatusReport(
            verdict: StatusReport.verdict(peers, circuits: own, isTunnelGone: isTunnelOut),
            version: VersionReport().version, pid: Int(getpid()),
            nickname: configuration.nickname, peerID: machine.identity.hex, isTemporary: isTemporary,
            configuration: configuration.file, uptimeSeconds: machine.age(now: now).seconds,
            listening: engine.socket.local.text,
            tunnel: engine.interface.map { interface in
                StatusReport.Tunnel(
                    name: interface.name, addresses: configuration.tunnel.addresses.map { "\($0)" }, mtu: settled.mtu,
                    isUp: !isTunnelOut)
            },
            traffic: StatusReport.Traffic(
                packetsOut: counters.packetsFromTunnel, bytesOut: counters.bytesFromTunnel,
                packetsIn: counters.packetsToTunnel, bytesIn: counters.bytesToTunnel,
                wireBytesOut: counters.bytesSent, wireBytesIn: counters.bytesReceived),
            peers: peers, drops: drops,
            health: HealthCheck.findings(facts, peers: peers, drops: drops, circuits: own), circuits: own,
            relay: relayReport, quilts: quiltSummaries)
    }

    public func rekey(_ peer: String) throws -> ControlReport {
        let found = try peerSnapshot(peer)
        guard machine.renew(found.slot, now: MonotonicClock.now) else { throw noSession(found) }
        settle()
        return ControlReport(
            action: "rekey", peer: found.name,
            text: "a new handshake with '\(found.name)' begins; its session goes on until the new one is there")
    }

    public func drop(_ peer: String) throws -> ControlReport {
        let found = try peerSnapshot(peer)
        guard machine.drop(found.slot, now: MonotonicClock.now) else { throw noSession(found) }
        settle()
        return ControlReport(
            action: "drop", peer: found.name,
            text: "the session with '\(found.name)' has ended"
                + (found.endpoint == nil ? "" : "; it is called again in a few seconds"))
    }

    public func ping(_ peer: String, timeout: Duration) async throws -> PingReport {
        let found = try peerSnapshot(peer)
        guard machine.ask(found.slot, now: MonotonicClock.now) else { throw noSession(found) }
        settle()
        let seconds = await answer(of: found.slot, timeout: timeout)
        return PingReport(
            peer: found.name, roundTripSeconds: seconds, path: found.carrier.map { "direct \($0.text)" } ?? "unknown",
            mtu: found.pathMTU)
    }

    /// The time of the next answer that comes from there; nil where none comes in time, or there is no session to ask in.
    func roundTrip(_ slot: PeerSlot, timeout: Duration) async -> Double? {
        guard machine.ask(slot, now: MonotonicClock.now) else { return nil }
        settle()
        return await answer(of: slot, timeout: timeout)
    }

    private func answer(of slot: PeerSlot, timeout: Duration) async -> Double? {
        let id = nextPing
        nextPing += 1
        return await withCheckedContinuation { (continuation: CheckedContinuation<Double?, Never>) in
            pings[id] = (slot, continuation)
            Task {
                try? await Task.sleep(for: timeout, clock: .continuous)
                finishPing(id)
            }
        }
    }

    private func finishPing(_ id: UInt64) { pings.removeValue(forKey: id)?.continuation.resume(returning: nil) }

    /// A peer has answered: so many as asked it know.
    func answeredPings(_ slot: PeerSlot, _ roundTrip: TimeSpan) {
        for (id, ping) in pings where ping.slot == slot {
            pings[id] = nil
            ping.continuation.resume(returning: roundTrip.seconds)
        }
    }

    /// The end of the run: nobody answers any more.
    func endPings() {
        for ping in pings.values { ping.continuation.resume(returning: nil) }
        pings = [:]
    }

    private func noSession(_ peer: PeerSnapshot) -> NodeFailure {
        NodeFailure(.failure, "there is no session with '\(peer.name)' (\(peer.state.rawValue)): see pqvpn status")
    }

    func peerSnapshot(_ text: String) throws -> PeerSnapshot {
        let peers = machine.snapshot(now: MonotonicClock.now)
        if let peer = peers.first(where: { $0.name == text }) { return peer }
        let matching = text.count >= 8 ? peers.filter { $0.identity?.hex.hasPrefix(text.lowercased()) == true } : []
        if matching.count == 1 { return matching[0] }
        if matching.count > 1 { throw NodeFailure(.usage, "'\(text)' is the beginning of several peer_ids") }
        let near = Spelling.nearest(to: text, among: peers.map(\.name)).map { "; did you mean '\($0)'?" } ?? ""
        throw NodeFailure(.usage, "there is no peer '\(text)'\(near.isEmpty ? ": see pqvpn status" : near)")
    }
}

extension StatusReport.Peer {
    init(_ peer: PeerSnapshot) {
        self.init(
            name: peer.name, peerID: peer.identity?.hex, state: peer.state.rawValue,
            isConfigured: peer.isConfigured && !peer.isBootstrap, endpoint: peer.carrier?.text,
            allowedIPs: peer.allowedIPs.map { "\($0)" }, roundTripSeconds: peer.roundTrip?.seconds,
            pathMTU: peer.pathMTU, failures: peer.failures, retryInSeconds: peer.retryIn?.seconds,
            session: peer.session.map { StatusReport.Session($0, hasPresharedKey: peer.hasPresharedKey) })
    }
}

extension StatusReport.Session {
    init(_ session: SessionSnapshot, hasPresharedKey: Bool) {
        let summary = session.summary
        self.init(
            id: summary.sessionIDText, role: summary.role.rawValue, cipher: summary.cipherName,
            signatures: summary.signatureNames, isChained: summary.isChained, hasPresharedKey: hasPresharedKey,
            ageSeconds: session.age.seconds, renewsInSeconds: session.renewsIn.seconds,
            expiresInSeconds: session.expiresIn.seconds, keyPhase: session.keyPhase,
            receivedSecondsAgo: session.receivedAgo?.seconds, sentSecondsAgo: session.sentAgo?.seconds,
            datagramsIn: session.statistics.packetsIn, bytesIn: session.statistics.bytesIn,
            datagramsOut: session.statistics.packetsOut, bytesOut: session.statistics.bytesOut)
    }
}

extension SessionSummary {
    var cipherName: String { cipher == .aes256GCM ? "AES-256-GCM" : "ChaCha20-Poly1305" }
    var signatureNames: String { isDegraded ? "ML-DSA-87" : "Ed25519+ML-DSA-87" }
}
