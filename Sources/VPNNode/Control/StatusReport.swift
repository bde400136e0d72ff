// SPDX-License-Identifier: Apache-2.0
// How a node stands, as a value: made by the node, carried by any door, shown by commands. docs/schemas/status.json is its
// contract. How it reads: StatusReport+Text.
internal import Foundation

/// The answer to "is my traffic protected, by what, where does it go, since when".
public struct StatusReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.status/1"

    /// The first word of the answer.
    public enum Verdict: String, Codable, Sendable, CaseIterable {
        /// Every configured peer has a session with both signatures.
        case protected
        /// One that a single signature had to do for is among them.
        case degraded
        /// Some configured peers have no session.
        case partial
        /// None has one: packets for them wait or are dropped, none leaves in the clear.
        case disconnected
        /// Nobody is configured; who calls is answered.
        case idle
    }

    public struct Tunnel: Codable, Equatable, Sendable {
        public var name: String
        public var addresses: [String]
        public var mtu: Int
        /// False where the interface vanished.
        public var isUp: Bool

        private enum CodingKeys: String, CodingKey {
            case name, addresses, mtu
            case isUp = "up"
        }
    }

    public struct Traffic: Codable, Equatable, Sendable {
        /// Inner packets that the node took from the interface and gave to it, and their bytes.
        public var packetsOut: UInt64
        public var bytesOut: UInt64
        public var packetsIn: UInt64
        public var bytesIn: UInt64
        /// On the wire, without UDP and IP headers.
        public var wireBytesOut: UInt64
        public var wireBytesIn: UInt64

        private enum CodingKeys: String, CodingKey {
            case packetsOut = "packets_out"
            case bytesOut = "bytes_out"
            case packetsIn = "packets_in"
            case bytesIn = "bytes_in"
            case wireBytesOut = "wire_bytes_out"
            case wireBytesIn = "wire_bytes_in"
        }
    }

    public struct Session: Codable, Equatable, Sendable {
        public var id: String
        /// "initiator" or "responder".
        public var role: String
        public var cipher: String
        public var signatures: String
        /// Whether a secret of the handshake before went into this one, and whether a configured key did.
        public var isChained: Bool
        public var hasPresharedKey: Bool
        public var ageSeconds: Double
        public var renewsInSeconds: Double
        public var expiresInSeconds: Double
        public var keyPhase: UInt64
        public var receivedSecondsAgo: Double?
        public var sentSecondsAgo: Double?
        /// Datagrams and their bytes without UDP and IP headers.
        public var datagramsIn: UInt64
        public var bytesIn: UInt64
        public var datagramsOut: UInt64
        public var bytesOut: UInt64

        private enum CodingKeys: String, CodingKey {
            case id, role, cipher, signatures
            case isChained = "chained"
            case hasPresharedKey = "psk"
            case ageSeconds = "age_seconds"
            case renewsInSeconds = "renews_in_seconds"
            case expiresInSeconds = "expires_in_seconds"
            case keyPhase = "key_phase"
            case receivedSecondsAgo = "received_seconds_ago"
            case sentSecondsAgo = "sent_seconds_ago"
            case datagramsIn = "datagrams_in"
            case bytesIn = "bytes_in"
            case datagramsOut = "datagrams_out"
            case bytesOut = "bytes_out"
        }
    }

    public struct Peer: Codable, Equatable, Sendable {
        public var name: String
        public var peerID: String?
        /// See ``PeerSnapshot/State``.
        public var state: String
        /// False for one that called by itself and has no entry in the configuration.
        public var isConfigured: Bool
        /// Where it is sent to.
        public var endpoint: String?
        public var allowedIPs: [String]
        public var roundTripSeconds: Double?
        public var pathMTU: Int?
        public var failures: Int
        public var retryInSeconds: Double?
        public var session: Session?

        private enum CodingKeys: String, CodingKey {
            case name
            case peerID = "peer_id"
            case state
            case isConfigured = "configured"
            case endpoint
            case allowedIPs = "allowed_ips"
            case roundTripSeconds = "rtt_seconds"
            case pathMTU = "path_mtu"
            case failures
            case retryInSeconds = "retry_in_seconds"
            case session
        }
    }

    /// One of them in few words; `pqvpn quilt` has more.
    public struct Quilt: Codable, Equatable, Sendable {
        public var peer: String
        public var scheduler: String
        public var up: Int
        /// Those that have not joined yet included.
        public var paths: Int
    }

    /// Something that a person should know, and what mends it.
    public struct Finding: Codable, Equatable, Sendable {
        /// "warning" or "error".
        public var severity: String
        /// Stable, in capitals.
        public var code: String
        public var text: String
        /// A command, or a change of the configuration.
        public var fix: String

        public init(_ severity: String, _ code: String, _ text: String, fix: String) {
            self.severity = severity
            self.code = code
            self.text = text
            self.fix = fix
        }
    }

    public var verdict: Verdict
    public var version: String
    public var pid: Int
    public var nickname: String
    public var peerID: String
    /// A fresh identity of this run only.
    public var isTemporary: Bool
    public var configuration: String
    public var uptimeSeconds: Double
    /// The UDP socket.
    public var listening: String
    /// Nil where tunnel.enabled is false.
    public var tunnel: Tunnel?
    public var traffic: Traffic
    public var peers: [Peer]
    /// By reason; what never happened is absent.
    public var drops: [String: UInt64]
    /// The most serious first.
    public var health: [Finding]
    /// "info"; what the node writes to its log now.
    public var logLevel: String?
    /// Its own.
    public var circuits: [CircuitsReport.Own] = []
    public var relay: CircuitsReport.Relay?
    /// Sessions that go by several paths.
    public var quilts: [Quilt] = []

    private enum CodingKeys: String, CodingKey {
        case verdict, version, pid, nickname
        case peerID = "peer_id"
        case isTemporary = "temporary_identity"
        case configuration
        case uptimeSeconds = "uptime_seconds"
        case listening, tunnel, traffic, peers, drops, health
        case logLevel = "log_level"
        case circuits, relay, quilts
    }

    /// What the states of peers and circuits come to. Sessions protect nothing that does not get into them.
    static func verdict(
        _ peers: [Peer], circuits: [CircuitsReport.Own] = [], isTunnelGone: Bool = false
    ) -> Verdict {
        let configured = peers.filter(\.isConfigured)
        let connected = configured.filter { $0.state == "connected" }
        let up = connected.count + circuits.count(where: \.isUp)
        if configured.isEmpty && circuits.isEmpty { return .idle }
        if up == 0 || isTunnelGone { return .disconnected }
        if up < configured.count + circuits.count { return .partial }
        return connected.contains { $0.session?.signatures.contains("+") != true } ? .degraded : .protected
    }
}

extension StatusReport {
    /// From the line that a node sent.
    public init(answer: String) throws {
        do {
            self = try JSONDecoder().decode(Self.self, from: Data(ControlAnswer.harmless(json: answer).utf8))
        } catch {
            throw NodeFailure(.failure, "the node answers in another version: use the pqvpn that it runs")
        }
    }
}

/// The sessions alone, for `pqvpn sessions`.
public struct SessionsReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.sessions/1"

    public struct Entry: Codable, Equatable, Sendable {
        public var peer: String
        public var peerID: String?
        public var endpoint: String?
        public var session: StatusReport.Session

        private enum CodingKeys: String, CodingKey {
            case peer
            case peerID = "peer_id"
            case endpoint, session
        }
    }

    public let sessions: [Entry]

    public init(_ status: StatusReport) {
        sessions = status.peers.compactMap { peer in
            peer.session.map {
                Entry(peer: peer.name, peerID: peer.peerID, endpoint: peer.endpoint, session: $0)
            }
        }
    }

    public var text: String {
        if sessions.isEmpty { return "no sessions" }
        let rows = sessions.map { entry in
            let session = entry.session
            return [
                String(session.id.prefix(16)), entry.peer, session.role, Units.span(session.ageSeconds),
                Units.span(session.renewsInSeconds), "\(session.keyPhase)", session.cipher, session.signatures,
                Units.bytes(session.bytesIn), Units.bytes(session.bytesOut),
            ]
        }
        return Units.table(
            ["SESSION", "PEER", "ROLE", "AGE", "REKEY IN", "PHASE", "CIPHER", "SIGNATURES", "IN", "OUT"], rows)
    }
}
