// SPDX-License-Identifier: Apache-2.0
// `pqvpn run`: the daemon, in the foreground or not.
internal import ArgumentParser
internal import Foundation
internal import VPNManagement
internal import VPNNode

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run the node until SIGINT or SIGTERM; SIGHUP reads the configuration again.")

    @Option(name: .customLong("config"), help: ArgumentHelp("The configuration.", valueName: "file"))
    var configurationFile: String

    @Option(
        name: [.customLong("log-level"), .customLong("loglevel")],
        help: ArgumentHelp("Instead of logging.level: TRACE, DEBUG, INFO, NOTICE, WARNING, ERROR.", valueName: "level"))
    var logLevel: String?

    @Option(
        name: [.customLong("pid-file"), .customLong("pidfile")],
        help: ArgumentHelp("Write the process id here and hold a lock on it.", valueName: "file"))
    var pidFile: String?

    @Flag(help: "Go to the background; return 0 only when the node is up.")
    var daemonize = false

    @Flag(
        name: .customLong("no-temp-keys"),
        help: "Use the persistent identity of `pqvpn keygen`, whatever keys.runtime_temp_keys says.")
    var usesPersistentKeys = false

    @Flag(help: "Put the routes of the tunnel into the table of network.fwmark, to which rules of `pqvpn up` lead.")
    var policyRouting = false

    @OptionGroup var path: PathOptions
    @OptionGroup var passphrase: PassphraseOptions

    @Option(name: .customLong("readiness-descriptor"), help: .hidden)
    var readinessDescriptor: Int32?

    /// By `pqvpn up`: the profile on whose record is what the daemon does to the host.
    @Option(name: .customLong("host-profile"), help: .hidden)
    var hostProfile: String?
    @OptionGroup var places: HostPlaceOptions

    func run() async throws {
        if daemonize {
            let pid = try Daemonization.start(arguments: childArguments)
            print("pqvpn runs as process \(pid)")
            return
        }
        var daemon = DaemonRun(
            configurationFile: configurationFile, logLevel: logLevel, pidFile: pidFile,
            usesPersistentKeys: usesPersistentKeys, passphraseFile: passphrase.passphraseFile,
            usesPolicyRouting: policyRouting, readiness: Readiness(descriptor: readinessDescriptor),
            isDaemon: readinessDescriptor != nil, companions: [MetricsServer.companion])
        daemon.hops = path.hops
        daemon.paths = path.paths
        daemon.exit = path.exit
        daemon.hostNames = hostProfile.map { LeasedNames(places: places.places, profile: $0) }
        try await daemon.run()
    }

    private var childArguments: [String] {
        var arguments = ["run", "--config", configurationFile]
        arguments += ["--readiness-descriptor", String(Daemonization.readinessDescriptor)]
        if let logLevel { arguments += ["--log-level", logLevel] }
        if let pidFile { arguments += ["--pid-file", pidFile] }
        if let file = passphrase.passphraseFile { arguments += ["--passphrase-file", file] }
        if usesPersistentKeys { arguments.append("--no-temp-keys") }
        if policyRouting { arguments.append("--policy-routing") }
        arguments += path.arguments
        return arguments
    }
}

/// The path of the circuit that the node chooses itself.
struct PathOptions: ParsableArguments {
    @Option(help: "Relays in the circuit's path, the exit included; instead of circuit.hops.")
    var hops: Int?

    @Option(help: ArgumentHelp("A relay's name or peer_id, or auto; instead of circuit.exit.", valueName: "relay"))
    var exit: String?

    @Option(help: "Paths to the exit at once, with no other relay in common; instead of circuit.paths.")
    var paths: Int?

    var arguments: [String] {
        (hops.map { ["--hops", String($0)] } ?? []) + (exit.map { ["--exit", $0] } ?? [])
            + (paths.map { ["--paths", String($0)] } ?? [])
    }
}
