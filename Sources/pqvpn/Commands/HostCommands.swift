// SPDX-License-Identifier: Apache-2.0
// Commands that change the host: up, down, lockdown.
internal import ArgumentParser
internal import Foundation
internal import VPNNode

/// Other places than the host's own; for tests.
struct HostPlaceOptions: ParsableArguments {
    @Option(help: .hidden) var stateDir: String?
    @Option(help: .hidden) var resolverFile: String?
    @Option(help: .hidden) var profiles: String?

    var places: HostPlaces {
        var places = HostPlaces()
        if let stateDir { places.state = stateDir }
        if let resolverFile { places.resolverFile = resolverFile }
        if let profiles { places.profiles = profiles }
        return places
    }
}

struct UpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Start the daemon in the background and lead this host's packets and names into its tunnel.",
        discussion:
            "`pqvpn down` takes all of it back, also after a crash. Where a step fails, everything is taken back at once."
    )

    @Argument(help: ArgumentHelp("NAME of /etc/pqvpn/NAME.yaml, or a file.", valueName: "profile"))
    var profile: String

    @Option(
        help: ArgumentHelp(
            "Wait so long for sessions with the peers; status 5 if there are none.", valueName: "seconds"))
    var wait: Double?

    @Flag(name: .customLong("no-daemon"), help: "For a daemon that something else runs, such as the unit pqvpn@.")
    var noDaemon = false

    @OptionGroup var path: PathOptions
    @OptionGroup var passphrase: PassphraseOptions
    @OptionGroup var places: HostPlaceOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let wait, !(wait > 0 && wait <= 3600) {
            throw ValidationError("--wait takes seconds, more than 0 and up to 3600")
        }
    }

    func run() throws {
        var order = HostSwitch.Order(profile: profile)
        order.startsDaemon = !noDaemon
        order.wait = wait
        if let file = passphrase.passphraseFile { order.daemonArguments = ["--passphrase-file", file] }
        order.daemonArguments += path.arguments
        output.print(try HostSwitch(places: places.places).up(order))
    }
}

struct DownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "Take back what `pqvpn up` did, daemon included.")

    @Argument(help: ArgumentHelp("NAME or file; the only one that is up where it is left out.", valueName: "profile"))
    var profile: String?

    @Flag(
        name: .customLong("no-daemon"),
        help:
            "Of a daemon that something else runs. Where systemd says that the service failed, everything stays for its restart."
    )
    var noDaemon = false

    @OptionGroup var places: HostPlaceOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        // systemd.exec(5): what became of the service whose ExecStopPost this is.
        if noDaemon, let result = ProcessInfo.processInfo.environment["SERVICE_RESULT"], result != "success" {
            complain(
                "pqvpn: the service ended with '\(result)': routes, name servers and lockdown stay for its restart; where it does not "
                    + "come back: sudo pqvpn down" + (profile.map { " \($0)" } ?? ""))
            return
        }
        output.print(try HostSwitch(places: places.places).down(profile))
    }
}

struct LockdownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lockdown",
        abstract: "Let nothing leave this host but through the tunnel; works without the daemon.",
        subcommands: [LockdownOnCommand.self, LockdownOffCommand.self, LockdownStatusCommand.self])
}

struct LockdownOnCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "on", abstract: "On until `pqvpn lockdown off`, whatever becomes of the daemon.")

    @Argument(
        help: ArgumentHelp(
            "Whose interface, marks and exceptions; all of /etc/pqvpn where none is named.", valueName: "profile"))
    var profile: [String] = []

    @OptionGroup var places: HostPlaceOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        output.print(
            try LockdownSwitch(places: places.places, warn: { complain("pqvpn: warning: \($0)") }).on(profile))
    }
}

struct LockdownOffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "off", abstract: "Off, whoever asked for it.")

    @Flag(help: "Needs neither daemon, configuration nor record: nft alone.")
    var emergency = false

    @OptionGroup var places: HostPlaceOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        guard emergency else { return output.print(try LockdownSwitch(places: places.places).off()) }
        let wasOn = try LockdownSwitch(places: places.places).emergency()
        if output.json { output.print(LockdownReport.off) }
        complain(wasOn ? "pqvpn: the lockdown is off: everything leaves in clear" : "pqvpn: there was no lockdown")
    }
}

struct LockdownStatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Whether the kernel has the table that it should have; status 6 if not.")

    @OptionGroup var places: HostPlaceOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let report = try LockdownSwitch(places: places.places).status()
        output.print(report)
        if report.state == .missing || report.state == .different { throw ExitCode(ExitStatus.degraded.rawValue) }
    }
}
