// SPDX-License-Identifier: Apache-2.0
// `pqvpn keygen`, `identity export` and `peerid`.
internal import ArgumentParser
internal import VPNNode

struct KeygenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keygen", abstract: "Make a persistent identity: four private key files and its descriptor.",
        discussion: "All files are new, of mode 0600, and appear together; nothing is ever overwritten.")

    @Option(name: .customLong("out"), help: ArgumentHelp("Directory, made where absent.", valueName: "dir"))
    var directory = "keys"

    @Option(help: "What people call the node; in its descriptor.")
    var nickname = "node"

    @Flag(help: "Put the private keys under a passphrase.")
    var encrypt = false

    @OptionGroup var passphrase: PassphraseOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if passphrase.passphraseFile != nil, !encrypt { throw ValidationError("--passphrase-file needs --encrypt") }
    }

    func run() throws {
        let source = encrypt ? PassphraseSource(file: passphrase.passphraseFile) : nil
        output.print(try KeygenReport.generate(into: directory, nickname: nickname, passphrase: source))
    }
}

struct IdentityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "identity", abstract: "This node's own identity.",
        subcommands: [
            Export.self, Rotate.self, Revoke.self, Encrypt.self, Decrypt.self, Passphrase.self,
        ])

    struct Target: ParsableArguments {
        @Option(name: .customLong("config"), help: ArgumentHelp("Take the identity from it.", valueName: "file"))
        var configurationFile: String?

        @Option(help: ArgumentHelp("Directory of `pqvpn keygen`; default: keys.", valueName: "dir"))
        var keys: String?

        @OptionGroup var passphrase: PassphraseOptions

        func open() throws -> IdentityCommandTarget {
            try IdentityCommandTarget(
                configurationFile: configurationFile, keyDirectory: keys, passphraseFile: passphrase.passphraseFile)
        }
    }

    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate", abstract: "Make new keys, and a statement by which the old ones vouch for them.",
            discussion: """
                The old files are kept aside in a directory of their own. Encrypted keys are followed by keys under the \
                same passphrase.
                """)

        @OptionGroup var target: Target

        @Option(help: "Instead of that of the old identity.")
        var nickname: String?

        @Option(help: ArgumentHelp("Write the statement to this new file too.", valueName: "file"))
        var out: String?

        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().rotate(nickname: nickname, output: out)) }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revoke", abstract: "Print the statement by which this identity declares itself dead.",
            discussion: "Nothing is changed here: `pqvpn peers revoke FILE` makes it count, wherever it is run.")

        @OptionGroup var target: Target

        @Option(help: ArgumentHelp("Write to a new file instead of standard output.", valueName: "file"))
        var out: String?

        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().revoke(output: out)) }
    }

    struct Encrypt: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "encrypt", abstract: "Put the private key files under a passphrase.")

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().encrypt()) }
    }

    struct Decrypt: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "decrypt", abstract: "Take the private key files out of their passphrase.")

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().decrypt()) }
    }

    struct Passphrase: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "passphrase", abstract: "Change the passphrase of the private key files.")

        @Option(help: ArgumentHelp("The new one, in a file of mode 0600; default: asked twice.", valueName: "file"))
        var newPassphraseFile: String?

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().changePassphrase(newFile: newPassphraseFile)) }
    }

    struct Export: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "export", abstract: "Print the signed public descriptor, for `pqvpn peers add` elsewhere.")

        @OptionGroup var target: Target

        @Option(help: "Instead of the configured one.")
        var nickname: String?

        @Option(help: ArgumentHelp("Write to a new file instead of standard output.", valueName: "file"))
        var out: String?

        @OptionGroup var output: OutputOptions

        func run() throws {
            output.print(try IdentityReport.export(target: target.open(), nickname: nickname, output: out))
        }
    }
}

struct PeerIDCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peerid", abstract: "Print the peer_id of a descriptor or of key files.",
        discussion: """
            From an incomplete set of keys an id is computed over the first there is of the brainpoolP512r1 key, the Ed25519 \
            key, the ML-KEM key and the nickname. No handshake accepts such an id.
            """)

    @Argument(help: "A descriptor, a private key file or a directory of key files.")
    var file: String?

    @Option(help: "What is left where there is no key.")
    var nickname: String?

    @OptionGroup var passphrase: PassphraseOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if file == nil && nickname == nil { throw ValidationError("give a file or --nickname") }
    }

    func run() throws {
        if let file {
            let unlocker = Unlocker(PassphraseSource(file: passphrase.passphraseFile))
            output.print(try PeerIDReport.read(path: file, nickname: nickname, unlocker: unlocker))
        } else if let nickname {
            output.print(PeerIDReport(nickname: nickname))
        }
    }
}
