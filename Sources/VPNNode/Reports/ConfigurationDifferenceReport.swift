// SPDX-License-Identifier: Apache-2.0
// `pqvpn config diff`.

/// What a running node would take of another configuration, and what would wait for a restart.
public struct ConfigurationDifferenceReport: Report {
    public static let schema = "pqvpn.config-diff/1"

    public let live: [ConfigurationChange.Entry]
    public let restart: [ConfigurationChange.Entry]

    public init(_ change: ConfigurationChange) {
        live = change.live
        restart = change.restart
    }

    /// Compares two files. Throws where one of them is no good configuration.
    public static func compare(_ old: String, _ new: String) throws -> ConfigurationDifferenceReport {
        ConfigurationDifferenceReport(
            ConfigurationChange(from: try LoadedConfiguration(file: old), to: try LoadedConfiguration(file: new)))
    }

    public var text: String {
        guard !live.isEmpty || !restart.isEmpty else { return "no difference" }
        func lines(_ title: String, _ entries: [ConfigurationChange.Entry]) -> [String] {
            guard !entries.isEmpty else { return [] }
            return [title] + entries.map { "  \($0.key): \($0.old ?? "(absent)") -> \($0.new ?? "(absent)")" }
        }
        return (lines("taken by a running node:", live) + lines("needs a restart:", restart)).joined(separator: "\n")
    }
}
