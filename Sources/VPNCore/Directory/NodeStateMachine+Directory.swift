// SPDX-License-Identifier: Apache-2.0
// A node among relays that know of each other (§7): whom it asks, whom it answers, and what becomes of a descriptor that came. How one
// question follows another: DirectoryExchange. What enters: RelayDirectory.
public import VPNCrypto

/// What a node remembers of those whom it asks and answers.
struct DirectoryTraffic {
    /// Those whom it asks.
    var exchanges: [PeerID: DirectoryExchange] = [:]
    /// What each was given in its minute, in bytes of payload.
    var given: [PeerID: (since: Instant, bytes: Int)] = [:]
    /// When to look for a relay to ask, and for what has expired.
    var nextSearch = Instant.origin
    var nextExpiry = Instant.origin

    var deadline: Instant? { exchanges.values.filter(\.isActive).map(\.deadline).min() }
}

extension NodeStateMachine {
    // MARK: - Commands

    /// Takes descriptors that the operator vouches for, or that were kept from an earlier run; those that are refused come back.
    @discardableResult
    public mutating func addRelays(
        _ descriptors: [(Descriptor, RelaySource)], now: Instant
    ) -> [(PeerID, DirectoryRefusal)] {
        var refused: [(PeerID, DirectoryRefusal)] = []
        for (descriptor, source) in descriptors {
            let id = descriptor.keys.peerID
            do {
                _ = try directory.offer(
                    descriptor, from: source, isBarred: trust.bar(id) != nil, unix: unixSeconds(now), now: now)
                trust.relays[id] = descriptor.keys
            } catch { refused.append((id, error)) }
        }
        forgetRelays(now: now)
        return refused
    }

    /// This node's own descriptor as a relay, to be handed on; nil: none.
    public mutating func publish(_ descriptor: Descriptor?) {
        parameters.relayDescriptor = descriptor?.keys.peerID == ownID ? descriptor : nil
    }

    /// Takes a relay out of the directory; false where it was not in it.
    @discardableResult
    public mutating func removeRelay(_ id: PeerID, now: Instant) -> Bool {
        guard directory.remove(id) != nil else { return false }
        forgetRelays(now: now)
        return true
    }

    /// This node's own peer_id.
    public var id: PeerID { ownID }

    /// The relays that this node knows, by peer_id.
    public var relays: [RelayDirectory.Entry] { directory.entries.values.sorted { $0.id < $1.id } }

    /// One of them.
    public func relay(_ id: PeerID) -> RelayDirectory.Entry? { directory[id] }

    /// Keys are believed as long as their descriptor is here.
    private mutating func forgetRelays(now: Instant) {
        for id in trust.relays.keys where directory[id] == nil { trust.relays[id] = nil }
    }

    // MARK: - Time

    /// Once a second.
    mutating func maintainDirectory(now: Instant) {
        if directoryTraffic.nextExpiry <= now {
            directoryTraffic.nextExpiry = now + .seconds(60)
            let gone = directory.expire(unix: unixSeconds(now), now: now)
            directoryTraffic.given = directoryTraffic.given.filter { now.since($0.value.since) < .seconds(60) }
            if !gone.isEmpty {
                forgetRelays(now: now)
                emit(.relaysExpired(gone))
            }
        }
        guard parameters.exchangesDirectory else { return }
        var isAsked = false
        for slot in peers.keys.sorted() {
            guard let id = askable(slot) else { continue }
            isAsked = true
            guard let exchange = directoryTraffic.exchanges[id] else {
                // Not at once: whoever restarts with a hundred relays would be asked by all of them.
                let pause = TimeSpan(nanoseconds: 1_000_000_000 + random(below: 4_000_000_000))
                directoryTraffic.exchanges[id] = DirectoryExchange(beginning: now + pause)
                continue
            }
            if !exchange.isActive, exchange.deadline <= now { advanceExchange(id, now: now) { $0.begin(now: now) } }
        }
        if !isAsked, directoryTraffic.nextSearch <= now { searchRelay(now: now) }
        for (id, exchange) in directoryTraffic.exchanges where !isAskable(id) {
            if exchange.isActive {
                directoryTraffic.exchanges[id]?.rest(until: now + Limits.exchangeStall)
            } else if exchange.deadline <= now {
                directoryTraffic.exchanges[id] = nil
            }
        }
    }

    /// At the deadline: questions without an answer.
    mutating func advanceExchanges(now: Instant) {
        for id in directoryTraffic.exchanges.keys.sorted() where directoryTraffic.exchanges[id]?.isActive == true {
            advanceExchange(id, now: now) { $0.timeout(now: now) }
        }
    }

    /// Nobody who could be asked has a session: one that the operator vouched for is called, guards before others.
    private mutating func searchRelay(now: Instant) {
        directoryTraffic.nextSearch = now + Limits.directorySearch
        let known = directory.entries.values.filter { $0.source == .imported && trust.bar($0.id) == nil }.map(\.id)
        // Who is met already, and speaks of no relays, and who is being called are not in the way of others.
        let waiting = known.filter { id in
            let peer = slotsByIdentity[id].flatMap { peers[$0] }
            return (directoryTraffic.exchanges[id]?.deadline ?? now) <= now && peer?.ring.current == nil
                && peer?.initiation == nil
        }.sorted()
        guard !waiting.isEmpty else { return }
        let first = guards.guards.map(\.id).first { waiting.contains($0) }
        let chosen = first ?? waiting[Int(random(below: UInt64(waiting.count)))]
        guard let slot = directSlot(of: chosen) else { return }
        initiate(slot, now: now)
    }

    /// The peer that a relay is met as, directly; a new one at its descriptor's address where there is none.
    mutating func directSlot(of id: PeerID) -> PeerSlot? {
        if let slot = slotsByIdentity[id] { return peers[slot]?.isDirect == true ? slot : nil }
        guard let entry = directory[id], let endpoint = entry.endpoints.first, trust.bar(id) == nil else { return nil }
        let configuration = PeerConfiguration(
            name: id.short, peerID: id, endpoint: endpoint, allowedIPs: [])
        return addPeer(configuration, isConfigured: false, identity: id)
    }

    private mutating func random(below limit: UInt64) -> UInt64 { cryptography.randomBytes(8).u64(at: 0) % limit }

    // MARK: - Whom to ask

    /// Who it is that may be asked by this peer's session: a relay that the operator vouched for and that speaks of relays.
    private func askable(_ slot: PeerSlot) -> PeerID? {
        guard let peer = peers[slot], let id = peer.identity, let held = peer.ring.current, speaks(held, peer),
            trust.pin(of: id)?.origin == .operatorAdded || directory[id]?.source == .imported, trust.bar(id) == nil
        else { return nil }
        return id
    }

    private func isAskable(_ id: PeerID) -> Bool {
        guard let slot = slotsByIdentity[id] else { return false }
        return askable(slot) != nil
    }

    private func speaks(_ held: HeldSession, _ peer: Peer) -> Bool {
        parameters.exchangesDirectory && peer.isDirect && held.summary.speaksDirectory && !held.summary.isDegraded
    }

    /// Whether something is being asked of a peer.
    func isExchanging(_ slot: PeerSlot) -> Bool {
        peers[slot]?.identity.flatMap { directoryTraffic.exchanges[$0] }?.isActive ?? false
    }

    // MARK: - What is said

    mutating func receive(directory payload: [UInt8], _ held: HeldSession, slot: PeerSlot, now: Instant) {
        // To whoever did not say that it speaks of relays this is a frame of no type that there is.
        guard let peer = peers[slot], speaks(held, peer), let id = peer.identity else {
            return sessionViolated(held.session, now: now)
        }
        guard let message = DirectoryMessage(payload) else { return drop(.directoryMalformed) }
        switch message {
        case .ask(let after):
            guard mayGive(to: id, now: now) else { return }
            let found = directory.names(after: after, own: parameters.relayDescriptor)
            give(.list(after: after, names: found.names, more: found.more), to: id, slot: slot, now: now)
        case .fetch(let name, let index):
            guard mayGive(to: id, now: now) else { return }
            let bytes = directory.descriptor(name, own: parameters.relayDescriptor)?.encoded ?? []
            let start = index * DirectoryMessage.pieceSize
            guard let count = DirectoryMessage.chunk(index, of: bytes.count) else {
                return give(.piece(name, index: index, total: 0, bytes: []), to: id, slot: slot, now: now)
            }
            give(
                .piece(name, index: index, total: bytes.count, bytes: Array(bytes[start..<start + count])), to: id,
                slot: slot, now: now)
        case .list(let after, let names, let more):
            let directory = directory
            advanceExchange(id, now: now) { exchange in
                exchange.received(list: after, names, more: more, now: now) { directory.wants($0) }
            }
        case .piece(let name, let index, let total, let bytes):
            advanceExchange(id, now: now) { $0.received(piece: name, index: index, total: total, bytes, now: now) }
        }
    }

    /// Whether a question is looked at: one costs the least that is counted for an answer, whatever comes of it.
    private mutating func mayGive(to id: PeerID, now: Instant) -> Bool {
        var given = directoryTraffic.given[id] ?? (now, 0)
        if now.since(given.since) >= .seconds(60) { given = (now, 0) }
        given.bytes += Limits.directoryQuestionCost
        let isLeft = given.bytes <= Limits.directoryBytesPerMinute
        if isLeft { directoryTraffic.given[id] = given } else { drop(.directoryQuota) }
        return isLeft
    }

    /// Answers, within what one node may ask for in a minute; an answer that is not given is asked for again.
    private mutating func give(_ message: DirectoryMessage, to id: PeerID, slot: PeerSlot, now: Instant) {
        let payload = message.encoded
        guard let given = directoryTraffic.given[id] else { return }
        let bytes = given.bytes + max(0, payload.count - Limits.directoryQuestionCost)
        guard bytes <= Limits.directoryBytesPerMinute else { return drop(.directoryQuota) }
        directoryTraffic.given[id] = (given.since, bytes)
        say(.directory, payload, to: slot, now: now)
    }

    /// One step of an exchange; nil from it: nobody asked for this.
    private mutating func advanceExchange(
        _ id: PeerID, now: Instant, _ step: (inout DirectoryExchange) -> [ExchangeEffect]?
    ) {
        guard var exchange = directoryTraffic.exchanges[id] else { return drop(.directoryUnasked) }
        guard let slot = slotsByIdentity[id] else {
            // Whoever was asked is gone, and nothing of it is due any more.
            directoryTraffic.exchanges[id]?.rest(until: now + Limits.exchangeStall)
            return
        }
        let effects = step(&exchange)
        directoryTraffic.exchanges[id] = exchange
        guard let effects else { return drop(.directoryUnasked) }
        for effect in effects {
            switch effect {
            case .say(let message): say(.directory, message.encoded, to: slot, now: now)
            case .check(let name, let bytes): run(.readDescriptor(bytes), for: .directory(id, name))
            }
        }
    }

    // MARK: - What came

    /// A descriptor was looked at; nil: nobody had time for it.
    mutating func descriptorRead(
        _ result: Result<Descriptor, DescriptorError>?, _ name: DirectoryName, from source: PeerID, now: Instant
    ) {
        guard directoryTraffic.exchanges[source]?.stage == .checking(name) else { return }
        if let result { judge(result, name, from: source, now: now) }
        guard directoryTraffic.exchanges[source]?.isActive == true else { return }
        if directory.mayBring(source, now: now) {
            advanceExchange(source, now: now) { $0.checked(name, now: now) }
        } else {
            directoryTraffic.exchanges[source]?.rest(until: now + Limits.directoryPeriod)
        }
    }

    private mutating func judge(
        _ result: Result<Descriptor, DescriptorError>, _ name: DirectoryName, from source: PeerID, now: Instant
    ) {
        do throws(DirectoryRefusal) {
            guard case .success(let descriptor) = result else { throw .forged }
            let id = descriptor.keys.peerID
            guard id.prefix64 == name.prefix, descriptor.serial == name.serial else { throw .other }
            let isNew = directory[id] == nil
            let entry = try directory.offer(
                descriptor, from: .relay(source), isBarred: trust.bar(id) != nil, unix: unixSeconds(now), now: now)
            trust.relays[id] = descriptor.keys
            emit(.relayLearned(entry, isNew: isNew, from: source))
        } catch {
            drop(.directoryRefused)
            emit(.relayRefused(error, from: source))
            // Whoever hands on what nobody signed, or something else than it promised, is not asked again today.
            if error == .forged || error == .other {
                directoryTraffic.exchanges[source]?.rest(until: now + Limits.directoryShunned)
            }
        }
    }
}
