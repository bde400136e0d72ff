// SPDX-License-Identifier: Apache-2.0
// `pqvpn doctor`.
internal import ArgumentParser
internal import VPNNode

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract:
            "Check this machine and a configuration, and say how to mend what is wrong; status 1 if anything fails.")

    @Option(name: .customLong("config"), help: ArgumentHelp("The configuration to look at.", valueName: "file"))
    var configurationFile: String?

    @OptionGroup var passphrase: PassphraseOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let report = DoctorReport.examine(file: configurationFile, passphraseFile: passphrase.passphraseFile)
        output.print(report)
        if !report.ok { throw ExitCode(ExitStatus.failure.rawValue) }
    }
}
