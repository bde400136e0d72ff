// SPDX-License-Identifier: Apache-2.0
// What the core tells the world: values that VPNNode turns into log lines, metrics and API objects. The core logs nothing.
public import VPNCrypto

/// One handshake at both ends: the initiator's receiver index, shown as 8 hexadecimal digits (`hs=` in logs).
public struct HandshakeID: Hashable, Sendable, CustomStringConvertible {
    public let value: UInt32
    public init(_ value: UInt32) { self.value = value }
    public var description: String { [UInt8](bigEndian: value).hex }
}

/// A session as people see it.
public struct SessionSummary: Sendable {
    public let handshake: HandshakeID
    /// UDP payload of all fragments of S1 and S2, headers included.
    public let s1Bytes: UInt16
    public let s2Bytes: UInt16
    /// What the other end said its tunnel MTU is.
    public let peerMTU: UInt16
    /// 16 bytes, the same at both ends (`sid=` in logs).
    public let sessionID: [UInt8]
    public let peer: PeerID
    public let peerName: String
    public let slot: PeerSlot
    public let role: SessionRole
    public let carrier: Carrier
    public let cipher: PacketCipher
    /// From the first datagram of the handshake to its end, at this node.
    public let duration: TimeSpan
    /// Whether a secret of the association's handshake before went into this one (next_psk).
    public let isChained: Bool
    /// §2: the other end's Ed25519 signature did not verify, and its pin lets ML-DSA alone do. No relay and no exit rights.
    public let isDegraded: Bool
    /// Whether the other end said that it speaks of relays (§7).
    public let speaksDirectory: Bool

    public var sessionIDText: String { sessionID.hex }
}

/// Why a session ended.
public enum SessionEnd: String, Sendable {
    case closedByPeer = "closed_by_peer"
    case closedHere = "closed_here"
    /// A newer session took its place.
    case replaced
    /// `rekey.interval_seconds` passed without a new handshake.
    case expired
    /// The peer sent a frame that this version does not know.
    case protocolViolation = "protocol_violation"
    /// The responder's session that no DATA ever confirmed.
    case unconfirmed
    /// Nothing came back for 90 s, handshakes included.
    case silent
    /// Its identity was revoked.
    case revoked
    /// It was begun with an invitation that serves nobody any more.
    case invitationRefused = "invitation_refused"
    /// Its identity is no longer pinned, or another one is pinned in its place.
    case unpinned
    /// The operator took the peer out of the configuration, or gave its name to another one.
    case peerRemoved = "peer_removed"
}

public enum Event: Sendable {
    case handshakeStarted(HandshakeID, slot: PeerSlot, peerName: String, Endpoint, attempt: Int)
    /// The peer answers on a known identity, or one that first use may pin.
    case sessionEstablished(SessionSummary)
    /// The responder's session carried its first valid DATA; the initiator's one had its first answer.
    case sessionConfirmed(SessionSummary)
    /// A confirmed session for which one signature had to do; a new handshake follows within 120 s.
    case sessionDegraded(SessionSummary)
    case sessionEnded(SessionSummary, SessionEnd)
    /// 90 s without success; the next try is in `retryIn`, nil where it is the other end's turn.
    case handshakeTimedOut(HandshakeID, slot: PeerSlot, peerName: String, retryIn: TimeSpan?)
    /// A message of a handshake was refused in silence.
    case handshakeRefused(HandshakeID?, role: SessionRole, HandshakeFailure, Carrier)
    /// An identity is not believed. `changed` cases deserve a person's attention.
    case identityRefused(HandshakeID, PeerID, TrustRefusal, Carrier, expected: PeerID?, peerName: String)
    case identityPinned(PinnedPeer)
    /// A peer's identity was revoked; its sessions end.
    case identityRevoked(PeerID, peerName: String)
    /// The identity behind a peer's name is another one now, by the operator's word.
    case identityReplaced(slot: PeerSlot, peerName: String, old: PeerID?, new: PeerID?)
    /// A responder that was not known showed its descriptor, and is believed.
    case identityShown(HandshakeID, slot: PeerSlot, Descriptor)
    /// Somebody came with an invitation that does not serve, or not any more.
    case invitationRefused(PeerID, invitation: UInt32, InvitationRefusal, Carrier)
    /// Somebody came with an invitation and is a peer from now on.
    case invitationUsed(PeerID, invitation: UInt32, slot: PeerSlot, peerName: String)
    /// The inviter gave this node its inner addresses.
    case leased(slot: PeerSlot, [InterfaceAddress])
    case keepaliveAnswered(slot: PeerSlot, roundTrip: TimeSpan)
    /// Where a peer sees this node, and what time the peer has.
    case viewed(slot: PeerSlot, peerName: String, as: Endpoint, unixSeconds: UInt64)
    /// The longest inner packet to a peer, in bytes, is another one now.
    case pathMTU(slot: PeerSlot, peerName: String, mtu: Int)
    /// A peer showed that it can be reached over another carrier, and is sent to there.
    case pathMoved(slot: PeerSlot, peerName: String, from: Carrier, to: Carrier)
    /// A peer's datagrams came over another carrier, but it still answers over its own: it stays there.
    case pathKept(slot: PeerSlot, peerName: String, Carrier, instead: Carrier)
    /// A patch of a session came, or stands otherwise (§9); looked at once a second.
    case patchChanged(slot: PeerSlot, peerName: String, patch: Int, Carrier, PatchState)
    /// Three questions stayed without any answer: the path is down, and a new handshake starts.
    case peerSilent(slot: PeerSlot, peerName: String, missed: Int)
    /// A silent peer speaks again, on the session that it had.
    case peerBack(slot: PeerSlot, peerName: String)
    /// What became of a circuit that this node has for itself.
    case circuit(CircuitEvent)
    /// A relay that this node asked brought the descriptor of one that it did not know, or a newer one.
    case relayLearned(RelayDirectory.Entry, isNew: Bool, from: PeerID)
    /// What it brought was not taken.
    case relayRefused(DirectoryRefusal, from: PeerID)
    /// Descriptors whose time is over; they are no relays any more.
    case relaysExpired([PeerID])
    /// To be kept: paths begin with these.
    case guardsChanged(GuardList)
    /// Somebody whom nobody knows came by a circuit; `slot` is what inner addresses are given to (`assign`).
    case guestArrived(slot: PeerSlot, SessionSummary)
    /// A limit of the relay was reached while so many circuits passed; told once a minute at most.
    case relayFull(circuits: Int)
    /// This exit gave a guest inner addresses, and has them back now that it is gone; or it has none for it.
    case leaseGranted(slot: PeerSlot, ExitLease)
    case leaseEnded(slot: PeerSlot, ExitLease)
    case leaseExhausted(slot: PeerSlot)
}

extension Event {
    /// The peer that is sent to over a carrier from now on which it chose, and that carrier.
    public var chosen: (slot: PeerSlot, carrier: Carrier)? {
        switch self {
        case .sessionConfirmed(let summary) where summary.role == .responder: (summary.slot, summary.carrier)
        case .pathMoved(let slot, _, _, let carrier): (slot, carrier)
        default: nil
        }
    }
}

extension [UInt8] {
    init(bigEndian value: UInt32) {
        self = []
        append(bigEndian: value)
    }
}
