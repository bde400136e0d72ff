// SPDX-License-Identifier: Apache-2.0
// A line of a JSON log as text for people, for those who look at a node from outside.
internal import Foundation
internal import Logging

extension LogRecord {
    /// The text form of a JSON line; one that is none, such as one that was cut off, stays what it is but for control characters.
    static func text(ofLine line: String, secondsFromGMT: Int) -> String {
        guard let record = LogRecord(json: line) else { return printable(line) }
        return record.text(secondsFromGMT: secondsFromGMT)
    }

    /// Nil where it is no line of ours.
    private init?(json: String) {
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        guard let value = try? JSONSerialization.jsonObject(with: Data(json.utf8)),
            var fields = value as? [String: Any],
            let time = (fields.removeValue(forKey: "ts") as? String).flatMap(formatter.date(from:)),
            let level = (fields.removeValue(forKey: "level") as? String).flatMap(Logger.Level.init(rawValue:)),
            let component = fields.removeValue(forKey: "component") as? String,
            let message = fields.removeValue(forKey: "msg") as? String
        else { return nil }
        // Half a millisecond more, since what it came from was cut off and this is, too.
        self.init(
            time: time.timeIntervalSince1970 + 0.0005, level: level, component: component, message: message,
            metadata: fields.mapValues(Self.metadata))
    }

    private static func metadata(_ value: Any) -> Logger.Metadata.Value {
        switch value {
        case let text as String: .string(text)
        case let list as [Any]: .array(list.map(metadata))
        case let map as [String: Any]: .dictionary(map.mapValues(metadata))
        default: .string(String(describing: value))
        }
    }
}
