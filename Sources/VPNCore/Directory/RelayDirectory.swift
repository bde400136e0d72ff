// SPDX-License-Identifier: Apache-2.0
// The relays that this node knows by their own signed word: a bounded set of descriptors, the newest of each. What it believes of
// them is that they are who they say they are; that they carry what they promise it only hopes.
public import VPNCrypto

/// By whose hand a descriptor came.
public enum RelaySource: Hashable, Sendable {
    /// The operator gave it to this node.
    case imported
    /// A relay that the operator vouched for handed it on.
    case relay(PeerID)
}

/// Why a descriptor does not enter the directory.
public enum DirectoryRefusal: String, Error, Sendable, CaseIterable {
    /// This node's own.
    case ownIdentity = "own_identity"
    /// Revoked, or not on the allowlist.
    case barred
    /// It does not say that it is a relay.
    case notRelay = "not_relay"
    case expired
    /// It begins more than a day from now, or is good for longer than any.
    case lifetime
    /// None of its addresses may be called.
    case noAddress = "no_address"
    /// One that is as new is here.
    case known
    /// A newer one is here.
    case older
    /// Its source has brought as many as it may for now.
    case sourceQuota = "source_quota"
    case full
    /// Its bytes are no descriptor, or its signatures do not hold.
    case forged
    /// It is not the one that was promised.
    case other
}

/// Verified descriptors of relays.
public struct RelayDirectory: Sendable {
    public struct Entry: Sendable {
        public let descriptor: Descriptor
        /// Where it may be called; never empty.
        public let endpoints: [Endpoint]
        public let source: RelaySource

        public var id: PeerID { descriptor.keys.peerID }
        public var isExit: Bool { DescriptorRoles(rawValue: descriptor.roles).contains(.exit) }

        public var candidate: RelayCandidate {
            var near: [IPPrefix] = []
            for endpoint in endpoints {
                let network = RelayAddress.neighbourhood(endpoint)
                if !near.contains(network) { near.append(network) }
            }
            return RelayCandidate(
                id: id, isExit: isExit, operatorName: descriptor.operatorName, family: descriptor.family,
                neighbourhoods: near, capacity: RelayCapacity.steps(descriptor.capacity))
        }
    }

    public private(set) var entries: [PeerID: Entry] = [:]
    private let own: PeerID
    private let rule: RelayAddressRule
    /// When the last hour's descriptors came, by who brought them.
    private var arrivals: [PeerID: [Instant]] = [:]

    public init(own: PeerID, addresses rule: RelayAddressRule) {
        self.own = own
        self.rule = rule
    }

    /// The endpoints of these texts that may be called.
    public static func endpoints(in texts: [String], _ rule: RelayAddressRule) -> [Endpoint] {
        RelayAddress.endpoints(in: texts, rule)
    }

    public subscript(id: PeerID) -> Entry? { entries[id] }
    public var count: Int { entries.count }

    /// Sources of which anything is remembered.
    var remembered: Int { arrivals.count }

    /// Takes a descriptor whose signatures hold, or says why not.
    ///
    /// - Parameters:
    ///   - isBarred: revoked, or not on an allowlist that there is.
    ///   - unix: seconds; a descriptor's validity is the one thing here that a wall clock decides.
    public mutating func offer(
        _ descriptor: Descriptor, from source: RelaySource, isBarred: Bool, unix: UInt64, now: Instant
    ) throws(DirectoryRefusal) -> Entry {
        let id = descriptor.keys.peerID
        guard id != own else { throw .ownIdentity }
        guard !isBarred else { throw .barred }
        guard DescriptorRoles(rawValue: descriptor.roles).contains(.relay) else { throw .notRelay }
        guard descriptor.notAfter > unix else { throw .expired }
        guard descriptor.notBefore <= unix + Limits.descriptorClockSlack, descriptor.notBefore < descriptor.notAfter,
            descriptor.notAfter - descriptor.notBefore <= Limits.relayDescriptorLife
        else { throw .lifetime }
        let known = entries[id]
        if let known {
            guard descriptor.serial >= known.descriptor.serial else { throw .older }
            let isSame = descriptor.serial == known.descriptor.serial
            // The operator's word for a relay that others had brought is news, even without a newer descriptor.
            if isSame, source != .imported || known.source == .imported { throw .known }
            if isSame, descriptor != known.descriptor { throw .known }
        }
        let endpoints = RelayAddress.endpoints(in: descriptor.addresses, rule)
        guard !endpoints.isEmpty else { throw .noAddress }
        if case .relay(let bringer) = source { try admit(from: bringer, isNew: known == nil, now: now) }
        if known == nil, entries.count >= Limits.directoryEntries { try makeRoom(for: source) }
        // Who was vouched for stays so, whoever brings its next descriptor.
        let entry = Entry(
            descriptor: descriptor, endpoints: endpoints, source: known?.source == .imported ? .imported : source)
        entries[id] = entry
        return entry
    }

    private mutating func admit(from bringer: PeerID, isNew: Bool, now: Instant) throws(DirectoryRefusal) {
        var times = arrivals[bringer]?.filter { now.since($0) < Limits.directoryPeriod } ?? []
        guard times.count < Limits.descriptorsPerSource else { throw .sourceQuota }
        if isNew, entries.values.count(where: { $0.source == .relay(bringer) }) >= Limits.entriesPerSource {
            throw .sourceQuota
        }
        times.append(now)
        arrivals[bringer] = times
    }

    /// Whether this source may bring anything now.
    public func mayBring(_ bringer: PeerID, now: Instant) -> Bool {
        (arrivals[bringer]?.count { now.since($0) < Limits.directoryPeriod } ?? 0) < Limits.descriptorsPerSource
    }

    /// What the operator imports is worth more than what anybody brought; of equals whoever came first.
    private mutating func makeRoom(for source: RelaySource) throws(DirectoryRefusal) {
        guard source == .imported,
            let first = entries.values.filter({ $0.source != .imported }).min(by: {
                ($0.descriptor.notAfter, $0.id) < ($1.descriptor.notAfter, $1.id)
            })
        else { throw .full }
        entries[first.id] = nil
    }

    /// Whether anything here is good at that time.
    func isCurrent(unix: UInt64) -> Bool {
        entries.values.contains {
            $0.descriptor.notAfter > unix && $0.descriptor.notBefore <= unix &+ Limits.descriptorClockSlack
        }
    }

    /// Drops what is no longer good, and tells whose it was.
    public mutating func expire(unix: UInt64, now: Instant) -> [PeerID] {
        let gone = entries.values.filter { $0.descriptor.notAfter <= unix }.map(\.id)
        for id in gone { entries[id] = nil }
        arrivals = arrivals.filter { $0.value.contains { now.since($0) < Limits.directoryPeriod } }
        return gone.sorted()
    }

    @discardableResult
    public mutating func remove(_ id: PeerID) -> Entry? { entries.removeValue(forKey: id) }

    /// What this node can hand on above a prefix, in order; `own` is its own descriptor, where it published one.
    func names(after: UInt64?, own: Descriptor?) -> (names: [DirectoryName], more: Bool) {
        var all = entries.values.map { DirectoryName(prefix: $0.id.prefix64, serial: $0.descriptor.serial) }
        if let own { all.append(DirectoryName(prefix: own.keys.peerID.prefix64, serial: own.serial)) }
        var last = after
        var names: [DirectoryName] = []
        for name in all.sorted(by: { $0.prefix < $1.prefix }) {
            if let last, name.prefix <= last { continue }
            guard names.count < DirectoryMessage.mostNames else { return (names, true) }
            names.append(name)
            last = name.prefix
        }
        return (names, false)
    }

    /// The descriptor of a list's name, if it is here still.
    func descriptor(_ name: DirectoryName, own: Descriptor?) -> Descriptor? {
        if let own, own.keys.peerID.prefix64 == name.prefix { return own.serial == name.serial ? own : nil }
        return entries.values.first { $0.id.prefix64 == name.prefix && $0.descriptor.serial == name.serial }?.descriptor
    }

    /// Whether a name in a list is news.
    func wants(_ name: DirectoryName) -> Bool {
        guard name.prefix != own.prefix64 else { return false }
        guard let known = entries.values.first(where: { $0.id.prefix64 == name.prefix }) else { return true }
        return known.descriptor.serial < name.serial
    }
}

extension PeerID {
    /// As lists name it. Two relays with one prefix are told of as one: whoever makes such a pair hides behind itself.
    var prefix64: UInt64 { bytes.u64(at: 0) }
}
