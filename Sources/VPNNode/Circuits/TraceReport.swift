// SPDX-License-Identifier: Apache-2.0
// How far a way goes and how long it takes: one question to each hop, in the session that this node has with it. A relay answers for
// itself and learns nothing by it: what it is asked lies in the innermost session that it shares with this node.

public struct TraceReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.trace/1"

    public struct Hop: Codable, Equatable, Sendable {
        /// From 1.
        public var number: Int
        public var name: String
        public var peerID: String?
        /// Where datagrams to it go from here; nil for those behind the first.
        public var endpoint: String?
        /// From here to it and back, through all hops before it; nil: no answer in time.
        public var roundTripSeconds: Double?

        private enum CodingKeys: String, CodingKey {
            case number, name
            case peerID = "peer_id"
            case endpoint
            case roundTripSeconds = "rtt_seconds"
        }
    }

    public var peer: String
    public var hops: [Hop]

    /// Whether the last one answered.
    public var isWhole: Bool { hops.last?.roundTripSeconds != nil }

    public var text: String {
        var lines = hops.map { hop in
            let time = hop.roundTripSeconds.map(Units.span) ?? "no answer"
            return "\(hop.number)  \(hop.name)  \(time)" + (hop.endpoint.map { "  (\($0))" } ?? "")
        }
        if let silent = hops.first(where: { $0.roundTripSeconds == nil }) {
            let before = hops.last { $0.number < silent.number }
            lines.append(
                before.map { "the way ends behind '\($0.name)': '\(silent.name)' is gone, or what leads to it" }
                    ?? "'\(silent.name)', the first hop, does not answer: pqvpn status")
        }
        return lines.joined(separator: "\n")
    }
}
