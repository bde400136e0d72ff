// SPDX-License-Identifier: Apache-2.0
// `pqvpn init`, `invite`, `invites` and `join`: from nothing to a tunnel between two hosts.
internal import ArgumentParser
internal import Foundation
internal import VPNNode

struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Make an identity and a configuration with safe values; says what to do next.",
        discussion: "What is there already is never touched. Starts nothing without --service.")

    @Option(
        help:
            "client: calls others. server: is called, and can invite. relay: forwards for others. exit: also lets them out."
    )
    var role: String?

    @Option(help: ArgumentHelp("Of the files and the interface.", valueName: "name"))
    var name = "pqvpn"

    @Option(name: .customLong("dir"), help: ArgumentHelp("Where the files go.", valueName: "dir"))
    var directory = "/etc/pqvpn"

    @Option(help: "What others call this node; default: the name.")
    var nickname: String?

    @Option(help: "UDP port of a server.")
    var port = 9000

    @Option(
        help: ArgumentHelp(
            "A server's inner address with the length of its network; may be repeated.", valueName: "address/length"))
    var address: [String] = []

    @Option(help: ArgumentHelp("Where others find a server from outside.", valueName: "host:port"))
    var endpoint: String?

    @Flag(help: "Run it by the unit pqvpn@ of the Debian package, as its user, now and at every boot. Not for clients.")
    var service = false

    @Flag(help: "Ask nothing; what is not given has its default.")
    var nonInteractive = false

    @OptionGroup var passphrase: PassphraseOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var options = InitOptions()
        let asks = !nonInteractive && !output.json && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1
        let word = try role ?? (asks ? ask("Role, client, server, relay or exit", default: "client") : "client")
        options.role = try InitOptions.role(word)
        options.name = name
        options.directory = directory
        options.nickname = nickname
        options.port = port
        options.addresses = address
        options.endpoint = endpoint
        if service { options.service = ServicePlaces() }
        if options.role == .server, asks, endpoint == nil {
            let answer = try ask("Where others find this host, host:port", default: "")
            options.endpoint = answer.isEmpty ? nil : answer
        }
        output.print(try InitReport.make(options, passphrase: PassphraseSource(file: passphrase.passphraseFile)))
    }

    private func ask(_ question: String, default fallback: String) throws -> String {
        print("\(question) [\(fallback.isEmpty ? "not yet" : fallback)]: ", terminator: "")
        Screen.flush()
        guard let line = readLine() else { throw NodeFailure(.usage, "no answer: use --non-interactive") }
        let answer = line.trimmingCharacters(in: .whitespaces)
        return answer.isEmpty ? fallback : answer
    }
}

/// Whose invitations.
struct InviteOptions: ParsableArguments {
    @Option(name: .customLong("config"), help: ArgumentHelp("The inviter's configuration.", valueName: "file"))
    var configurationFile = "/etc/pqvpn/pqvpn.yaml"

    @OptionGroup var output: OutputOptions

    func open() throws -> InviteCommandTarget { try InviteCommandTarget(configurationFile: configurationFile) }
}

struct InviteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invite", abstract: "Make a link by which another host can join; it is shown once.",
        subcommands: [Make.self, Revoke.self], defaultSubcommand: Make.self)

    struct Make: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "make", abstract: "Make a link. A running node takes it within seconds.")

        @Option(help: ArgumentHelp("90s, 30m, 24h or 7d: one minute to 30 days.", valueName: "time"))
        var expires = "24h"

        @Option(help: "How many hosts can join with it, 1 to 256.")
        var uses = 1

        @Option(help: "What the guest is called here; others by the same link get a number behind it.")
        var name: String?

        @Option(help: ArgumentHelp("Where guests find this host; default: invites.endpoint.", valueName: "host:port"))
        var endpoint: String?

        @Flag(help: "Show the link as a QR code, too; needs the program qrencode.")
        var qr = false

        @OptionGroup var options: InviteOptions
        @OptionGroup var passphrase: PassphraseOptions

        func validate() throws {
            if qr, options.output.json { throw ValidationError("--qr is a picture for people: leave out --json") }
        }

        func run() throws {
            // Before there is an invitation.
            let picture = qr ? try QRCode() : nil
            let report = try options.open().invite(
                name: name, expires: expires, uses: uses, endpoint: endpoint,
                passphrase: PassphraseSource(file: passphrase.passphraseFile))
            options.output.print(report)
            Screen.flush()
            try picture?.show(report.link)
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revoke", abstract: "Close an invitation. Whoever came by it stays.")

        @Argument(help: "As `pqvpn invites` shows it.")
        var id: String

        @OptionGroup var options: InviteOptions

        func run() throws { options.output.print(try options.open().revoke(id)) }
    }
}

struct InvitesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invites", abstract: "List invitations and those who came by them.")

    @OptionGroup var options: InviteOptions

    func run() throws { options.output.print(try options.open().list()) }
}

struct JoinCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join",
        abstract: "Join by a link: identity, first handshake, configuration; says what to do next.",
        discussion: """
            The inviter is known by the link: there is no moment in which another one would be believed. Other users of this \
            machine can read a command line; with - the link is read from standard input.
            """)

    @Argument(help: "pqvpn://join/…, or - for standard input.")
    var link: String

    @Option(help: ArgumentHelp("Of the files and the interface.", valueName: "name"))
    var name = "pqvpn"

    @Option(name: .customLong("dir"), help: ArgumentHelp("Where the files go.", valueName: "dir"))
    var directory = "/etc/pqvpn"

    @Option(help: "What others call this node; default: the name.")
    var nickname: String?

    @Option(help: ArgumentHelp("For the inviter to answer, 1 to 600.", valueName: "seconds"))
    var timeout = 30

    @Flag(name: .shortAndLong, help: "Log the handshake.")
    var verbose = false

    @OptionGroup var passphrase: PassphraseOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...600).contains(timeout) else { throw ValidationError("--timeout takes 1 to 600") }
    }

    func run() async throws {
        var joining = Joining(link: link == "-" ? (readLine() ?? "") : link)
        joining.name = name
        joining.directory = directory
        joining.nickname = nickname
        joining.timeout = .seconds(timeout)
        joining.isVerbose = verbose
        joining.passphrase = PassphraseSource(file: passphrase.passphraseFile)
        output.print(try await joining.run())
    }
}
