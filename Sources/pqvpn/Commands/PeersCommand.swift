// SPDX-License-Identifier: Apache-2.0
// `pqvpn peers …`: the operator's word on identities. A running node takes it within seconds.
internal import ArgumentParser
internal import VPNNode

struct PeersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peers", abstract: "The identities that this node believes.",
        subcommands: [
            Add.self, List.self, Trust.self, Rotate.self, Set.self, Remove.self, Revoke.self, Restore.self,
            Revoked.self,
            Encrypt.self, Decrypt.self,
        ])

    struct Target: ParsableArguments {
        @Option(
            name: .customLong("config"),
            help: ArgumentHelp("Take security.known_peers_file from it.", valueName: "file"))
        var configurationFile: String?

        @Option(help: ArgumentHelp("The file of pins; default: known_peers.yaml.", valueName: "file"))
        var knownPeers: String?

        @Option(help: ArgumentHelp("The revocation list; default: revoked.yaml.", valueName: "file"))
        var revoked: String?

        @OptionGroup var passphrase: PassphraseOptions

        func open() throws -> PeersCommandTarget {
            try PeersCommandTarget(
                configurationFile: configurationFile, knownPeersFile: knownPeers, revokedFile: revoked,
                passphraseFile: passphrase.passphraseFile)
        }
    }

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add", abstract: "Pin the identity of a descriptor, after both its signatures were checked.")

        @Argument(help: "The peer's identity.pub.")
        var file: String

        @Option(help: "Instead of the descriptor's nickname.")
        var name: String?

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().add(descriptorFile: file, name: name)) }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "list", abstract: "Show the pinned identities.")

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().list()) }
    }

    struct Trust: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "trust", abstract: "Replace a pinned identity, because its owner has new keys.")

        @Argument(help: "The pinned name, peer_id, or its first 8 digits or more.")
        var peer: String

        @Argument(help: "The peer's new identity.pub.")
        var file: String

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().trust(peer, descriptorFile: file)) }
    }

    struct Rotate: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate",
            abstract: "Follow a pinned peer to its new keys, by a statement that the old ones signed.")

        @Argument(help: "The pinned name, peer_id, or its first 8 digits or more.")
        var peer: String

        @Argument(help: "The rotation.pub of the peer's `pqvpn identity rotate`.")
        var file: String

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().rotate(peer, statementFile: file)) }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revoke", abstract: "Believe an identity no more; sessions with it end.")

        @Argument(help: "The statement of `pqvpn identity revoke`, a pinned name, or a peer_id, pinned or not.")
        var what: String

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().revoke(what)) }
    }

    struct Restore: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "restore", abstract: "Take back a revocation that was the operator's word.")

        @Argument(help: "A peer_id, or a pinned name.")
        var what: String

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().restore(what)) }
    }

    struct Revoked: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "revoked", abstract: "Show who is revoked.")

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().revoked()) }
    }

    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "set", abstract: "Change what may be done with a pinned identity.",
            discussion: """
                --allow-partial: under security.strict_sig_verify: false its ML-DSA-87 signature alone may do. Its sessions \
                are degraded then.
                """)

        @Argument(help: "The pinned name, peer_id, or its first 8 digits or more.")
        var peer: String

        @Flag(inversion: .prefixedNo, help: "Whether one signature of two may do.")
        var allowPartial: Bool

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().set(peer, allowsPartial: allowPartial)) }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "remove", abstract: "Forget a pinned identity.")

        @Argument(help: "The pinned name, peer_id, or its first 8 digits or more.")
        var peer: String

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().remove(peer)) }
    }

    struct Encrypt: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "encrypt", abstract: "Put the file of pins under a passphrase.")

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().setEncrypted(true)) }
    }

    struct Decrypt: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "decrypt", abstract: "Take the file of pins out of its passphrase.")

        @OptionGroup var target: Target
        @OptionGroup var output: OutputOptions

        func run() throws { output.print(try target.open().setEncrypted(false)) }
    }
}
