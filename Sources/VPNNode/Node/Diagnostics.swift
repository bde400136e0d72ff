// SPDX-License-Identifier: Apache-2.0
// One line a minute about the node and its process, for those who have a log and no metrics.
internal import Logging

struct Diagnostics: Sendable {
    let node: Node
    let logger: Logger
    var interval = Duration.seconds(60)

    /// Until its task is cancelled.
    func run() async throws {
        while true {
            try await Task.sleep(for: interval)
            await tell()
        }
    }

    func tell() async {
        let sessions = await node.sessionCount
        var fields: Logger.Metadata = [
            "event": "diag", "component": "node", "sessions": .stringConvertible(sessions),
        ]
        if let facts = ProcessFacts.current() {
            fields["rss_bytes"] = .stringConvertible(facts.residentBytes)
            fields["open_fds"] = .stringConvertible(facts.openFiles)
            fields["cpu_s"] = .stringConvertible(facts.cpuSeconds)
        }
        logger.info("diagnostics", metadata: fields)
    }
}
