// SPDX-License-Identifier: Apache-2.0
// The quilts of a running node as a value: each path of each session that has several. docs/schemas/quilt.json is the contract. What goes
// by a path is counted since the session began; shares of a time between two looks are whoever looks twice's.
internal import VPNCore

public struct QuiltReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.quilt/1"

    public struct Path: Codable, Equatable, Sendable {
        /// 0 is the one that the handshake went by.
        public var number: Int
        public var endpoint: String
        /// That datagrams leave this host by; nil where routes say.
        public var interface: String?
        /// "joining", "up", "suspect" or "down".
        public var state: String
        public var roundTripSeconds: Double?
        public var jitterSeconds: Double
        /// Of what this end sends: 0 to 1.
        public var loss: Double
        /// What arrived at most lately, and whether that is all that the path can do.
        public var bitsPerSecond: Double
        public var isRateKnown: Bool
        /// Bytes of the longest inner packet.
        public var mtu: Int?
        public var packetsOut: UInt64
        public var bytesOut: UInt64
        public var packetsIn: UInt64
        public var bytesIn: UInt64
        /// Of the bytes of all paths since the session began, 0 to 1.
        public var shareOut: Double
        public var shareIn: Double
        public var heardSecondsAgo: Double?

        private enum CodingKeys: String, CodingKey {
            case number, endpoint, interface, state
            case roundTripSeconds = "rtt_seconds"
            case jitterSeconds = "jitter_seconds"
            case loss
            case bitsPerSecond = "bits_per_second"
            case isRateKnown = "rate_known"
            case mtu
            case packetsOut = "packets_out"
            case bytesOut = "bytes_out"
            case packetsIn = "packets_in"
            case bytesIn = "bytes_in"
            case shareOut = "share_out"
            case shareIn = "share_in"
            case heardSecondsAgo = "heard_seconds_ago"
        }
    }

    /// A path that has not shown yet that it carries.
    public struct Joining: Codable, Equatable, Sendable {
        public var endpoint: String
        public var interface: String?
    }

    public struct Quilt: Codable, Equatable, Sendable {
        public var peer: String
        /// Of what this end sends.
        public var scheduler: String
        public var paths: [Path]
        public var joining: [Joining]
        /// Bytes of the longest inner packet that all paths carry.
        public var mtu: Int?
        /// Packets that waited for earlier ones, and those that came after they had been given up.
        public var waited: UInt64
        public var late: UInt64
        /// Gaps that were given up for time, and for want of room.
        public var expired: UInt64
        public var crowded: UInt64
        /// Datagrams that went again by another path, since theirs fell silent.
        public var sentAgain: UInt64

        private enum CodingKeys: String, CodingKey {
            case peer, scheduler, paths, joining, mtu, waited, late, expired, crowded
            case sentAgain = "sent_again"
        }
    }

    public var quilts: [Quilt]

    public var text: String {
        if quilts.isEmpty {
            return "no session goes by more than one path: peers[].quilt, or circuit.paths, in the configuration"
        }
        return quilts.map(\.text).joined(separator: "\n\n")
    }
}

extension QuiltReport {
    /// The same with the shares of what went between two looks, path by path; a session that is new since then has those of its own.
    public func since(_ earlier: QuiltReport) -> QuiltReport {
        var result = self
        for place in result.quilts.indices {
            guard let before = earlier.quilts.first(where: { $0.peer == result.quilts[place].peer }) else { continue }
            result.quilts[place].share(since: before)
        }
        return result
    }
}

extension QuiltReport.Quilt {
    /// - Parameters:
    ///   - firstMTU: of the path that the handshake went by, whose own is the peer's.
    ///   - interface: the name of one by its number.
    ///   - circuit: what a path through relays is called.
    init(
        _ peer: String, _ quilt: QuiltSnapshot, firstMTU: Int?, interface: (UInt32) -> String,
        circuit: (CircuitPlace) -> String = { _ in "circuit" }
    ) {
        func place(_ carrier: Carrier) -> (endpoint: String, interface: String?) {
            if case .circuit(let place) = carrier { return (circuit(place), nil) }
            guard case .udp(var endpoint) = carrier, endpoint.scope != 0 else {
                return (carrier.text, nil)
            }
            let scope = endpoint.scope
            endpoint.scope = 0
            return (endpoint.text, interface(scope))
        }
        self.peer = peer
        scheduler = quilt.scheduler.rawValue
        paths = quilt.patches.map { patch in
            let (endpoint, interface) = place(patch.carrier)
            return QuiltReport.Path(
                number: patch.number, endpoint: endpoint, interface: interface, state: patch.state.rawValue,
                roundTripSeconds: patch.roundTrip?.seconds, jitterSeconds: patch.jitter.seconds,
                loss: Double(patch.lossPerMille) / 1000, bitsPerSecond: Double(patch.rate) * 8,
                isRateKnown: patch.isRateKnown, mtu: patch.mtu ?? firstMTU, packetsOut: patch.packetsSent,
                bytesOut: patch.bytesSent, packetsIn: patch.packetsReceived, bytesIn: patch.bytesReceived, shareOut: 0,
                shareIn: 0, heardSecondsAgo: patch.heardAgo?.seconds)
        }
        joining = quilt.joining.map { carrier in
            let (endpoint, interface) = place(carrier)
            return QuiltReport.Joining(endpoint: endpoint, interface: interface)
        }
        mtu = quilt.mtu
        waited = quilt.resequencing.held
        late = quilt.resequencing.late
        expired = quilt.resequencing.expired
        crowded = quilt.resequencing.crowded
        sentAgain = quilt.sentAgain
        share(since: nil)
    }

    /// Sets the shares. A count that is less than before began anew.
    fileprivate mutating func share(since before: QuiltReport.Quilt?) {
        let earlier = Dictionary((before?.paths ?? []).map { ($0.number, $0) }) { first, _ in first }
        let isNew = paths.contains { path in
            earlier[path.number].map { $0.bytesOut > path.bytesOut || $0.bytesIn > path.bytesIn } ?? false
        }
        func went(_ count: KeyPath<QuiltReport.Path, UInt64>) -> [Double] {
            let bytes = paths.map { path in
                Double(path[keyPath: count] - (isNew ? 0 : earlier[path.number]?[keyPath: count] ?? 0))
            }
            let sum = bytes.reduce(0, +)
            return bytes.map { sum > 0 ? $0 / sum : 0 }
        }
        for (place, share) in went(\.bytesOut).enumerated() { paths[place].shareOut = share }
        for (place, share) in went(\.bytesIn).enumerated() { paths[place].shareIn = share }
    }

    var text: String {
        let rows = paths.map { path in
            [
                "\(path.number)", path.place, path.state, path.roundTripSeconds.map(Units.span) ?? "-",
                path.roundTripSeconds == nil ? "-" : Units.span(path.jitterSeconds), Units.percent(path.loss),
                path.rateText, Units.percent(path.shareOut), Units.percent(path.shareIn),
                path.mtu.map(String.init) ?? "-",
            ]
        }
        var lines = ["\(peer)  \(summary)"]
        lines.append(
            Units.table(["PATH", "TO", "STATE", "RTT", "JITTER", "LOSS", "RATE", "OUT", "IN", "MTU"], rows))
        for joining in joining {
            let by = joining.interface.map { " by \($0)" } ?? ""
            lines.append("joining  \(joining.endpoint)\(by): nothing comes back from there yet")
        }
        lines.append(
            "order    \(waited) packets waited for earlier ones, \(late) came too late, \(expired + crowded) gaps given up; "
                + "\(sentAgain) sent again by another path")
        return lines.joined(separator: "\n")
    }

    var up: Int { paths.count { $0.state == "up" } }

    /// "2 of 3 paths up, edpf".
    var summary: String {
        "\(up) of \(paths.count + joining.count) paths up, \(scheduler)"
    }
}

extension QuiltReport.Path {
    fileprivate var place: String { endpoint + (interface.map { " by \($0)" } ?? "") }

    /// What is not known to be all is at least that.
    fileprivate var rateText: String {
        guard bitsPerSecond > 0 else { return "-" }
        return (isRateKnown ? "" : "≥ ") + Units.rate(bytesPerSecond: bitsPerSecond / 8)
    }
}
