// SPDX-License-Identifier: Apache-2.0
// `pqvpn bugreport`: what somebody who is asked for help wants to know of a node and its host, in one text that holds nobody's
// addresses, names or keys. No file of keys, pins or invitations is opened for it but by the doctor, who says no more than whether
// they are good. It is made in memory, shown, and then written to one local file; it is sent nowhere.
internal import Foundation
internal import Glibc

/// What would be written.
public struct BugReport: Sendable {
    public struct Section: Sendable {
        public let title: String
        /// Redacted.
        public let text: String

        var lines: Int { text.split(separator: "\n", omittingEmptySubsequences: false).count }
    }

    public let sections: [Section]
    /// How many different things were taken out, by kind: "ipv4", "name" …
    public let removed: [String: Int]

    /// Where to look.
    public struct Source: Sendable {
        /// Nil: the one that the running node says, or /etc/pqvpn/pqvpn.yaml.
        public var configurationFile: String?
        public var socket: String?
        public var node: String?
        public var passphraseFile: String?
        public var places = HostPlaces()

        public init() {}
    }

    /// Looks at everything once. What cannot be looked at is named in its section; throws only where it is not clear which node
    /// is meant.
    public static func collect(_ source: Source) throws -> BugReport {
        var collection = BugReportCollection(source)
        try collection.run()
        var redaction = collection.redaction
        let sections = collection.sections.map { Section(title: $0.title, text: redaction.redacted($0.text)) }
        return BugReport(
            sections: sections,
            removed: Dictionary(uniqueKeysWithValues: redaction.counts.map { ($0.key.rawValue, $0.value) }))
    }

    /// The file.
    public var text: String {
        var lines = [
            "PQVPN bug report. <ipv4-1>, <name-1> and their like stand for what was taken out, the same mark for the same thing."
        ]
        for section in sections { lines += ["", "== \(section.title) ==", section.text] }
        return lines.joined(separator: "\n") + "\n"
    }

    /// What it will hold, for the person who decides.
    public var overview: String {
        let width = sections.map(\.title.count).max() ?? 0
        var lines = ["The report would hold:"]
        for section in sections {
            let padding = String(repeating: " ", count: width - section.title.count)
            lines.append("  \(section.title)\(padding)  \(section.lines) line\(section.lines == 1 ? "" : "s")")
        }
        let total = removed.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        lines.append("Taken out: \(total.isEmpty ? "nothing" : total). It stays on this host; nothing is sent.")
        return lines.joined(separator: "\n")
    }

    /// "pqvpn-bugreport-20261125-181500.txt".
    public static func usualName(now: UInt64) -> String {
        let stamp = Timestamp(Double(now)).rfc3339.prefix(19).filter { $0 != "-" && $0 != ":" }
        return "pqvpn-bugreport-\(stamp.replacing("T", with: "-")).txt"
    }

    /// Writes a new file of mode 0600; throws where one of that name exists.
    ///
    /// - Parameter path: nil = the usual name in this directory.
    public func write(to path: String?) throws -> BugReportReport {
        let path = PathResolver(file: "./x").absolute(path ?? Self.usualName(now: UnixTime.now))
        let (directory, name) = ProtectedFile.split(path)
        var files = try NewFiles(in: directory)
        try files.checkAbsent([name])
        let text = text
        try files.add(name) { try $0.write([UInt8](text.utf8)) }
        try files.commit()
        return BugReportReport(
            file: path, sections: sections.map { .init(title: $0.title, lines: $0.lines) }, removed: removed)
    }
}

/// What was written.
public struct BugReportReport: Report {
    public static let schema = "pqvpn.bugreport/1"

    public struct Section: Encodable, Sendable {
        public let title: String
        public let lines: Int
    }

    public let file: String
    public let sections: [Section]
    public let removed: [String: Int]

    public var text: String { "\(file) is written (mode 0600). Look through it before you give it to anybody." }
}
