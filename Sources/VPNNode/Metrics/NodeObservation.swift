// SPDX-License-Identifier: Apache-2.0
// A node as one look sees it, and that as metrics. The look costs the node's actor some loads and no packet thread anything.
internal import VPNCore
internal import VPNEngine

struct NodeObservation: Sendable {
    var isReady: Bool
    var counters: EngineCounters
    /// Of the control side.
    var drops: [(reason: DropReason, count: UInt64)]
    var footprint: ControlFootprint
    var cover: CoverCost
    var census: SessionCensus
    var relay: RelaySnapshot
    /// Own circuits that carry packets, and those that are wanted and do not.
    var circuits: (ready: Int, building: Int)
    /// Empty unless metrics.per_peer.
    var peers: [PeerTraffic]
    /// Whatever metrics.per_peer says, which it has in itself.
    var quilts = QuiltObservation()
    var insecureSettings: Int
    /// Of the registry: what went into "other".
    var refusedSeries: Int
    /// For the times of peers' handshakes.
    var now: Instant
    var unixSeconds: UInt64

    var families: [MetricFamily] {
        [
            MetricFamily(
                MetricTable.buildInfo,
                [
                    MetricSample(
                        1, [("version", VersionReport.current), ("protocol", "\(VersionReport().protocol)")])
                ]),
            one(MetricTable.ready, isReady ? 1 : 0),
            MetricFamily(
                MetricTable.sessions,
                [("current", census.current), ("next", census.next), ("previous", census.previous)].map {
                    MetricSample(Double($1), [("state", $0)])
                }),
            one(MetricTable.degraded, census.degraded),
            one(MetricTable.peers, footprint.peers),
            one(
                MetricTable.handshakesInProgress,
                footprint.initiations + footprint.inboundHandshakes + footprint.reassemblies),
            one(MetricTable.jobs, footprint.jobs),
            one(MetricTable.receivedBytes, counters.bytesReceived),
            one(MetricTable.sentBytes, counters.bytesSent),
            one(MetricTable.receivedPackets, counters.datagramsReceived),
            one(MetricTable.sentPackets, counters.datagramsSent),
            one(MetricTable.tunnelReceivedBytes, counters.bytesToTunnel),
            one(MetricTable.tunnelSentBytes, counters.bytesFromTunnel),
            one(MetricTable.tunnelReceivedPackets, counters.packetsToTunnel),
            one(MetricTable.tunnelSentPackets, counters.packetsFromTunnel),
            // All reasons, also those that never occurred: an alert needs the zero to see a step.
            MetricFamily(
                MetricTable.dropped,
                DropReason.allCases.map { MetricSample(Double(dropped($0)), [("reason", $0.name)]) }),
            one(MetricTable.replayRejects, dropped(.replayDuplicate) + dropped(.replayTooOld)),
            one(MetricTable.wakeUps, counters.wakeUps),
            one(MetricTable.coverPackets, cover.datagrams),
            one(MetricTable.coverBytes, cover.bytes),
            MetricFamily(
                MetricTable.circuits,
                [
                    ("own", circuits.ready), ("building", circuits.building), ("relayed", relay.circuits),
                    ("guest", relay.guests),
                ].map { MetricSample(Double($1), [("role", $0)]) }),
            one(MetricTable.relayedPackets, relay.totalPackets),
            one(MetricTable.relayedBytes, relay.totalBytes),
            one(
                MetricTable.relayDrops,
                DropReason.allCases.filter(\.isOfCircuits).reduce(UInt64(0)) { $0 &+ dropped($1) }),
            one(MetricTable.insecure, insecureSettings),
            // Peers beyond the limit have no series at all: any name for their sum could be the name of a peer.
            one(MetricTable.refusedSeries, refusedSeries + max(0, peers.count - MetricTable.mostPeers)),
        ] + quilts.families + perPeer
    }

    private func dropped(_ reason: DropReason) -> UInt64 {
        (counters.drops + drops).reduce(0) { $1.reason == reason ? $0 &+ $1.count : $0 }
    }

    private func one(_ description: MetricDescription, _ value: some BinaryInteger) -> MetricFamily {
        MetricFamily(description, [MetricSample(Double(value))])
    }

    private var perPeer: [MetricFamily] {
        guard !peers.isEmpty else { return [] }
        let told = peers.prefix(MetricTable.mostPeers)
        func sum(_ description: MetricDescription, _ value: (PeerTraffic) -> UInt64) -> MetricFamily {
            MetricFamily(description, told.map { MetricSample(Double(value($0)), [("peer", $0.name)]) })
        }
        return [
            sum(MetricTable.peerReceived, \.bytesIn), sum(MetricTable.peerSent, \.bytesOut),
            MetricFamily(
                MetricTable.peerHandshake,
                told.map { peer in
                    let age = peer.established.map { now.since($0).seconds }
                    return MetricSample(age.map { Double(unixSeconds) - $0 } ?? 0, [("peer", peer.name)])
                }),
        ]
    }
}

extension DropReason {
    /// Whether it is about circuits and what goes on them.
    fileprivate var isOfCircuits: Bool { name.hasPrefix("circuit_") }
}

extension ProcessFacts {
    var families: [MetricFamily] {
        [
            MetricFamily(MetricTable.cpu, [MetricSample(cpuSeconds)]),
            MetricFamily(MetricTable.residentMemory, [MetricSample(Double(residentBytes))]),
            MetricFamily(MetricTable.openFiles, [MetricSample(Double(openFiles))]),
            MetricFamily(MetricTable.startTime, [MetricSample(startSeconds)]),
        ]
    }
}
