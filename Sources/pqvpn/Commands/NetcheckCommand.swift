// SPDX-License-Identifier: Apache-2.0
// `pqvpn netcheck`.
internal import ArgumentParser
internal import VPNNode

struct NetcheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "netcheck", abstract: "What the network lets through, as this node's own peers show it.",
        discussion: """
            Asks the node that runs, or its peers by itself where none does. Nobody but configured peers and bootstrap entries \
            is asked. Ends with status 5 where none of them answered.
            """)

    @Option(
        name: .customLong("config"),
        help: ArgumentHelp("The configuration whose peers are asked; by default the running node's.", valueName: "file")
    )
    var configurationFile: String?

    @Option(help: ArgumentHelp("For the peers to answer, 1 to 30.", valueName: "seconds"))
    var timeout = 10

    @OptionGroup var passphrase: PassphraseOptions
    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...30).contains(timeout) else { throw ValidationError("--timeout takes 1 to 30") }
    }

    func run() async throws {
        var check = NetcheckRun()
        check.configurationFile = configurationFile
        check.socket = control.socket
        check.node = control.node
        check.passphrase = PassphraseSource(file: passphrase.passphraseFile)
        check.timeout = .seconds(timeout)
        let report = try await check.run()
        output.print(report)
        if report.udp == .no { throw ExitCode(ExitStatus.timeout.rawValue) }
    }
}
