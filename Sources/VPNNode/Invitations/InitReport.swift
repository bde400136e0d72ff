// SPDX-License-Identifier: Apache-2.0
// `pqvpn init`: an identity and a configuration with safe values, and what to do next. Starts nothing and asks nobody.
internal import VPNCore
internal import VPNCrypto

/// What a first configuration is made of.
public struct InitOptions: Sendable {
    public enum Role: String, Sendable, CaseIterable {
        /// Calls others.
        case client
        /// Is called.
        case server
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

    public init() {}

    /// A role by its name; throws for those that are not there yet, and those that are none.
    public static func role(_ name: String) throws -> Role {
        if let role = Role(rawValue: name) { return role }
        if name == "relay" || name == "exit" {
            throw NodeFailure(
                .usage, "the role '\(name)' is not there yet: circuits are not there yet; use client or server")
        }
        let near = Spelling.nearest(to: name, among: Role.allCases.map(\.rawValue)).map { "; did you mean '\($0)'?" }
        throw NodeFailure(.usage, "'\(name)' is no role: client or server\(near ?? "")")
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
    /// The next command.
    public let next: [String]

    private enum CodingKeys: String, CodingKey {
        case role, name
        case peerID = "peer_id"
        case madeIdentity = "made_identity"
        case keys, configuration, addresses, endpoint, next
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
        try files.prepare()
        let (identity, isNew) = try files.identity(
            nickname: configuration.nickname, unlocker: Unlocker(passphrase))
        let text = configuration.text
        // What this program writes it must also take.
        _ = try LoadedConfiguration(text: text, file: files.configuration)
        try files.write(text)
        return InitReport(
            role: options.role.rawValue, name: options.name, peerID: identity.peerID.hex, madeIdentity: isNew,
            keys: files.keys, configuration: files.configuration,
            addresses: configuration.addresses.map { "\($0)" }, endpoint: configuration.endpoint.map { "\($0)" },
            next: next(options, files))
    }

    private static func next(_ options: InitOptions, _ files: NodeFiles) -> [String] {
        guard options.role == .server else { return ["sudo pqvpn join LINK" + JoinReport.place(files)] }
        let endpoint = options.endpoint == nil ? " --endpoint HOST:\(options.port)" : ""
        return [JoinReport.up(files), "sudo pqvpn invite --config \(files.configuration)\(endpoint)"]
    }

    /// The configuration that the options ask for.
    static func first(_ options: InitOptions) throws -> FirstConfiguration {
        guard (1...65535).contains(options.port) else { throw NodeFailure(.usage, "--port takes 1…65535") }
        let nickname = options.nickname ?? options.name
        if let complaint = TextForm.printable(maximum: 63).complaint(about: nickname) {
            throw NodeFailure(.usage, "the nickname \(complaint.message)")
        }
        let isServer = options.role == .server
        guard isServer || (options.addresses.isEmpty && options.endpoint == nil) else {
            throw NodeFailure(
                .usage, "--address and --endpoint are for --role server: a client gets its addresses by `pqvpn join`")
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
            name: options.name, nickname: nickname, port: isServer ? options.port : 0, addresses: addresses,
            endpoint: endpoint)
    }

    public var text: String {
        var lines = [
            "identity   \(peerID)",
            "           \(madeIdentity ? "four new private keys (mode 0600)" : "as it was") in \(keys)",
            "config     \(configuration)",
        ]
        if !addresses.isEmpty { lines.append("addresses  \(addresses.joined(separator: ", "))") }
        if let endpoint { lines.append("endpoint   \(endpoint)") }
        lines += next.enumerated().map { ($0.offset == 0 ? "Next:  " : "then:  ") + $0.element }
        return lines.joined(separator: "\n")
    }
}
