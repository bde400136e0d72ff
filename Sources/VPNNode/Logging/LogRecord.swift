// SPDX-License-Identifier: Apache-2.0
// One log line as a value, and its two forms: text for people at a terminal, JSON for everything else (docs/logging.md).
internal import Foundation
internal import Logging

struct LogRecord {
    /// Seconds since 1970.
    let time: Double
    let level: Logger.Level
    let component: String
    let message: String
    let metadata: Logger.Metadata

    /// Fields that identify come first, so that eyes find them at the same place.
    private static let leading = ["event", "hs", "sid", "peer", "role"]

    private var fields: [(name: String, value: Logger.Metadata.Value)] {
        let first = Self.leading.compactMap { name in metadata[name].map { (name, $0) } }
        let rest = metadata.filter { !Self.leading.contains($0.key) }.sorted { $0.key < $1.key }
        return first + rest.map { ($0.key, $0.value) }
    }

    // MARK: Text

    /// `12:04:05.123 INFO  handshake hs=5f2c peer=7f3a9c2e role=responder  session established`
    func text(secondsFromGMT: Int) -> String {
        let clock = Timestamp(time + Double(secondsFromGMT)).clock
        let name = level.rawValue.uppercased()
        let padded = name + String(repeating: " ", count: max(0, 5 - name.count))
        var line = "\(clock) \(padded) \(Self.printable(component))"
        for (name, value) in fields where name != "event" { line += " \(Self.printable(name))=\(Self.word(value))" }
        return line + "  " + Self.printable(message)
    }

    private static func word(_ value: Logger.Metadata.Value) -> String {
        let text = printable(String(describing: value))
        return text.contains(" ") || text.isEmpty ? "\"\(text)\"" : text
    }

    /// Control characters could rewrite the terminal of whoever reads the log.
    static func printable(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: \.isInvisible) else { return text }
        return text.unicodeScalars.map { $0.isInvisible ? "\\u{\(String($0.value, radix: 16))}" : String($0) }.joined()
    }

    // MARK: JSON

    /// `{"ts":"2026-11-23T12:04:05.123Z","level":"info","component":"handshake","msg":"…","event":"…",…}`
    var json: String {
        var line = "{\"ts\":\"\(Timestamp(time).rfc3339)\",\"level\":\"\(level.rawValue)\""
        line += ",\"component\":\(Self.json(component)),\"msg\":\(Self.json(message))"
        for (name, value) in fields where !["ts", "level", "component", "msg"].contains(name) {
            line += ",\(Self.json(name)):\(Self.json(value))"
        }
        return line + "}"
    }

    /// Numbers and booleans that were given as such stay such.
    private static func json(_ value: Logger.Metadata.Value) -> String {
        switch value {
        case .string(let text): json(text)
        case .stringConvertible(let value):
            switch value {
            case let number as any BinaryInteger: String(describing: number)
            case let number as Double where number.isFinite: String(describing: number)
            case let flag as Bool: flag ? "true" : "false"
            default: json(String(describing: value))
            }
        case .array(let values): "[" + values.map(json).joined(separator: ",") + "]"
        case .dictionary(let values):
            "{" + values.sorted { $0.key < $1.key }.map { "\(json($0.key)):\(json($0.value))" }.joined(separator: ",")
                + "}"
        @unknown default: json(String(describing: value))
        }
    }

    private static func json(_ text: String) -> String { ConfigurationValue.quoted(text) }
}

/// A moment in civil time, by the Gregorian calendar.
struct Timestamp {
    private let year, month, day, hour, minute, second, millisecond: Int

    /// Seconds since 1970, not before.
    init(_ seconds: Double) {
        let milliseconds = Int(max(0, seconds) * 1000)
        let days = milliseconds / 86_400_000
        let rest = milliseconds % 86_400_000
        (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60)
        (second, millisecond) = (rest / 1000 % 60, rest % 1000)
        // Days in 400-year eras that begin on 1 March, so that a leap day is the last of its year.
        let shifted = days + 719_468
        let (era, dayOfEra) = (shifted / 146_097, shifted % 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// "12:04:05.123"
    var clock: String {
        let parts = [hour, minute, second].map { Self.padded($0, 2) }
        return parts.joined(separator: ":") + "." + Self.padded(millisecond, 3)
    }

    /// "2026-11-23T12:04:05.123Z"
    var rfc3339: String {
        "\(Self.padded(year, 4))-\(Self.padded(month, 2))-\(Self.padded(day, 2))T\(clock)Z"
    }
}
