// SPDX-License-Identifier: Apache-2.0
// The configuration that `pqvpn init` and `pqvpn join` write: only what differs from the defaults, with safe values, each line
// with its reason. And the files around it, all beside each other under one name.
internal import VPNCore
internal import VPNCrypto

struct FirstConfiguration {
    /// The inviter as its guest knows it.
    struct Inviter {
        var name: String
        var peerID: PeerID
        var endpoint: EndpointName
        var networks: [IPPrefix]
    }

    /// Of the files, of the interface and, unless that is given, of the node.
    var name: String
    var nickname: String
    /// 0 for one that calls and is not called.
    var port: Int
    var addresses: [InterfaceAddress] = []
    var endpoint: EndpointName?
    var inviter: Inviter?
    var role = InitOptions.Role.client
    /// Before the names of what the daemon reads and writes besides: "" for beside the configuration.
    var prefix = ""

    var text: String {
        let what = inviter == nil ? "init" : "join"
        var lines = [
            "# PQVPN, made by `pqvpn \(what)`. What is not here has its default: `pqvpn config show` prints everything.",
            "peer:", "  nickname: \(ConfigurationValue.quoted(nickname))",
            "keys:", "  runtime_temp_keys: false", "  dir: \(prefix)\(name).keys",
            "security:", "  # Nobody is believed but those who are pinned or come with an invitation.", "  tofu: false",
            "  known_peers_file: \(prefix)\(name).known_peers.yaml", "  revoked_file: \(prefix)\(name).revoked.yaml",
            "network:", "  listen_port: \(port)",
        ]
        switch role {
        case .client, .server: lines += tunnel
        case .relay: lines += relay
        case .exit: lines += exit
        }
        lines += ["invites:", "  file: \(prefix)\(name).invites.yaml"]
        if let endpoint { lines.append("  endpoint: \(ConfigurationValue.quoted("\(endpoint)"))") }
        guard let inviter else {
            lines.append("peers: []")
            return lines.joined(separator: "\n") + "\n"
        }
        lines += [
            "peers:", "  - name: \(ConfigurationValue.quoted(inviter.name))", "    peer_id: \"\(inviter.peerID.hex)\"",
            "    endpoint: \(ConfigurationValue.quoted("\(inviter.endpoint)"))",
            "    allowed_ips: \(Self.list(inviter.networks))",
            "    # A NAT on the way forgets who says nothing.", "    keepalive_seconds: 25",
        ]
        return lines.joined(separator: "\n") + "\n"
    }

    private var tunnel: [String] {
        ["tunnel:", "  interface: \(name.prefix(15))", "  addresses: \(Self.list(addresses))"]
    }

    private var relay: [String] {
        [
            "# It forwards what it cannot read: no interface, and no privilege.", "tunnel:", "  enabled: false",
            "relay:",
            "  enabled: true", "  accept_circuits: true",
        ]
    }

    private var exit: [String] {
        [
            "# Guests' packets go out by this interface and this host's own addresses.", "tunnel:",
            "  interface: \(name.prefix(15))",
            "relay:", "  enabled: true", "  accept_circuits: true",
            "  # Everything public but mail; a list of rules says less. `pqvpn config default` has the words.",
            "  exit_policy: allow-all",
        ]
    }

    private static func list(_ values: [some CustomStringConvertible]) -> String {
        "[" + values.map { "\"\($0)\"" }.joined(separator: ", ") + "]"
    }

    /// An inner network that hardly anybody else has: 10.x.y.1/24, and a unique local one (RFC 4193 §3.2.2) of 64 bits.
    static func randomAddresses() -> [InterfaceAddress] {
        // 10.0 to 10.63 is where most routers and providers are.
        let v4 = 0x0A00_0001 | UInt32.random(in: 64...254) << 16 | UInt32.random(in: 1...254) << 8
        let v6 = UInt128(0xFD) << 120 | UInt128(UInt64.random(in: 0..<1 << 40)) << 80 | 1
        return [InterfaceAddress(IPAddress(v4: v4), length: 24), InterfaceAddress(IPAddress(v6: v6), length: 64)]
    }
}

/// Where the files of one node are.
struct NodeFiles {
    let directory: String
    let name: String

    /// Throws for a name that is none of a file.
    init(directory: String, name: String) throws {
        if let complaint = TextForm.namePrefix.complaint(about: name) {
            throw NodeFailure(.usage, "the name \(complaint.message)")
        }
        self.name = name
        let path = PathResolver(file: "./x").absolute(directory)
        self.directory = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    }

    var configuration: String { "\(directory)/\(name).yaml" }
    var keys: String { "\(directory)/\(name).keys" }
    var knownPeers: String { "\(directory)/\(name).known_peers.yaml" }

    /// Makes the directory where it is absent, for its owner alone; the one above it must be there.
    func prepare() throws {
        do { try PersistentIdentity.prepare(directory) } catch let failure as NodeFailure
            where failure.status == .permission
        {
            throw NodeFailure(
                .permission, "\(failure.message): run it with sudo, or with --dir for a directory of yours")
        }
    }

    /// The identity of these files, made where there is none.
    func identity(nickname: String, unlocker: Unlocker) throws -> (LoadedIdentity, isNew: Bool) {
        var isNew = false
        if !ProtectedFile.exists("\(keys)/\(PersistentIdentity.descriptorName)") {
            _ = try PersistentIdentity.generate(into: keys, nickname: nickname)
            isNew = true
        }
        return (try LoadedIdentity.load(.directory(keys), nickname: nickname, unlocker: unlocker), isNew)
    }

    /// Writes the configuration as a new file, or over one that says exactly `replaced`.
    func write(_ text: String, replacing replaced: String? = nil) throws {
        if let replaced, try existing() == replaced {
            return try ProtectedFile.replace(configuration, with: [UInt8](text.utf8))
        }
        var files = try NewFiles(in: directory)
        try files.checkAbsent(["\(name).yaml"])
        try files.add("\(name).yaml") { try $0.write([UInt8](text.utf8)) }
        try files.commit()
    }

    /// The text of the configuration; nil where there is none.
    func existing() throws -> String? {
        guard ProtectedFile.exists(configuration) else { return nil }
        let file = try OpenFile(configuration, 0)
        return String(decoding: try file.read(limit: min(try file.status().size, 1 << 20)), as: UTF8.self)
    }
}
