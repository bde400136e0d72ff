// SPDX-License-Identifier: Apache-2.0
// A value as it stands in a configuration file, with its place; neither checked nor given a meaning yet.

/// A place in a file, both counted from 1.
public struct SourceMark: Hashable, Comparable, Sendable {
    public let line: Int
    public let column: Int

    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    public static func < (a: SourceMark, b: SourceMark) -> Bool { (a.line, a.column) < (b.line, b.column) }
}

/// A YAML value of one of the forms that a configuration has.
public indirect enum ConfigurationValue: Hashable, Sendable {
    case null
    case boolean(Bool)
    case integer(Int)
    case text(String)
    case list([ConfigurationValue])
    case map([String: ConfigurationValue])
}

extension ConfigurationValue: CustomStringConvertible {
    /// As YAML on one line.
    public var description: String {
        switch self {
        case .null: "null"
        case .boolean(let value): value ? "true" : "false"
        case .integer(let value): String(value)
        case .text(let value): Self.quotedIfNeeded(value)
        case .list(let values): "[" + values.map(\.description).joined(separator: ", ") + "]"
        case .map(let values):
            "{ " + values.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ") + " }"
        }
    }

    private static let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-")
    private static let special: Set<String> = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "~", ""]

    private static func quotedIfNeeded(_ text: String) -> String {
        if let first = text.first, first.isLetter || first == "/", text.allSatisfy(plain.contains),
            !special.contains(text.lowercased())
        {
            return text
        }
        return quoted(text)
    }

    /// A double-quoted YAML scalar, which is JSON's too.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            default:
                if scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
                    || (0xFFFE...0xFFFF).contains(scalar.value)
                {
                    let hex = String(scalar.value, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }
}
