// SPDX-License-Identifier: Apache-2.0
// What happens to a node now and then, counted: the core's events on their way to the log. Packets never come by here.
internal import CoreMetrics
internal import VPNCore

/// Belongs to the node's actor, which alone records; the registry behind it may be read from anywhere.
struct NodeMetrics {
    let registry = MetricRegistry(MetricTable.counted)
    /// Sessions that a peer has: established and not ended.
    private var living: [PeerSlot: Int] = [:]
    private let rekeys: Counter
    private let rekeyDuration: Timer
    private let keepaliveRoundTrip: Timer
    private let peerSilences: Counter
    private let pathMoves: Counter
    private let circuitBuildDuration: Timer

    init() {
        rekeys = Counter(label: MetricTable.rekeys.name, factory: registry)
        rekeyDuration = Timer(label: MetricTable.rekeyDuration.name, factory: registry)
        keepaliveRoundTrip = Timer(label: MetricTable.keepaliveRoundTrip.name, factory: registry)
        peerSilences = Counter(label: MetricTable.peerSilences.name, factory: registry)
        pathMoves = Counter(label: MetricTable.pathMoves.name, factory: registry)
        circuitBuildDuration = Timer(label: MetricTable.circuitBuildDuration.name, factory: registry)
        // From the start, so that the first failure is a step that an alert can see.
        for role in [SessionRole.initiator, .responder] {
            _ = handshakes(role, "ok")
            _ = duration(role)
        }
        _ = handshakes(.initiator, "timeout")
        _ = circuitBuilds("ok")
    }

    /// An attempt to build a circuit came to an end.
    ///
    /// - Parameter span: from its beginning; nil for those that failed.
    func circuitBuilt(_ result: String, after span: TimeSpan? = nil) {
        circuitBuilds(result).increment()
        if let span { circuitBuildDuration.recordNanoseconds(Int64(clamping: span.nanoseconds)) }
    }

    private func circuitBuilds(_ result: String) -> Counter {
        Counter(label: MetricTable.circuitBuilds.name, dimensions: [("result", result)], factory: registry)
    }

    mutating func record(_ event: Event) {
        switch event {
        case .sessionEstablished(let summary):
            handshakes(summary.role, "ok").increment()
            duration(summary.role).recordNanoseconds(Int64(clamping: summary.duration.nanoseconds))
            if living[summary.slot, default: 0] > 0 {
                rekeys.increment()
                rekeyDuration.recordNanoseconds(Int64(clamping: summary.duration.nanoseconds))
            }
            living[summary.slot, default: 0] += 1
        case .sessionEnded(let summary, let end):
            count(MetricTable.sessionsEnded, end.rawValue)
            let left = living[summary.slot, default: 0] - 1
            living[summary.slot] = left > 0 ? left : nil
        case .handshakeTimedOut: handshakes(.initiator, "timeout").increment()
        case .handshakeRefused(_, let role, let failure, _): handshakes(role, failure.rawValue).increment()
        case .identityRefused(_, _, let refusal, _, _, _): count(MetricTable.identitiesRefused, refusal.rawValue)
        case .keepaliveAnswered(_, let roundTrip):
            keepaliveRoundTrip.recordNanoseconds(Int64(clamping: roundTrip.nanoseconds))
        case .peerSilent: peerSilences.increment()
        case .pathMoved: pathMoves.increment()
        default: break
        }
    }

    private func handshakes(_ role: SessionRole, _ result: String) -> Counter {
        Counter(
            label: MetricTable.handshakes.name, dimensions: [("role", role.rawValue), ("result", result)],
            factory: registry)
    }

    private func duration(_ role: SessionRole) -> Timer {
        Timer(
            label: MetricTable.handshakeDuration.name, dimensions: [("role", role.rawValue)], factory: registry)
    }

    private func count(_ description: MetricDescription, _ reason: String) {
        Counter(label: description.name, dimensions: [("reason", reason)], factory: registry).increment()
    }
}
