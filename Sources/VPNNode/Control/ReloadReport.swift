// SPDX-License-Identifier: Apache-2.0
// What reading the configuration file again did, or would do.

public struct ReloadReport: Report, Codable, Equatable {
    public static let schema = "pqvpn.reload/1"
    /// Nothing was changed.
    public let isTrial: Bool
    public let file: String
    /// Keys, of a peer "peers.bob.endpoint": taken by the running node.
    public let applied: [String]
    /// Wait for a restart.
    public let pending: [String]
    /// What is accepted and doubtful.
    public let warnings: [String]

    private enum CodingKeys: String, CodingKey {
        case isTrial = "dry_run"
        case file, applied, pending, warnings
    }

    public var text: String {
        var lines: [String] = []
        if applied.isEmpty, pending.isEmpty {
            lines.append("\(file): nothing differs from what the node has")
        } else {
            lines.append(isTrial ? "\(file) is good; nothing was changed" : "\(file) was read again")
        }
        lines += applied.map { "  \(isTrial ? "would be taken" : "taken")  \($0)" }
        lines += pending.map { "  \(isTrial ? "would wait for a restart" : "waits for a restart")  \($0)" }
        lines += warnings.map { "  doubtful  \($0)" }
        return lines.joined(separator: "\n")
    }
}
