// SPDX-License-Identifier: Apache-2.0
// What the lab says of itself, for people and as `pqvpn.lab/1`.
internal import Foundation

/// The hosts of a lab, and who reached whom.
public struct LabReport: Sendable {
    public struct Host: Sendable, Encodable {
        public let name: String
        public let namespace: String
        public let outer: [String]
        public let inner: [String]
        public let socket: String
    }

    /// Milliseconds from row to column; nil where nothing came back, and on the diagonal.
    public typealias Matrix = [[Double?]]

    public var hosts: [Host]
    public var matrix: Matrix?

    /// Whether every host reached every other; true where nobody asked.
    public var ok: Bool {
        guard let matrix else { return true }
        return matrix.indices.allSatisfy { row in
            matrix.indices.allSatisfy { $0 == row || matrix[row][$0] != nil }
        }
    }

    public var text: String {
        guard let matrix else {
            let lines = hosts.map { "  \($0.name)  \($0.inner[0]), \($0.inner[1])  outside \($0.outer[0])" }
            return
                (["\(hosts.count) hosts on one switch, each with a tunnel to every other"] + lines + [
                    "Enter one:    pqvpn lab exec 1 -- bash",
                    "Ask a node:   pqvpn status --socket \(hosts[0].socket)",
                    "All to all:   pqvpn lab ping",
                    "Remove them:  pqvpn lab down",
                ]).joined(separator: "\n")
        }
        let width = 7
        func cell(_ text: String) -> String { String(repeating: " ", count: max(width - text.count, 1)) + text }
        let head = "ms" + String(repeating: " ", count: 6) + hosts.indices.map { cell("\($0 + 1)") }.joined()
        let rows = hosts.indices.map { row in
            let name = hosts[row].name
            let cells = hosts.indices.map { column -> String in
                if row == column { return cell("·") }
                return cell(matrix[row][column].map { String(format: "%.2f", $0) } ?? "none")
            }
            return name + String(repeating: " ", count: max(8 - name.count, 1)) + cells.joined()
        }
        return ([head] + rows).joined(separator: "\n")
    }

    /// One line.
    public var json: String {
        struct Object: Encodable {
            let schema = "pqvpn.lab/1"
            let ok: Bool
            let hosts: [Host]
            let milliseconds: Matrix?
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let object = Object(ok: ok, hosts: hosts, milliseconds: matrix)
        guard let data = try? encoder.encode(object) else { return "{\"schema\":\"pqvpn.lab/1\",\"ok\":false}" }
        return String(decoding: data, as: UTF8.self)
    }
}
