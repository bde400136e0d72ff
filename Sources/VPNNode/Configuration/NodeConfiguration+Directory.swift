// SPDX-License-Identifier: Apache-2.0
// The part of a configuration that is about choosing relays: which files know them, whether they are exchanged, and the circuit whose
// path the node chooses itself.
public import VPNCore

extension NodeConfiguration {
    /// `directory`, and the file of guards.
    public struct Directory: Sendable, Hashable {
        /// Absolute.
        public var file: String
        /// Absolute; what `pqvpn relay publish` wrote.
        public var ownFile: String
        public var exchanges: Bool
        public var allowsPrivate: Bool
        /// Absolute.
        public var guardsFile: String
    }

    /// `circuit`: nothing is built while nothing is to be reached by it.
    public struct Circuit: Sendable, Hashable {
        /// In status and logs.
        static let name = "circuit"

        public var hops: Int
        /// A relay's name or peer_id; nil: any exit.
        public var exit: String?
        public var allowedIPs: [IPPrefix]
        public var relaxesDiversity: Bool
        /// To the exit at once.
        public var paths: Int
        public var scheduler: QuiltScheduler
        public var relaxesDisjointness: Bool
    }
}

extension NodeConfiguration.Directory {
    var rule: RelayAddressRule { allowsPrivate ? .publicAndPrivate : .publicOnly }
}

extension RelayAddressRule {
    /// Whether a text is an address that readers of a descriptor call.
    func allows(_ text: String) -> Bool { !RelayDirectory.endpoints(in: [text], self).isEmpty }
}

extension ConfigurationDocument {
    mutating func checkDirectory() {
        let hasNetworks = count(of: "circuit.allowed_ips") > 0
        if hasNetworks, effective("circuit.hops").integer == 1 {
            report(
                .conflict, "circuit.hops", at: mark("circuit.hops"),
                "must be 2 or more: who is met directly is a peer, with an entry in 'peers'")
        }
        let others = ["exit", "relax_diversity", "paths", "scheduler", "relax_disjointness", "allow_linkable"]
        for key in ["circuit.hops"] + others.map({ "circuit.\($0)" }) where values[key] != nil && !hasNetworks {
            guard effective(key) != ConfigurationTable.rows[key]?.fallback else { continue }
            report(
                .conflict, key, at: mark(key), "has no effect while circuit.allowed_ips is empty", severity: .warning)
        }
        checkCircuitPaths()
        var seen: [IPPrefix: String] = [:]
        for number in 0..<count(of: "peers") {
            for (place, text) in texts("peers[\(number)].allowed_ips").enumerated() {
                if let prefix = try? IPPrefix(text) { seen[prefix] = "peers[\(number)].allowed_ips[\(place)]" }
            }
        }
        for (place, text) in texts("circuit.allowed_ips").enumerated() {
            guard let prefix = try? IPPrefix(text) else { continue }
            let key = "circuit.allowed_ips[\(place)]"
            if let other = seen[prefix] {
                report(.duplicate, key, at: mark(key), "\(prefix) stands in \(other) already")
            }
            seen[prefix] = key
        }
    }

    private mutating func checkCircuitPaths() {
        guard count(of: "circuit.allowed_ips") > 0 else { return }
        let isAlone = effective("circuit.paths").integer == 1
        for key in ["circuit.scheduler", "circuit.relax_disjointness"] where values[key] != nil && isAlone {
            guard effective(key) != ConfigurationTable.rows[key]?.fallback else { continue }
            report(.conflict, key, at: mark(key), "has no effect with circuit.paths: 1", severity: .warning)
        }
        if !isAlone, effective("circuit.scheduler").text?.lowercased() == QuiltScheduler.redundant.rawValue,
            effective("circuit.allow_linkable").boolean != true
        {
            report(
                .conflict, "circuit.scheduler", at: mark("circuit.scheduler"),
                "sends the same bytes by two paths, so that relays which talk to each other know that both are yours: "
                    + "say circuit.allow_linkable: true if that does no harm, or take fec")
        }
    }
}
