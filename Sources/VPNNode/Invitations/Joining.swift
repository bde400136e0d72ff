// SPDX-License-Identifier: Apache-2.0
// `pqvpn join`: an identity, one handshake with the invitation to prove that all of it works, and only then a configuration. The
// handshake is that of any node, without an interface; nothing of it is left running.
internal import Logging
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

/// `pqvpn join`.
public struct JoinReport: Report {
    public static let schema = "pqvpn.join/1"
    public let name: String
    public let peerID: String
    public let madeIdentity: Bool
    public let inviter: String
    public let inviterPeerID: String
    public let endpoint: String
    public let addresses: [String]
    public let configuration: String
    public let next: String

    private enum CodingKeys: String, CodingKey {
        case name
        case peerID = "peer_id"
        case madeIdentity = "made_identity"
        case inviter
        case inviterPeerID = "inviter_peer_id"
        case endpoint, addresses, configuration, next
    }

    public var text: String {
        """
        identity   \(peerID)\(madeIdentity ? " (new)" : "")
        inviter    '\(inviter)' at \(endpoint), pinned: \(inviterPeerID)
        addresses  \(addresses.joined(separator: ", "))
        config     \(configuration)
        Next:  \(next)
        """
    }

    static let standardDirectory = "/etc/pqvpn"

    /// The options by which a command finds these files again.
    static func place(_ files: NodeFiles) -> String {
        (files.name == "pqvpn" ? "" : " --name \(files.name)") + directory(files)
    }

    /// The command that starts what these files describe.
    static func up(_ files: NodeFiles) -> String {
        "sudo pqvpn up " + (files.directory == standardDirectory ? files.name : files.configuration)
    }

    private static func directory(_ files: NodeFiles) -> String {
        files.directory == standardDirectory ? "" : " --dir \(files.directory)"
    }
}

public struct Joining: Sendable {
    public var link: String
    public var name = "pqvpn"
    public var directory = "/etc/pqvpn"
    public var nickname: String?
    /// For an answer of any kind.
    public var timeout = Duration.seconds(30)
    public var passphrase = PassphraseSource.none
    public var isVerbose = false

    public init(link: String) { self.link = link }

    /// After the inviter has shown itself, so long for the rest: four of a lost datagram's repeats.
    static let patience = Duration.seconds(12)

    /// What the handshake came to.
    private enum Outcome: Sendable {
        case shown(Descriptor)
        case leased([InterfaceAddress])
        case otherIdentity(PeerID, TrustRefusal)
        case closed
        case silence(afterShown: Bool)
    }

    /// Throws with status 7 where the inviter is another one or refuses, and 5 where nobody answers. Until it returns there is no
    /// configuration; an identity that was made stays, so that the same one can try again.
    public func run() async throws -> JoinReport {
        let link = try InvitationLink(link)
        let files = try NodeFiles(directory: directory, name: name)
        var options = InitOptions()
        options.name = name
        options.nickname = nickname
        var first = try InitReport.first(options)
        let blank = first.text
        if let existing = try files.existing(), existing != blank {
            throw NodeFailure(
                .failure, "\(files.configuration) is there already and is not touched: join with --name for another one"
            )
        }
        try files.prepare()
        let (identity, isNew) = try files.identity(nickname: first.nickname, unlocker: Unlocker(passphrase))
        guard identity.peerID != link.peerID else {
            throw NodeFailure(.usage, "the link is an invitation of this node itself: open it on the other host")
        }
        let (descriptor, addresses) = try await shakeHands(link, identity, files)
        if let complaint = InnerAddressPlan.complaint(about: addresses) {
            throw NodeFailure(
                .untrustedIdentity,
                "the inviter gives this node addresses by which it would get more of its traffic than an inner network's: "
                    + "\(complaint); no configuration was made")
        }
        let inviter = FirstConfiguration.Inviter(
            name: Self.readable(descriptor.nickname), peerID: link.peerID, endpoint: link.endpoint,
            networks: addresses.map(\.network))
        first.addresses = addresses
        first.inviter = inviter
        let text = first.text
        _ = try LoadedConfiguration(text: text, file: files.configuration)
        // Whose id the link has is the inviter by the operator's word.
        try KnownPeersStore(path: files.knownPeers, unlocker: Unlocker(passphrase)).add(
            PinnedPeer(
                keys: descriptor.keys, name: inviter.name, origin: .operatorAdded, endpoint: "\(link.endpoint)"))
        try files.write(text, replacing: blank)
        return JoinReport(
            name: name, peerID: identity.peerID.hex, madeIdentity: isNew, inviter: inviter.name,
            inviterPeerID: link.peerID.hex, endpoint: "\(link.endpoint)", addresses: addresses.map { "\($0)" },
            configuration: files.configuration,
            next: JoinReport.up(files))
    }

    private static func readable(_ nickname: String) -> String {
        TextForm.printable(maximum: 63).complaint(about: nickname) == nil ? nickname : "inviter"
    }

    // MARK: The handshake

    private func shakeHands(
        _ link: InvitationLink, _ identity: LoadedIdentity, _ files: NodeFiles
    ) async throws -> (Descriptor, [InterfaceAddress]) {
        let (outcomes, teller) = AsyncStream.makeStream(of: Outcome.self)
        let node = try node(link, identity, files) { event in
            if let outcome = Self.outcome(of: event) { teller.yield(outcome) }
        }
        let running = Task { try await node.run() }
        // A sleep that was cancelled says nothing.
        func clock(_ duration: Duration, afterShown: Bool) -> Task<Void, Never> {
            Task {
                guard (try? await Task.sleep(for: duration)) != nil else { return }
                teller.yield(.silence(afterShown: afterShown))
            }
        }
        var waiting = clock(timeout, afterShown: false)
        defer { waiting.cancel() }
        var shown: Descriptor?
        var result: Result<(Descriptor, [InterfaceAddress]), NodeFailure>?
        for await outcome in outcomes {
            switch outcome {
            case .shown(let descriptor):
                guard shown == nil else { continue }
                shown = descriptor
                waiting.cancel()
                waiting = clock(Self.patience, afterShown: true)
            case .leased(let addresses):
                guard let shown else { continue }
                result = addresses.isEmpty ? .failure(Self.refused) : .success((shown, addresses))
            case .otherIdentity(let id, let refusal):
                result = .failure(Self.refusal(id, refusal, link))
            case .closed: result = .failure(Self.refused)
            case .silence(let afterShown):
                // The first clock may have struck just when the inviter showed itself.
                guard afterShown == (shown != nil) else { continue }
                result = .failure(afterShown ? Self.refused : Self.unreachable(link, timeout))
            }
            if result != nil { break }
        }
        running.cancel()
        _ = await running.result
        guard let result else { throw NodeFailure(.failure, "the handshake was cancelled") }
        return try result.get()
    }

    private static func outcome(of event: Event) -> Outcome? {
        switch event {
        case .identityShown(_, _, let descriptor): .shown(descriptor)
        case .leased(_, let addresses): .leased(addresses)
        case .identityRefused(_, let id, let refusal, _, _, let name) where !name.isEmpty: .otherIdentity(id, refusal)
        case .sessionEnded: .closed
        default: nil
        }
    }

    private static let refused = NodeFailure(
        .untrustedIdentity,
        "the inviter is there, but the invitation was refused: it is used, expired or revoked; ask for a new one")

    private static func unreachable(_ link: InvitationLink, _ timeout: Duration) -> NodeFailure {
        NodeFailure(
            .timeout,
            "no answer from \(link.endpoint) in \(timeout.components.seconds) s: is the inviter's node running, and does "
                + "UDP reach it there (firewall, port forwarding)? The link is still good; try again")
    }

    private static func refusal(_ id: PeerID, _ refusal: TrustRefusal, _ link: InvitationLink) -> NodeFailure {
        NodeFailure(
            .untrustedIdentity,
            "at \(link.endpoint) is \(id.hex), and the link is an invitation of \(link.peerID.hex) "
                + "(\(refusal.rawValue)): nothing was sent to it; ask the inviter where it is")
    }

    /// A node for this one handshake: no interface, no callers, nothing on disk.
    private func node(
        _ link: InvitationLink, _ identity: LoadedIdentity, _ files: NodeFiles,
        observer: @escaping @Sendable (Event) -> Void
    ) throws -> Node {
        let inviter = "inviter"
        let text = """
            tunnel: { enabled: false }
            network: { listen_port: 0, workers: 1 }
            security: { tofu: true, strict_tofu: true, known_peers_file: \(name).joining.yaml, revoked_file: \(name).revoked.yaml }
            peers: [ { name: \(inviter), peer_id: "\(link.peerID.hex)", endpoint: "\(link.endpoint)" } ]
            """
        let configuration = try LoadedConfiguration(text: text, file: files.configuration).configuration
        let revocations = try RevocationList(path: configuration.security.revokedFile)
        guard !revocations.ids.contains(link.peerID) else {
            throw NodeFailure(.untrustedIdentity, "the inviter \(link.peerID.hex) is revoked in \(revocations.path)")
        }
        let token = Secret(copying: link.token)
        let key = PresharedKey(invitation: Invitation.key(of: token), name: Invitation.name(of: token))
        let logger: Logger
        if isVerbose {
            logger = try LogOutput.standardError().logger("join", level: .debug)
        } else {
            logger = Logger(label: "join") { _ in SwiftLogNoOpLogHandler() }
        }
        return try Node(
            configuration: configuration, identity: identity,
            // The inviter is not kept before it let this node in, and the file of that name never comes to be.
            knownPeers: KnownPeersStore(path: configuration.security.knownPeersFile), revocations: revocations,
            invitations: nil, presharedKeys: [inviter: key], logger: logger,
            observer: observer, onReady: {})
    }
}
