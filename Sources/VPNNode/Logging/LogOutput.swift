// SPDX-License-Identifier: Apache-2.0
// Where log lines go, and loggers that write there. Each run makes its own; the process-wide logging system of swift-log
// is left to whoever embeds this library.
internal import Foundation
internal import Glibc
public import Logging
internal import Synchronization

public enum LogFormat: String, Sendable { case text, json }

/// Standard error or a file, in one of the two formats.
public struct LogOutput: Sendable {
    public let format: LogFormat
    private let sink: LogSink

    /// Standard error: text where it is a terminal, else JSON lines.
    public static func standardError() throws -> LogOutput {
        let format: LogFormat = isatty(STDERR_FILENO) == 1 ? .text : .json
        let file = try OpenFile(duplicating: STDERR_FILENO, path: "standard error")
        return LogOutput(format: format, sink: LogSink(file))
    }

    /// Appends JSON lines to a file of mode 0600, which is made where it is absent.
    public static func file(_ path: String) throws -> LogOutput {
        do {
            let file = try OpenFile(path, O_WRONLY | O_APPEND | O_CREAT, mode: 0o600)
            let status = try file.status()
            guard status.kind == .regular, status.permissions & 0o022 == 0 else {
                throw NodeFailure(.permission, "log file \(path) is no regular file, or others can write to it")
            }
            return LogOutput(format: .json, sink: LogSink(file))
        } catch let error as SystemCallError {
            let reason = error.errno == ELOOP ? "is a symbolic link, which is refused" : error.reason
            throw NodeFailure(error.errno == EACCES ? .permission : .failure, "log file \(path): \(reason)")
        }
    }

    private init(format: LogFormat, sink: LogSink) {
        self.format = format
        self.sink = sink
    }

    /// Hands each line to a closure, for tests.
    init(format: LogFormat, write: @escaping @Sendable (String) -> Void) {
        self.init(format: format, sink: LogSink(write))
    }

    /// A logger of one component: "node", "handshake", "engine"…
    public func logger(_ component: String, level: Logger.Level) -> Logger {
        logger(component, threshold: LogThreshold(level))
    }

    /// One whose level follows a threshold that may change while it is used.
    public func logger(_ component: String, threshold: LogThreshold) -> Logger {
        Logger(label: component) { label in
            LineLogHandler(component: label, format: format, sink: sink, threshold: threshold)
        }
    }
}

/// Writes whole lines, one at a time. A line that cannot be written is lost: logging never stops a node.
private final class LogSink: Sendable {
    private enum Target: ~Copyable {
        case file(OpenFile)
        case closure(@Sendable (String) -> Void)
    }

    private let target: Mutex<Target>

    init(_ file: consuming OpenFile) { target = Mutex(.file(file)) }
    init(_ write: @escaping @Sendable (String) -> Void) { target = Mutex(.closure(write)) }

    func write(_ line: String) {
        target.withLock { target in
            switch target {
            case .file(let file): try? file.write([UInt8]((line + "\n").utf8))
            case .closure(let write): write(line)
            }
        }
    }
}

private struct LineLogHandler: LogHandler {
    let component: String
    let format: LogFormat
    let sink: LogSink
    let threshold: LogThreshold
    /// Of a copy that somebody set a level of its own for.
    private var ownLevel: Logger.Level?
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    init(component: String, format: LogFormat, sink: LogSink, threshold: LogThreshold) {
        self.component = component
        self.format = format
        self.sink = sink
        self.threshold = threshold
    }

    var logLevel: Logger.Level {
        get { ownLevel ?? threshold.level }
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
        // One logger serves the whole node; what a line is about may be narrower than who writes it.
        let component = fields.removeValue(forKey: "component").map { String(describing: $0) } ?? component
        // A line may be of another component than its logger, as those are that tell of the core's events.
        let part = fields.removeValue(forKey: "component").map(String.init(describing:)) ?? component
        let record = LogRecord(
            time: Date().timeIntervalSince1970, level: event.level, component: part,
            message: event.message.description, metadata: fields)
        switch format {
        case .text: sink.write(record.text(secondsFromGMT: TimeZone.current.secondsFromGMT()))
        case .json: sink.write(record.json)
        }
    }
}
