// SPDX-License-Identifier: Apache-2.0
// The part of JSON Schema that docs/schemas uses; a keyword that it does not know is a fault of the schema.
import Foundation

/// A JSON value that tells true from 1.
enum JSONValue: Decodable, Equatable {
    case null
    case boolean(Bool)
    case number(Double)
    case text(String)
    case list([JSONValue])
    case map([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .list(value)
        } else {
            self = .map(try container.decode([String: JSONValue].self))
        }
    }

    subscript(key: String) -> JSONValue? { if case .map(let map) = self { map[key] } else { nil } }
    var text: String? { if case .text(let text) = self { text } else { nil } }
    var number: Double? { if case .number(let number) = self { number } else { nil } }

    func isOf(_ type: String) -> Bool {
        switch (type, self) {
        case ("string", .text), ("boolean", .boolean), ("number", .number), ("array", .list), ("object", .map): true
        case ("integer", .number(let number)): number == number.rounded()
        default: false
        }
    }
}

struct JSONSchema {
    private let root: JSONValue

    /// From docs/schemas, beside this source tree.
    init(_ name: String) throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../../docs/schemas/\(name).json").standardizedFileURL
        root = try JSONDecoder().decode(JSONValue.self, from: Data(contentsOf: path))
    }

    init(text: String) throws { root = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)) }

    /// What is wrong with a text; empty where it is as it should be.
    func faults(in text: String) -> [String] {
        guard let value = try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)) else {
            return ["not JSON: \(text.prefix(80))"]
        }
        return Self.faults(of: value, against: root, at: "$")
    }

    private static let known: Set<String> = [
        "$schema", "title", "type", "const", "enum", "pattern", "minimum", "maximum", "items", "properties", "required",
        "additionalProperties",
    ]

    private static func faults(of value: JSONValue, against schema: JSONValue, at path: String) -> [String] {
        guard case .map(let words) = schema else { return ["\(path): the schema is no object"] }
        var found = words.keys.filter { !known.contains($0) }.map { "\(path): unknown keyword \($0)" }
        if let type = words["type"]?.text, !value.isOf(type) { return found + ["\(path): is no \(type)"] }
        if let const = words["const"], const != value { found.append("\(path): is not \(const)") }
        if case .list(let allowed)? = words["enum"], !allowed.contains(value) {
            found.append("\(path): \(value) is none of \(allowed)")
        }
        if let pattern = words["pattern"]?.text, let text = value.text,
            text.range(of: pattern, options: .regularExpression) == nil
        {
            found.append("\(path): \(text) does not match \(pattern)")
        }
        if let minimum = words["minimum"]?.number, let number = value.number, number < minimum {
            found.append("\(path): \(number) is less than \(minimum)")
        }
        if let maximum = words["maximum"]?.number, let number = value.number, number > maximum {
            found.append("\(path): \(number) is more than \(maximum)")
        }
        if let items = words["items"], case .list(let list) = value {
            for (place, item) in list.enumerated() {
                found += faults(of: item, against: items, at: "\(path)[\(place)]")
            }
        }
        guard case .map(let map) = value else { return found }
        if case .list(let required)? = words["required"] {
            for name in required.compactMap(\.text) where map[name] == nil {
                found.append("\(path).\(name): is missing")
            }
        }
        for (name, item) in map {
            if let property = words["properties"]?[name] {
                found += faults(of: item, against: property, at: "\(path).\(name)")
            } else if case .map? = words["additionalProperties"] {
                found += faults(of: item, against: words["additionalProperties"]!, at: "\(path).\(name)")
            } else if words["additionalProperties"] == .boolean(false) {
                found.append("\(path).\(name): is not in the schema")
            }
        }
        return found
    }
}
