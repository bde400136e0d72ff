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
    /// Looks at pins, revocations and invitations now, and not some seconds later.
    func look() async throws -> ControlReport
    /// What the network lets through, as the peers show it within a time.
    func netcheck(within limit: Duration) async throws -> NetcheckReport
    /// One question through the tunnel, and how long its answer took.
    func ping(_ peer: String, timeout: Duration) async throws -> PingReport
    /// One question to each hop on the way to a peer, or of a circuit.
    func trace(_ peer: String, timeout: Duration) async throws -> TraceReport
    /// The paths of each session that has several, or of one peer's.
    func quilt(_ peer: String?) async throws -> QuiltReport
    /// Its own circuits, and how many pass.
    func circuitsReport() async throws -> CircuitsReport
    /// Begins a circuit through pinned nodes, which is kept until it is closed; the second way and others are taken where the one
    /// before fails.
    /// - Parameter scheduler: of all ways at once; nil: the first, and another where that fails.
    func buildCircuit(
        _ name: String, ways: [[String]], networks: [String], together scheduler: String?
    ) async throws -> CircuitOrderReport
    /// Ends a circuit and does not build it again.
    func closeCircuit(_ name: String) async throws -> CircuitOrderReport
    /// Builds another path for a circuit and goes over to it.
    func renewCircuit(_ name: String) async throws -> CircuitOrderReport
}

/// The run around a node: its log and its configuration file.
public protocol RunControl: NodeControl {
    /// Lines of its log that are still in memory.
    func logs(_ wanted: LogRing.Question) async throws -> LogsReport
    /// Another level, until the next one, the next reload or the end. Nil: only says which one it is.
    func setLogLevel(_ name: String?) async throws -> LogLevelReport
    /// Its page of metrics, whether or not it is served to anybody else.
    func metrics() async throws -> MetricsReport
    /// Reads the configuration file again, as at SIGHUP.
    ///
    /// - Parameter isTrial: checks everything, says what would happen, and changes nothing.
    func reload(isTrial: Bool) async throws -> ReloadReport
}

/// One line of the local socket: a JSON object.
public struct ControlRequest: Codable, Sendable, Equatable {
    public enum Verb: String, Codable, Sendable, CaseIterable {
        case status, rekey, drop, ping, look, netcheck, logs, metrics
        case logLevel = "log-level"
        case reload
        case trace, circuits, quilt
        case circuitBuild = "circuit-build"
        case circuitClose = "circuit-close"
        case circuitRenew = "circuit-renew"
    }

    /// Grows with every incompatible change of a verb.
    public static let version = 1

    public var version: Int
    public var verb: Verb
    /// Of what is about circuits: the name of one.
    public var peer: String?
    /// Milliseconds.
    public var timeout: Int?
    /// Of logs: the lines after this number, the oldest first to go into the answer; absent: the newest lines.
    public var since: UInt64?
    /// Of logs: so many lines at most.
    public var limit: Int?
    /// Of logs: lines of this level and above. Of log-level: the new one.
    public var level: String?
    /// Of reload: only says what would happen.
    public var isTrial: Bool?
    /// Of circuit-build: hops by their names or peer_ids, one list for each way; and inner networks.
    public var ways: [[String]]?
    /// The scheduler by which all ways are used at once.
    public var together: String?
    public var networks: [String]?

    private enum CodingKeys: String, CodingKey {
        case version, verb, peer, timeout, since, limit, level, ways, together, networks
        case isTrial = "dry_run"
    }

    public init(_ verb: Verb, peer: String? = nil, timeout: Int? = nil) {
        version = Self.version
        self.verb = verb
        self.peer = peer
        self.timeout = timeout
    }

    /// Whether it changes anything.
    var isOrder: Bool {
        switch verb {
        case .rekey, .drop, .circuitBuild, .circuitClose, .circuitRenew: true
        case .logLevel: level != nil
        case .reload: isTrial != true
        case .status, .ping, .look, .netcheck, .logs, .metrics, .trace, .circuits, .quilt: false
        }
    }
}

/// A page of metrics in Prometheus' text format.
public struct MetricsReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.metrics/1"
    public let text: String
}

/// What a verb without another answer did.
public struct ControlReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.control/1"
    /// "rekey", "drop" or "look".
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
