// SPDX-License-Identifier: Apache-2.0
// What people and programs may see of a running node, and the three things that they may ask of it between configurations: a
// new handshake, the end of a session, a question to the peer. How it is shown is VPNNode's.
public import VPNCrypto

/// One session as it stands. No key, no counter: nothing that helps an attacker who reads it.
public struct SessionSnapshot: Sendable {
    public let summary: SessionSummary
    /// Whether the other end has shown that it holds the keys.
    public let isConfirmed: Bool
    /// Since the handshake's end.
    public let age: TimeSpan
    /// Until a new handshake replaces it, and until it ends without one.
    public let renewsIn: TimeSpan
    public let expiresIn: TimeSpan
    /// How often its keys went on by the ratchet (§7).
    public let keyPhase: UInt64
    public let statistics: SessionStatistics
    /// Since the last authentic datagram and since the last one sent; nil before the first.
    public let receivedAgo: TimeSpan?
    public let sentAgo: TimeSpan?
}

/// One peer as it stands.
public struct PeerSnapshot: Sendable {
    public enum State: String, Sendable, CaseIterable {
        /// Both ends hold a session, and what was asked was answered.
        case connected
        /// A session that waits for the other end's first word.
        case unconfirmed
        /// Three questions stayed without an answer; a new handshake is under way.
        case silent
        /// A handshake is under way.
        case connecting
        /// The next handshake begins after a pause.
        case waiting
        /// It has no endpoint and has not called.
        case idle
    }

    public let slot: PeerSlot
    public let name: String
    public let identity: PeerID?
    public let isConfigured: Bool
    public let isBootstrap: Bool
    public let state: State
    /// Where the operator says that it is, and where it is sent to.
    public let endpoint: Endpoint?
    public let carrier: Carrier?
    public let allowedIPs: [IPPrefix]
    public let keepaliveSeconds: UInt16
    public let hasPresharedKey: Bool
    public let session: SessionSnapshot?
    /// The longest inner packet in bytes; nil before the first session.
    public let pathMTU: Int?
    /// The same once probes have shown that so much arrives and no more does.
    public let provenMTU: Int?
    /// Of the last question that was answered.
    public let roundTrip: TimeSpan?
    /// Handshakes without a session, one after the other, and the pause before the next.
    public let failures: Int
    public let retryIn: TimeSpan?
}

extension NodeStateMachine {
    /// Since `init`.
    public func age(now: Instant) -> TimeSpan { now.since(started) }

    public var identity: PeerID { ownID }

    /// All peers that are met directly, in the order of their slots. Hops are their circuit's (`circuitSnapshots`).
    public func snapshot(now: Instant) -> [PeerSnapshot] {
        peers.values.filter(\.isDirect).sorted { $0.slot < $1.slot }.map { describe($0, now: now) }
    }

    private func describe(_ peer: Peer, now: Instant) -> PeerSnapshot {
        PeerSnapshot(
            slot: peer.slot, name: peer.name, identity: peer.identity, isConfigured: peer.isConfigured,
            isBootstrap: peer.configuration.isBootstrap, state: state(of: peer), endpoint: peer.configuration.endpoint,
            carrier: peer.carrier, allowedIPs: peer.configuration.allowedIPs,
            keepaliveSeconds: peer.configuration.keepaliveSeconds,
            hasPresharedKey: peer.configuration.presharedKey != nil,
            session: (peer.ring.current ?? peer.ring.next).map { describe($0, now: now) },
            pathMTU: peer.path?.told, provenMTU: peer.path?.search.found, roundTrip: peer.roundTrip,
            failures: peer.failures,
            retryIn: peer.retry.map { $0.since(now) })
    }

    private func state(of peer: Peer) -> PeerSnapshot.State {
        if let current = peer.ring.current {
            if peer.isDown { return .silent }
            return current.session.isConfirmed || current.session.lastReceived != nil ? .connected : .unconfirmed
        }
        if peer.ring.next != nil { return .unconfirmed }
        if peer.initiation != nil { return .connecting }
        return peer.retry != nil ? .waiting : .idle
    }

    func describe(_ held: HeldSession, now: Instant) -> SessionSnapshot {
        let session = held.session
        return SessionSnapshot(
            summary: held.summary, isConfirmed: session.isConfirmed || session.lastReceived != nil,
            age: now.since(held.installed), renewsIn: held.renew.since(now), expiresIn: held.expires.since(now),
            keyPhase: UInt64(session.phase.sending), statistics: session.statistics,
            receivedAgo: session.lastReceived.map { now.since($0) }, sentAgo: session.lastSent.map { now.since($0) })
    }

    /// Asks a peer for a sign of life at once; `Event.keepaliveAnswered` tells of the answer. False without a session.
    public mutating func ask(_ slot: PeerSlot, now: Instant) -> Bool {
        guard peers[slot]?.ring.current != nil else { return false }
        sendKeepalive(slot, now: now)
        return true
    }

    /// Ends all sessions with a peer and tells it so. One that has an endpoint is called again after a pause; a stranger is
    /// forgotten. False without a session.
    public mutating func drop(_ slot: PeerSlot, now: Instant) -> Bool {
        guard let peer = peers[slot], !peer.ring.isEmpty else { return false }
        sayGoodbye(to: slot, .closedHere, now: now)
        callAgain(slot, now: now)
        forgetIfIdle(slot)
        return true
    }
}
