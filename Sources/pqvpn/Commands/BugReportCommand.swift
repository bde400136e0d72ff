// SPDX-License-Identifier: Apache-2.0
// `pqvpn bugreport`.
internal import ArgumentParser
internal import Foundation
internal import VPNNode

struct BugReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bugreport",
        abstract: "Write what helpers want to know into one local file, without addresses, names and keys.",
        discussion: """
            It says what it will write and asks before it does. Where nobody can be asked, --yes is needed. Nothing is sent \
            anywhere. Run it as root for filters and log of the system's node.
            """)

    @Option(help: ArgumentHelp("A file that does not exist yet; by default one in this directory.", valueName: "file"))
    var out: String?

    @Flag(help: "Do not ask.")
    var yes = false

    @Flag(help: "Print the report and write nothing.")
    var show = false

    @Option(
        name: .customLong("config"),
        help: ArgumentHelp("The configuration to look at; by default that of the node that runs.", valueName: "file"))
    var configurationFile: String?

    @OptionGroup var passphrase: PassphraseOptions
    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var source = BugReport.Source()
        source.configurationFile = configurationFile
        source.socket = control.socket
        source.node = control.node
        source.passphraseFile = passphrase.passphraseFile
        let report = try BugReport.collect(source)
        if show {
            print(report.text, terminator: "")
            return
        }
        if !output.json { print(report.overview) }
        if !yes {
            let canAsk = !output.json && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1
            guard canAsk else {
                throw NodeFailure(.usage, "nothing was written: add --yes to write it, or --show to see all of it")
            }
            guard ask(report) else { throw NodeFailure(.failure, "nothing was written") }
        }
        output.print(try report.write(to: out))
    }

    private func ask(_ report: BugReport) -> Bool {
        while true {
            print("Write it? [y, n, or s to see all of it]: ", terminator: "")
            Screen.flush()
            switch readLine()?.trimmingCharacters(in: .whitespaces).lowercased() {
            case "y", "yes": return true
            case "s", "show": print(report.text, terminator: "")
            case "n", "no", "", nil: return false
            default: continue
            }
        }
    }
}
