// SPDX-License-Identifier: Apache-2.0
// The program: parses its arguments, runs one command, and ends with one of the statuses of docs/commands.md.
internal import ArgumentParser
internal import Foundation
internal import VPNNode

/// Prints an error and ends. ArgumentParser's own statuses become those of docs/commands.md.
func end(with error: any Error, arguments: [String]) -> Never {
    if let failure = error as? NodeFailure {
        if arguments.contains("--json") { print(FailureReport(failure).json) }
        for line in failure.message.split(separator: "\n") { complain("pqvpn: \(line)") }
        exit(failure.status.rawValue)
    }
    if let code = error as? ExitCode { exit(code.rawValue) }
    let message = PQVPNCommand.fullMessage(for: error)
    // Help and version are asked for; everything else of the parser is wrong usage.
    guard PQVPNCommand.exitCode(for: error).isSuccess else {
        if arguments.contains("--json") {
            print(FailureReport(NodeFailure(.usage, PQVPNCommand.message(for: error))).json)
        }
        complain(message)
        exit(ExitStatus.usage.rawValue)
    }
    if !message.isEmpty { print(message) }
    exit(ExitStatus.ok.rawValue)
}

func complain(_ line: String) {
    FileHandle.standardError.write(Data((line + "\n").utf8))
}

/// Without a command `run` is meant, so the parser would take any word for an argument of it and complain of that.
func checkCommand(_ arguments: [String]) throws {
    guard let word = arguments.first else {
        complain(PQVPNCommand.helpMessage())
        throw ExitCode(ExitStatus.usage.rawValue)
    }
    guard !word.hasPrefix("-"), word != "help" else { return }
    let names = PQVPNCommand.configuration.subcommands.compactMap { $0.configuration.commandName }
    guard !names.contains(word) else { return }
    let near = Spelling.nearest(to: word, among: names).map { "; did you mean '\($0)'?" } ?? ""
    throw NodeFailure(.usage, "there is no command '\(word)'\(near.isEmpty ? ": " : near + " ")`pqvpn help` lists them")
}

func execute(_ arguments: [String]) async {
    do {
        try checkCommand(arguments)
        var command = try PQVPNCommand.parseAsRoot(arguments)
        if var asynchronous = command as? any AsyncParsableCommand {
            try await asynchronous.run()
        } else {
            try command.run()
        }
    } catch {
        // Help and wrong usage are the parser's to word; everything else is ours.
        let code = PQVPNCommand.exitCode(for: error)
        let isParsers = code.isSuccess || code == .validationFailure || error is ExitCode
        end(with: isParsers ? error : NodeFailure(error), arguments: arguments)
    }
}

await execute(Array(CommandLine.arguments.dropFirst()))
