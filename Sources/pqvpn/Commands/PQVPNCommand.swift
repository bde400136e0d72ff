// SPDX-License-Identifier: Apache-2.0
// The tree of commands, and what all of them share.
internal import ArgumentParser
internal import VPNNode

struct PQVPNCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pqvpn", abstract: "A VPN with post-quantum and classical cryptography in every handshake.",
        discussion: """
            Without a command, `pqvpn --config FILE` is `pqvpn run --config FILE`.

            Exit status: \(ExitStatus.allCases.map { "\($0.rawValue) \($0.meaning)" }.joined(separator: " · "))
            """,
        version: VersionReport().text,
        subcommands: [
            RunCommand.self, KeygenCommand.self, PeerIDCommand.self, IdentityCommand.self, PeersCommand.self,
            ConfigCommand.self, SelfTestCommand.self, VersionCommand.self, DemoCommand.self,
        ],
        defaultSubcommand: RunCommand.self)
}

/// How a command that reports answers.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print one JSON object with a \"schema\" field.")
    var json = false

    func print(_ report: some Report) { Swift.print(json ? report.json : report.text) }
}
