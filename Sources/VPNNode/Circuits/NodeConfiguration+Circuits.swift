// SPDX-License-Identifier: Apache-2.0
// The part of a configuration that is about circuits: what this node relays for others, and which peers it reaches through which;
// and its rules between keys. Building and keeping them is Node+Circuits'.
internal import VPNCore
internal import VPNCrypto

extension NodeConfiguration {
    /// `relay`.
    public struct Relay: Sendable, Hashable {
        public var isEnabled: Bool
        public var acceptsCircuits: Bool
        public var maximumCircuits: Int
        /// Of one peer that extends through this node.
        public var maximumCircuitsPerPeer: Int
        /// Of all circuits, of those over one link, and of one such peer, both ways; 0 = no limit.
        public var bytesPerSecond: Int
        public var bytesPerSecondPerLink: Int
        public var bytesPerSecondPerPeer: Int
    }
}

extension NodeConfiguration.Relay {
    /// What the core is told; nil for a node that relays nothing.
    ///
    /// - Parameter directory: where pinned nodes are that are no peers of this one.
    func policy(directory: [PeerID: Endpoint]) -> RelayPolicy? {
        guard isEnabled, acceptsCircuits else { return nil }
        var policy = RelayPolicy()
        policy.circuits = maximumCircuits
        policy.circuitsPerClient = maximumCircuitsPerPeer
        policy.bytesPerSecond = UInt64(bytesPerSecond)
        policy.bytesPerSecondPerLink = UInt64(bytesPerSecondPerLink)
        policy.bytesPerSecondPerClient = UInt64(bytesPerSecondPerPeer)
        policy.directory = directory
        return policy
    }
}

extension NodeConfiguration {
    /// Those that this node meets without a circuit. Whoever is reached by one is not among them, and neither is a hop behind the
    /// first that the file gives neither a place nor networks: it is named to be known, not to be called.
    var directPeers: [Peer] {
        let later = Set(peers.flatMap { $0.via.dropFirst() })
        return peers.filter { peer in
            guard peer.via.isEmpty else { return false }
            return peer.endpoint != nil || !peer.allowedIPs.isEmpty || !later.contains(peer.name)
        }
    }

    /// Whom this node meets only by circuits, if at all: nobody but a pin can tell who they are.
    var distantPeers: [Peer] {
        let direct = Set(directPeers.map(\.name))
        return peers.filter { !direct.contains($0.name) }
    }

    /// The circuits that `peers[].via` asks for, in the order of the file.
    var circuitRequests: [CircuitRequest] {
        let ids = Dictionary(peers.map { ($0.name, $0.peerID) }) { first, _ in first }
        return peers.filter { !$0.via.isEmpty }.compactMap { peer in
            let hops = (peer.via + [peer.name]).compactMap { ids[$0] ?? nil }
            // The rules below have seen to it that each has one.
            guard hops.count == peer.via.count + 1 else { return nil }
            return CircuitRequest(name: peer.name, hops: hops, allowedIPs: peer.allowedIPs, wantsLease: peer.isExit)
        }
    }

    /// Where nodes are that are no direct peers of this one: as the file has them, or where they were pinned from. Addresses only:
    /// a name could lead anywhere by the time that a stranger asks for it.
    func relayDirectory(_ pins: [PinnedPeer]) -> [PeerID: Endpoint] {
        var directory: [PeerID: Endpoint] = [:]
        for pin in pins {
            if let endpoint = try? EndpointName(pin.endpoint).literal { directory[pin.peerID] = endpoint }
        }
        for peer in distantPeers {
            if let id = peer.peerID, let endpoint = peer.endpoint?.literal { directory[id] = endpoint }
        }
        return directory
    }
}

extension ConfigurationDocument {
    mutating func checkCircuits() {
        if effective("relay.enabled").boolean == true, effective("relay.accept_circuits").boolean == false {
            report(
                .conflict, "relay.enabled", at: mark("relay.enabled"),
                "has no effect while accept_circuits is false: circuits are all that a node relays", severity: .warning)
        }
        var entries: [String: Int] = [:]
        for number in 0..<count(of: "peers") {
            if let name = effective("peers[\(number)].name").text { entries[name] = number }
        }
        for number in 0..<count(of: "peers") where count(of: "peers[\(number)].via") > 0 {
            checkCircuit(number, entries)
        }
    }

    private mutating func checkCircuit(_ number: Int, _ entries: [String: Int]) {
        let path = "peers[\(number)]"
        let name = effective("\(path).name").text ?? ""
        if effective("\(path).peer_id") == .null {
            report(
                .missing, "\(path).peer_id", at: mark(path), "is missing: a circuit leads to nobody but who is pinned")
        }
        if effective("\(path).psk_file").text != nil {
            report(
                .conflict, "\(path).psk_file", at: mark("\(path).psk_file"),
                "cannot be with via: whoever comes by a circuit is anonymous, and has no preshared key")
        }
        var seen: Set<String> = []
        for (position, hop) in texts("\(path).via").enumerated() {
            let key = "\(path).via[\(position)]"
            if hop == name {
                report(.conflict, key, at: mark(key), "'\(hop)' is the peer itself: name the others on the way to it")
            } else if !seen.insert(hop).inserted {
                report(.duplicate, key, at: mark(key), "'\(hop)' is on the way already")
            } else if let other = entries[hop] {
                checkHop("peers[\(other)]", hop, position: position, of: name, key)
            } else {
                report(
                    .malformed, key, at: mark(key), "there is no peer '\(hop)' in this file",
                    suggestion: Spelling.nearest(to: hop, among: entries.keys.sorted().filter { $0 != name }))
            }
        }
    }

    private mutating func checkHop(_ path: String, _ hop: String, position: Int, of name: String, _ key: String) {
        let line = mark(path).line
        if effective("\(path).peer_id") == .null {
            report(.missing, key, at: mark(key), "'\(hop)' (line \(line)) needs a peer_id to relay")
        }
        let isDistant = count(of: "\(path).via") > 0
        let hasEndpoint = effective("\(path).endpoint").text != nil
        switch position {
        case 0 where isDistant:
            report(
                .conflict, key, at: mark(key),
                "'\(hop)' (line \(line)) is reached by a circuit itself: the first must be met directly")
        case 0 where !hasEndpoint:
            report(
                .missing, key, at: mark(key), "'\(hop)' (line \(line)) needs an endpoint: the first is called from here"
            )
        case 1... where hasEndpoint && !isDistant && count(of: "\(path).allowed_ips") == 0:
            report(
                .conflict, "\(path).endpoint", at: mark("\(path).endpoint"),
                "'\(hop)' is called from here, too, and so learns this node's address: without an endpoint it is met only on the "
                    + "way to '\(name)'", severity: .warning)
        default: break
        }
    }
}
