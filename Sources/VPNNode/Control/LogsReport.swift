// SPDX-License-Identifier: Apache-2.0
// The log over a door: which lines are asked for, the answer, and the level. How lines are kept: Logging/LogRing.
internal import Foundation
internal import Logging

extension LogRing {
    /// Which lines somebody wants.
    public struct Question: Sendable {
        /// After this number; nil: the newest.
        let since: UInt64?
        let limit: Int
        let level: Logger.Level

        /// Throws what is no level or no number of lines.
        init(_ request: ControlRequest) throws(NodeFailure) {
            since = request.since
            limit = request.limit ?? 100
            level = try request.level.map { name throws(NodeFailure) in try LogLevelName.level(name) } ?? .trace
            guard (0...LogRing.capacity).contains(limit) else {
                throw NodeFailure(.usage, "limit is 0 to \(LogRing.capacity): so many lines are in memory")
            }
        }
    }
}

/// Lines of a running node's log.
public struct LogsReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.logs/1"

    public struct Line: Codable, Equatable, Sendable {
        /// From 1, without gaps, for as long as the node runs.
        public let sequence: UInt64
        /// As in a log file: JSON, unless it was longer than 4096 bytes and is cut off.
        public let line: String
    }

    public let lines: [Line]
    /// Lines after the number that was asked for which the node no longer has.
    public let lost: UInt64
    /// To be given as `since` by who wants what comes next.
    public let next: UInt64
    /// What the node writes now.
    public let level: String

    public var text: String {
        let zone = TimeZone.current.secondsFromGMT()
        let told = lines.map { LogRecord.text(ofLine: $0.line, secondsFromGMT: zone) }
        return ((lost == 0 ? [] : ["(\(lost) line\(lost == 1 ? "" : "s") lost)"]) + told).joined(separator: "\n")
    }

    /// Whether there is anything to show.
    public var isEmpty: Bool { lines.isEmpty && lost == 0 }
}

/// The level of a running node's log, before and after.
public struct LogLevelReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.log-level/1"
    public let old: String
    public let new: String

    public var text: String {
        if old == new { return "log level \(new.uppercased())" }
        return "log level \(new.uppercased()), it was \(old.uppercased()); until the next reload or restart"
    }
}
