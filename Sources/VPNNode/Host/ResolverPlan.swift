// SPDX-License-Identifier: Apache-2.0
// Which of the three systems of name resolution a host has, and what each is told, as steps. Without servers there is nothing
// to do: names are not ours then.
internal import Foundation
internal import VPNCore

/// `dns.mode`.
public enum ResolverMode: String, Sendable, CaseIterable {
    case auto, resolvectl, resolvconf, file, off
}

struct ResolverPlan: Hashable, Sendable {
    var mode: ResolverMode
    var interface: String
    var servers: [IPAddress]
    var search: [String]
    /// The file of mode `file`.
    var path: String
    /// The name of our entry with resolvconf: "tun." first where its order of interfaces goes by that.
    var entry: String

    /// Where the host has the first of them.
    ///
    /// - Parameter linkTarget: where resolv.conf leads if it is a link.
    static func mode(
        _ wanted: ResolverMode, hasResolvectl: Bool, hasResolvconf: Bool, isResolvconfResolvectl: Bool,
        linkTarget: String?
    ) -> ResolverMode {
        guard wanted == .auto else { return wanted }
        // Many hosts have the program without the service: it counts where names go through it.
        if hasResolvectl, linkTarget?.contains("systemd/resolve") == true { return .resolvectl }
        if hasResolvconf, isResolvconfResolvectl { return hasResolvectl ? .resolvectl : .resolvconf }
        return hasResolvconf ? .resolvconf : .file
    }

    var tools: [String] {
        guard !servers.isEmpty else { return [] }
        switch mode {
        case .resolvectl: return ["resolvectl"]
        case .resolvconf: return ["resolvconf"]
        case .auto, .file, .off: return []
        }
    }

    var steps: [HostStep] {
        guard !servers.isEmpty else { return [] }
        switch mode {
        case .auto, .off: return []
        case .resolvectl:
            // "~." sends all names to these servers, whatever other links say (systemd, RESOLVED-VPNS).
            let apply = [
                HostCommand("resolvectl", ["dns", interface] + servers.map(\.description)),
                HostCommand("resolvectl", ["domain", interface] + search + ["~."]),
                HostCommand("resolvectl", ["default-route", interface, "yes"]),
            ]
            // What it was told of an interface goes with the interface.
            let gone = ["No such device", "not found", "Failed to resolve interface"]
            return [
                HostStep(
                    "name servers (resolvectl)",
                    .commands(apply: apply, revert: [HostCommand("resolvectl", ["revert", interface], gone: gone)]))
            ]
        case .resolvconf:
            return [
                HostStep(
                    "name servers (resolvconf)",
                    .commands(
                        apply: [HostCommand("resolvconf", ["-a", entry, "-m", "0", "-x"], input: text(comment: nil))],
                        revert: [HostCommand("resolvconf", ["-d", entry, "-f"])]))
            ]
        case .file:
            let comment = "# Of pqvpn (\(interface)): `pqvpn down` brings the former file back."
            return [HostStep("name servers (\(path))", .resolverFile(path, text(comment: comment)))]
        }
    }

    /// resolv.conf(5).
    private func text(comment: String?) -> String {
        var lines = comment.map { [$0] } ?? []
        lines += servers.map { "nameserver \($0)" }
        if !search.isEmpty { lines.append("search \(search.joined(separator: " "))") }
        return lines.joined(separator: "\n") + "\n"
    }
}
