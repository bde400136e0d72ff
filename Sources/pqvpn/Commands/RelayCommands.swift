// SPDX-License-Identifier: Apache-2.0
// `pqvpn relay …` and `pqvpn relays`: the directory of relays. A running node takes changes within seconds.
internal import ArgumentParser
internal import VPNNode

struct RelayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relay", abstract: "Descriptors of relays: this node's own, and those of others.",
        subcommands: [Publish.self, Import.self, Remove.self])

    struct Target: ParsableArguments {
        @Option(
            name: .customLong("config"), help: ArgumentHelp("Take identity and files from it.", valueName: "file"))
        var configurationFile: String?

        @Option(help: ArgumentHelp("The file of relays; default: relays.yaml.", valueName: "file"))
        var relays: String?

        func open(keys: String? = nil, passphraseFile: String? = nil) throws -> RelayCommandTarget {
            try RelayCommandTarget(
                configurationFile: configurationFile, keyDirectory: keys, passphraseFile: passphraseFile,
                relaysFile: relays)
        }
    }

    struct Publish: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "publish", abstract: "Sign and print what this node says of itself as a relay.",
            discussion: """
                The text goes to whoever is to use the relay, by any way: it is public and signed. A running node hands it on \
                where directory.exchange is true. Publish anew before it expires, and whenever something in it changes.
                """)

        @Option(name: .customLong("operator"), help: "Who runs it: no path goes through two relays of one operator.")
        var operatorName = ""

        @Option(help: "What it shares with other relays, such as an owner or a site: no path goes through two of them.")
        var family = ""

        @Option(
            name: .customLong("address"), parsing: .upToNextOption,
            help: ArgumentHelp("Where others call it; may be repeated.", valueName: "ip:port"))
        var addresses: [String] = []

        @Flag(name: .customLong("exit"), help: "It lets packets out: it may be a path's last hop.")
        var isExit = false

        @Option(help: ArgumentHelp("What it can carry; nobody measures it.", valueName: "Mbit/s"))
        var capacity: UInt32?

        @Option(help: "Days for which it is good, 1 to 90.")
        var days = 30

        @Option(help: ArgumentHelp("Directory of `pqvpn keygen`; default: keys.", valueName: "dir"))
        var keys: String?

        @OptionGroup var passphrase: PassphraseOptions
        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws {
            let description = RelayDescription(
                operatorName: operatorName, family: family, addresses: addresses, isExit: isExit,
                bitsPerSecond: capacity.map { UInt64($0) * 1_000_000 }, days: days)
            output.print(
                try target.open(keys: keys, passphraseFile: passphrase.passphraseFile).publish(description))
        }
    }

    struct Import: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "import", abstract: "Take a relay's descriptor into the directory.",
            discussion: "Its identity is believed as a hop of circuits by that, and as nothing else.")

        @Argument(help: "The text of the relay's `pqvpn relay publish`; - is standard input.")
        var file: String

        @Flag(help: "Do not ask: the peer_id was compared.")
        var yes = false

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws {
            let target = try target.open()
            let candidate = try target.candidate(file)
            if !yes { try RelayCommandTarget.confirm(candidate) }
            output.print(try target.add(candidate))
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "remove", abstract: "Forget a relay.",
            discussion: "Where others may bring it again it comes again: `pqvpn peers revoke` keeps it out.")

        @Argument(help: "The relay's name, peer_id, or its first 8 digits or more.")
        var relay: String

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().remove(relay)) }
    }
}

struct RelaysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relays", abstract: "Show the relays that this node knows.")

    @OptionGroup var target: RelayCommand.Target
    @OptionGroup var output: OutputOptions

    func run() throws { output.print(try target.open().list()) }
}
