// SPDX-License-Identifier: Apache-2.0
// Commands about the run around a node: its log, the level of it, its configuration file.
internal import ArgumentParser
internal import Foundation
internal import VPNNode

struct LogsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "The last lines of a running node's log, wherever it is written to.",
        discussion: "A node keeps 1000 lines in memory. With --json an object of lines, with -f one a second.")

    @Flag(name: .shortAndLong, help: "Go on with what comes, until ^C.")
    var follow = false

    @Option(name: [.customShort("n"), .long], help: ArgumentHelp("So many lines at first.", valueName: "count"))
    var lines = 100

    @Option(help: ArgumentHelp("Of this level and above.", valueName: "level"))
    var level: String?

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (0...1000).contains(lines) else { throw ValidationError("--lines must be 0 to 1000") }
    }

    func run() throws {
        var client = try control.connect()
        var request = ControlRequest(.logs)
        request.limit = lines
        request.level = level
        while true {
            let report = try client.ask(request, as: LogsReport.self)
            if output.json ? !follow || !report.isEmpty : !report.isEmpty { output.print(report) }
            guard follow else { return }
            Screen.flush()
            // As long as there is more at once, nobody waits.
            if request.since == nil || report.lines.count < 1000 { Thread.sleep(forTimeInterval: 1) }
            request.since = report.next
            request.limit = 1000
        }
    }
}

struct LogLevelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log-level", abstract: "How much a running node logs; with LEVEL, from now on.",
        discussion: "It holds until the next reload or restart, which go by the configuration again.")

    @Argument(help: "TRACE, DEBUG, INFO, NOTICE, WARNING, ERROR or CRITICAL.")
    var level: String?

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var client = try control.connect()
        var request = ControlRequest(.logLevel)
        request.level = level
        output.print(try client.ask(request, as: LogLevelReport.self))
    }
}

struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Have a running node read its configuration again, as SIGHUP does.",
        discussion: "A file with any fault is refused with all of them, and the node keeps what it has.")

    @Flag(help: "Check everything, say what would be taken and what waits for a restart, and change nothing.")
    var dryRun = false

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var client = try control.connect()
        var request = ControlRequest(.reload)
        request.isTrial = dryRun
        output.print(try client.ask(request, as: ReloadReport.self))
    }
}
