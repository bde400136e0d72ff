// SPDX-License-Identifier: Apache-2.0
// The table of all keys of the configuration: path, type, range, default, reload class, feature state, documentation.
// Nothing else knows a key's name but the place in NodeConfiguration+Reading.swift that gives it a meaning.
internal import Logging
internal import VPNCore

enum ConfigurationTable {
    static let sections: [ConfigurationSection] = [
        peer, security, network, tunnel, dns, peers, bootstrap, rekey, keys, logging, control, invites, relay, exit,
        directory, circuit,
        obfuscation,
        metrics,
    ]

    /// All rows, by path.
    static let rows: [String: ConfigurationKey] = Dictionary(
        uniqueKeysWithValues: sections.flatMap(\.keys).map { ($0.path, $0) })

    private static let peer = ConfigurationSection(
        "peer", "Who this node is.",
        [
            ConfigurationKey(
                "peer.nickname", .text(.printable(maximum: 63)), default: .text("node"),
                "What people call this node; in its descriptor, never a reason to believe it."),
            keyFile("brainpoolP512r1"), keyFile("ed25519"), keyFile("mldsa87"), keyFile("mlkem1024"),
        ])

    private static func keyFile(_ name: String) -> ConfigurationKey {
        ConfigurationKey(
            "peer.\(name)_sk_file", .text(.path), default: .null,
            "File of the private \(name) key, mode 0600. All four *_sk_file or none; they go before keys.dir.")
    }

    private static let security = ConfigurationSection(
        "security", "Whom this node believes, and how hard it can be asked.",
        [
            ConfigurationKey(
                "security.require_hybrid_handshake", .boolean, default: .boolean(true),
                state: .mandatory(.boolean(true), reason: "there is no handshake without all four primitives"),
                "Always true: ML-KEM-1024, brainpoolP512r1, Ed25519 and ML-DSA-87, all of them, in each handshake."),
            ConfigurationKey(
                "security.strict_sig_verify", .boolean, default: .boolean(true),
                "Both signatures must verify. false: ML-DSA-87 alone may do for peers that are pinned with "
                    + "`pqvpn peers set PEER --allow-partial`; their sessions are degraded and renewed within 120 s."),
            ConfigurationKey(
                "security.tofu", .boolean, default: .boolean(false),
                "Trust on first use: unknown identities may be pinned at their first contact. false: pinned peers only."
            ),
            ConfigurationKey(
                "security.strict_tofu", .boolean, default: .boolean(false),
                "With tofu: first contact only towards endpoints in this file, never with unknown callers."),
            ConfigurationKey(
                "security.known_peers_file", .text(.path), default: .text("known_peers.yaml"),
                "Pinned identities, mode 0600; see `pqvpn peers`."),
            ConfigurationKey(
                "security.revoked_file", .text(.path), default: .text("revoked.yaml"),
                "Identities that nobody believes any more, mode 0600; see `pqvpn peers revoke`."),
            ConfigurationKey(
                "security.allowlist", .list(of: .text(.peerID), maximum: 65536), default: .list([]),
                "If not empty, the only peer_ids that may call or be called. It makes nobody known: pins and tofu still "
                    + "decide."),
            ConfigurationKey(
                "security.handshake_per_minute_per_ip", .integer(0...1_000_000), default: .integer(10), reload: .live,
                "Complete handshakes from one IPv4 address or IPv6 /64 before any public-key work. 0 = no limit."),
        ])

    private static let network = ConfigurationSection(
        "network", "The UDP socket.",
        [
            ConfigurationKey(
                "network.bind_host", .text(.address), default: .text("::"),
                "Address to bind. \"::\" takes IPv6 and IPv4, and IPv4 alone on a host without IPv6."),
            ConfigurationKey(
                "network.listen_port", .integer(0...65535), default: .integer(9000),
                "UDP port. 0 = the kernel chooses."),
            ConfigurationKey(
                "network.max_concurrent_datagrams", .integer(1...65536), default: .integer(200),
                "Handshake jobs of strangers that may be in flight at once."),
            ConfigurationKey(
                "network.udp_recv_buffer_size", .integer(4096...1_073_741_824), default: .integer(8_388_608),
                "Bytes asked for with SO_RCVBUF and SO_SNDBUF."),
            ConfigurationKey(
                "network.workers", .wordOrInteger(["auto"], 1...NodePlan.mostWorkers), default: .text("auto"),
                "Workers that move packets, each with a queue of the tunnel, a socket and two threads. auto: one for each core."
            ),
            ConfigurationKey(
                "network.fwmark", .wordOrInteger(["auto"], 0...0xFFFF_FFFF), default: .text("auto"),
                "Mark of the outer datagrams, by which rules of routing and the lockdown know them, and number of the table of "
                    + "`pqvpn up`. auto: \(HostNumbers.mark) with a tunnel, else none. 0 = none."),
        ])

    private static let tunnel = ConfigurationSection(
        "tunnel", "The TUN device.",
        [
            ConfigurationKey(
                "tunnel.enabled", .boolean, default: .boolean(true),
                "false: no TUN device and no privilege needed; handshakes only."),
            ConfigurationKey(
                "tunnel.interface", .text(.interfaceName), default: .text("pqvpn0"), "Name of the interface."),
            ConfigurationKey(
                "tunnel.addresses", .list(of: .text(.interfaceAddress), maximum: 64), default: .list([]),
                "Its own addresses with the length of their network: [10.77.0.1/24, \"fd77::1/64\"]."),
            ConfigurationKey(
                "tunnel.mtu", .wordOrInteger(["auto"], Limits.smallestInnerMTU...65535), default: .text("auto"),
                "Bytes of an inner packet. auto: what fits the routes to the peers that have an endpoint, else a path of 1500 bytes."
            ),
            ConfigurationKey(
                "tunnel.carry_dscp", .boolean, default: .boolean(true),
                "Shows the DSCP of inner packets outside, as routers on the way may want it. ECN is carried in any case."
            ),
            ConfigurationKey(
                "tunnel.lockdown", .boolean, default: .boolean(false),
                "true: `pqvpn up` lets nothing leave this host but through the tunnel, whatever becomes of the daemon, until "
                    + "`pqvpn down`; see `pqvpn lockdown`."),
            ConfigurationKey(
                "tunnel.allow_lan", .booleanOrList(of: .text(.prefix), maximum: 256), default: .boolean(false),
                "Networks that `pqvpn up` and the lockdown leave to this host's other routes, name servers excepted. true: "
                    + "private and link-local ones, and local multicast."),
            ConfigurationKey(
                "tunnel.exclude_routes", .list(of: .text(.prefix), maximum: 256), default: .list([]),
                "Networks that never go into the tunnel with `pqvpn up`, and that the lockdown lets out in clear."),
        ])

    private static let dns = ConfigurationSection(
        "dns", "Name servers while the tunnel is up: what `pqvpn up` sets and `pqvpn down` takes back.",
        [
            ConfigurationKey(
                "dns.mode", .text(.choice(ResolverMode.allCases.map(\.rawValue))), default: .text("auto"),
                "resolvectl (systemd-resolved), resolvconf, file (/etc/resolv.conf itself), or off. auto: the first of them "
                    + "that this host has. No effect while dns.servers is empty and no exit tells any."),
            ConfigurationKey(
                "dns.servers", .list(of: .text(.address), maximum: 8), default: .list([]),
                "Asked for all names, and nobody else is. They should lie in the tunnel. Without any, those that an exit tells are."
            ),
            ConfigurationKey(
                "dns.search", .list(of: .text(.host), maximum: 32), default: .list([]),
                "Domains that complete short names. No effect while dns.servers is empty and no exit tells any."),
        ])

    private static let peers = ConfigurationSection(
        "peers",
        "The peers and what is theirs. One entry: { name: bob, peer_id: \"<64 hex>\", endpoint: \"198.51.100.7:9000\", "
            + "allowed_ips: [10.77.0.2/32, \"fd77::2/128\"], keepalive_seconds: 25 }",
        [
            ConfigurationKey(
                "peers", .list(of: .map, maximum: 65536), default: .list([]), reload: .live,
                "A peer_id must be pinned (`pqvpn peers add`) unless tofu is on; it may be left out under tofu for a peer "
                    + "with an endpoint."),
            ConfigurationKey(
                "peers[].name", .text(.printable(maximum: 63)), required: true, "Unique; shown in logs."),
            ConfigurationKey("peers[].peer_id", .text(.peerID), nullable: true, "Who must answer."),
            ConfigurationKey(
                "peers[].endpoint", .text(.endpoint), nullable: true,
                "Where to call it: IPv4:port, [IPv6]:port or name:port. Absent: it calls."),
            ConfigurationKey(
                "peers[].allowed_ips", .list(of: .text(.prefix), maximum: 65536),
                "Inner networks that are the peer's; the longest prefix wins."),
            ConfigurationKey(
                "peers[].via", .list(of: .text(.printable(maximum: 63)), maximum: Limits.circuitHops - 1),
                "Names of peers of this file, in order: this one is reached by a circuit through them and not directly. The "
                    + "first needs an endpoint, all of them a peer_id, and relay.enabled: true at their side, as this one does."
            ),
            ConfigurationKey(
                "peers[].exit", .boolean, nullable: true,
                "true: it is an exit, reached by via, and gives this node its inner addresses on tunnel.interface, as long as the "
                    + "circuit lives. Where tunnel.addresses has others of a family, the host may take those, which an exit drops."
            ),
            ConfigurationKey(
                "peers[].keepalive_seconds", .integer(0...65535),
                "Seconds between keepalives on an idle tunnel; 0 = none."),
            ConfigurationKey(
                "peers[].psk_file", .text(.path), nullable: true,
                "File of a preshared key, mode 0600, mixed into every handshake; the peer must have the same: "
                    + "openssl rand -base64 32."),
        ] + quilt)

    private static let quilt = [
        ConfigurationKey(
            "peers[].quilt", .booleanOrMap, nullable: true,
            "Several paths to this peer at once, with its endpoint: { endpoints: [\"203.0.113.9:9000\"] } or { interfaces: [eth0, wwan0] "
                + "}. Path n goes to the n-th endpoint by the n-th interface; a list that ends begins anew. true: as a map without keys."
        ),
        ConfigurationKey(
            "peers[].quilt.endpoints", .list(of: .text(.endpoint), maximum: Limits.patches),
            "Other places where the peer is, after peers[].endpoint, which is the first."),
        ConfigurationKey(
            "peers[].quilt.interfaces", .list(of: .text(.interfaceName), maximum: Limits.patches),
            "Interfaces of this host to leave by, each with routes of its own to the peer; the one that routes take is the first path's."
        ),
        ConfigurationKey(
            "peers[].quilt.paths", .integer(2...Limits.patches), nullable: true,
            "Paths in all, the first included. null: as many as are listed."),
        ConfigurationKey(
            "peers[].quilt.scheduler", .text(.choice(QuiltScheduler.allCases.map(\.rawValue))),
            "Of what this end sends, edpf if absent. minrtt: the shortest round trip. edpf: where a packet arrives first. weighted: by what "
                + "the paths can do. redundant: each packet by two. fec: edpf, with repairs for a lossy path by another."
        ),
        ConfigurationKey(
            "peers[].quilt.deadline_ms", .wordOrInteger(["auto"], 1...120),
            "How long a packet that came waits for earlier ones at most. auto: as long as the paths differ."),
        ConfigurationKey(
            "peers[].quilt.double", .text(.choice(["all", "small"])),
            "Of redundant: small sends short packets and those of DSCP EF twice, and no others. all if absent."),
        ConfigurationKey(
            "peers[].quilt.relax_disjointness", .boolean,
            "true: where fewer paths differ than are asked for, those do."),
    ]

    private static let bootstrap = ConfigurationSection(
        "bootstrap", "Nodes to call first, whoever they are: known ones always, unknown ones under tofu.",
        [
            ConfigurationKey(
                "bootstrap.peers", .list(of: .textOrMap(.endpoint), maximum: 1024), default: .list([]),
                "\"192.0.2.1:9000\", \"[2001:db8::1]:9000\", \"vpn.example.org:9000\" or { host: …, port: … }."),
            ConfigurationKey("bootstrap.peers[].host", .text(.host), required: true, "An address or a name."),
            ConfigurationKey("bootstrap.peers[].port", .integer(1...65535), required: true, "UDP port."),
        ])

    private static let rekey = ConfigurationSection(
        "rekey", "When session keys are replaced by a new handshake.",
        [
            ConfigurationKey(
                "rekey.interval_seconds", .integer(2...86400), default: .integer(3600),
                "A session ends at this age."),
            ConfigurationKey(
                "rekey.threshold_seconds", .integer(1...86399), default: .integer(1800),
                "A new handshake starts at this age, ± 10 %; less than interval_seconds."),
            ConfigurationKey(
                "rekey.bytes", .integer(1_000_000...1_000_000_000_000_000), default: .integer(100_000_000_000),
                "A new handshake starts after so many bytes of both directions of a session."),
            ConfigurationKey(
                "rekey.packets", .integer(1_000...1_000_000_000_000), default: .integer(4_294_967_296),
                "A new handshake starts after so many datagrams of both directions of a session."),
        ])

    private static let keys = ConfigurationSection(
        "keys", "Where this node's own identity comes from.",
        [
            ConfigurationKey(
                "keys.runtime_temp_keys", .boolean, default: .boolean(true), nullable: true,
                "true: a fresh identity for each run, its secrets in memory only. false, or --no-temp-keys: the files "
                    + "of `pqvpn keygen`."),
            ConfigurationKey(
                "keys.temp_keys_prefix", .text(.namePrefix), default: .text("pqvpn"),
                "Start of the name of the per-run directory, which holds the public descriptor."),
            ConfigurationKey(
                "keys.dir", .text(.path), default: .text("keys"), "Directory of the persistent identity."),
            ConfigurationKey(
                "keys.passphrase_file", .text(.path), default: .null,
                "File of mode 0600 with the passphrase of encrypted keys and known peers. Others: --passphrase-file, "
                    + "PQVPN_PASSPHRASE, the systemd credential pqvpn-passphrase, a terminal."),
        ])

    private static let logging = ConfigurationSection(
        "logging", "Text on a terminal, JSON lines elsewhere.",
        [
            ConfigurationKey(
                "logging.file", .text(.path), default: .null,
                "Append JSON lines to this file, mode 0600, instead of standard error."),
            ConfigurationKey(
                "logging.level", .text(.choice(LogLevelName.all)), default: .text("INFO"), reload: .live,
                "TRACE, DEBUG, INFO, NOTICE, WARNING, ERROR or CRITICAL."),
            ConfigurationKey(
                "logging.max_size_bytes", .integer(0...1_099_511_627_776), default: .integer(67_108_864),
                "At this size the file becomes FILE.1, FILE.1 becomes FILE.2, and a new one begins. 0 = never."),
            ConfigurationKey(
                "logging.max_files", .integer(1...1000), default: .integer(5), "Old files that are kept."),
            ConfigurationKey(
                "logging.scrub_addresses", .boolean, default: .boolean(false),
                "true: addresses of other nodes are not logged."),
        ])

    private static let control = ConfigurationSection(
        "control", "The local socket by which `pqvpn status` and its kin reach this node.",
        [
            ConfigurationKey("control.enabled", .boolean, default: .boolean(true), "false: nobody can ask this node."),
            ConfigurationKey(
                "control.socket", .text(.path), default: .null,
                "Where it is. null: <nickname>.sock in RUNTIME_DIRECTORY, XDG_RUNTIME_DIR/pqvpn or /run/pqvpn."),
            ConfigurationKey(
                "control.group", .text(.namePrefix), default: .text("pqvpn"),
                "Members of this group of the system may use it, as root may; mode 0660. No effect where there is no such group."
            ),
        ])

    private static let invites = ConfigurationSection(
        "invites", "Letting others in by a link: `pqvpn invite`.",
        [
            ConfigurationKey(
                "invites.file", .text(.path), default: .text("invites.yaml"),
                "Invitations, and the guests who came by them, who are peers like those of this file; mode 0600."),
            ConfigurationKey(
                "invites.endpoint", .text(.endpoint), default: .null,
                "Where guests find this node: address:port or name:port, as seen from outside. null: `pqvpn invite --endpoint`."
            ),
        ])

    private static let relay = ConfigurationSection(
        "relay", "Carrying circuits for others. `relay: true` means enabled: true.", shorthand: "relay.enabled",
        [
            ConfigurationKey(
                "relay.enabled", .boolean, default: .boolean(false), reload: .live,
                "true: carries circuits of peers on to nodes that are pinned here, and is the last hop of others. Needs neither "
                    + "a tunnel nor privilege. A node learns who is before it and who behind, never more."),
            ConfigurationKey(
                "relay.accept_circuits", .boolean, default: .boolean(true), reload: .live,
                "false: relays nothing, as enabled: false."),
            ConfigurationKey(
                "relay.max_circuits", .integer(1...65536), default: .integer(RelayPolicy().circuits), reload: .live,
                "Circuits that pass at once."),
            ConfigurationKey(
                "relay.max_circuits_per_peer", .integer(1...65536),
                default: .integer(RelayPolicy().circuitsPerClient), reload: .live,
                "Of them, those that one peer asked for."),
            ConfigurationKey(
                "relay.bytes_per_second", .integer(0...1_000_000_000_000), default: .integer(0), reload: .live,
                "What all circuits carry through this node in a second, both ways; what is more is dropped, of those that want most. "
                    + "Nine tenths of what the line can do keep one circuit from slowing the others. 0 = no limit."),
            ConfigurationKey(
                "relay.bytes_per_second_per_link", .integer(0...1_000_000_000_000), default: .integer(0), reload: .live,
                "The same of the circuits that go on to one node."),
            ConfigurationKey(
                "relay.bytes_per_second_per_peer", .integer(0...1_000_000_000_000), default: .integer(0), reload: .live,
                "What all circuits of one peer carry through this node in a second, both ways; what is more is dropped. 0 = "
                    + "no limit."),
            ConfigurationKey(
                "relay.exit_policy",
                .textOrList(
                    .printable(maximum: 16384), of: .text(.printable(maximum: 512)), maximum: Limits.exitRules),
                default: .text("deny-all"),
                "What guests that come by circuits reach through this host. deny-all: it is no exit. allow-all: everything public "
                    + "but TCP port 25, since who sends mail for strangers is on every block list within a day. Or a list: "
                    + "\"accept|reject [tcp/|udp/|icmp/]WHERE[:PORTS]\", the first that matches decides, behind them reject *. WHERE: a "
                    + "network ([2001:db8::/32] in brackets), *, *4, *6, private, or self, which is this host. This host and "
                    + "special networks are reached only where a rule names them."),
        ])

    private static let exit = ConfigurationSection(
        "exit", "For relay.exit_policy: an exit's guests and this host.",
        [
            ConfigurationKey(
                "exit.networks", .list(of: .text(.prefix), maximum: 2),
                default: .list([.text("10.66.0.0/16"), .text("fd66:7071::/64")]),
                "Where guests' inner addresses come from, at random: a network of each family at most. The first address of each "
                    + "is this host's, on tunnel.interface. Nothing else may use them."),
            ConfigurationKey(
                "exit.dns", .list(of: .text(.address), maximum: Limits.leaseServers), default: .list([]),
                "Name servers that guests are told of. exit_policy must let them be reached."),
            ConfigurationKey(
                "exit.masquerade", .boolean, default: .boolean(true),
                "Guests go out under this host's own addresses. false: whoever routes exit.networks here needs no such thing."
            ),
            ConfigurationKey(
                "exit.new_connections_per_second", .integer(0...100_000), default: .integer(50),
                "Of one guest, with four times as many at once; more are dropped. 0 = no limit."),
            ConfigurationKey(
                "exit.connections", .integer(0...1_000_000), default: .integer(2048),
                "Of one guest at a time; more are dropped. 0 = no limit."),
        ])

    private static let directory = ConfigurationSection(
        "directory", "The relays that this node knows: `pqvpn relay`, `pqvpn relays`.",
        [
            ConfigurationKey(
                "directory.file", .text(.path), default: .text("relays.yaml"),
                "Descriptors of relays, mode 0600. Whoever is in it may be a hop of circuits, and nothing else."),
            ConfigurationKey(
                "directory.own_file", .text(.path), default: .text("relay.pub"),
                "What `pqvpn relay publish` wrote: this node's own descriptor as a relay."),
            ConfigurationKey(
                "directory.exchange", .boolean, default: .boolean(false),
                "true: asks imported and pinned relays which others they know, and answers who asks. Whoever is asked chooses whom "
                    + "this node knows: read about it first (docs/operations.md)."),
            ConfigurationKey(
                "directory.allow_private", .boolean, default: .boolean(false),
                "true: relays may have addresses of private networks: laboratories."),
        ])

    private static let circuit = ConfigurationSection(
        "circuit", "A circuit whose path this node chooses itself, from the relays that it knows.",
        [
            ConfigurationKey(
                "circuit.allowed_ips", .list(of: .text(.prefix), maximum: 256), default: .list([]),
                "Inner networks that are reached through it. Empty: none is built."),
            ConfigurationKey(
                "circuit.hops", .integer(1...Limits.circuitHops), default: .integer(3),
                "Relays in its path, the exit included."),
            ConfigurationKey(
                "circuit.exit", .text(.printable(maximum: 64)), default: .text("auto"),
                "Where packets come out: a relay's name or peer_id; auto: any that says that it is an exit."),
            ConfigurationKey(
                "circuit.relax_diversity", .boolean, default: .boolean(false),
                "true: two hops may have one operator, family, IPv4 /16 or IPv6 /32. Who runs both sees both ends."),
            ConfigurationKey(
                "circuit.paths", .integer(1...Limits.patches), default: .integer(1),
                "Paths to the exit at once, with no relay, operator, IPv4 /16 or IPv6 /32 in common but the exit: their rates add up, and "
                    + "one that ends costs a moment."),
            ConfigurationKey(
                "circuit.scheduler", .text(.choice(QuiltScheduler.allCases.map(\.rawValue))), default: .text("edpf"),
                "How packets are spread over them: as peers[].quilt.scheduler."),
            ConfigurationKey(
                "circuit.relax_disjointness", .boolean, default: .boolean(false),
                "true: where there are too few relays for so many paths, they may share some. Fewer paths otherwise."),
            ConfigurationKey(
                "circuit.allow_linkable", .boolean, default: .boolean(false),
                "true: lets scheduler: redundant send the same bytes by two paths, which tells who watches both that they are one."
            ),
            ConfigurationKey(
                "circuit.guards_file", .text(.path), default: .text("guards.yaml"),
                "The few relays that paths begin with, for months; mode 0600. Do not copy it, do not remove it."),
        ])

    private static let obfuscation = ConfigurationSection(
        "traffic_obfuscation", "Padding of the datagrams of sessions to a few sizes.",
        [
            ConfigurationKey(
                "traffic_obfuscation.enabled", .boolean, default: .boolean(false),
                "Pads every datagram of a session that this node sends: packets, keepalives, all else. Handshakes keep "
                    + "the sizes that they always have."),
            ConfigurationKey(
                "traffic_obfuscation.buckets", .list(of: .integer(1...65535), maximum: 64),
                default: .list([64, 128, 256, 512, 1024].map(ConfigurationValue.integer)),
                "Sizes of datagrams in bytes of UDP payload; what is longer than all goes up to the path's MTU. Below 36 they "
                    + "are ignored. No effect while enabled is false."),
            ConfigurationKey(
                "traffic_obfuscation.cover_bytes_per_second", .integer(0...1_000_000), default: .integer(0),
                "Datagrams of nothing to each peer with a session, at random times and of random allowed sizes: so many bytes a "
                    + "second on average. 0: none. Needs enabled."),
        ])

    private static let metrics = ConfigurationSection(
        "metrics", "Counters for Prometheus, over HTTP.",
        [
            ConfigurationKey(
                "metrics.prometheus", .boolean, default: .boolean(false),
                "true: GET /metrics, /livez and /readyz are answered."),
            ConfigurationKey(
                "metrics.bind_host", .text(.address), default: .text("127.0.0.1"),
                "Address to bind. Whoever reaches it can read the metrics."),
            ConfigurationKey(
                "metrics.bind_port", .integer(0...65535), default: .integer(9001),
                "TCP port. 0 = the kernel chooses."),
            ConfigurationKey(
                "metrics.per_peer", .boolean, default: .boolean(false),
                "true: series of each peer, by its name in this file, for the first 1024 of them."),
        ])
}

/// The words for log levels in configurations and flags.
enum LogLevelName {
    static let all = ["TRACE", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"]

    /// The level of one of them, of either case. Throws what the nearest is.
    static func level(_ name: String) throws(NodeFailure) -> Logger.Level {
        if let level = Logger.Level(rawValue: name.lowercased()) { return level }
        let near = Spelling.nearest(to: name.uppercased(), among: all).map { "did you mean '\($0)'?" }
        throw NodeFailure(.usage, "'\(name)' is no log level; \(near ?? "there are \(all.joined(separator: ", "))")")
    }
}
