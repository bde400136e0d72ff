// SPDX-License-Identifier: Apache-2.0
// The circuits of a running node as a value: its own with all that it knows of them, and of those that pass only how many. A relay's
// operator sees no two ends on one line, since the node that he runs does not show them. docs/schemas/circuits.json is the contract.

public struct CircuitsReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.circuits/1"

    /// Why the last attempt came to nothing, and what mends it.
    public struct Failure: Codable, Equatable, Sendable {
        /// "refused", "busy", "unreachable", "no_answer", "handshake", "lost", "ended", …
        public var code: String
        /// Whose word it was, or whose silence; nil where it was this node's.
        public var node: String?
        public var text: String
        public var fix: String
    }

    public struct Hop: Codable, Equatable, Sendable {
        public var name: String
        public var peerID: String

        private enum CodingKeys: String, CodingKey {
            case name
            case peerID = "peer_id"
        }
    }

    /// One of this node's own.
    public struct Own: Codable, Equatable, Sendable {
        public var name: String
        /// "configuration" or "command".
        public var origin: String
        /// "building", "ready", "replacing" (in use, another path is being made), or "waiting" for the next attempt.
        public var state: String
        public var hops: [Hop]
        public var networks: [String]
        /// What two hops share, of "operator", "family" and "network": `circuit.relax_diversity` let them. Nil where nothing.
        public var shared: [String]?
        /// Of a circuit that was asked for with several paths at once: each that is in use, and how many are wanted.
        public var paths: [[Hop]]?
        public var wantedPaths: Int?
        /// Two of them share a relay, an operator or a network, since there were too few.
        public var isRelaxed: Bool?
        /// UTC, when it carried packets first; nil before that.
        public var since: String?
        public var ageSeconds: Double?
        /// Until another path is built.
        public var replacesInSeconds: Double?
        /// How often another path took over.
        public var replaced: Int
        /// Bytes of the longest inner packet.
        public var mtu: Int?
        /// Of the session with the last hop.
        public var session: StatusReport.Session?
        /// Attempts that failed, one after the other.
        public var failures: Int
        public var retryInSeconds: Double?
        public var lastFailure: Failure?

        public var isUp: Bool { state == "ready" || state == "replacing" }

        private enum CodingKeys: String, CodingKey {
            case name, origin, state, hops, networks, shared, since
            case ageSeconds = "age_seconds"
            case paths
            case wantedPaths = "wanted_paths"
            case isRelaxed = "paths_share"
            case replacesInSeconds = "replaces_in_seconds"
            case replaced, mtu, session, failures
            case retryInSeconds = "retry_in_seconds"
            case lastFailure = "last_failure"
        }
    }

    /// What passes.
    public struct Relay: Codable, Equatable, Sendable {
        public var isEnabled: Bool
        /// That go on to another node.
        public var circuits: Int
        /// Anonymous callers whose circuit ends here.
        public var guests: Int
        /// Since the start of the node, both ways.
        public var packets: UInt64
        public var bytes: UInt64

        private enum CodingKeys: String, CodingKey {
            case isEnabled = "enabled"
            case circuits, guests, packets, bytes
        }
    }

    public var circuits: [Own]
    public var relay: Relay

    public var text: String {
        var lines: [String] = []
        if circuits.isEmpty {
            lines.append("no circuits of this node's own: peers[].via in the configuration, or pqvpn circuit build")
        } else {
            let rows = circuits.map { circuit in
                [
                    circuit.name, circuit.stateText, circuit.way, circuit.ageSeconds.map(Units.span) ?? "-",
                    circuit.mtu.map(String.init) ?? "-", "\(circuit.replaced)", circuit.networks.joined(separator: " "),
                ]
            }
            lines.append(Units.table(["CIRCUIT", "STATE", "THROUGH", "AGE", "MTU", "REPLACED", "NETWORKS"], rows))
            for circuit in circuits {
                if let text = circuit.sharedText { lines += ["", "\(circuit.name): \(text)"] }
                guard let failure = circuit.lastFailure else { continue }
                lines += ["", "\(circuit.name): \(failure.text)", "  mend: \(failure.fix)"]
            }
        }
        lines += ["", relay.text]
        return lines.joined(separator: "\n")
    }
}

extension CircuitsReport.Own {
    /// "r1, r2 to exit1".
    var way: String {
        let names = hops.map(\.name)
        guard let last = names.last, names.count > 1 else { return names.first ?? "-" }
        let others = paths.map { $0.count > 1 ? " and \($0.count - 1) more" : "" } ?? ""
        return "\(names.dropLast().joined(separator: ", "))\(others) to \(last)"
    }

    /// Nil where every hop is apart from all others.
    var sharedText: String? {
        guard let shared, !shared.isEmpty else { return nil }
        return "two hops have one \(shared.joined(separator: ", one ")) (circuit.relax_diversity)"
    }

    var stateText: String {
        guard state == "waiting" else { return state }
        return "down" + (retryInSeconds.map { ", next try in \(Units.span($0))" } ?? "")
    }
}

extension CircuitsReport.Relay {
    var text: String {
        guard isEnabled else { return "Relays nothing: relay.enabled is false" }
        let volume = "\(packets) packets, \(Units.bytes(bytes)) since the start"
        return
            "Relays \(circuits) circuit\(circuits == 1 ? "" : "s") for others and is the last hop of \(guests); \(volume)"
    }
}

/// One circuit, with what an operator wants to know of it.
public struct CircuitReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.circuit/1"
    public var circuit: CircuitsReport.Own

    public init(_ circuit: CircuitsReport.Own) { self.circuit = circuit }

    public var text: String {
        var lines = [
            "\(circuit.name)  \(circuit.stateText)",
            "  through    \(circuit.way)",
        ]
        for (number, hop) in circuit.hops.enumerated() {
            lines.append("  hop \(number + 1)      \(hop.name)  \(hop.peerID)")
        }
        if let text = circuit.sharedText { lines.append("  diversity  \(text)") }
        if let paths = circuit.paths, let wanted = circuit.wantedPaths {
            lines.append("  paths      \(paths.count) of \(wanted) in use: see pqvpn quilt")
            for (number, path) in paths.enumerated() {
                lines.append("  path \(number)     \(path.map(\.name).joined(separator: ", "))")
            }
            if circuit.isRelaxed == true {
                lines.append("  shared     some of them have a relay or its owner in common")
            }
        }
        if !circuit.networks.isEmpty { lines.append("  networks   \(circuit.networks.joined(separator: " "))") }
        lines.append(
            "  wanted by  \(circuit.origin == "command" ? "pqvpn circuit build, until it is closed" : "the configuration")"
        )
        if let since = circuit.since, let age = circuit.ageSeconds {
            lines.append("  since      \(since) (\(Units.span(age))), replaced \(circuit.replaced) times")
        }
        if let next = circuit.replacesInSeconds { lines.append("  next path  in \(Units.span(next))") }
        if let mtu = circuit.mtu { lines.append("  packets    of up to \(mtu) bytes") }
        if let session = circuit.session {
            lines.append(
                "  session    \(session.id), \(session.signatures), \(session.cipher), \(Units.span(session.ageSeconds)) old"
            )
            lines.append("  datagrams  in \(session.datagramsIn), out \(session.datagramsOut)")
        }
        if let failure = circuit.lastFailure {
            lines += ["  failed     \(circuit.failures) times: \(failure.text)", "    mend: \(failure.fix)"]
        }
        return lines.joined(separator: "\n")
    }
}

/// What an order about a circuit did.
public struct CircuitOrderReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.circuit-order/1"
    /// "build", "close" or "renew".
    public let action: String
    public let circuit: String
    public let text: String

    public init(action: String, circuit: String, text: String) {
        self.action = action
        self.circuit = circuit
        self.text = text
    }
}
