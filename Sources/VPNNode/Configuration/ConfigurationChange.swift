// SPDX-License-Identifier: Apache-2.0
// What differs between two configurations, key by key, and what of it a running node can take. It applies nothing.

/// The differences of one configuration from another.
public struct ConfigurationChange: Sendable, Equatable {
    public struct Entry: Encodable, Sendable, Equatable {
        /// "logging.level"; of a peer "peers.bob" where it came or went, else "peers.bob.endpoint".
        public let key: String
        /// As YAML on one line; nil where there was nothing.
        public let old: String?
        public let new: String?
        /// "live" or "restart".
        public let reload: String
    }

    /// In the order of the table; peers by name.
    public let entries: [Entry]

    public var live: [Entry] { entries.filter { $0.reload == ReloadClass.live.rawValue } }
    public var restart: [Entry] { entries.filter { $0.reload == ReloadClass.restart.rawValue } }

    public init(from old: LoadedConfiguration, to new: LoadedConfiguration) {
        self.init(started: old, applied: old, new: new)
    }

    /// - Parameters:
    ///   - started: what a node was started with, which counts for keys that need a restart.
    ///   - applied: what it took last, which counts for the others.
    init(started: LoadedConfiguration, applied: LoadedConfiguration, new: LoadedConfiguration) {
        var entries: [Entry] = []
        for row in ConfigurationTable.sections.flatMap(\.keys) where !row.path.contains("[]") {
            let base = (row.reload == .live ? applied : started).document
            let (before, after) = (base.effective(row.path), new.document.effective(row.path))
            guard before != after else { continue }
            if row.path == "peers" {
                entries += ConfigurationChange.peers(Self.byName(before), Self.byName(after), row.reload)
            } else {
                entries.append(
                    Entry(
                        key: row.path, old: before.description, new: after.description, reload: row.reload.rawValue))
            }
        }
        self.entries = entries
    }

    private static func byName(_ value: ConfigurationValue) -> [String: [String: ConfigurationValue]] {
        guard case .list(let list) = value else { return [:] }
        var peers: [String: [String: ConfigurationValue]] = [:]
        for case .map(let fields) in list {
            // A null says no more than an absent key.
            if let name = fields["name"]?.text { peers[name] = fields.filter { $0.value != .null } }
        }
        return peers
    }

    private static func peers(
        _ before: [String: [String: ConfigurationValue]], _ after: [String: [String: ConfigurationValue]],
        _ reload: ReloadClass
    ) -> [Entry] {
        var entries: [Entry] = []
        for name in Set(before.keys).union(after.keys).sorted() {
            guard let old = before[name], let new = after[name] else {
                entries.append(
                    Entry(
                        key: "peers.\(name)", old: before[name].map { ConfigurationValue.map($0).description },
                        new: after[name].map { ConfigurationValue.map($0).description }, reload: reload.rawValue))
                continue
            }
            for field in Set(old.keys).union(new.keys).sorted() where old[field] != new[field] {
                entries.append(
                    Entry(
                        key: "peers.\(name).\(field)", old: old[field]?.description, new: new[field]?.description,
                        reload: reload.rawValue))
            }
        }
        return entries
    }
}

extension NodeConfiguration {
    /// This configuration with what a running node can take of another one.
    func taking(live new: NodeConfiguration) -> NodeConfiguration {
        var result = self
        result.peers = new.peers
        result.relay = new.relay
        result.logLevel = new.logLevel
        result.security.handshakesPerMinutePerAddress = new.security.handshakesPerMinutePerAddress
        return result
    }
}
