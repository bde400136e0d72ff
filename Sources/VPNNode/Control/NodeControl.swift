// SPDX-License-Identifier: Apache-2.0
// What can be asked of a running node, whatever the door: the local socket today, HTTP later. A door adds who may ask and how
// it is written down; it adds no meaning.

/// A running node as its operator meets it. Peers are named by their name, peer_id, or its first 8 digits or more.
public protocol NodeControl: Sendable {
    /// How it stands.
    func status() async throws -> StatusReport
    /// Begins a handshake with a peer that has a session; the old session goes on until the new one is there.
    func rekey(_ peer: String) async throws -> ControlReport
    /// Ends the sessions with a peer and tells it so.
    func drop(_ peer: String) async throws -> ControlReport
    /// One question through the tunnel, and how long its answer took.
    func ping(_ peer: String, timeout: Duration) async throws -> PingReport
}

/// One line of the local socket: a JSON object.
public struct ControlRequest: Codable, Sendable, Equatable {
    public enum Verb: String, Codable, Sendable, CaseIterable { case status, rekey, drop, ping }

    /// Grows with every incompatible change of a verb.
    public static let version = 1

    public var version: Int
    public var verb: Verb
    public var peer: String?
    /// Milliseconds.
    public var timeout: Int?

    public init(_ verb: Verb, peer: String? = nil, timeout: Int? = nil) {
        version = Self.version
        self.verb = verb
        self.peer = peer
        self.timeout = timeout
    }
}

/// What a verb without another answer did.
public struct ControlReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.control/1"
    /// "rekey" or "drop".
    public let action: String
    public let peer: String
    public let text: String

    public init(action: String, peer: String, text: String) {
        self.action = action
        self.peer = peer
        self.text = text
    }
}

/// One answer through the tunnel, or its absence.
public struct PingReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.ping/1"
    public let peer: String
    /// Nil: none came in time.
    public let roundTripSeconds: Double?
    /// How it went: "direct 198.51.100.7:9000".
    public let path: String
    /// Bytes of the longest inner packet.
    public let mtu: Int?

    private enum CodingKeys: String, CodingKey {
        case peer
        case roundTripSeconds = "rtt_seconds"
        case path
        case mtu
    }

    public var text: String {
        guard let seconds = roundTripSeconds else { return "\(peer): no answer (\(path))" }
        return "\(peer): \(Units.span(seconds)) \(path)" + (mtu.map { ", packets of up to \($0) bytes" } ?? "")
    }
}
