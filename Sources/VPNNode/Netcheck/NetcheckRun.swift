// SPDX-License-Identifier: Apache-2.0
// `pqvpn netcheck` as a whole: asks the node that runs, or is one for a while: with the identity of the configuration, another
// port and no interface, known by the same peers, and gone with a goodbye. Where a peer is there and no session came of it, a
// stranger asks the same place, who gets an answer to INFO from anybody and so learns which sizes pass.
internal import Foundation
internal import Logging
internal import VPNCore
internal import VPNCrypto

public struct NetcheckRun: Sendable {
    /// Nil: that of the node that runs, or /etc/pqvpn/pqvpn.yaml.
    public var configurationFile: String?
    public var socket: String?
    public var node: String?
    public var passphrase = PassphraseSource.none
    /// For the peers to answer.
    public var timeout = Duration.seconds(10)

    private static let usualFile = "/etc/pqvpn/pqvpn.yaml"
    /// For the stranger: five repeats of a lost S0.
    private static let strangerPatience = Duration.seconds(4)

    public init() {}

    /// Throws where neither a node nor a configuration is there.
    public func run() async throws -> NetcheckReport {
        let file = configurationFile.map { PathResolver(file: "./x").absolute($0) }
        if let report = try askNode(file) { return report }
        guard let file = file ?? (ProtectedFile.exists(Self.usualFile) ? Self.usualFile : nil) else {
            throw NodeFailure(
                .usage, "no node runs here, and there is no \(Self.usualFile): name a configuration with --config")
        }
        return try await ask(by: LoadedConfiguration(file: file).configuration)
    }

    // MARK: The node that runs

    /// Nil where none runs, or one of another configuration than the one that was named.
    private func askNode(_ file: String?) throws -> NetcheckReport? {
        let path: String
        do { path = try ControlPlace.find(socket: socket, node: node ?? nickname(file)) } catch let failure
            as NodeFailure
            where failure.status == .daemonNotRunning && socket == nil && node == nil
        { return nil }
        var client = try ControlClient(path: path)
        if let file {
            let running = try client.ask(ControlRequest(.status), as: StatusReport.self)
            guard PathResolver(file: "./x").absolute(running.configuration) == file else { return nil }
        }
        let milliseconds = Int(timeout.components.seconds * 1000)
        return try client.ask(ControlRequest(.netcheck, timeout: milliseconds), as: NetcheckReport.self)
    }

    /// Of several nodes the one of that configuration is meant.
    private func nickname(_ file: String?) -> String? {
        file.flatMap { try? LoadedConfiguration(file: $0).configuration.nickname }
    }

    // MARK: A node for a while

    private func ask(by given: NodeConfiguration) async throws -> NetcheckReport {
        var configuration = Self.quiet(given)
        let unlocker = Unlocker(
            PassphraseSource(
                file: passphrase.file, configuredFile: given.passphraseFile, usesTerminal: passphrase.usesTerminal))
        let identity = try LoadedIdentity.load(given.identity, nickname: given.nickname, unlocker: unlocker)
        let knownPeers = try KnownPeersStore(path: given.security.knownPeersFile, unlocker: unlocker)
        configuration.dropUnpinnedGuests(knownPeers.pins)
        var peers = try await Self.ask(configuration, identity, knownPeers) {
            await $0.netcheckPeers(within: timeout)
        }
        let open = peers.indices.filter { peers[$0].isHeard && !peers[$0].hasSession && !peers[$0].isRefused }
        for place in open {
            guard let endpoint = peers[place].endpoint else { continue }
            peers[place].strangerHeard = try await Self.askAsStranger(endpoint, configuration)
        }
        return NetcheckReport(by: "own", peers: peers, clock: .current())
    }

    /// Without interface, callers, metrics and first use: it leaves nothing behind.
    private static func quiet(_ given: NodeConfiguration) -> NodeConfiguration {
        var configuration = given
        configuration.tunnel.isEnabled = false
        configuration.network.listenPort = 0
        configuration.network.workers = 1
        configuration.security.trustsOnFirstUse = false
        // Whoever is met by circuits must not see where this host is.
        configuration.peers = given.directPeers
        configuration.relay.isEnabled = false
        // Marking takes a privilege; without it nobody has made rules that go by marks for this user.
        if !Surroundings.current().hasNetAdmin { configuration.network.mark = nil }
        return configuration
    }

    private static func ask<Answer: Sendable>(
        _ configuration: NodeConfiguration, _ identity: LoadedIdentity, _ knownPeers: KnownPeersStore,
        _ body: (Node) async -> Answer
    ) async throws -> Answer {
        let node = try Node(
            configuration: configuration, identity: identity, knownPeers: knownPeers,
            revocations: RevocationList(path: configuration.security.revokedFile), invitations: nil,
            presharedKeys: PresharedKeyFile.all(of: configuration.peers),
            logger: Logger(label: "netcheck") { _ in SwiftLogNoOpLogHandler() }, observer: nil, onReady: {})
        await node.expectNetcheck()
        let running = Task { try await node.run() }
        let answer = await body(node)
        running.cancel()
        _ = await running.result
        return answer
    }

    /// S0 and INFO at a place by an identity that nobody knows, which believes nobody: no S1 comes of it.
    private static func askAsStranger(
        _ endpoint: Endpoint, _ given: NodeConfiguration
    ) async throws -> Set<DatagramType> {
        var configuration = given
        configuration.peers = []
        configuration.bootstrapPeers = [EndpointName(host: .address(endpoint.address), port: endpoint.port)]
        configuration.security.allowlist = []
        let identity = try LoadedIdentity.load(
            .temporary(directoryPrefix: "netcheck"), nickname: "netcheck", unlocker: Unlocker(.none))
        // No file: nobody is pinned, and nobody will be.
        let nobody = try KnownPeersStore(
            path: NSTemporaryDirectory() + "/pqvpn-netcheck-\(UInt64.random(in: .min ... .max)).yaml")
        return try await ask(configuration, identity, nobody) { node in
            await node.listen(to: endpoint, until: .infoResponse, within: strangerPatience)
        }
    }
}
