// SPDX-License-Identifier: Apache-2.0
// Public bytes as a text that can be mailed: base64 between two lines, with headers for people. What counts is what is
// signed inside; that is checked by whoever decodes the bytes.
internal import Foundation
internal import Glibc

struct Armour: Sendable {
    /// In the lines around the content: "DESCRIPTOR".
    let title: String
    /// In messages: "descriptor".
    let noun: String

    var begin: String { "-----BEGIN PQVPN \(title)-----" }
    private var end: String { "-----END PQVPN \(title)-----" }

    /// The largest content is below 20 KB, a third more in base64.
    private static let maximumSize = 64 << 10

    /// The whole text.
    func text(_ fields: [(name: String, value: String)], _ content: [UInt8]) -> String {
        var lines = [begin, "Version: 1"] + fields.map { "\($0.name): \($0.value)" } + [""]
        var rest = Data(content).base64EncodedString()[...]
        while !rest.isEmpty {
            lines.append(String(rest.prefix(76)))
            rest = rest.dropFirst(76)
        }
        return lines.joined(separator: "\n") + "\n\(end)\n"
    }

    /// Writes a text to a file that must not exist yet.
    static func write(_ text: String, to path: String) throws {
        let (directory, name) = ProtectedFile.split(path)
        var files = try NewFiles(in: directory)
        try files.checkAbsent([name])
        try files.add(name, mode: 0o644) { try $0.write([UInt8](text.utf8)) }
        try files.commit()
    }

    /// The text of a file, of any mode.
    func read(_ path: String) throws -> String {
        do {
            let file = try OpenFile(path, O_RDONLY, followsLinks: true)
            let status = try file.status()
            guard status.kind == .regular, status.size <= Self.maximumSize else {
                throw NodeFailure(.usage, "\(path) is not a \(noun) file")
            }
            return String(decoding: try file.read(limit: status.size), as: UTF8.self)
        } catch let error as SystemCallError {
            let isPermission = error.errno == EACCES || error.errno == EPERM
            throw NodeFailure(isPermission ? .permission : .usage, "\(noun) \(path): \(error.reason)")
        }
    }

    /// The headers and the content; text around them is ignored. `path` is for messages.
    func decode(_ text: String, path: String) throws -> (fields: [String: String], content: [UInt8]) {
        // Mail and terminals end lines in their own way.
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map {
            $0.trimmingCharacters(in: .whitespaces)
        }
        guard let first = lines.firstIndex(of: begin) else {
            throw NodeFailure(.usage, "\(path) is not a \(noun) file: it has no '\(begin)' line")
        }
        guard let last = lines[first...].firstIndex(of: end), let blank = lines[first..<last].firstIndex(of: "") else {
            throw NodeFailure(.usage, "\(noun) \(path) is truncated: ask for it again")
        }
        var fields: [String: String] = [:]
        for line in lines[(first + 1)..<blank] {
            guard let colon = line.range(of: ": ") else { continue }
            fields[String(line[..<colon.lowerBound])] = String(line[colon.upperBound...])
        }
        if let version = fields["Version"], version != "1" {
            throw NodeFailure(.usage, "\(noun) \(path) has another version than 1, which this program knows")
        }
        guard let data = Data(base64Encoded: lines[(blank + 1)..<last].joined()) else {
            throw NodeFailure(.usage, "\(noun) \(path) is damaged: its content is not base64")
        }
        return (fields, [UInt8](data))
    }

    /// Refuses a header that names another id than the content has.
    func check(_ fields: [String: String], _ name: String, is id: String, path: String) throws {
        guard let shown = fields[name], shown.lowercased() != id else { return }
        throw NodeFailure(
            .untrustedIdentity,
            "\(noun) \(path) is refused: its header names another \(name.lowercased()) than its content has")
    }
}
