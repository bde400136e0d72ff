// SPDX-License-Identifier: Apache-2.0
// The documented file that `config default` prints, made from the table, and the rows that `config show` prints.

public enum DefaultConfiguration {
    /// A YAML file with every key at its default, each with its documentation.
    public static var text: String {
        var lines = [
            "# PQVPN configuration. Every key is optional but those of peers; what stands here are the defaults.",
            "# Relative paths start at the directory of this file. Check it with `pqvpn config check FILE`.",
        ]
        for section in ConfigurationTable.sections {
            lines += ["", "# " + String(repeating: "-", count: 20)] + wrapped(section.documentation, indent: "")
            if section.keys.first?.path != section.name { lines.append("\(section.name):") }
            for row in section.keys { lines += text(of: row) }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func text(of row: ConfigurationKey) -> [String] {
        let leaf = row.path.split(separator: ".").last.map(String.init) ?? row.path
        // Keys inside list entries have no default place of their own: they are documented only.
        if row.path.contains("[]") {
            return wrapped("\(row.path): \(row.kind.name). \(row.documentation)", indent: "  ")
        }
        let indent = row.path.contains(".") ? "  " : ""
        var documentation = row.documentation
        switch row.state {
        case .later(let accepted, let reason):
            documentation += " (\(reason); accepted: \(accepted.map(\.description).joined(separator: ", ")))"
        case .available, .mandatory: break
        }
        switch row.kind {
        case .integer, .wordOrInteger: documentation += " [\(row.kind.name)]"
        default: break
        }
        return wrapped(documentation, indent: indent) + ["\(indent)\(leaf): \(row.fallback ?? .null)"]
    }

    private static func wrapped(_ text: String, indent: String) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + word.count + 1 > 104 {
                lines.append("\(indent)# \(line)")
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return lines + ["\(indent)# \(line)"]
    }
}

/// One line of `config show`.
public struct EffectiveValue: Sendable, Equatable {
    public let key: String
    /// As YAML on one line.
    public let value: String
    /// The place in the file; nil for a default.
    public let mark: SourceMark?
    public let reload: ReloadClass
}

extension LoadedConfiguration {
    /// Every key with the value that counts and where it comes from, in the order of the table.
    public var effectiveValues: [EffectiveValue] {
        ConfigurationTable.sections.flatMap(\.keys).filter { !$0.path.contains("[]") }.map { row in
            EffectiveValue(
                key: row.path, value: document.effective(row.path).description, mark: document.values[row.path]?.mark,
                reload: row.reload)
        }
    }
}
