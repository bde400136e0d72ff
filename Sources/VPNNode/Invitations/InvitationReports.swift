// SPDX-License-Identifier: Apache-2.0
// `pqvpn invite`, `invites` and `invite revoke`: what the inviter sees of its invitations. A link is shown once, when it is made.
internal import Foundation
internal import VPNCore
internal import VPNCrypto

/// `pqvpn invite`.
public struct InviteReport: Report {
    public static let schema = "pqvpn.invite/1"
    public let id: String
    public let name: String
    public let link: String
    public let endpoint: String
    /// Unix seconds.
    public let expires: UInt64
    public let uses: Int
    public let file: String
    /// Whether a running node was told and knows it by now; else one that runs finds it within five seconds.
    public let taken: Bool

    public var text: String {
        """
        \(link)

        Whoever has this link can join\(uses == 1 ? " once" : ", \(uses) times in all") until \(InvitationTime.text(expires)): send it as you would a password.
        Invitation \(id) for '\(name)'. Take it back: pqvpn invite revoke \(id)
        \(taken ? "The running node takes it from now on." : "No running node was told: one that runs takes it within 5 seconds.")
        Next, on the other host:  sudo pqvpn join LINK
        """
    }
}

/// `pqvpn invites` and `pqvpn invite revoke`.
public struct InvitesReport: Report {
    public static let schema = "pqvpn.invites/1"

    public struct Entry: Encodable, Sendable {
        public let id: String
        public let name: String
        /// "open", "used", "expired" or "revoked".
        public let state: String
        public let created: UInt64
        public let expires: UInt64
        public let uses: Int
        public let guests: [Guest]
        /// The clock of this host went back since it was made.
        let isAhead: Bool

        private enum CodingKeys: String, CodingKey { case id, name, state, created, expires, uses, guests }
    }

    public struct Guest: Encodable, Sendable {
        public let name: String
        public let peerID: String
        public let addresses: [String]
        public let since: UInt64

        private enum CodingKeys: String, CodingKey {
            case name
            case peerID = "peer_id"
            case addresses, since
        }
    }

    public let file: String
    /// "list", "revoked" or "known".
    public let action: String
    /// The invitation that it was done to.
    public let id: String?
    public let invites: [Entry]

    init(_ store: InvitationStore, action: String, id: InvitationID? = nil, now: UInt64) {
        let document = store.document
        file = store.path
        self.action = action
        self.id = id.map { "\($0)" }
        invites = document.invitations.sorted { $0.created > $1.created }.map { record in
            let guests = document.guests(of: record.id)
            let state =
                record.isRevoked
                ? "revoked" : guests.count >= record.uses ? "used" : record.isExpired(at: now) ? "expired" : "open"
            return Entry(
                id: "\(InvitationID(record.id))", name: record.name, state: state, created: record.created,
                expires: record.expires, uses: record.uses,
                guests: guests.map {
                    Guest(
                        name: $0.name, peerID: $0.peerID.hex, addresses: $0.addresses.map { "\($0.address)" },
                        since: $0.since)
                }, isAhead: record.isAhead(of: now))
        }
    }

    public var text: String {
        switch action {
        case "list":
            if invites.isEmpty { return "there are no invitations in \(file)" }
            return invites.flatMap { invite in
                [
                    "\(invite.id)  \(invite.state)  '\(invite.name)'  \(invite.guests.count) of \(invite.uses) used  until "
                        + InvitationTime.text(invite.expires)
                        + (invite.isAhead
                            ? "  (made \(InvitationTime.text(invite.created)), which this host's clock says is to come)"
                            : "")
                ]
                    + invite.guests.map {
                        "          \($0.name)  \($0.peerID.prefix(16))…  \($0.addresses.joined(separator: ", "))"
                    }
            }.joined(separator: "\n")
        case "known": return "invitation \(id ?? "") is revoked already"
        default:
            let guests = invites.first { $0.id == id }?.guests.map(\.name) ?? []
            let rest =
                guests.isEmpty
                ? ""
                : "\nWhoever came by it stays: \(guests.joined(separator: ", ")). Send one away with `pqvpn peers revoke NAME`."
            return "invitation \(id ?? "") serves nobody from now on\(rest)"
        }
    }
}

enum InvitationTime {
    /// "2026-11-26 15:53 UTC".
    static func text(_ seconds: UInt64) -> String {
        var style = Date.ISO8601FormatStyle(timeZone: .gmt)
        style = style.year().month().day().dateSeparator(.dash)
        let date = Date(timeIntervalSince1970: TimeInterval(seconds))
        let time = seconds % 86_400
        func two(_ number: UInt64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(date.formatted(style)) \(two(time / 3600)):\(two(time % 3600 / 60)) UTC"
    }

    static let longest: UInt64 = 30 * 86_400

    /// "90s", "30m", "24h" or "7d", one minute to 30 days; in seconds.
    static func seconds(_ text: String) throws -> UInt64 {
        let units: [Character: UInt64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        let digits = text.dropLast()
        guard let last = text.last, let unit = units[last], (1...7).contains(digits.utf8.count),
            digits.allSatisfy({ $0.isASCII && $0.isNumber }), let count = UInt64(digits),
            (60...longest).contains(count * unit)
        else { throw NodeFailure(.usage, "--expires takes a time such as 90s, 30m, 24h or 7d: one minute to 30 days") }
        return count * unit
    }
}

/// The invitations of one configuration.
public struct InviteCommandTarget: Sendable {
    private let configuration: NodeConfiguration
    private let store: InvitationStore

    public init(configurationFile: String) throws {
        configuration = try LoadedConfiguration(file: configurationFile).configuration
        try StateOwner.check(configuration.invites.file)
        store = try InvitationStore(path: configuration.invites.file)
    }

    /// Makes an invitation of this node. Everything that would keep a guest out is refused here, where somebody can mend it.
    ///
    /// - Parameters:
    ///   - expires: "24h".
    ///   - endpoint: where guests find this node; nil = as configured.
    public func invite(
        name: String?, expires: String, uses: Int, endpoint: String?, passphrase: PassphraseSource
    ) throws -> InviteReport {
        let seconds = try InvitationTime.seconds(expires)
        guard (1...256).contains(uses) else { throw NodeFailure(.usage, "--uses takes 1 to 256") }
        let name = name ?? "guest"
        if let complaint = TextForm.printable(maximum: 60).complaint(about: name) {
            throw NodeFailure(.usage, "the name \(complaint.message)")
        }
        let place = try place(endpoint)
        try checkDoor()
        let id = try ownID(passphrase)
        let (record, token) = try store.create(name: name, seconds: seconds, uses: uses, now: UnixTime.now)
        let link = InvitationLink(endpoint: place, peerID: id, token: token)
        return InviteReport(
            id: "\(InvitationID(record.id))", name: name, link: link.text, endpoint: "\(place)",
            expires: record.expires,
            uses: uses, file: store.path, taken: tellNode())
    }

    /// Has the running node look at its files now. False where none runs, or it may not be asked.
    private func tellNode() -> Bool {
        guard configuration.control.isEnabled,
            let path = try? ControlPlace.find(socket: configuration.control.socket, node: configuration.nickname),
            var client = try? ControlClient(path: path)
        else { return false }
        return (try? client.ask(ControlRequest(.look), as: ControlReport.self)) != nil
    }

    public func list() -> InvitesReport { InvitesReport(store, action: "list", now: UnixTime.now) }

    /// - Parameter text: eight digits, as `pqvpn invites` shows them.
    public func revoke(_ text: String) throws -> InvitesReport {
        guard let id = InvitationID(text) else {
            throw NodeFailure(.usage, "'\(text)' is no id of an invitation: `pqvpn invites` lists them")
        }
        let isNew = try store.revoke(id)
        if isNew { _ = tellNode() }
        return InvitesReport(store, action: isNew ? "revoked" : "known", id: id, now: UnixTime.now)
    }

    private func place(_ endpoint: String?) throws -> EndpointName {
        guard let endpoint else {
            guard let configured = configuration.invites.endpoint else {
                throw NodeFailure(
                    .usage,
                    "nobody knows where guests find this host: give --endpoint HOST:\(configuration.network.listenPort), or set invites.endpoint"
                )
            }
            guard InvitationLink.holds(configured) else {
                throw NodeFailure(
                    .usage, "\(configuration.file): invites.endpoint: the name is too long for a link")
            }
            return configured
        }
        do {
            let name = try EndpointName(endpoint)
            guard InvitationLink.holds(name) else {
                throw NodeFailure(.usage, "--endpoint: the name is too long for a link")
            }
            return name
        } catch let error as EndpointNameError { throw NodeFailure(.usage, "--endpoint: \(error)") }
    }

    private func checkDoor() throws {
        let file = configuration.file
        if case .temporary = configuration.identity {
            throw NodeFailure(
                .usage,
                "\(file): a link names this node's identity, and that ends with each run: set keys.runtime_temp_keys: false"
            )
        }
        if !configuration.security.allowlist.isEmpty {
            throw NodeFailure(
                .usage,
                "\(file): security.allowlist keeps everybody out whom it does not list: empty it, or add the guest there"
            )
        }
        if configuration.network.listenPort == 0 {
            throw NodeFailure(.usage, "\(file): guests need a fixed port: set network.listen_port")
        }
        // As guests would get them: an address that is alone on its network is none of theirs.
        var seen: Set<IPPrefix> = []
        let networks = configuration.tunnel.addresses.filter {
            $0.length < $0.address.family.bits - 1 && seen.insert($0.network).inserted
        }
        if let complaint = InnerAddressPlan.complaint(about: networks) {
            throw NodeFailure(.usage, "\(file): tunnel.addresses: \(complaint): guests refuse such an invitation")
        }
        let taken = configuration.peers.flatMap(\.allowedIPs) + store.guests.flatMap(\.allowedIPs)
        guard configuration.tunnel.isEnabled,
            InnerAddressPlan.allocate(own: configuration.tunnel.addresses, taken: taken) != nil
        else {
            throw NodeFailure(
                .usage,
                "\(file): no inner address is free for a guest: set tunnel.addresses with a larger network, such as 10.77.0.1/24"
            )
        }
    }

    /// From the descriptor where there is one, which needs no passphrase.
    private func ownID(_ passphrase: PassphraseSource) throws -> PeerID {
        if case .directory(let path) = configuration.identity {
            let file = "\(path)/\(PersistentIdentity.descriptorName)"
            if ProtectedFile.exists(file) { return try DescriptorFile.read(file).keys.peerID }
        }
        return try LoadedIdentity.load(
            configuration.identity, nickname: configuration.nickname, unlocker: Unlocker(passphrase)
        ).peerID
    }
}
