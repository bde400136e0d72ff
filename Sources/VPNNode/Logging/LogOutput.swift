// SPDX-License-Identifier: Apache-2.0
// Where log lines go, and loggers that write there. Each run makes its own; the process-wide logging system of swift-log
// is left to whoever embeds this library.
internal import Foundation
internal import Glibc
public import Logging

public enum LogFormat: String, Sendable { case text, json }

/// Standard error or a file, in one of the two formats.
public struct LogOutput: Sendable {
    public var format: LogFormat { sink.format }
    /// The last lines of this output.
    public var ring: LogRing { sink.ring }
    /// Lines that could not be written since the start.
    public var linesLost: UInt64 { sink.linesLost }
    /// `logging.scrub_addresses`: addresses of other nodes are not shown. For loggers that are made afterwards.
    public var scrubsAddresses = false

    private let sink: LogSink
    private let levelSwitch: LogLevelSwitch

    /// Standard error: text where it is a terminal, else JSON lines.
    public static func standardError() throws -> LogOutput {
        let format: LogFormat = isatty(STDERR_FILENO) == 1 ? .text : .json
        let file = try OpenFile(duplicating: STDERR_FILENO, path: "standard error")
        return LogOutput(LogSink(.pipe(LogPipe(file)), format: format))
    }

    /// Appends JSON lines to a file of mode 0600, which is made where it is absent and put aside where it is too long.
    public static func file(_ path: String, limits: LogFileLimits = LogFileLimits()) throws -> LogOutput {
        LogOutput(LogSink(.file(try LogFile(path, limits)), format: .json))
    }

    private init(_ sink: LogSink) {
        self.sink = sink
        levelSwitch = LogLevelSwitch(.info)
    }

    /// Hands each line to a closure, for tests.
    init(
        format: LogFormat, clock: (@Sendable () -> Double)? = nil, write: @escaping @Sendable (String) throws -> Void
    ) {
        if let clock {
            self.init(LogSink(.closure(write), format: format, clock: clock))
        } else {
            self.init(LogSink(.closure(write), format: format))
        }
    }

    /// A logger of one component: "node", "handshake", "engine"…
    ///
    /// - Parameter level: of all loggers of this output from now on.
    public func logger(_ component: String, level: Logger.Level) -> Logger {
        setLevel(level)
        return Logger(label: component) { label in
            LineLogHandler(
                component: label, sink: sink, levelSwitch: levelSwitch, scrubsAddresses: scrubsAddresses)
        }
    }

    public var level: Logger.Level { levelSwitch.level }

    /// Changes the level of all loggers of this output but those that were given one of their own.
    public func setLevel(_ level: Logger.Level) { levelSwitch.level = level }
}

private struct LineLogHandler: LogHandler {
    let component: String
    let sink: LogSink
    let levelSwitch: LogLevelSwitch
    let scrubsAddresses: Bool
    /// Set by who set the level of one logger.
    private var ownLevel: Logger.Level?
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    init(component: String, sink: LogSink, levelSwitch: LogLevelSwitch, scrubsAddresses: Bool) {
        self.component = component
        self.sink = sink
        self.levelSwitch = levelSwitch
        self.scrubsAddresses = scrubsAddresses
    }

    var logLevel: Logger.Level {
        get { ownLevel ?? levelSwitch.level }
        set { ownLevel = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var fields = metadata
        if let provided = metadataProvider?.get() { fields.merge(provided) { _, new in new } }
        if let given = event.metadata { fields.merge(given) { _, new in new } }
        if let error = event.error { fields["error"] = .string(String(describing: error)) }
        if scrubsAddresses { fields = fields.mapValues(\.scrubbed) }
        // One logger serves the whole node; what a line is about may be narrower than who writes it.
        let part = fields.removeValue(forKey: "component").map(String.init(describing:)) ?? component
        sink.write(event.level, part, event.message.description, fields)
    }
}
