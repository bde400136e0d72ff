// SPDX-License-Identifier: Apache-2.0
// `pqvpn netcheck`: what the network lets through, as this host's own peers show it. Nobody else is asked. Each answer is one that
// was measured, or says that it is not known.
internal import VPNCore

public struct NetcheckReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.netcheck/1"

    public enum Answer: String, Codable, Sendable, CaseIterable { case yes, no, unknown }

    /// One of the two families.
    public struct Family: Codable, Equatable, Sendable {
        /// "IPv4" or "IPv6".
        public var name: String
        /// Whether a peer answered over it; unknown where there is none to ask.
        public var works: Answer
        /// Whether there is a route to a peer of this family.
        public var isRouted: Bool
        public var nat: NATKind

        private enum CodingKeys: String, CodingKey {
            case name, works
            case isRouted = "routed"
            case nat
        }
    }

    /// How far a handshake with a peer came.
    public enum Handshake: String, Codable, Sendable, CaseIterable {
        /// Both ways: seven datagrams of 1232 bytes each at least.
        case passes
        /// 128 bytes are answered, 1232 bytes are not.
        case largeLost = "large_lost"
        /// 1232 bytes pass both ways, and the handshake is not answered: the peer does not know this node, or not its key.
        case unanswered
        /// 128 bytes are answered; whether 1232 bytes pass is not known.
        case answered
        /// Another identity than the expected one is there, or one that nobody pinned.
        case refused
        case silent
        /// It has no endpoint, and did not call.
        case notAsked = "not_asked"
    }

    public struct Peer: Codable, Equatable, Sendable {
        public var name: String
        public var endpoint: String?
        public var handshake: Handshake
        public var roundTripSeconds: Double?
        /// Where it sees this host.
        public var seenAs: String?
        /// Bytes of the longest IP packet that is known to arrive there, and whether that was measured.
        public var pathMTU: Int?
        public var isMeasured: Bool
        /// Whether longer ones were not tried, since one of the two tunnels takes none.
        public var isLeast: Bool
        /// By how much its clock is ahead of this one, in seconds; both count whole ones.
        public var clockAheadSeconds: Int?

        private enum CodingKeys: String, CodingKey {
            case name, endpoint, handshake
            case roundTripSeconds = "rtt_seconds"
            case seenAs = "seen_as"
            case pathMTU = "path_mtu"
            case isMeasured = "path_mtu_measured"
            case isLeast = "path_mtu_is_least"
            case clockAheadSeconds = "clock_ahead_seconds"
        }
    }

    public struct Clock: Codable, Equatable, Sendable {
        /// Whether the kernel says that somebody keeps it right.
        public var synchronised: Answer
        /// What the kernel says of its largest error, in seconds.
        public var largestErrorSeconds: Double?

        private enum CodingKeys: String, CodingKey {
            case synchronised
            case largestErrorSeconds = "largest_error_seconds"
        }
    }

    /// "node" where the running one was asked, "own" where this command asked by itself.
    public var by: String
    public var udp: Answer
    public var families: [Family]
    public var peers: [Peer]
    public var clock: Clock

    /// All of it from the peers' answers.
    init(by: String, peers found: [NetcheckPeer], clock: Clock) {
        self.by = by
        self.clock = clock
        peers = found.map(\.report)
        let asked = found.filter { $0.endpoint != nil }
        func answer(_ list: [NetcheckPeer]) -> Answer {
            list.isEmpty ? .unknown : list.contains(where: \.hasAnswered) ? .yes : .no
        }
        udp = answer(asked)
        families = [IPAddress.Family.v4, .v6].map { family in
            let those = asked.filter { $0.endpoint?.address.family == family }
            return Family(
                name: family == .v4 ? "IPv4" : "IPv6", works: answer(those),
                isRouted: those.contains { $0.local != nil }, nat: NATKind(those.compactMap(\.view)))
        }
    }

    // MARK: Text

    public var text: String {
        var lines = ["UDP out     " + Self.text(udp, no: "no: no peer answered")]
        for family in families {
            let no = family.isRouted ? "no: no peer answered over it" : "no: no route to a peer"
            lines.append("\(family.name)        " + Self.text(family.works, no: no))
            if family.works == .yes { lines.append("NAT, \(family.name)   \(family.nat.text)") }
        }
        lines.append("Clock       " + clockText)
        if peers.isEmpty {
            return (lines + ["Peers       none is configured: nobody can be asked"]).joined(separator: "\n")
        }
        let rows = peers.map { peer in
            [
                peer.name, peer.endpoint ?? "-", peer.handshake.text, peer.roundTripSeconds.map(Units.span) ?? "-",
                peer.pathMTU.map { "\($0)" + (!peer.isMeasured ? "?" : peer.isLeast ? "+" : "") } ?? "-",
                peer.seenAs ?? "-",
                peer.clockAheadSeconds.map { $0 >= 0 ? "+\($0) s" : "\($0) s" } ?? "-",
            ]
        }
        lines += ["", Units.table(["PEER", "ENDPOINT", "HANDSHAKE", "RTT", "PATH MTU", "SEES US AT", "CLOCK"], rows)]
        for peer in peers { if let advice = peer.handshake.advice { lines.append("\(peer.name): \(advice)") } }
        return lines.joined(separator: "\n")
    }

    private var clockText: String {
        switch clock.synchronised {
        case .yes:
            "kept right, by the kernel's word" + (clock.largestErrorSeconds.map { " within \(Units.span($0))" } ?? "")
        case .no: "NOT kept right: nobody synchronises it (timedatectl set-ntp true)"
        case .unknown: "unknown: the kernel does not say"
        }
    }

    private static func text(_ answer: Answer, no: String) -> String {
        switch answer {
        case .yes: "yes"
        case .no: no
        case .unknown: "unknown: no peer to ask"
        }
    }
}

extension NetcheckReport.Handshake {
    var text: String {
        switch self {
        case .passes: "passes"
        case .largeLost: "LARGE LOST"
        case .unanswered: "unanswered"
        case .answered: "half"
        case .refused: "REFUSED"
        case .silent: "NO ANSWER"
        case .notAsked: "not asked"
        }
    }

    /// What somebody can do about it.
    var advice: String? {
        switch self {
        case .passes: nil
        case .largeLost:
            "datagrams of 128 bytes pass and of 1232 bytes do not: something on the way drops long UDP datagrams"
        case .unanswered:
            "datagrams of all sizes pass, and this node is not answered: the peer does not know it (pqvpn peers add there), or has another preshared key"
        case .answered: "it is there, and its handshake was not completed in time"
        case .refused:
            "another identity is there than the one that was expected, or one that is not pinned: pqvpn peers list"
        case .silent: "no answer: is it running, is the endpoint right, do firewalls let UDP through?"
        case .notAsked: "it has no endpoint and no session: only it can call"
        }
    }
}

/// What was found out about one peer.
struct NetcheckPeer {
    var name: String
    /// Where it is called; nil for one that calls.
    var endpoint: Endpoint?
    /// What packets to it are sent from; nil where there is no route.
    var local: Endpoint?
    var seen: Endpoint?
    var clockAhead: Int?
    var hasSession: Bool
    var roundTrip: Double?
    /// Bytes of inner packets.
    var innerMTU: Int?
    var provenMTU: Int?
    /// What both tunnels take.
    var ceiling: Int?
    var isRefused = false
    /// Whether a handshake datagram came from its endpoint.
    var isHeard = false
    /// What came when somebody asked there as a stranger; nil where nobody did.
    var strangerHeard: Set<DatagramType>?

    var hasAnswered: Bool { hasSession || isHeard || isRefused || strangerHeard?.isEmpty == false }

    var view: NATKind.View? {
        guard let endpoint, let local, let seen else { return nil }
        return NATKind.View(place: endpoint, local: local, seen: seen)
    }

    var handshake: NetcheckReport.Handshake {
        if hasSession { return .passes }
        if isRefused { return .refused }
        guard endpoint != nil else { return .notAsked }
        // An answer to INFO has 1232 bytes, and so has its question; RETRY has 128.
        if let heard = strangerHeard, !heard.isEmpty { return heard.contains(.infoResponse) ? .unanswered : .largeLost }
        return isHeard ? .answered : .silent
    }

    var report: NetcheckReport.Peer {
        let mtu = provenMTU ?? innerMTU
        let header = endpoint.map { $0.isV4 ? 28 : 48 } ?? 28
        return NetcheckReport.Peer(
            name: name, endpoint: endpoint?.text, handshake: handshake, roundTripSeconds: roundTrip,
            seenAs: seen?.text, pathMTU: hasSession ? mtu.map { $0 + Limits.layerOverhead + header } : nil,
            isMeasured: hasSession && provenMTU != nil, isLeast: hasSession && provenMTU == ceiling,
            clockAheadSeconds: clockAhead)
    }
}
