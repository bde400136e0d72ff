// SPDX-License-Identifier: Apache-2.0
// `pqvpn init`: an identity and a configuration with safe values, and what to do next. Starts nothing but a service that was asked
// for, and asks nobody.
internal import VPNCore
internal import VPNCrypto

/// What a first configuration is made of.
public struct InitOptions: Sendable {
    public enum Role: String, Sendable, CaseIterable {
        /// Calls others.
        case client
        /// Is called.
        case server
        /// Forwards circuits of others, and has no tunnel of its own.
        case relay
        /// The same, and lets those who come by circuits out.
        case exit

        var hasTunnel: Bool { self != .relay }
        /// Whether others call it.
        var isCalled: Bool { self != .client }
    }

    public var role = Role.client
    public var name = "pqvpn"
    public var directory = "/etc/pqvpn"
    public var nickname: String?
    public var port = 9000
    /// Interface addresses; empty: random ones.
    public var addresses: [String] = []
    /// Where others find this host.
    public var endpoint: String?
    /// `--service`: with the unit of the Debian package.
    public var service: ServicePlaces?

    public init() {}

    /// A role by its name; throws for what is none.
    public static func role(_ name: String) throws -> Role {
        if let role = Role(rawValue: name) { return role }
        let near = Spelling.nearest(to: name, among: Role.allCases.map(\.rawValue)).map { "; did you mean '\($0)'?" }
        throw NodeFailure(.usage, "'\(name)' is no role: client, server, relay or exit\(near ?? "")")
    }
}

public struct InitReport: Report {
    public static let schema = "pqvpn.init/1"

    public let role: String
    public let name: String
    public let peerID: String
    /// False where the identity was there before.
    public let madeIdentity: Bool
    public let keys: String
    public let configuration: String
    public let addresses: [String]
    public let endpoint: String?
    /// The unit that runs it; nil without `--service`.
    public let unit: String?
    /// What somebody should know.
    public let notes: [String]
    /// The next command.
    public let next: [String]

    private enum CodingKeys: String, CodingKey {
        case role, name
        case peerID = "peer_id"
        case madeIdentity = "made_identity"
        case keys, configuration, addresses, endpoint, unit, notes, next
    }

    /// Makes what is missing. A configuration that is there is never touched.
    public static func make(_ options: InitOptions, passphrase: PassphraseSource) throws -> InitReport {
        let files = try NodeFiles(directory: options.directory, name: options.name)
        let configuration = try first(options)
        if try files.existing() != nil {
            throw NodeFailure(
                .failure,
                "\(files.configuration) is there already and is not touched: --name another one, or `pqvpn config show \(files.configuration)`"
            )
        }
        let text = configuration.text
        // What this program writes it must also take.
        _ = try LoadedConfiguration(text: text, file: files.configuration)
        try files.prepare()
        if let places = options.service {
            return try install(places, options, configuration, files)
        }
        let (identity, isNew) = try files.identity(
            nickname: configuration.nickname, unlocker: Unlocker(passphrase))
        try files.write(text)
        return InitReport(
            options, configuration, files, peerID: identity.peerID, madeIdentity: isNew, keys: files.keys, unit: nil,
            notes: [], next: next(options, files))
    }

    private init(
        _ options: InitOptions, _ configuration: FirstConfiguration, _ files: NodeFiles, peerID: PeerID,
        madeIdentity: Bool, keys: String, unit: String?, notes: [String], next: [String]
    ) {
        role = options.role.rawValue
        name = options.name
        self.peerID = peerID.hex
        self.madeIdentity = madeIdentity
        self.keys = keys
        self.configuration = files.configuration
        addresses = configuration.addresses.map { "\($0)" }
        endpoint = configuration.endpoint.map { "\($0)" }
        self.unit = unit
        self.notes = notes
        self.next = next
    }

    /// The same with a unit of systemd, whose daemon is a user of its own.
    private static func install(
        _ places: ServicePlaces, _ options: InitOptions, _ first: FirstConfiguration, _ files: NodeFiles
    ) throws -> InitReport {
        let service = try ServiceInstallation(
            places, name: options.name, directory: files.directory, scratch: files.directory)
        let isNew = try service.makeIdentity(nickname: first.nickname)
        let id = try DescriptorFile.read("\(service.keys)/\(PersistentIdentity.descriptorName)").keys.peerID
        try service.write(first.text, to: files)
        var notes: [String] = []
        switch options.role {
        case .relay where try !service.add(dropIn: places.relayDropIn):
            notes.append(
                "\(places.relayDropIn) is not there: the daemon keeps CAP_NET_ADMIN, which a relay does not need")
        case .exit where try !service.add(dropIn: places.exitDropIn):
            notes.append(
                "\(places.exitDropIn) is not there: the daemon neither sees nor sets whether this host forwards guests' packets"
            )
        default: break
        }
        let asUser = "sudo -u \(ServiceInstallation.user) pqvpn"
        var next = ["systemctl status \(service.unit)"]
        if service.hasManager {
            try service.enable()
        } else {
            notes.append("systemd does not run here: nothing was started")
            next = ["sudo systemctl enable --now \(service.unit)  # where systemd runs"]
        }
        if options.role == .server {
            next.append("\(asUser) invite --config \(files.configuration)" + place(options))
        }
        return InitReport(
            options, first, files, peerID: id, madeIdentity: isNew, keys: service.keys, unit: service.unit,
            notes: notes,
            next: next)
    }

    private static func place(_ options: InitOptions) -> String {
        options.endpoint == nil ? " --endpoint HOST:\(options.port)" : ""
    }

    private static func next(_ options: InitOptions, _ files: NodeFiles) -> [String] {
        switch options.role {
        case .client: return ["sudo pqvpn join LINK" + JoinReport.place(files)]
        case .server:
            return [JoinReport.up(files), "sudo pqvpn invite --config \(files.configuration)" + place(options)]
        case .exit:
            // What an exit needs of the kernel is the operator's, and doctor names it.
            return [
                "sudo pqvpn doctor --config \(files.configuration)", JoinReport.up(files),
                "pqvpn identity export --config \(files.configuration)",
            ]
        case .relay:
            return [
                "pqvpn run --config \(files.configuration)", "pqvpn identity export --config \(files.configuration)",
            ]
        }
    }

    /// The configuration that the options ask for.
    static func first(_ options: InitOptions) throws -> FirstConfiguration {
        guard (1...65535).contains(options.port) else { throw NodeFailure(.usage, "--port takes 1…65535") }
        let nickname = options.nickname ?? options.name
        if let complaint = TextForm.printable(maximum: 63).complaint(about: nickname) {
            throw NodeFailure(.usage, "the nickname \(complaint.message)")
        }
        let isServer = options.role == .server
        guard isServer || options.addresses.isEmpty, options.role.isCalled || options.endpoint == nil else {
            throw NodeFailure(
                .usage,
                "--address and --endpoint are for --role server: a client gets its addresses by `pqvpn join`, "
                    + "and relays and exits have none of their own inside")
        }
        if let service = options.service {
            guard options.role.isCalled, options.directory == JoinReport.standardDirectory || service.mayBeElsewhere
            else {
                throw NodeFailure(
                    .usage,
                    "--service is for the roles that are called, in /etc/pqvpn: a client joins first, then "
                        + "`pqvpn up` starts it")
            }
        }
        var addresses: [InterfaceAddress] = []
        for text in options.addresses {
            do { addresses.append(try InterfaceAddress(text)) } catch { throw NodeFailure(.usage, "\(error)") }
        }
        if isServer, addresses.isEmpty { addresses = FirstConfiguration.randomAddresses() }
        let endpoint: EndpointName?
        do { endpoint = try options.endpoint.map { text throws(EndpointNameError) in try EndpointName(text) } } catch {
            throw NodeFailure(.usage, "--endpoint: \(error)")
        }
        return FirstConfiguration(
            name: options.name, nickname: nickname, port: options.role.isCalled ? options.port : 0,
            addresses: addresses,
            endpoint: endpoint, role: options.role, prefix: options.service.map { "\($0.state)/" } ?? "")
    }

    public var text: String {
        var lines = [
            "identity   \(peerID)",
            "           \(madeIdentity ? "four new private keys (mode 0600)" : "as it was") in \(keys)",
            "config     \(configuration)",
        ]
        if !addresses.isEmpty { lines.append("addresses  \(addresses.joined(separator: ", "))") }
        if let endpoint { lines.append("endpoint   \(endpoint)") }
        if let unit { lines.append("service    \(unit)") }
        lines += notes.map { "note:  \($0)" }
        lines += next.enumerated().map { ($0.offset == 0 ? "Next:  " : "then:  ") + $0.element }
        return lines.joined(separator: "\n")
    }
}
