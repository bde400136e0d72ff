// SPDX-License-Identifier: Apache-2.0
// A run as those meet it who ask over a door: what is the node's goes to the node, the log and the file are answered here.
internal import Logging

struct RunningNode: RunControl {
    let node: Node
    let reloading: ConfigurationReload
    let output: LogOutput
    let logger: Logger

    func status() async throws -> StatusReport {
        var report = await node.status()
        report.logLevel = output.level.rawValue
        return report
    }

    func rekey(_ peer: String) async throws -> ControlReport { try await node.rekey(peer) }
    func drop(_ peer: String) async throws -> ControlReport { try await node.drop(peer) }
    func ping(_ peer: String, timeout: Duration) async throws -> PingReport {
        try await node.ping(peer, timeout: timeout)
    }

    func look() async throws -> ControlReport { try await node.look() }
    func netcheck(within limit: Duration) async throws -> NetcheckReport { try await node.netcheck(within: limit) }
    func trace(_ peer: String, timeout: Duration) async throws -> TraceReport {
        try await node.trace(peer, timeout: timeout)
    }

    func quilt(_ peer: String?) async throws -> QuiltReport { try await node.quilt(peer) }
    func circuitsReport() async throws -> CircuitsReport { await node.circuitsReport() }
    func buildCircuit(
        _ name: String, ways: [[String]], networks: [String], together scheduler: String?
    ) async throws -> CircuitOrderReport {
        try await node.buildCircuit(name, ways: ways, networks: networks, together: scheduler)
    }
    func closeCircuit(_ name: String) async throws -> CircuitOrderReport { try await node.closeCircuit(name) }
    func renewCircuit(_ name: String) async throws -> CircuitOrderReport { try await node.renewCircuit(name) }

    func logs(_ wanted: LogRing.Question) -> LogsReport {
        let look = output.ring.look(after: wanted.since, limit: wanted.limit, level: wanted.level)
        return LogsReport(
            lines: look.lines.map { LogsReport.Line(sequence: $0.sequence, line: $0.text) }, lost: look.lost,
            next: look.next, level: output.level.rawValue)
    }

    func metrics() async -> MetricsReport {
        MetricsReport(text: await MetricPage(node, output: output).text(.prometheus))
    }

    func setLogLevel(_ name: String?) throws -> LogLevelReport {
        let old = output.level
        guard let name else { return LogLevelReport(old: old.rawValue, new: old.rawValue) }
        let new = try LogLevelName.level(name)
        // Told while it can be: a level that silences is told before it does.
        if new < old { output.setLevel(new) }
        logger.notice(
            "the level of the log changes", metadata: ["event": "log.level", "old": "\(old)", "new": "\(new)"])
        output.setLevel(new)
        return LogLevelReport(old: old.rawValue, new: new.rawValue)
    }

    func reload(isTrial: Bool) async throws -> ReloadReport { try await reloading.perform(isTrial: isTrial) }
}
