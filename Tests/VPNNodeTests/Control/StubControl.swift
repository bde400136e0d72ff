// SPDX-License-Identifier: Apache-2.0
// A node that is none, behind a control socket of a test: it writes down what it is asked and answers at once.
import Foundation
import Logging
import Synchronization
import VPNCore

@testable import VPNNode

final class StubControl: RunControl {
    private let calls = Mutex<[String]>([])
    private let nickname: String

    init(nickname: String = "n") { self.nickname = nickname }

    /// What was asked, in order.
    var asked: [String] { calls.withLock { $0 } }

    private func note(_ words: String) { calls.withLock { $0.append(words) } }

    private func report(_ action: String, _ peer: String) -> ControlReport {
        note("\(action) \(peer)")
        return ControlReport(action: action, peer: peer, text: "done")
    }

    private func order(_ action: String, _ circuit: String) -> CircuitOrderReport {
        note("circuit-\(action) \(circuit)")
        return CircuitOrderReport(action: action, circuit: circuit, text: "done")
    }

    private func milliseconds(_ duration: Duration) -> Int { Int(duration / Duration.milliseconds(1)) }

    func status() throws -> StatusReport {
        note("status")
        return StatusReport(
            verdict: .idle, version: "0", pid: 1, nickname: nickname, peerID: String(repeating: "a", count: 64),
            isTemporary: false, configuration: "c.yaml", uptimeSeconds: 1, listening: "[::]:9000", tunnel: nil,
            traffic: StatusReport.Traffic(
                packetsOut: 0, bytesOut: 0, packetsIn: 0, bytesIn: 0, wireBytesOut: 0, wireBytesIn: 0),
            peers: [], drops: [:], health: [])
    }

    func rekey(_ peer: String) throws -> ControlReport { report("rekey", peer) }
    func drop(_ peer: String) throws -> ControlReport { report("drop", peer) }
    func look() throws -> ControlReport { report("look", "") }

    func netcheck(within limit: Duration) throws -> NetcheckReport {
        note("netcheck \(milliseconds(limit))")
        throw NodeFailure(.timeout, "nobody to ask")
    }

    func ping(_ peer: String, timeout: Duration) throws -> PingReport {
        note("ping \(peer) \(milliseconds(timeout))")
        return PingReport(peer: peer, roundTripSeconds: 0.001, path: "nowhere", mtu: nil)
    }

    func trace(_ peer: String, timeout: Duration) throws -> TraceReport {
        note("trace \(peer) \(milliseconds(timeout))")
        return TraceReport(peer: peer, hops: [])
    }

    func quilt(_ peer: String?) throws -> QuiltReport {
        note("quilt \(peer ?? "-")")
        return QuiltReport(quilts: [])
    }

    func circuitsReport() throws -> CircuitsReport {
        note("circuits")
        return CircuitsReport(
            circuits: [],
            relay: CircuitsReport.Relay(isEnabled: false, circuits: 0, guests: 0, packets: 0, bytes: 0))
    }

    func buildCircuit(
        _ name: String, ways: [[String]], networks: [String], together scheduler: String?
    ) throws -> CircuitOrderReport {
        let hops = ways.map { $0.joined(separator: ",") }.joined(separator: "|")
        return order("build", "\(name) \(hops) \(networks.joined(separator: ",")) \(scheduler ?? "-")")
    }

    func closeCircuit(_ name: String) throws -> CircuitOrderReport { order("close", name) }
    func renewCircuit(_ name: String) throws -> CircuitOrderReport { order("renew", name) }

    func logs(_ wanted: LogRing.Question) throws -> LogsReport {
        note("logs \(wanted.limit) \(wanted.level)")
        return LogsReport(lines: [], lost: 0, next: 0, level: "info")
    }

    func setLogLevel(_ name: String?) throws -> LogLevelReport {
        note("log-level \(name ?? "-")")
        return LogLevelReport(old: "info", new: name ?? "info")
    }

    func metrics() throws -> MetricsReport {
        note("metrics")
        return MetricsReport(text: "")
    }

    func reload(isTrial: Bool) throws -> ReloadReport {
        note("reload \(isTrial)")
        return ReloadReport(isTrial: isTrial, file: "c.yaml", applied: [], pending: [], warnings: [])
    }
}
