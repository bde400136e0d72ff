// SPDX-License-Identifier: Apache-2.0
// One configuration file, composed to YAML nodes and checked against the table: each value with its place, each fault as
// an issue. It gives no meaning to values; NodeConfiguration+Reading.swift does.
internal import Yams

/// A node of a YAML document; this module's own Node is the daemon.
typealias YAMLNode = Yams.Node

/// A value and where it stands.
struct LocatedValue: Sendable {
    let value: ConfigurationValue
    let mark: SourceMark
}

struct ConfigurationDocument: Sendable {
    /// By concrete path: "network.listen_port", "peers[0].allowed_ips[1]".
    private(set) var values: [String: LocatedValue] = [:]
    private(set) var issues: [ConfigurationIssue] = []

    /// Checks the text of a file. Faults of YAML itself end the reading; all others are collected.
    init(text: String) {
        do {
            // Nodes hold their anchors weakly: without the parser an anchor would go unseen.
            let parser = try Parser(yaml: text, encoding: .utf8)
            if let root = try parser.singleRoot() { read(root) }
            withExtendedLifetime(parser) {}
        } catch {
            issues.append(Self.issue(for: error))
        }
    }

    mutating func report(
        _ kind: ConfigurationIssue.Kind, _ key: String, at mark: SourceMark, _ message: String,
        suggestion: String? = nil,
        severity: ConfigurationIssue.Severity = .error
    ) {
        issues.append(
            ConfigurationIssue(kind, key, at: mark, message, suggestion: suggestion, severity: severity))
    }

    /// The value of a row of the table: from the file, or the default.
    func effective(_ path: String) -> ConfigurationValue {
        values[path]?.value ?? ConfigurationTable.rows[path]?.fallback ?? .null
    }

    /// The number of entries of a list.
    func count(of path: String) -> Int {
        if case .list(let entries) = effective(path) { return entries.count }
        return 0
    }

    /// Adds a peer that stands in another file.
    mutating func append(peer fields: [String: ConfigurationValue], at mark: SourceMark) {
        guard case .list(let entries) = effective("peers") else { return }
        let path = "peers[\(entries.count)]"
        values["peers"] = LocatedValue(value: .list(entries + [.map(fields)]), mark: values["peers"]?.mark ?? mark)
        values[path] = LocatedValue(value: .map(fields), mark: mark)
        for (key, value) in fields {
            values["\(path).\(key)"] = LocatedValue(value: value, mark: mark)
            guard case .list(let list) = value else { continue }
            for (number, entry) in list.enumerated() {
                values["\(path).\(key)[\(number)]"] = LocatedValue(value: entry, mark: mark)
            }
        }
    }

    // MARK: Sections

    private mutating func read(_ root: YAMLNode) {
        switch root {
        case .mapping(let mapping): read(root: mapping)
        case .scalar(let scalar) where value(of: scalar) == .null: return
        default: report(.wrongType, "", at: mark(root), "the file must be a map of sections")
        }
    }

    private mutating func read(root: YAMLNode.Mapping) {
        let names = ConfigurationTable.sections.map(\.name)
        for (keyNode, node) in root {
            guard let name = keyName(keyNode) else { continue }
            if let row = ConfigurationTable.rows[name] {
                _ = read(node, as: row.kind, row: row, path: name)
            } else if let section = ConfigurationTable.sections.first(where: { $0.name == name }) {
                read(section: section, node)
            } else {
                let elsewhere = ConfigurationTable.rows.keys.sorted().first { $0.hasSuffix(".\(name)") }
                report(
                    .unknownKey, name, at: mark(keyNode), "unknown section",
                    suggestion: Spelling.nearest(to: name, among: names) ?? elsewhere)
            }
        }
    }

    private mutating func read(section: ConfigurationSection, _ node: YAMLNode) {
        guard node.anchor == nil else {
            report(.malformed, section.name, at: mark(node), "anchors and aliases are not supported")
            return
        }
        switch node {
        case .mapping(let mapping): readKeys(of: mapping, path: section.name, schemaPath: section.name)
        case .scalar(let scalar) where value(of: scalar) == .null: return
        default:
            guard let shorthand = section.shorthand, let row = ConfigurationTable.rows[shorthand] else {
                report(.wrongType, section.name, at: mark(node), "must be a map")
                return
            }
            _ = read(node, as: row.kind, row: row, path: shorthand)
        }
    }

    /// The keys of a map, each with a row "<schemaPath>.<key>".
    private mutating func readKeys(of mapping: YAMLNode.Mapping, path: String, schemaPath: String) {
        for (keyNode, node) in mapping {
            guard let name = keyName(keyNode) else { continue }
            guard let row = ConfigurationTable.rows["\(schemaPath).\(name)"] else {
                report(
                    .unknownKey, "\(path).\(name)", at: mark(keyNode), "unknown key",
                    suggestion: Self.suggestion(for: name, in: schemaPath))
                continue
            }
            _ = read(node, as: row.kind, row: row, path: "\(path).\(name)")
        }
        let missing = ConfigurationTable.rows.values
            .filter { $0.isRequired && $0.path.hasPrefix("\(schemaPath).") }
            .map { String($0.path.dropFirst(schemaPath.count + 1)) }
            .filter { name in !name.contains { ".[".contains($0) } && !mapping.keys.contains { $0.string == name } }
        for name in missing.sorted() {
            let place = mapping.mark.map { SourceMark(line: $0.line, column: $0.column) }
            report(.missing, "\(path).\(name)", at: place ?? SourceMark(line: 1, column: 1), "is missing")
        }
    }

    /// A key of the same map that is spelt alike, or the same key in another section.
    private static func suggestion(for name: String, in schemaPath: String) -> String? {
        let leaves = ConfigurationTable.rows.keys
            .filter { $0.hasPrefix("\(schemaPath).") && !$0.dropFirst(schemaPath.count + 1).contains(".") }
            .map { String($0.dropFirst(schemaPath.count + 1)) }
        if let near = Spelling.nearest(to: name, among: leaves.sorted()) { return near }
        return ConfigurationTable.rows.keys.sorted().first { $0.hasSuffix(".\(name)") && !$0.contains("[]") }
    }

    private mutating func keyName(_ node: YAMLNode) -> String? {
        if case .scalar(let scalar) = node { return scalar.string }
        report(.wrongType, "", at: mark(node), "a key must be a word")
        return nil
    }

    // MARK: Values

    /// Checks a node against a kind and the row it belongs to; files it under `path` and returns it if it is good.
    private mutating func read(
        _ node: YAMLNode, as kind: ValueKind, row: ConfigurationKey, path: String
    ) -> ConfigurationValue? {
        guard node.anchor == nil else {
            report(.malformed, path, at: mark(node), "anchors and aliases are not supported")
            return nil
        }
        let before = issues.count
        guard let value = checked(node, as: kind, row: row, path: path), issues.count == before else { return nil }
        check(value, against: row, isEntry: path.hasSuffix("]"), path: path, at: mark(node))
        values[path] = LocatedValue(value: value, mark: mark(node))
        return value
    }

    private mutating func checked(
        _ node: YAMLNode, as kind: ValueKind, row: ConfigurationKey, path: String
    ) -> ConfigurationValue? {
        switch (node, kind) {
        case (.sequence(let sequence), .list(let entryKind, let maximum)),
            (.sequence(let sequence), .booleanOrList(let entryKind, let maximum)),
            (.sequence(let sequence), .textOrList(_, let entryKind, let maximum)):
            if sequence.count > maximum {
                report(
                    .outOfRange, path, at: mark(node), "has \(sequence.count) entries, at most \(maximum) are possible")
                return nil
            }
            return .list(
                sequence.enumerated().compactMap { number, entry in
                    read(entry, as: entryKind, row: row, path: "\(path)[\(number)]")
                })
        case (.mapping(let mapping), .map), (.mapping(let mapping), .textOrMap), (.mapping(let mapping), .booleanOrMap):
            // The entries of a list have rows of their own; a map that is none has its keys below itself.
            let isEntry = if case .list = row.kind { true } else { false }
            readKeys(of: mapping, path: path, schemaPath: isEntry ? "\(row.path)[]" : row.path)
            var entries: [String: ConfigurationValue] = [:]
            for key in mapping.keys {
                if let name = key.string, let value = values["\(path).\(name)"] { entries[name] = value.value }
            }
            return .map(entries)
        case (.scalar(let scalar), _):
            return checked(scalar, as: kind, row: row, path: path, at: mark(node))
        default:
            report(.wrongType, path, at: mark(node), "must be \(kind.name), is a \(Self.form(of: node))")
            return nil
        }
    }

    private mutating func checked(
        _ scalar: YAMLNode.Scalar, as kind: ValueKind, row: ConfigurationKey, path: String, at mark: SourceMark
    ) -> ConfigurationValue? {
        let value = value(of: scalar)
        let isEntry = path.hasSuffix("]")
        switch (value, kind) {
        case (.null, _) where row.isNullable && !isEntry: return value
        // A list whose entries are all commented out.
        case (.null, .list): return .list([])
        case (.boolean, .boolean), (.boolean, .booleanOrList), (.boolean, .booleanOrMap): return value
        case (.integer(let number), .integer(let range)), (.integer(let number), .wordOrInteger(_, let range)):
            if range.contains(number) { return value }
            report(.outOfRange, path, at: mark, "must be \(kind.name), is \(number)")
        case (.text(let word), .wordOrInteger(let words, _)):
            if words.contains(word) { return value }
            report(
                .wrongType, path, at: mark, "must be \(kind.name), is '\(word)'",
                suggestion: Spelling.nearest(to: word, among: words))
        case (.text(let text), .text(let form)), (.text(let text), .textOrMap(let form)),
            (.text(let text), .textOrList(let form, _, _)):
            guard let complaint = form.complaint(about: text) else { return value }
            report(.malformed, path, at: mark, complaint.message, suggestion: complaint.suggestion)
        case (.integer, .text), (.boolean, .text):
            report(.wrongType, path, at: mark, "must be \(kind.name), is \(value); put it in quotes if it is meant so")
        default:
            report(.wrongType, path, at: mark, "must be \(kind.name), is \(Self.article(value))")
        }
        return nil
    }

    /// What the row says of a value that is well formed.
    private mutating func check(
        _ value: ConfigurationValue, against row: ConfigurationKey, isEntry: Bool, path: String, at mark: SourceMark
    ) {
        guard !isEntry else { return }
        switch row.state {
        case .available: return
        case .later(let accepted, let reason):
            if accepted.contains(value) { return }
            let offer = accepted.map(\.description).joined(separator: " or ")
            report(.refused, path, at: mark, "\(value) is refused: \(reason); this version accepts \(offer)")
        case .mandatory(let only, let reason):
            if value != only { report(.refused, path, at: mark, "\(value) is refused: \(reason)") }
        }
    }

    /// The value that a plain scalar stands for; everything in quotes is text.
    private func value(of scalar: YAMLNode.Scalar) -> ConfigurationValue {
        switch scalar.style {
        case .singleQuoted, .doubleQuoted, .literal, .folded: return .text(scalar.string)
        case .any, .plain: break
        }
        switch scalar.string {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": return .boolean(true)
        case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": return .boolean(false)
        case let text:
            let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
            let isDecimal = !digits.isEmpty && digits.utf8.allSatisfy { (0x30...0x39).contains($0) }
            // Other notations (octal, sexagesimal) surprise people and are no numbers here.
            if isDecimal, digits == "0" || digits.first != "0", let number = Int(text) { return .integer(number) }
            return .text(text)
        }
    }

    private static func form(of node: YAMLNode) -> String {
        switch node {
        case .mapping: "map"
        case .sequence: "list"
        case .scalar, .alias: "single value"
        }
    }

    private static func article(_ value: ConfigurationValue) -> String {
        if case .text(let text) = value { return "'\(text)'" }
        return value.description
    }

    // MARK: Places and faults of YAML

    private func mark(_ node: YAMLNode) -> SourceMark {
        node.mark.map { SourceMark(line: $0.line, column: $0.column) } ?? SourceMark(line: 1, column: 1)
    }

    private static func issue(for error: any Error) -> ConfigurationIssue {
        switch error {
        case YamlError.scanner(let context, let problem, let mark, _),
            YamlError.parser(let context, let problem, let mark, _),
            YamlError.composer(let context, let problem, let mark, _):
            let about = context.map { ", \($0.text) in line \($0.mark.line)" } ?? ""
            return ConfigurationIssue(
                .syntax, "", at: SourceMark(line: mark.line, column: mark.column), "not valid YAML: \(problem)\(about)")
        case YamlError.duplicatedKeysInMapping(let names, let context):
            return ConfigurationIssue(
                .duplicate, names.joined(separator: ", "),
                at: SourceMark(line: context.mark.line, column: context.mark.column),
                "stands more than once in the same map")
        case YamlError.reader(let problem, _, _, _):
            return ConfigurationIssue(.syntax, "", at: SourceMark(line: 1, column: 1), "not valid YAML: \(problem)")
        default:
            return ConfigurationIssue(.syntax, "", at: SourceMark(line: 1, column: 1), "not valid YAML")
        }
    }
}
