// SPDX-License-Identifier: Apache-2.0
// From checked values to their meaning, and the rules that tie several keys together.
internal import Glibc
internal import Logging
internal import VPNCore
internal import VPNCrypto

/// A configuration file that has been read: what it means, what is doubtful in it, and where each value comes from.
public struct LoadedConfiguration: Sendable {
    public let configuration: NodeConfiguration
    public let warnings: [ConfigurationIssue]
    let document: ConfigurationDocument

    /// Reads a file. Throws ``ConfigurationError`` with all faults, or ``NodeFailure`` where it cannot be read at all.
    public init(file path: String) throws {
        var document = try ConfigurationDocument(text: Self.read(path))
        if let invites = document.effective("invites.file").text {
            document.addGuests(PathResolver(file: path).absolute(invites))
        }
        try self.init(document, file: path)
    }

    /// Reads a text; `file` names it and is where relative paths start.
    public init(text: String, file: String) throws {
        try self.init(ConfigurationDocument(text: text), file: file)
    }

    private init(_ read: ConfigurationDocument, file: String) throws {
        var document = read
        let configuration = NodeConfiguration(reading: &document, file: file)
        let issues = document.issues.sorted { ($0.mark, $0.key) < ($1.mark, $1.key) }
        guard let configuration, issues.allSatisfy({ $0.severity == .warning }) else {
            throw ConfigurationError(file: file, issues: issues)
        }
        self.configuration = configuration
        warnings = issues
        self.document = document
    }

    /// 65,536 peers of a few hundred bytes each.
    private static let maximumSize = 64 << 20

    private static func read(_ path: String) throws -> String {
        let bytes: [UInt8]
        do {
            let file = try OpenFile(path, O_RDONLY, followsLinks: true)
            let status = try file.status()
            guard status.kind == .regular else { throw NodeFailure(.usage, "\(path) is not a regular file") }
            guard status.size <= maximumSize else { throw NodeFailure(.usage, "\(path) is larger than 64 MiB") }
            bytes = try file.read(limit: status.size)
        } catch let error as SystemCallError {
            let isPermission = error.errno == EACCES || error.errno == EPERM
            throw NodeFailure(isPermission ? .permission : .usage, "configuration \(path): \(error.reason)")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let mark = SourceMark(line: 1, column: 1)
            throw ConfigurationError(
                file: path, issues: [ConfigurationIssue(.syntax, "", at: mark, "not UTF-8 text")])
        }
        return text
    }
}

extension NodeConfiguration {
    /// Nil where the document has faults that leave nothing to read; rules between keys add their issues to it.
    fileprivate init?(reading document: inout ConfigurationDocument, file: String) {
        document.checkRekey()
        document.checkPeers()
        document.checkIdentity()
        document.checkTrust()
        document.checkMetrics()
        document.checkObfuscation()
        document.checkHost()
        document.checkDirectory()
        document.checkCircuits()
        document.checkExit()
        document.checkQuilts()
        guard document.issues.allSatisfy({ $0.severity == .warning }) else { return nil }
        let paths = PathResolver(file: file)
        self.file = file
        nickname = document.text("peer.nickname")
        keyDirectory = paths.absolute(document.text("keys.dir"))
        identity = document.identitySource(paths, keyDirectory: keyDirectory)
        passphraseFile = document.effective("keys.passphrase_file").text.map(paths.absolute)
        security = Security(
            trustsOnFirstUse: document.boolean("security.tofu"),
            isStrictOnFirstUse: document.boolean("security.strict_tofu"),
            requiresBothSignatures: document.boolean("security.strict_sig_verify"),
            allowlist: Set(document.texts("security.allowlist").compactMap(PeerID.init(hex:))),
            knownPeersFile: paths.absolute(document.text("security.known_peers_file")),
            revokedFile: paths.absolute(document.text("security.revoked_file")),
            handshakesPerMinutePerAddress: document.integer("security.handshake_per_minute_per_ip"))
        network = Network(
            bindHost: IPAddress(document.text("network.bind_host"))!,
            listenPort: UInt16(document.integer("network.listen_port")),
            maximumConcurrentDatagrams: document.integer("network.max_concurrent_datagrams"),
            socketBufferSize: document.integer("network.udp_recv_buffer_size"),
            workers: document.effective("network.workers").integer, mark: document.outerMark)
        tunnel = Tunnel(
            isEnabled: document.boolean("tunnel.enabled"), interface: document.text("tunnel.interface"),
            addresses: document.texts("tunnel.addresses").map { try! InterfaceAddress($0) },
            mtu: document.effective("tunnel.mtu").integer, carriesDSCP: document.boolean("tunnel.carry_dscp"),
            isLockedDown: document.boolean("tunnel.lockdown"), lan: document.lanAccess,
            excludedRoutes: document.prefixes("tunnel.exclude_routes"))
        resolver = Resolver(
            mode: ResolverMode(rawValue: document.text("dns.mode").lowercased())!,
            servers: document.texts("dns.servers").compactMap { IPAddress($0) }, search: document.texts("dns.search"))
        peers = (0..<document.count(of: "peers")).map { document.peer($0, paths) }
        bootstrapPeers = document.bootstrapPeers
        rekey = Rekey(
            intervalSeconds: document.integer("rekey.interval_seconds"),
            thresholdSeconds: document.integer("rekey.threshold_seconds"), bytes: document.integer("rekey.bytes"),
            packets: document.integer("rekey.packets"))
        control = Control(
            isEnabled: document.boolean("control.enabled"),
            socket: document.effective("control.socket").text.map(paths.absolute), group: document.text("control.group")
        )
        invites = Invites(
            file: paths.absolute(document.text("invites.file")),
            endpoint: document.effective("invites.endpoint").text.map { try! EndpointName($0) })
        metrics = Metrics(
            isEnabled: document.boolean("metrics.prometheus"), bindHost: IPAddress(document.text("metrics.bind_host"))!,
            bindPort: UInt16(document.integer("metrics.bind_port")), isPerPeer: document.boolean("metrics.per_peer"))
        exit = document.exit
        obfuscation = Obfuscation(
            isEnabled: document.boolean("traffic_obfuscation.enabled"),
            buckets: document.integers("traffic_obfuscation.buckets"),
            coverBytesPerSecond: document.integer("traffic_obfuscation.cover_bytes_per_second"))
        relay = Relay(
            isEnabled: document.boolean("relay.enabled"), acceptsCircuits: document.boolean("relay.accept_circuits"),
            maximumCircuits: document.integer("relay.max_circuits"),
            maximumCircuitsPerPeer: document.integer("relay.max_circuits_per_peer"),
            bytesPerSecond: document.integer("relay.bytes_per_second"),
            bytesPerSecondPerLink: document.integer("relay.bytes_per_second_per_link"),
            bytesPerSecondPerPeer: document.integer("relay.bytes_per_second_per_peer"))
        directory = Directory(
            file: paths.absolute(document.text("directory.file")),
            ownFile: paths.absolute(document.text("directory.own_file")),
            exchanges: document.boolean("directory.exchange"),
            allowsPrivate: document.boolean("directory.allow_private"),
            guardsFile: paths.absolute(document.text("circuit.guards_file")))
        circuit = Circuit(
            hops: document.integer("circuit.hops"),
            exit: document.text("circuit.exit").lowercased() == "auto" ? nil : document.text("circuit.exit"),
            allowedIPs: document.texts("circuit.allowed_ips").map { try! IPPrefix($0) },
            relaxesDiversity: document.boolean("circuit.relax_diversity"),
            paths: document.integer("circuit.paths"),
            scheduler: QuiltScheduler(rawValue: document.text("circuit.scheduler").lowercased()) ?? .edpf,
            relaxesDisjointness: document.boolean("circuit.relax_disjointness"))
        logFile = document.effective("logging.file").text.map(paths.absolute)
        logFileLimits = LogFileLimits(
            maximumSize: document.integer("logging.max_size_bytes"), maximumFiles: document.integer("logging.max_files")
        )
        scrubsAddresses = document.boolean("logging.scrub_addresses")
        logLevel = Logger.Level(rawValue: document.text("logging.level").lowercased())!
    }
}

/// Relative paths of a configuration start at its own directory, so that a daemon may change its own.
struct PathResolver {
    private let base: String

    init(file: String) {
        let directory = ProtectedFile.split(file).directory
        base = directory.hasPrefix("/") ? directory : Self.currentDirectory + (directory == "." ? "" : "/" + directory)
    }

    func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : base + "/" + path }

    static var currentDirectory: String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        // SAFETY: the kernel writes a terminated path of at most PATH_MAX bytes into the buffer.
        guard unsafe getcwd(&buffer, buffer.count) != nil else { return "/" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension ConfigurationValue {
    var text: String? { if case .text(let value) = self { value } else { nil } }
    var integer: Int? { if case .integer(let value) = self { value } else { nil } }
    var boolean: Bool? { if case .boolean(let value) = self { value } else { nil } }
}

extension ConfigurationDocument {
    // The table gives each of these a type and a default, so that a missing value here is a slip in the table.
    func text(_ path: String) -> String { effective(path).text! }
    fileprivate func integer(_ path: String) -> Int { effective(path).integer! }
    func boolean(_ path: String) -> Bool { effective(path).boolean! }
    func texts(_ path: String) -> [String] {
        guard case .list(let entries) = effective(path) else { return [] }
        return entries.compactMap(\.text)
    }

    fileprivate func integers(_ path: String) -> [Int] {
        guard case .list(let entries) = effective(path) else { return [] }
        return entries.compactMap(\.integer)
    }

    func mark(_ path: String) -> SourceMark { values[path]?.mark ?? SourceMark(line: 1, column: 1) }

    // MARK: Values

    fileprivate func peer(_ number: Int, _ paths: PathResolver) -> NodeConfiguration.Peer {
        let path = "peers[\(number)]"
        return NodeConfiguration.Peer(
            name: text("\(path).name"), peerID: effective("\(path).peer_id").text.flatMap(PeerID.init(hex:)),
            endpoint: effective("\(path).endpoint").text.map { try! EndpointName($0) },
            allowedIPs: texts("\(path).allowed_ips").map { try! IPPrefix($0) },
            keepaliveSeconds: UInt16(effective("\(path).keepalive_seconds").integer ?? 0),
            presharedKeyFile: effective("\(path).psk_file").text.map(paths.absolute), via: texts("\(path).via"),
            isExit: effective("\(path).exit").boolean ?? false, quilt: quilt(path),
            mark: mark(path), invitation: effective("\(path).invitation").text)
    }

    /// Each one once, in the order of the file.
    fileprivate var bootstrapPeers: [EndpointName] {
        var seen: Set<EndpointName> = []
        return (0..<count(of: "bootstrap.peers")).compactMap(bootstrapPeer).filter { seen.insert($0).inserted }
    }

    /// Nil where the entry is faulty, which has been reported then.
    private func bootstrapPeer(_ number: Int) -> EndpointName? {
        let path = "bootstrap.peers[\(number)]"
        if let text = effective(path).text { return try? EndpointName(text) }
        guard let host = effective("\(path).host").text, let port = effective("\(path).port").integer,
            let parsed = try? EndpointName.host(host)
        else { return nil }
        return EndpointName(host: parsed, port: UInt16(port))
    }

    private var isTemporary: Bool { effective("keys.runtime_temp_keys").boolean ?? true }

    private static let keyFileKeys = ["brainpoolP512r1", "ed25519", "mldsa87", "mlkem1024"].map { "peer.\($0)_sk_file" }

    fileprivate func identitySource(
        _ paths: PathResolver, keyDirectory: String
    ) -> NodeConfiguration.IdentitySource {
        let files = Self.keyFileKeys.compactMap { effective($0).text }.map(paths.absolute)
        if files.count == 4 {
            return .files(
                KeyFilePaths(brainpool: files[0], ed25519: files[1], mldsa: files[2], mlkem: files[3]))
        }
        return isTemporary
            ? .temporary(directoryPrefix: text("keys.temp_keys_prefix")) : .directory(keyDirectory)
    }

    // MARK: Rules between keys

    fileprivate mutating func checkRekey() {
        guard let interval = effective("rekey.interval_seconds").integer,
            let threshold = effective("rekey.threshold_seconds").integer, threshold >= interval
        else { return }
        let key = values["rekey.threshold_seconds"] == nil ? "rekey.interval_seconds" : "rekey.threshold_seconds"
        report(
            .conflict, key, at: mark(key),
            "threshold_seconds (\(threshold)) must be less than interval_seconds (\(interval))")
    }

    fileprivate mutating func checkObfuscation() {
        let cover = "traffic_obfuscation.cover_bytes_per_second"
        if let rate = effective(cover).integer, rate > 0,
            effective("traffic_obfuscation.enabled") == .boolean(false)
        {
            report(
                .conflict, cover, at: mark(cover),
                "needs traffic_obfuscation.enabled: cover traffic that differs from the rest in size covers nothing")
        }
        for number in 0..<count(of: "traffic_obfuscation.buckets") {
            let key = "traffic_obfuscation.buckets[\(number)]"
            guard let size = effective(key).integer, size < Limits.smallestData else { continue }
            report(
                .outOfRange, key, at: mark(key),
                "\(size) is ignored: no datagram of a session is shorter than \(Limits.smallestData) bytes",
                severity: .warning)
        }
    }

    fileprivate mutating func checkIdentity() {
        let given = Self.keyFileKeys.filter { effective($0).text != nil }
        if (1...3).contains(given.count) {
            for key in Self.keyFileKeys where !given.contains(key) {
                report(
                    .missing, key, at: mark(given[0]),
                    "is missing: an identity has four keys, name all four files or none")
            }
        }
        let isExplicit = values["keys.runtime_temp_keys"]?.value == .boolean(true)
        if given.count == 4, isExplicit {
            report(
                .conflict, "keys.runtime_temp_keys", at: mark("keys.runtime_temp_keys"),
                "must not be true where peer.*_sk_file (line \(mark(given[0]).line)) name a persistent identity")
        }
    }

    /// Nobody is asked for a password there, and counts tell when and how much somebody uses the tunnel.
    fileprivate mutating func checkMetrics() {
        guard effective("metrics.prometheus").boolean == true,
            let host = effective("metrics.bind_host").text.flatMap(IPAddress.init), !host.isLoopback
        else { return }
        report(
            .outOfRange, "metrics.bind_host", at: mark("metrics.bind_host"),
            "\(host) lets others than this machine read the metrics, which tell who uses the tunnel when",
            severity: .warning)
    }

    fileprivate mutating func checkTrust() {
        if effective("security.handshake_per_minute_per_ip").integer == 0 {
            report(
                .outOfRange, "security.handshake_per_minute_per_ip", at: mark("security.handshake_per_minute_per_ip"),
                "0 lifts the limit: anybody can keep this node's processors busy", severity: .warning)
        }
        if effective("security.strict_sig_verify").boolean == false {
            report(
                .conflict, "security.strict_sig_verify", at: mark("security.strict_sig_verify"),
                "false lets peers that are pinned with allow_partial in with one signature of two", severity: .warning)
        }
        checkAllowlist()
        checkBootstrap()
        let trusts = effective("security.tofu").boolean == true
        if effective("security.strict_tofu").boolean == true, !trusts {
            report(
                .conflict, "security.strict_tofu", at: mark("security.strict_tofu"),
                "has no effect while tofu is false",
                severity: .warning)
        }
        if count(of: "bootstrap.peers") > 0, !trusts {
            report(
                .conflict, "bootstrap.peers", at: mark("bootstrap.peers"),
                "are believed only as far as they are pinned, since security.tofu is false", severity: .warning)
        }
    }

    /// A peer that is not on the list is neither called nor let in, which somebody who wrote it down should know.
    private mutating func checkAllowlist() {
        let allowed = Set(texts("security.allowlist").map { $0.lowercased() })
        guard !allowed.isEmpty else { return }
        for number in 0..<count(of: "peers") {
            let key = "peers[\(number)].peer_id"
            guard let id = effective(key).text, !allowed.contains(id.lowercased()) else { continue }
            report(
                .conflict, key, at: mark(key), "is not on security.allowlist: no session with this peer is possible",
                severity: .warning)
        }
    }

    private mutating func checkBootstrap() {
        var seen: [EndpointName: SourceMark] = [:]
        for number in 0..<count(of: "bootstrap.peers") {
            let path = "bootstrap.peers[\(number)]"
            guard let name = bootstrapPeer(number) else { continue }
            if let other = seen.updateValue(mark(path), forKey: name) {
                report(
                    .duplicate, path, at: mark(path), "\(name) stands in line \(other.line) already",
                    severity: .warning)
            }
        }
    }

    fileprivate mutating func checkPeers() {
        var names: [String: SourceMark] = [:]
        var identities: [PeerID: SourceMark] = [:]
        var prefixes: [IPPrefix: (SourceMark, String)] = [:]
        let trusts = effective("security.tofu").boolean == true
        for number in 0..<count(of: "peers") {
            let path = "peers[\(number)]"
            let name = effective("\(path).name").text ?? ""
            if let other = names.updateValue(mark("\(path).name"), forKey: name), !name.isEmpty {
                report(
                    .duplicate, "\(path).name", at: mark("\(path).name"),
                    "'\(name)' is the name of the peer in line \(other.line) already")
            }
            if let id = effective("\(path).peer_id").text.flatMap(PeerID.init(hex:)) {
                if let other = identities.updateValue(mark("\(path).peer_id"), forKey: id) {
                    report(
                        .duplicate, "\(path).peer_id", at: mark("\(path).peer_id"),
                        "is the peer_id in line \(other.line) already")
                }
            } else if effective("\(path).peer_id") == .null {
                checkUnnamed(path, trusts: trusts)
            }
            checkPrefixes(path, name: name, seen: &prefixes)
        }
    }

    /// A peer without an id: somebody must tell who it is.
    private mutating func checkUnnamed(_ path: String, trusts: Bool) {
        let hasEndpoint = effective("\(path).endpoint").text != nil
        if trusts && hasEndpoint { return }
        let what = trusts ? "an endpoint to find it at" : "security.tofu: true and an endpoint"
        report(.missing, "\(path).peer_id", at: mark(path), "is missing: without it the peer needs \(what)")
    }

    private mutating func checkPrefixes(
        _ path: String, name: String, seen: inout [IPPrefix: (SourceMark, String)]
    ) {
        for entry in 0..<count(of: "\(path).allowed_ips") {
            let key = "\(path).allowed_ips[\(entry)]"
            guard let text = effective(key).text, let prefix = try? IPPrefix(text) else { continue }
            if let (other, owner) = seen[prefix] {
                report(
                    .duplicate, key, at: mark(key),
                    "\(prefix) of '\(name)' belongs to '\(owner)' in line \(other.line) already")
            } else {
                seen[prefix] = (mark(key), name)
            }
        }
    }
}
