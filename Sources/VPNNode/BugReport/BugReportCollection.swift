// SPDX-License-Identifier: Apache-2.0
// Where the sections of a bug report come from, and which names they may hold. Nothing here leaves the process unredacted.
internal import Foundation
internal import VPNCore
internal import VPNCrypto

struct BugReportCollection {
    private(set) var sections: [(title: String, text: String)] = []
    private(set) var redaction = Redaction()
    private let source: BugReport.Source
    private var status: StatusReport?

    private static let usualFile = "/etc/pqvpn/pqvpn.yaml"
    /// Lines of the log. A node keeps as many.
    private static let logLines = LogRing.capacity

    init(_ source: BugReport.Source) { self.source = source }

    mutating func run() throws {
        learnSurroundings()
        let (path, absence) = try nodePath()
        var node: [(String, String)] = []
        if let path {
            node = askNode(path)
        } else {
            node = [("status", absence)]
        }
        let file =
            source.configurationFile ?? status?.configuration
            ?? (ProtectedFile.exists(Self.usualFile) ? Self.usualFile : nil)
        let loaded = file.flatMap { try? LoadedConfiguration(file: $0) }
        if let loaded { learn(loaded.configuration) }
        add("program and host", BugReportHost.facts())
        add("configuration", file.map { Self.configuration(loaded, $0) } ?? "(none was named, and no node runs)")
        add("doctor", Self.doctor(file, source.passphraseFile))
        for (title, text) in node { add(title, text) }
        let marks = Set([loaded?.configuration.network.mark ?? HostNumbers.mark, HostNumbers.mark])
        for (title, text) in BugReportHost.tables(marks: marks.sorted()) { add(title, text) }
    }

    private mutating func add(_ title: String, _ text: String) {
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        sections.append((title, trimmed.isEmpty ? "(nothing)" : trimmed))
    }

    // MARK: The node

    /// Nil and why, where no node can be asked. Which of several is the caller's to say.
    private func nodePath() throws -> (String?, String) {
        do {
            return (try ControlPlace.find(socket: source.socket, node: source.node), "")
        } catch let failure as NodeFailure where failure.status == .daemonNotRunning && source.node == nil {
            return (nil, "(\(failure.message))")
        }
    }

    private mutating func askNode(_ path: String) -> [(String, String)] {
        var answers: [(String, String)] = []
        do {
            var client = try ControlClient(path: path)
            let line = try client.ask(ControlRequest(.status))
            if let report = try? StatusReport(answer: line) {
                status = report
                learn(report)
            }
            answers.append(("status", ControlAnswer.harmless(json: line)))
            answers.append(
                ("metrics", Self.told { try client.ask(ControlRequest(.metrics), as: MetricsReport.self).text }))
            var request = ControlRequest(.logs)
            request.limit = Self.logLines
            answers.append(
                ("log", log(try client.ask(request, as: LogsReport.self).lines.map(\.line))))
        } catch {
            answers.append(("status", "(\(NodeFailure(error).message))"))
        }
        return answers
    }

    private static func told(_ body: () throws -> String) -> String {
        do { return try body() } catch { return "(\(NodeFailure(error).message))" }
    }

    /// What a faulty file says in quotes may be anything, a passphrase in the wrong place among it.
    private static func withoutQuotations(_ text: String) -> String {
        var parts = text.split(separator: "'", omittingEmptySubsequences: false).map(String.init)
        for place in parts.indices where place % 2 == 1 { parts[place] = "…" }
        return parts.joined(separator: "'")
    }

    private static func doctor(_ file: String?, _ passphraseFile: String?) -> String {
        let findings = Doctor.examine(file: file, passphraseFile: passphraseFile).map { finding in
            guard finding.code.hasPrefix("config") else { return finding }
            return Finding(
                code: finding.code, verdict: finding.verdict, message: withoutQuotations(finding.message),
                fix: finding.fix)
        }
        return DoctorReport(findings).json
    }

    /// The lines, and the names of peers that they tell: who was taken out of the configuration is still in the log.
    mutating func log(_ lines: [String]) -> String {
        lines.map { line in
            let fields = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any] ?? [:]
            for key in ["peer_name", "nickname"] {
                if let name = fields[key] as? String { learn(name: name) }
            }
            // The first digits of peer_ids: of guards above all, which tell where this node enters.
            for key in ["peer", "from", "guards", "relays"] {
                let ids = fields[key] as? [String] ?? [fields[key] as? String].compactMap { $0 }
                for id in ids where id.utf8.count >= 8 { redaction.learn(id) }
            }
            let isAboutFile = (fields["event"] as? String)?.hasPrefix("config.") ?? true
            return isAboutFile ? Self.withoutQuotations(line) : line
        }.joined(separator: "\n")
    }

    // MARK: The configuration

    /// Numbers, switches and words that everybody has; of all else only that it is set. Of peers, what they have.
    private static func configuration(_ loaded: LoadedConfiguration?, _ file: String) -> String {
        guard let loaded else {
            return "(\(file) cannot be read, or is no good: see the doctor)"
        }
        let rows = ConfigurationTable.sections.flatMap(\.keys).filter { !$0.path.contains("[]") && $0.path != "peers" }
        var lines = rows.map { row in
            let isSet = loaded.document.values[row.path] != nil
            return "\(row.path): \(shown(loaded.document.effective(row.path), row.kind))\(isSet ? "" : "  # default")"
        }
        let peers = loaded.configuration.peers
        lines.append("peers: \(peers.count)")
        for peer in peers {
            let widths = peer.allowedIPs.map { "\($0.family == .v4 ? "IPv4" : "IPv6") /\($0.length)" }
            lines.append(
                "  \(peer.name): \(place(peer.endpoint)), networks [\(widths.joined(separator: ", "))], keepalive "
                    + "\(peer.keepaliveSeconds) s" + (peer.presharedKeyFile == nil ? "" : ", preshared key")
                    + (peer.peerID == nil ? ", no peer_id" : "") + (peer.invitation == nil ? "" : ", by invitation"))
        }
        return lines.joined(separator: "\n")
    }

    private static func place(_ endpoint: EndpointName?) -> String {
        guard let endpoint else { return "calls" }
        switch endpoint.host {
        case .name: return "called by name, port \(endpoint.port)"
        case .address(let address):
            return "called by \(address.family == .v4 ? "IPv4" : "IPv6") address, port \(endpoint.port)"
        }
    }

    private static func shown(_ value: ConfigurationValue, _ kind: ValueKind) -> String {
        switch (value, kind) {
        case (.null, _), (.boolean, _), (.integer, _), (.text, .wordOrInteger), (.text, .text(.choice)):
            return value.description
        case (.list(let entries), _) where entries.isEmpty: return "[]"
        case (.list(let entries), .list(of: .integer, _)):
            return "[" + entries.map(\.description).joined(separator: ", ") + "]"
        case (.list(let entries), _): return "(\(entries.count) entries)"
        default: return "(set)"
        }
    }

    // MARK: Names

    private mutating func learnSurroundings() {
        if let host = try? String(contentsOfFile: "/proc/sys/kernel/hostname", encoding: .utf8) {
            let name = host.trimmingCharacters(in: .whitespacesAndNewlines)
            if name != "localhost", name.count > 2 { redaction.learn(name) }
        }
        let environment = ProcessInfo.processInfo.environment
        for name in ["SUDO_USER", "USER", "LOGNAME"].compactMap({ environment[$0] }) where name != "root" {
            if name.count > 2 { redaction.learn(name) }
        }
    }

    mutating func learn(_ report: StatusReport) {
        learn(name: report.nickname)
        for peer in report.peers {
            // "bootstrap vpn.example.org:9000" is told by its endpoint.
            if !peer.name.hasPrefix("bootstrap ") { learn(name: peer.name) }
            if let id = peer.peerID { redaction.learn(String(id.prefix(8))) }
        }
        redaction.learn(String(report.peerID.prefix(8)))
        for circuit in report.circuits { learn(circuit) }
        for quilt in report.quilts { learn(name: quilt.peer) }
    }

    /// Who is on the way: the first hop is a guard of this node's.
    private mutating func learn(_ circuit: CircuitsReport.Own) {
        learn(name: circuit.name)
        for hop in circuit.hops + (circuit.paths ?? []).flatMap({ $0 }) {
            learn(name: hop.name)
            redaction.learn(String(hop.peerID.prefix(8)))
        }
        if let node = circuit.lastFailure?.node { learn(name: node) }
    }

    private mutating func learn(_ configuration: NodeConfiguration) {
        learn(name: configuration.nickname)
        let places =
            configuration.peers.compactMap(\.endpoint) + configuration.bootstrapPeers
            + [configuration.invites.endpoint].compactMap { $0 }
        for case .name(let host) in places.map(\.host) { redaction.learn(host) }
        for domain in configuration.resolver.search { redaction.learn(domain) }
        for peer in configuration.peers {
            learn(name: peer.name)
            if let id = peer.peerID { redaction.learn(String(id.hex.prefix(8))) }
        }
        // Where somebody has put the secret itself in the place of its file.
        for path in configuration.peers.compactMap(\.presharedKeyFile)
            + [configuration.passphraseFile].compactMap({ $0 })
        {
            redaction.learn(ProtectedFile.split(path).name)
        }
        for id in configuration.security.allowlist { redaction.learn(String(id.hex.prefix(8))) }
    }

    /// Defaults are nobody's names, and words of every other line.
    private mutating func learn(name: String) {
        if !["node", "pqvpn", NodeConfiguration.Circuit.name].contains(name) { redaction.learn(name) }
    }
}
