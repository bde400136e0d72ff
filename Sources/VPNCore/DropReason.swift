// SPDX-License-Identifier: Apache-2.0
// Why a packet or a datagram was dropped: one list for the whole project, so that metrics, logs and tests speak of the
// same things. What does not match exactly is dropped in silence on the wire and counted here.

/// A reason to drop. The names are stable: they are part of metrics and JSON output.
public enum DropReason: UInt8, CaseIterable, Sendable {
    // MARK: Outer header (§3)

    /// Shorter than an outer header, or than the smallest datagram of its type.
    case tooShort
    /// Longer than its type may be, or cut off by the receiver's buffer.
    case tooLong
    case version
    case unknownType
    /// The body length does not match the datagram.
    case bodyLength

    // MARK: DATA (§7)

    /// No session here has this receiver index.
    case unknownIndex
    /// The key phase of the header is none that this session holds a key for.
    case keyPhase
    case replayDuplicate
    case replayTooOld
    /// The tag does not verify.
    case authentication
    /// The receiving key was dropped after too many failed opens.
    case receiveKeySpent
    /// The frame's length does not fit its plaintext.
    case frameLength
    case frameFlags
    /// Bytes after the frame's payload that are not zero.
    case padding
    /// A frame type of no protocol version that we speak: closes the session.
    case unknownFrameType

    // MARK: Handshake (§4–§6)

    case s0Malformed
    case retryMalformed
    /// The cookie does not open: not an answer to our S0, or not from that responder.
    case retrySeal
    /// A RETRY after the first, beyond the three that are kept, or twice the same.
    case retryUnexpected
    /// Sender does not know this node's id.
    case mac1
    /// Made by nobody here, for another address, or before a restart.
    case cookie
    case cookieExpired
    case tokenSpent
    case puzzle
    case s1Malformed
    case s2Malformed
    /// A fragment of S2 whose MAC fits none of our exchanges.
    case s2Authentication
    /// Its S1 came in datagrams too short to answer.
    case s2Unanswerable
    case fragmentDuplicate
    /// Contradicts the first fragment of its message, or completes it to a wrong hash.
    case fragmentInconsistent
    case infoMalformed
    case infoUnexpected
    case needFullUnexpected
    /// Malformed, with an invalid key or a bad signature.
    case descriptorRefused
    /// For a handshake that is not ours or is over.
    case handshakeUnknown
    /// From an address where that handshake was not begun.
    case handshakeCarrier
    /// Never completed within its time.
    case handshakeExpired
    /// Complete, and its cryptography did not hold.
    case handshakeRefused
    /// More handshakes of one prefix in a minute than allowed.
    case handshakeRate
    /// Public-key work in flight is at its limit.
    case jobsFull
    /// A new S1 under a cookie that cost less than one costs now, while the line for public-key work is full.
    case unpaid
    /// An S1 that was answered before.
    case s1Replay
    /// The other side's attempt loses against ours.
    case simultaneousOpen
    /// A newer session waits for its first DATA.
    case nextSessionYoung
    /// An identity that is not believed.
    case untrusted
    case keepaliveMalformed
    case probeMalformed
    /// Answers no probe of ours that is still waited for.
    case probeUnknown
    /// A REPAIR that covers nothing, or more than there can be.
    case repairMalformed
    /// More REPAIRs than the packets of their session ask for.
    case repairExcess
    /// A PATH_CHALLENGE or PATH_RESPONSE of another length, patch or purpose.
    case pathMalformed
    /// Answers no challenge of ours that is still waited for, or on another carrier.
    case pathUnknown
    /// More challenges in a second than a peer needs.
    case pathRate

    // MARK: Circuits (§8)

    /// An EXTEND, EXTENDED, RELAY or END of another length or with reserved bytes; more datagrams in each other than circuits have hops.
    case circuitMalformed
    /// Of a circuit that is not, or not any more.
    case circuitUnknown
    /// On a circuit that this node opened, and nothing that it asked for there.
    case circuitForeign
    /// For a session that was not made on the circuit, or not by UDP, by which this came.
    case circuitSession
    /// A session around it has gone.
    case circuitBroken
    /// An EXTEND that policy or trust do not allow.
    case circuitRefused
    /// More circuits, EXTENDs or bytes than one client, one link or this node has room for.
    case circuitQuota

    // MARK: The directory of relays (§7)

    /// A DIRECTORY frame that is no message.
    case directoryMalformed
    /// An answer to no question of ours.
    case directoryUnasked
    /// More asked for than one node is given in a minute.
    case directoryQuota
    /// A descriptor that was brought and is not believed, or not wanted.
    case directoryRefused

    // MARK: Inner packets

    /// Neither IPv4 nor IPv6, or lengths that contradict each other.
    case innerMalformed
    /// The inner source address does not belong to the peer that sent it.
    case innerSource
    /// No peer is responsible for the inner destination; its sender is told, where it can be and not too often.
    case noRoute
    /// Too large for any datagram.
    case innerTooLarge
    /// Too large for the path to its peer; its sender was told, where it can be.
    case pathMTU
    /// Marked by a congested router, and of a sender that does not know such marks (RFC 6040).
    case congestion
    /// Waited for a session and had to give way.
    case stagedOverflow
    /// Waited for a session too long.
    case stagedExpired
    /// Waited for a session of a peer that was removed.
    case stagedPeerGone
    /// More than the peer's patches take together, and than may wait for them (§9).
    case pacedOverflow

    /// To or from where an exit's policy has no room for its guest.
    case exitRefused
    /// Of an exit's guest, and nobody can tell what it is: source routing, a broken chain of headers, part of nothing.
    case exitUnreadable

    // MARK: Local

    /// The node does not keep up with what this worker reports.
    case mailboxFull
    /// The node, the door or another worker gives this one more than it takes.
    case commandsFull
    /// The kernel reported an earlier datagram as undeliverable (ECONNREFUSED).
    case sendRefused
    /// Larger than the path or the interface allows (EMSGSIZE).
    case sendTooLarge
    /// No route to the endpoint (ENETUNREACH, EHOSTUNREACH, ENETDOWN, EADDRNOTAVAIL), or of a family the socket lacks.
    case sendUnreachable
    /// A local firewall said no (EPERM, EACCES).
    case sendDenied
    /// Out of kernel memory (ENOBUFS, ENOMEM).
    case sendNoMemory
    /// Any other error on sending.
    case sendFailed
    /// The TUN interface is down or gone.
    case tunnelDown
    /// The TUN interface refused a packet.
    case tunnelWrite

    /// The stable name.
    public var name: String {
        switch self {
        case .tooShort: "too_short"
        case .tooLong: "too_long"
        case .version: "version"
        case .unknownType: "unknown_type"
        case .bodyLength: "body_length"
        case .unknownIndex: "unknown_index"
        case .keyPhase: "key_phase"
        case .replayDuplicate: "replay_duplicate"
        case .replayTooOld: "replay_too_old"
        case .authentication: "authentication"
        case .receiveKeySpent: "receive_key_spent"
        case .frameLength: "frame_length"
        case .frameFlags: "frame_flags"
        case .padding: "padding"
        case .unknownFrameType: "unknown_frame_type"
        case .s0Malformed: "s0_malformed"
        case .retryMalformed: "retry_malformed"
        case .retrySeal: "retry_seal"
        case .retryUnexpected: "retry_unexpected"
        case .mac1: "mac1"
        case .cookie: "cookie"
        case .cookieExpired: "cookie_expired"
        case .tokenSpent: "token_spent"
        case .puzzle: "puzzle"
        case .s1Malformed: "s1_malformed"
        case .s2Malformed: "s2_malformed"
        case .s2Authentication: "s2_authentication"
        case .s2Unanswerable: "s2_unanswerable"
        case .fragmentDuplicate: "fragment_duplicate"
        case .fragmentInconsistent: "fragment_inconsistent"
        case .infoMalformed: "info_malformed"
        case .infoUnexpected: "info_unexpected"
        case .needFullUnexpected: "need_full_unexpected"
        case .descriptorRefused: "descriptor_refused"
        case .handshakeUnknown: "handshake_unknown"
        case .handshakeCarrier: "handshake_carrier"
        case .handshakeExpired: "handshake_expired"
        case .handshakeRefused: "handshake_refused"
        case .handshakeRate: "handshake_rate"
        case .jobsFull: "jobs_full"
        case .unpaid: "unpaid"
        case .s1Replay: "s1_replay"
        case .simultaneousOpen: "simultaneous_open"
        case .nextSessionYoung: "next_session_young"
        case .untrusted: "untrusted"
        case .keepaliveMalformed: "keepalive_malformed"
        case .probeMalformed: "probe_malformed"
        case .probeUnknown: "probe_unknown"
        case .repairMalformed: "repair_malformed"
        case .repairExcess: "repair_excess"
        case .pathMalformed: "path_malformed"
        case .pathUnknown: "path_unknown"
        case .pathRate: "path_rate"
        case .circuitMalformed: "circuit_malformed"
        case .circuitUnknown: "circuit_unknown"
        case .circuitForeign: "circuit_foreign"
        case .circuitSession: "circuit_session"
        case .circuitBroken: "circuit_broken"
        case .circuitRefused: "circuit_refused"
        case .circuitQuota: "circuit_quota"
        case .directoryMalformed: "directory_malformed"
        case .directoryUnasked: "directory_unasked"
        case .directoryQuota: "directory_quota"
        case .directoryRefused: "directory_refused"
        case .innerMalformed: "inner_malformed"
        case .innerSource: "inner_source"
        case .noRoute: "no_route"
        case .innerTooLarge: "inner_too_large"
        case .pathMTU: "path_mtu"
        case .congestion: "congestion"
        case .stagedOverflow: "staged_overflow"
        case .stagedExpired: "staged_expired"
        case .stagedPeerGone: "staged_peer_gone"
        case .pacedOverflow: "paced_overflow"
        case .exitRefused: "exit_refused"
        case .exitUnreadable: "exit_unreadable"
        case .mailboxFull: "mailbox_full"
        case .commandsFull: "commands_full"
        case .sendRefused: "send_refused"
        case .sendTooLarge: "send_too_large"
        case .sendUnreachable: "send_unreachable"
        case .sendDenied: "send_denied"
        case .sendNoMemory: "send_no_memory"
        case .sendFailed: "send_failed"
        case .tunnelDown: "tunnel_down"
        case .tunnelWrite: "tunnel_write"
        }
    }
}
