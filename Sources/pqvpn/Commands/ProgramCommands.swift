// SPDX-License-Identifier: Apache-2.0
// `pqvpn selftest` and `version`.
internal import ArgumentParser
internal import VPNNode

struct SelfTestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "selftest", abstract: "Check every primitive against a known answer and time its operations.")

    @OptionGroup var output: OutputOptions

    func run() throws {
        let report = SelfTestReport.run()
        output.print(report)
        if !report.ok { throw ExitCode(ExitStatus.failure.rawValue) }
    }
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    @OptionGroup var output: OutputOptions

    func run() throws { output.print(VersionReport()) }
}
