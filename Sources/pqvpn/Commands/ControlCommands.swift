// SPDX-License-Identifier: Apache-2.0
// Commands that talk to a running node: status, sessions, rekey, drop, ping, top.
internal import ArgumentParser
internal import Foundation
internal import VPNNode

/// Which node.
struct ControlOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The node's control socket; default: the one node that runs here.", valueName: "path"))
    var socket: String?

    @Option(help: ArgumentHelp("The nickname of one of several nodes that run here.", valueName: "name"))
    var node: String?

    func connect() throws -> ControlClient {
        try ControlClient(path: ControlPlace.find(socket: socket, node: node))
    }
}

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Is my traffic protected, by what, where does it go, since when?")

    @Flag(name: .shortAndLong, help: "Each session, and what was dropped.")
    var verbose = false

    @Flag(help: "Again every second, until ^C.")
    var watch = false

    @Flag(help: "Status 6 unless every configured peer is connected with both signatures.")
    var check = false

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var client = try control.connect()
        repeat {
            let line = try client.ask(ControlRequest(.status))
            let report = try StatusReport(answer: line)
            if output.json {
                // Not as it came: whoever listens there is not to steer a terminal.
                print(report.json)
            } else {
                print(watch ? Screen.repainting(report.text(isLong: verbose)) : report.text(isLong: verbose))
            }
            guard watch else {
                if check, report.verdict != .protected { throw ExitCode(ExitStatus.degraded.rawValue) }
                return
            }
            Screen.flush()
            Thread.sleep(forTimeInterval: 1)
        } while true
    }
}

struct SessionsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions", abstract: "The sessions of a running node.")

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var client = try control.connect()
        output.print(SessionsReport(try client.ask(ControlRequest(.status), as: StatusReport.self)))
    }
}

/// What a running node shall do with one peer.
struct PeerOrder: ParsableArguments {
    @Argument(help: "A name, a peer_id, or its first 8 digits or more.")
    var peer: String

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func give(_ verb: ControlRequest.Verb) throws {
        var client = try control.connect()
        output.print(try client.ask(ControlRequest(verb, peer: peer), as: ControlReport.self))
    }
}

struct RekeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rekey", abstract: "Begin a new handshake with a peer now; nothing is lost meanwhile.")

    @OptionGroup var order: PeerOrder

    func run() throws { try order.give(.rekey) }
}

struct DropCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drop", abstract: "End the sessions with a peer. A peer with an endpoint is called again.")

    @OptionGroup var order: PeerOrder

    func run() throws { try order.give(.drop) }
}

struct PingCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ping", abstract: "Ask a peer through the tunnel: round-trip time, loss, path.",
        discussion: "Ends with status 5 where no answer came at all.")

    @Argument(help: "A name, a peer_id, or its first 8 digits or more.")
    var peer: String

    @Option(name: .shortAndLong, help: "How many questions.")
    var count = 4

    @Option(name: .shortAndLong, help: ArgumentHelp("Between them.", valueName: "seconds"))
    var interval = 1.0

    @Option(help: ArgumentHelp("For each answer, at most 30.", valueName: "seconds"))
    var timeout = 5.0

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard count >= 1 else { throw ValidationError("--count must be 1 or more") }
        guard interval >= 0.2 else { throw ValidationError("--interval must be 0.2 or more") }
        guard timeout > 0, timeout <= 30 else { throw ValidationError("--timeout must be more than 0 and at most 30") }
    }

    func run() throws {
        var client = try control.connect()
        var series = PingSeries()
        for number in 0..<count {
            if number > 0 { Thread.sleep(forTimeInterval: interval) }
            let request = ControlRequest(.ping, peer: peer, timeout: Int(timeout * 1000))
            let report = try client.ask(request, as: PingReport.self)
            series.add(report)
            if !output.json {
                print(report.text)
                Screen.flush()
            }
        }
        print(output.json ? series.json : series.text)
        if series.answered == 0 { throw ExitCode(ExitStatus.timeout.rawValue) }
    }
}

struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "A live view of a running node: rates, round-trip times, sessions.",
        discussion: "q or ^C ends it.")

    @Option(name: .shortAndLong, help: ArgumentHelp("Between two pictures.", valueName: "seconds"))
    var interval = 1.0

    @OptionGroup var control: ControlOptions

    func validate() throws {
        guard (0.2...60).contains(interval) else { throw ValidationError("--interval must be 0.2 to 60") }
    }

    func run() throws {
        var client = try control.connect()
        var screen = try Screen()
        var view = TopView()
        while true {
            let report = try client.ask(ControlRequest(.status), as: StatusReport.self)
            view.add(report, after: interval)
            screen.show(view.lines(of: screen.size))
            if screen.isQuit(within: interval) { return }
        }
    }
}
