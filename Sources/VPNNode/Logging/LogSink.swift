// SPDX-License-Identifier: Apache-2.0
// Where finished lines go, one at a time: the file, the ring, and the count of those that could not be written. Logging never
// stops a node, and what is lost is told as soon as it can be.
internal import Foundation
internal import Logging
internal import Synchronization

final class LogSink: Sendable {
    enum Target: ~Copyable, Sendable {
        case file(LogFile)
        case pipe(LogPipe)
        case closure(@Sendable (String) throws -> Void)
    }

    private struct State: ~Copyable, Sendable {
        var target: Target
        var limit = LogRateLimit()
        /// Lines that could not be written and are not told yet.
        var untold = 0
    }

    let format: LogFormat
    let ring = LogRing()
    private let state: Mutex<State>
    private let lost = Atomic<UInt64>(0)
    private let clock: @Sendable () -> Double

    /// - Parameter clock: seconds since 1970; tests bring their own.
    init(
        _ target: consuming Target, format: LogFormat,
        clock: @escaping @Sendable () -> Double = { Date().timeIntervalSince1970 }
    ) {
        state = Mutex(State(target: target))
        self.format = format
        self.clock = clock
    }

    /// All lines that could not be written.
    var linesLost: UInt64 { lost.load(ordering: .relaxed) }

    func write(_ level: Logger.Level, _ component: String, _ message: String, _ metadata: Logger.Metadata) {
        let now = clock()
        func record(
            _ level: Logger.Level, _ component: String, _ message: String, _ metadata: Logger.Metadata
        ) -> LogRecord {
            LogRecord(time: now, level: level, component: component, message: message, metadata: metadata)
        }
        let name = metadata["event"].map(String.init(describing:)) ?? component
        let line = record(level, component, message, metadata)
        state.withLock { state in
            for summary in state.limit.summaries(at: now) {
                put(
                    record(
                        .warning, "log", "\(summary.leftOut) similar lines left out",
                        [
                            "event": "log.limited", "of": "\(summary.name)",
                            "count": .stringConvertible(summary.leftOut),
                        ]), &state, record)
            }
            // What the operator wrote is told in full: only he can make these lines.
            guard name == "config.warning" || state.limit.admits(name, at: now) else { return }
            put(line, &state, record)
        }
    }

    private func put(
        _ line: LogRecord, _ state: inout State,
        _ record: (Logger.Level, String, String, Logger.Metadata) -> LogRecord
    ) {
        ring.append(line.json, level: line.level)
        if state.untold > 0 {
            let count = state.untold
            let notice = record(
                .error, "log", "\(count) lines could not be written",
                ["event": "log.lost", "count": .stringConvertible(count)])
            guard deliver(notice, &state, record) else {
                state.untold += 1
                lost.wrappingAdd(1, ordering: .relaxed)
                return
            }
            ring.append(notice.json, level: notice.level)
            state.untold = 0
        }
        if !deliver(line, &state, record) {
            state.untold += 1
            lost.wrappingAdd(1, ordering: .relaxed)
        }
    }

    /// False where the line could not be written.
    private func deliver(
        _ line: LogRecord, _ state: inout State,
        _ record: (Logger.Level, String, String, Logger.Metadata) -> LogRecord
    ) -> Bool {
        let text =
            switch format {
            case .text: line.text(secondsFromGMT: TimeZone.current.secondsFromGMT())
            case .json: line.json
            }
        do {
            if let refusal = try state.target.write(text) {
                let notice = record(
                    .warning, "log", "the log file cannot be put aside and grows: \(refusal)",
                    ["event": "log.not_rotated"])
                ring.append(notice.json, level: notice.level)
                _ = try state.target.write(notice.json)
            }
            return true
        } catch {
            return false
        }
    }
}

extension LogSink.Target {
    /// Throws where the line could not be written; tells why a file could not be put aside.
    fileprivate mutating func write(_ line: String) throws -> SystemCallError? {
        switch consume self {
        case .file(var file):
            do {
                let refusal = try file.write(line)
                self = .file(file)
                return refusal
            } catch {
                self = .file(file)
                throw error
            }
        case .pipe(var pipe):
            do {
                try pipe.write(line)
                self = .pipe(pipe)
                return nil
            } catch {
                self = .pipe(pipe)
                throw error
            }
        case .closure(let write):
            self = .closure(write)
            try write(line)
            return nil
        }
    }
}
