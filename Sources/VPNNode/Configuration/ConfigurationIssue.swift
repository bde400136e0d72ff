// SPDX-License-Identifier: Apache-2.0
// What is wrong with a configuration, for people and for programs.

/// One finding, with its place.
public struct ConfigurationIssue: Hashable, Sendable {
    public enum Kind: String, Sendable {
        case syntax
        case unknownKey = "unknown_key"
        case wrongType = "wrong_type"
        case outOfRange = "out_of_range"
        case malformed
        case duplicate
        case missing
        case conflict
        /// A value that this version, or any version, does not offer.
        case refused
    }

    public enum Severity: String, Sendable { case error, warning }

    public let kind: Kind
    public let severity: Severity
    /// Dotted path, list entries as [0]: "peers[1].allowed_ips[0]"; empty for the file as a whole.
    public let key: String
    public let mark: SourceMark
    public let message: String
    /// The key or value that was probably meant.
    public let suggestion: String?

    init(
        _ kind: Kind, _ key: String, at mark: SourceMark, _ message: String, suggestion: String? = nil,
        severity: Severity = .error
    ) {
        self.kind = kind
        self.severity = severity
        self.key = key
        self.mark = mark
        self.message = message
        self.suggestion = suggestion
    }

    /// "node.yaml:12:3: error: network.listen_prt: unknown key; did you mean 'listen_port'?"
    public func description(file: String) -> String {
        let about = key.isEmpty ? "" : "\(key): "
        let hint = suggestion.map { "; did you mean '\($0)'?" } ?? ""
        return "\(file):\(mark.line):\(mark.column): \(severity.rawValue): \(about)\(message)\(hint)"
    }
}

/// A configuration that cannot be used. Warnings may be among the issues, but never alone.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    public let file: String
    public let issues: [ConfigurationIssue]

    public init(file: String, issues: [ConfigurationIssue]) {
        self.file = file
        self.issues = issues
    }

    /// One line for each issue, in the order of the file.
    public var description: String { issues.map { $0.description(file: file) }.joined(separator: "\n") }
}
