// SPDX-License-Identifier: Apache-2.0
// What a command has found out, in its two forms: text for people, one JSON object with a versioned schema for programs.
internal import Foundation

/// An answer that can be printed either way. The JSON form has a first field "schema".
public protocol Report: Encodable, Sendable {
    /// "pqvpn.peers/1"; the number grows with every incompatible change.
    static var schema: String { get }
    /// For people, without a line break at the end.
    var text: String { get }
}

extension Report {
    /// One line of JSON, keys in alphabetical order after the schema.
    public var json: String { ReportEncoder.json(schema: Self.schema, self) }
}

enum ReportEncoder {
    static func json(schema: String, _ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Numbers, strings and their collections always encode; a NaN would be a bug of the report.
        let body = String(decoding: try! encoder.encode(value), as: UTF8.self)
        let rest = body.dropFirst()
        return "{\"schema\":\"\(schema)\"" + (rest == "}" ? "}" : "," + rest)
    }
}

/// A command that ended badly, for programs.
public struct FailureReport: Report {
    public static let schema = "pqvpn.error/1"
    public let status: Int32
    public let message: String

    public init(_ failure: NodeFailure) {
        status = failure.status.rawValue
        message = failure.message
    }

    public var text: String { message }
}
