// SPDX-License-Identifier: Apache-2.0
// The configuration file as an operator, a program or a stranger may have written it: faults have a place in the file and words,
// and what is accepted is accepted again.
import VPNTesting

@testable import VPNNode

enum ConfigurationProperty {
    private static let sample = """
        peer:
          nickname: alice
          temporary: true
        network:
          listen_port: 9000
          bind_host: "0.0.0.0"
        tunnel:
          address: [10.66.0.1/24, "fd66::1/64"]
        security:
          tofu: true
          known_peers_file: k.yaml
          handshake_per_minute_per_ip: 5
        peers:
          - name: bob
            endpoint: "192.0.2.2:9000"
            allowed_ips: [10.66.0.2/32]
            keepalive: 25
          - name: carol
            peer_id: "\(String(repeating: "ab", count: 32))"
            allowed_ips: ["fd66::3/128"]
        exit:
          enabled: true
          policy: ["accept tcp *:443", "reject *:*"]
        logging:
          level: info
        """

    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        var text = sample
        if kind & 3 == 3 {
            text = String(decoding: input.rest(upTo: 480), as: UTF8.self)
        } else {
            // Any row of the table, in its section or in another.
            if kind & 4 != 0 {
                let rows = ConfigurationTable.rows.keys.sorted()
                let name = rows[input.number(below: rows.count)].split(separator: ".")
                text += "\n" + name[0] + ":\n  " + name.dropFirst().joined(separator: ": ") + ": ~"
            }
            text = TextEdits.apply(text, &input)
        }
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).count
        do {
            let loaded = try LoadedConfiguration(text: text, file: "/nowhere/node.yaml")
            for warning in loaded.warnings { try look(warning, lines, text) }
            let again = try LoadedConfiguration(text: text + "\n", file: "/nowhere/node.yaml")
            try FuzzFinding.unless(
                again.warnings.count == loaded.warnings.count, "another meaning with an empty line: \(text)")
        } catch let error as ConfigurationError {
            try FuzzFinding.unless(
                error.issues.contains { $0.severity == .error }, "refused without a reason: \(text)")
            for issue in error.issues { try look(issue, lines, text) }
        }
    }

    private static func look(_ issue: ConfigurationIssue, _ lines: Int, _ text: String) throws {
        let words = issue.description(file: "f")
        try FuzzFinding.unless(
            issue.mark.line >= 1 && issue.mark.line <= lines + 2 && issue.mark.column >= 1 && !issue.message.isEmpty,
            "\(words), of \(lines) lines: \(text)")
    }
}
