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
            InitCommand.self, InviteCommand.self, InvitesCommand.self, JoinCommand.self,
            RunCommand.self, UpCommand.self, DownCommand.self, LockdownCommand.self, StatusCommand.self,
            TopCommand.self, SessionsCommand.self, PingCommand.self, TraceCommand.self, QuiltCommand.self,
            CircuitsCommand.self,
            CircuitCommand.self, RekeyCommand.self, DropCommand.self,
            LogsCommand.self, LogLevelCommand.self, ReloadCommand.self, KeygenCommand.self, PeerIDCommand.self,
            IdentityCommand.self,
            PeersCommand.self, RelayCommand.self, RelaysCommand.self, ConfigCommand.self, DoctorCommand.self,
            NetcheckCommand.self, BugReportCommand.self, SelfTestCommand.self, VersionCommand.self, DemoCommand.self,
            LabCommand.self, CompletionsCommand.self, ManCommand.self,
        ],
        defaultSubcommand: RunCommand.self)
}

/// Where the passphrase of encrypted files comes from.
struct PassphraseOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "File of mode 0600 with the passphrase of what is encrypted; goes before PQVPN_PASSPHRASE, "
                + "keys.passphrase_file, the systemd credential pqvpn-passphrase and the terminal.", valueName: "file"))
    var passphraseFile: String?
}

/// How a command that reports answers.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print one JSON object with a \"schema\" field.")
    var json = false

    func print(_ report: some Report) { Swift.print(json ? report.json : report.text) }
}
