// SPDX-License-Identifier: Apache-2.0
// The paths of quilts as metrics. Without metrics.per_peer there are three classes of them, however many peers and paths: the first ones,
// by which handshakes go, the added ones, and those through relays. What sessions count begins anew with each, so those are gauges.
internal import VPNCore

struct QuiltObservation: Sendable {
    /// By name of the peer or of the circuit, in the order of the configuration.
    var quilts: [(peer: String, quilt: QuiltSnapshot)] = []
    /// Of an exit's guests, who have no names.
    var ofGuests: [QuiltSnapshot] = []
    var isPerPeer = false

    var families: [MetricFamily] {
        let all = quilts.map(\.quilt) + ofGuests
        let patches = all.flatMap(\.patches)
        let joining = all.reduce(0) { $0 + $1.joining.count }
        var states = Dictionary(grouping: patches, by: \.state).mapValues(\.count)
        states[.joining, default: 0] += joining
        func one(_ description: MetricDescription, _ value: some BinaryInteger) -> MetricFamily {
            MetricFamily(description, [MetricSample(Double(value))])
        }
        func sum(_ value: (QuiltSnapshot) -> UInt64) -> UInt64 { all.reduce(0) { $0 &+ value($1) } }
        let classes = Dictionary(grouping: patches) { patch in
            if case .circuit = patch.carrier { "circuit" } else { patch.number == 0 ? "first" : "added" }
        }
        func byClass(_ description: MetricDescription, _ value: ([PatchSnapshot]) -> Double) -> MetricFamily {
            MetricFamily(
                description,
                ["first", "added", "circuit"].map { MetricSample(value(classes[$0] ?? []), [("class", $0)]) })
        }
        return [
            one(MetricTable.quilts, all.count),
            MetricFamily(
                MetricTable.quiltPaths,
                PatchState.allCases.map { MetricSample(Double(states[$0] ?? 0), [("state", $0.rawValue)]) }),
            byClass(MetricTable.quiltRoundTrip) { $0.compactMap { $0.roundTrip?.seconds }.max() ?? 0 },
            byClass(MetricTable.quiltLoss) { Double($0.map(\.lossPerMille).max() ?? 0) / 1000 },
            byClass(MetricTable.quiltSent) { Double($0.reduce(UInt64(0)) { $0 &+ $1.bytesSent }) },
            byClass(MetricTable.quiltReceived) { Double($0.reduce(UInt64(0)) { $0 &+ $1.bytesReceived }) },
            one(MetricTable.quiltWaited, sum { $0.resequencing.held }),
            one(MetricTable.quiltLate, sum { $0.resequencing.late }),
            one(MetricTable.quiltResent, sum(\.sentAgain)),
        ] + perPeer
    }

    private var perPeer: [MetricFamily] {
        guard isPerPeer, !quilts.isEmpty else { return [] }
        let paths = quilts.prefix(MetricTable.mostPeers).flatMap { entry in
            entry.quilt.patches.map { (peer: entry.peer, patch: $0) }
        }
        func each(_ description: MetricDescription, _ value: (PatchSnapshot) -> Double) -> MetricFamily {
            MetricFamily(
                description,
                paths.map { MetricSample(value($0.patch), [("peer", $0.peer), ("path", "\($0.patch.number)")]) })
        }
        return [
            each(MetricTable.pathUp) { $0.state == .up ? 1 : 0 },
            each(MetricTable.pathRoundTrip) { $0.roundTrip?.seconds ?? 0 },
            each(MetricTable.pathLoss) { Double($0.lossPerMille) / 1000 },
            each(MetricTable.pathSent) { Double($0.bytesSent) },
            each(MetricTable.pathReceived) { Double($0.bytesReceived) },
        ]
    }
}

extension MetricTable {
    static let quilts = of("pqvpn_quilts", "Sessions that go by more than one path.")
    static let quiltPaths = of("pqvpn_quilt_paths", "Paths of those sessions, by state.", ["state"])
    static let quiltRoundTrip = of(
        "pqvpn_quilt_longest_round_trip_seconds", "The longest round trip of such a path; 0 before the first answer.",
        ["class"])
    static let quiltLoss = of(
        "pqvpn_quilt_worst_loss_ratio", "The largest share that such a path loses of what this end sends.", ["class"])
    static let quiltSent = of(
        "pqvpn_quilt_sent_bytes", "UDP payload sent by such paths of the sessions now.", ["class"])
    static let quiltReceived = of(
        "pqvpn_quilt_received_bytes", "UDP payload received by such paths of the sessions now.", ["class"])
    static let quiltWaited = of(
        "pqvpn_quilt_waited_packets", "Packets of the sessions now that waited for earlier ones.")
    static let quiltLate = of(
        "pqvpn_quilt_late_packets", "Packets of the sessions now that came when they were waited for no more.")
    static let quiltResent = of(
        "pqvpn_quilt_resent_datagrams", "Datagrams of the sessions now that went again by another path.")

    /// Only with metrics.per_peer.
    static let pathUp = ofPath("pqvpn_peer_path_up", "1 while a peer's path carries.")
    static let pathRoundTrip = ofPath(
        "pqvpn_peer_path_round_trip_seconds", "Of a peer's path; 0 before the first answer.")
    static let pathLoss = ofPath("pqvpn_peer_path_loss_ratio", "What a peer's path loses of what this end sends.")
    static let pathSent = ofPath("pqvpn_peer_path_sent_bytes", "UDP payload sent by a peer's path of the session now.")
    static let pathReceived = ofPath(
        "pqvpn_peer_path_received_bytes", "UDP payload received by a peer's path of the session now.")

    private static func of(_ name: String, _ help: String, _ labels: [String] = []) -> MetricDescription {
        MetricDescription(name: name, kind: .gauge, help: help, labels: labels)
    }

    private static func ofPath(_ name: String, _ help: String) -> MetricDescription {
        MetricDescription(
            name: name, kind: .gauge, help: help, labels: ["peer", "path"],
            maximumSeries: mostPeers * Limits.patches)
    }
}
