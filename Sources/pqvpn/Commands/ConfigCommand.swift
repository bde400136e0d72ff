// SPDX-License-Identifier: Apache-2.0
// `pqvpn config check|default|show|diff`.
internal import ArgumentParser
internal import VPNNode

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Check, make and explain configurations.",
        subcommands: [Check.self, Default.self, Show.self, Diff.self])

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check",
            abstract: "Report everything that is wrong with a configuration; status 2 if anything is.")

        @Argument var file: String
        @OptionGroup var output: OutputOptions

        func run() throws {
            let report = try ConfigurationCheckReport.check(file: file)
            output.print(report)
            if !report.ok { throw ExitCode(ExitStatus.usage.rawValue) }
        }
    }

    struct Default: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "default", abstract: "Print a documented configuration with every key at its default.")

        func run() throws { print(DefaultConfiguration.text, terminator: "") }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Print every value that counts, and where it comes from.")

        @Argument var file: String
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try ConfigurationReport.show(file: file)) }
    }

    struct Diff: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "diff",
            abstract: "List what differs: what a running node takes at SIGHUP, and what needs a restart.")

        @Argument var old: String
        @Argument var new: String
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try ConfigurationDifferenceReport.compare(old, new)) }
    }
}
