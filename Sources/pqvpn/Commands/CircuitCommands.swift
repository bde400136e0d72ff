// SPDX-License-Identifier: Apache-2.0
// Commands about circuits of a running node: circuits, circuit build|close|show|renew, trace.
internal import ArgumentParser
internal import Foundation
internal import VPNNode

struct CircuitsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "circuits",
        abstract: "Through whom this node reaches others, and how many circuits it carries for others.")

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var client = try control.connect()
        output.print(try client.ask(ControlRequest(.circuits), as: CircuitsReport.self))
    }
}

struct CircuitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "circuit", abstract: "Build, show, renew or close one circuit of a running node.",
        subcommands: [Build.self, Show.self, Renew.self, Close.self])

    /// Which one.
    struct Target: ParsableArguments {
        @Argument(help: "The name of the circuit: the peer that has `via`, or the name given to build.")
        var name: String

        @OptionGroup var control: ControlOptions
        @OptionGroup var output: OutputOptions

        func order(_ verb: ControlRequest.Verb) throws {
            var client = try control.connect()
            output.print(try client.ask(ControlRequest(verb, peer: name), as: CircuitOrderReport.self))
        }

        func circuit(_ client: inout ControlClient) throws -> CircuitsReport.Own {
            let report = try client.ask(ControlRequest(.circuits), as: CircuitsReport.self)
            if let circuit = report.circuits.first(where: { $0.name == name }) { return circuit }
            let near = Spelling.nearest(to: name, among: report.circuits.map(\.name))
            throw NodeFailure(
                .usage,
                "there is no circuit '\(name)'" + (near.map { "; did you mean '\($0)'?" } ?? ": see pqvpn circuits"))
        }
    }

    struct Build: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "build",
            abstract: "Build a circuit and wait for it; it is kept until it is closed, or the node ends.",
            discussion:
                "Ends with status 1 where an attempt failed and 5 where none ended in time; the node goes on trying.")

        @OptionGroup var target: Target

        @Option(
            help: ArgumentHelp(
                "In order, the last one where packets come out: names, or peer_ids. Again: another way, for when that one fails.",
                valueName: "r1,r2,exit"))
        var hops: [String] = []

        @Flag(help: "Use all --hops at once, as paths to one exit that share no other relay: see `pqvpn quilt`.")
        var together = false

        @Option(
            help: ArgumentHelp(
                "How packets are spread with --together: minrtt, edpf, weighted, fec; redundant tells who watches two paths that they are one.",
                valueName: "name"))
        var scheduler = "edpf"

        @Option(help: ArgumentHelp("An inner network that it leads to; as often as there are.", valueName: "network"))
        var route: [String] = []

        @Option(help: ArgumentHelp("How long to wait for it; 0: not at all.", valueName: "seconds"))
        var wait = 30.0

        func validate() throws {
            guard wait >= 0, wait <= 600 else { throw ValidationError("--wait must be 0 to 600") }
            if together, ways.count < 2 {
                throw ValidationError("--together needs --hops twice or more, once for each path")
            }
            guard !ways.isEmpty, !ways.contains([]) else { throw ValidationError("--hops must name one hop or more") }
        }

        private var ways: [[String]] {
            hops.map { way in
                way.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
            }
        }

        func run() throws {
            var client = try target.control.connect()
            var request = ControlRequest(.circuitBuild, peer: target.name)
            request.ways = ways
            if together { request.together = scheduler }
            request.networks = route
            let order = try client.ask(request, as: CircuitOrderReport.self)
            let end = Date(timeIntervalSinceNow: wait)
            while Date() < end {
                let circuit = try target.circuit(&client)
                if circuit.isUp { return target.output.print(CircuitReport(circuit)) }
                if let failure = circuit.lastFailure {
                    throw NodeFailure(
                        .failure,
                        "\(failure.text): \(failure.fix). It is tried again until `pqvpn circuit close \(target.name)`")
                }
                Thread.sleep(forTimeInterval: 0.1)
            }
            guard wait == 0 else {
                throw NodeFailure(
                    .timeout, "circuit '\(target.name)' is not ready yet: see pqvpn circuit show \(target.name)")
            }
            target.output.print(order)
        }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Its hops, its age, its session, and what went wrong last.")

        @OptionGroup var target: Target

        func run() throws {
            var client = try target.control.connect()
            target.output.print(CircuitReport(try target.circuit(&client)))
        }
    }

    struct Renew: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "renew",
            abstract: "Build another path through the same hops now and go over to it; nothing is lost.")

        @OptionGroup var target: Target

        func run() throws { try target.order(.circuitRenew) }
    }

    struct Close: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "close", abstract: "End a circuit and tell those on its way.")

        @OptionGroup var target: Target

        func run() throws { try target.order(.circuitClose) }
    }
}

struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "The round-trip time to each hop on the way to a peer or through a circuit.",
        discussion: "Ends with status 5 where the last one does not answer.")

    @Argument(help: "The name of a circuit, or a peer as `pqvpn ping` takes it.")
    var peer: String

    @Option(help: ArgumentHelp("For each answer, at most 30.", valueName: "seconds"))
    var timeout = 5.0

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard timeout > 0, timeout <= 30 else { throw ValidationError("--timeout must be more than 0 and at most 30") }
    }

    func run() throws {
        var client = try control.connect()
        let request = ControlRequest(.trace, peer: peer, timeout: Int(timeout * 1000))
        let report = try client.ask(request, as: TraceReport.self)
        output.print(report)
        if !report.isWhole { throw ExitCode(ExitStatus.timeout.rawValue) }
    }
}
