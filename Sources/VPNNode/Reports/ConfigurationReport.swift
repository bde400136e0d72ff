// SPDX-License-Identifier: Apache-2.0
// `pqvpn config check|show`.
internal import VPNCore

/// `pqvpn config check`.
public struct ConfigurationCheckReport: Report {
    public static let schema = "pqvpn.config-check/1"

    public struct Issue: Encodable, Sendable {
        public let kind: String
        public let severity: String
        public let key: String
        public let line: Int
        public let column: Int
        public let message: String
        public let suggestion: String?

        init(_ issue: ConfigurationIssue) {
            kind = issue.kind.rawValue
            severity = issue.severity.rawValue
            key = issue.key
            line = issue.mark.line
            column = issue.mark.column
            message = issue.message
            suggestion = issue.suggestion
        }
    }

    public let file: String
    public let ok: Bool
    public let issues: [Issue]
    public let text: String

    private enum CodingKeys: String, CodingKey { case file, ok, issues }

    /// Checks a file, and the pins that it refers to. Throws only where the file, or a file that it names, cannot be read.
    public static func check(file: String) throws -> ConfigurationCheckReport {
        do {
            let loaded = try LoadedConfiguration(file: file)
            let unlocker = Unlocker(PassphraseSource(configuredFile: loaded.configuration.passphraseFile))
            let pins = try KnownPeersStore(
                path: loaded.configuration.security.knownPeersFile, unlocker: unlocker
            ).pins
            _ = try RevocationList(path: loaded.configuration.security.revokedFile)
            try loaded.configuration.check(pins: pins, own: nil)
            return ConfigurationCheckReport(file: file, issues: loaded.warnings)
        } catch let error as ConfigurationError {
            return ConfigurationCheckReport(file: file, issues: error.issues)
        }
    }

    private init(file: String, issues: [ConfigurationIssue]) {
        self.file = file
        ok = !issues.contains { $0.severity == .error }
        self.issues = issues.map(Issue.init)
        let lines = issues.map { $0.description(file: file) }
        text = (lines + (ok ? ["\(file): ok"] : [])).joined(separator: "\n")
    }
}

/// `pqvpn config show`.
public struct ConfigurationReport: Report {
    public static let schema = "pqvpn.config/1"

    public struct Value: Encodable, Sendable, Equatable {
        public let key: String
        /// As YAML on one line.
        public let value: String
        /// "file" or "default".
        public let origin: String
        public let line: Int?
        /// "live" or "restart".
        public let reload: String
    }

    public let file: String
    public let values: [Value]

    public static func show(file: String) throws -> ConfigurationReport {
        let loaded = try LoadedConfiguration(file: file)
        let values = loaded.effectiveValues.map { value in
            Value(
                key: value.key, value: value.value, origin: value.mark == nil ? "default" : "file",
                line: value.mark?.line, reload: value.reload.rawValue)
        }
        return ConfigurationReport(file: file, values: values)
    }

    public var text: String {
        let width = values.map(\.key.count).max() ?? 0
        return values.map { value in
            let padding = String(repeating: " ", count: width - value.key.count)
            return "\(value.key)\(padding)  \(value.value)  (\(value.line.map { "\(file):\($0)" } ?? "default"))"
        }.joined(separator: "\n")
    }
}
