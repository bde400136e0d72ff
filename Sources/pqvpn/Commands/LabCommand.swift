// SPDX-License-Identifier: Apache-2.0
// `pqvpn lab`: hosts for playing.
internal import ArgumentParser
internal import VPNNode

struct LabCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab", abstract: "Some hosts with tunnels between all of them, for playing.",
        discussion: """
            The hosts are network namespaces on one switch; they stay until `pqvpn lab down`. Each has a daemon that is a peer and \
            a relay of all others. Needs root, iproute2 and iputils-ping.
            """, subcommands: [Up.self, Ping.self, Exec.self, Down.self])

    struct Up: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "up", abstract: "Build the hosts and start their daemons.")

        @Argument(help: "How many hosts, 2 to 32.")
        var count = 4

        @Flag(help: "Print one JSON object.")
        var json = false

        func validate() throws {
            guard Lab.counts.contains(count) else { throw ValidationError("a lab has 2 to 32 hosts") }
        }

        func run() throws {
            let report = try Lab().up(count)
            print(json ? report.json : report.text)
        }
    }

    struct Ping: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ping", abstract: "Ping from every host to every other, through the tunnels.")

        @Flag(help: "Print one JSON object.")
        var json = false

        func run() throws {
            let report = try Lab().ping()
            print(json ? report.json : report.text)
            if !report.ok { throw ExitCode.failure }
        }
    }

    struct Exec: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "exec", abstract: "Run a program on a host: pqvpn lab exec 1 -- bash.")

        @Argument(help: "The host's number.")
        var host: Int

        @Argument(parsing: .postTerminator, help: "The program and its arguments.")
        var command: [String]

        func validate() throws {
            guard !command.isEmpty else {
                throw ValidationError("what shall run? For example: pqvpn lab exec 1 -- bash")
            }
        }

        func run() throws { try Lab().exec(host, command) }
    }

    struct Down: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "down", abstract: "End the daemons and remove the hosts.")

        func run() throws {
            try Lab().down()
            print("The lab is gone.")
        }
    }
}
