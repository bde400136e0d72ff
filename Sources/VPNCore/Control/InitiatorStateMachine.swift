// SPDX-License-Identifier: Apache-2.0
// The initiator's side of one handshake (§4–§6): S0 → RETRY → (INFO for an unknown responder) → S1 → S2.
// Bytes and time in, effects out. Not here: whom to call and when (NodeStateMachine), what the messages contain
// (Handshake/).
internal import VPNCrypto

/// What an initiator wants done; in order.
enum InitiatorEffect {
    case transmit([UInt8])
    case run(CryptoJob.Work)
    /// A responder that was not known shows itself: `believe` or give up.
    case judge(Descriptor)
    /// 20 s without an answer, or a token that did not serve: begin again under a fresh index.
    case restart
    case established(OpenedS2, responder: IdentityPublicKeys, index: UInt32)
    case drop(DropReason)
    case refused(HandshakeFailure)
}

/// One handshake with one responder, from the first S0 until its session or its end.
struct InitiatorStateMachine {
    /// A cookie in hand, and where the S1 under it stands. Up to three at once, because anyone on the path can forge a
    /// RETRY (§4): the S1 under a forged cookie simply gets no answer.
    private struct Exchange {
        var cookie: [UInt8]
        var offersInRetry: Offers?
        var kind: InitiatorKind
        var ephemerals: InitiatorEphemerals?
        var puzzleSolution: [UInt8]?
        var datagrams: [[UInt8]] = []
        var reassembly: S2Reassembly?
    }

    private enum Stage {
        case awaitingRetry
        case fetchingDescriptor(cookie: [UInt8], offers: Offers, DescriptorReassembly?, isReading: Bool)
        case exchanging
    }

    let signer: any IdentitySigner
    let cryptography: any HandshakeCryptography
    let offers: Offers
    let mtu: UInt16
    let keepaliveSeconds: UInt16
    /// What this handshake may mix beside its own secrets.
    let preshared: PresharedKeys
    let capabilities: Capabilities
    /// The id that must answer; nil for a first contact.
    private let expected: PeerID?
    private(set) var responder: IdentityPublicKeys?
    /// §2: the responder is pinned, and its ML-DSA signature alone may do.
    private var acceptsPartial: Bool
    private var kind: InitiatorKind
    /// The receiver index of the session to be. Changes at a restart.
    private(set) var index: UInt32
    private var s0: [UInt8] = []
    /// Nobody answered to the id that is expected. Perhaps another identity sits there now, which §2 wants refused loudly:
    /// this attempt asks as a stranger does, and whoever shows itself is judged against the expected id.
    private var asksWhoIsThere = false
    /// Whom the last S0 named; nil for nobody.
    private var s0SealingID: PeerID?
    private var stage = Stage.awaitingRetry
    private var exchanges: [Exchange] = []
    private var schedule: RetransmitSchedule
    let started: Instant
    private var attemptStarted: Instant
    /// Bytes of the S1 and S2 that made the session, fragments and headers included; for people.
    private(set) var bytesSent = 0
    private(set) var bytesReceived = 0
    /// The responder, or whoever holds its peer_id, has said something.
    private(set) var isAnswered = false

    /// Nobody has answered, and no S1 is on its way.
    var isAlone: Bool { !isAnswered && bytesSent == 0 }

    init(
        signer: any IdentitySigner, cryptography: any HandshakeCryptography, offers: Offers, mtu: UInt16,
        keepaliveSeconds: UInt16, expected: PeerID?, responder: IdentityPublicKeys?, acceptsPartial: Bool,
        kind: InitiatorKind = .brief,
        index: UInt32, preshared: PresharedKeys = .none,
        capabilities: Capabilities = [], now: Instant
    ) {
        self.signer = signer
        self.cryptography = cryptography
        self.offers = offers
        self.mtu = mtu
        self.keepaliveSeconds = keepaliveSeconds
        self.preshared = preshared
        self.capabilities = capabilities
        self.expected = expected
        self.responder = responder
        self.acceptsPartial = acceptsPartial
        self.kind = kind
        self.index = index
        started = now
        attemptStarted = now
        schedule = RetransmitSchedule(now: now, jitter: 128)
    }

    private var macKey: MAC1Key {
        if let id = responder?.peerID ?? expected { return MAC1Key(responder: id) }
        return .unknownResponder
    }

    /// What a RETRY is sealed to, before a descriptor is known (§4).
    private var sealingID: [UInt8] { (s0SealingID ?? .zero).bytes }

    private func jitter() -> UInt8 { cryptography.randomBytes(1)[0] }

    // MARK: Inputs

    /// Sends the first S0, or the S1 at once where a token of an earlier S2 replaces the round trip.
    mutating func begin(token: [UInt8]?, index: UInt32, now: Instant) -> [InitiatorEffect] {
        // Whoever is anonymous asks nobody's name: the path says who sits there.
        if !s0.isEmpty, kind != .anonymous, case .awaitingRetry = stage {
            asksWhoIsThere.toggle()
        } else {
            asksWhoIsThere = false
        }
        self.index = index
        attemptStarted = now
        stage = .awaitingRetry
        exchanges = []
        schedule = RetransmitSchedule(now: now, jitter: jitter())
        s0SealingID = asksWhoIsThere ? nil : responder?.peerID ?? expected
        if let token, responder != nil { return addExchange(cookie: token, offersInRetry: nil, now: now) }
        let message = S0Message(
            offers: offers, senderIndex: index, nonce: cryptography.randomBytes(S0Message.nonceSize))
        s0 = message.encoded(macKey: s0SealingID.map { MAC1Key(responder: $0) } ?? .unknownResponder)
        return [.transmit(s0)]
    }

    mutating func receive(retry datagram: [UInt8], now: Instant) -> [InitiatorEffect] {
        guard !s0.isEmpty, let retry = RetryMessage(datagram) else { return [.drop(.retryMalformed)] }
        guard let cookie = retry.openCookie(answering: s0, sealingID: sealingID) else { return [.drop(.retrySeal)] }
        isAnswered = true
        switch stage {
        case .awaitingRetry:
            if responder != nil, !asksWhoIsThere {
                return addExchange(cookie: cookie, offersInRetry: retry.offers, now: now)
            }
            stage = .fetchingDescriptor(cookie: cookie, offers: retry.offers, nil, isReading: false)
            schedule = RetransmitSchedule(now: now, jitter: jitter())
            return [0, 1, 2, 3, 4, 5, 6, 7].map { infoRequest($0, cookie: cookie) }
        case .fetchingDescriptor:
            return [.drop(.retryUnexpected)]
        case .exchanging:
            guard exchanges.count < Limits.retriesKept, !exchanges.contains(where: { $0.cookie == cookie }) else {
                return [.drop(.retryUnexpected)]
            }
            return addExchange(cookie: cookie, offersInRetry: retry.offers, now: now)
        }
    }

    mutating func receive(infoResponse datagram: [UInt8], now: Instant) -> [InitiatorEffect] {
        guard case .fetchingDescriptor(let cookie, let offers, var reassembly, let isReading) = stage, !isReading,
            let fragment = InfoResponse(datagram)
        else { return [.drop(.infoUnexpected)] }
        var parts = reassembly ?? DescriptorReassembly(fragment)
        guard parts.add(fragment) else { return [.drop(.fragmentDuplicate)] }
        reassembly = parts
        if parts.missing.isEmpty {
            guard let bytes = parts.descriptor else {
                // Somebody spoilt it: begin the collection again rather than keep a poisoned one.
                stage = .fetchingDescriptor(cookie: cookie, offers: offers, nil, isReading: false)
                return [.drop(.infoUnexpected)]
            }
            stage = .fetchingDescriptor(cookie: cookie, offers: offers, nil, isReading: true)
            return [.run(.readDescriptor(bytes))]
        }
        stage = .fetchingDescriptor(cookie: cookie, offers: offers, reassembly, isReading: false)
        return []
    }

    mutating func receive(s2 datagram: [UInt8], now: Instant) -> [InitiatorEffect] {
        guard let fragment = S2Fragment(datagram) else { return [.drop(.s2Malformed)] }
        for position in exchanges.indices {
            guard let ephemerals = exchanges[position].ephemerals,
                fragment.isAuthentic(under: ephemerals.fragmentKey)
            else { continue }
            var parts = exchanges[position].reassembly ?? S2Reassembly(fragment)
            guard parts.add(fragment) else { return [.drop(.fragmentDuplicate)] }
            // The first fragment shows that the responder has S1 whole: what is still missing is asked for as eagerly as
            // anything new is.
            if exchanges[position].reassembly == nil { schedule = RetransmitSchedule(now: now, jitter: jitter()) }
            exchanges[position].reassembly = parts
            bytesReceived += datagram.count
            isAnswered = true
            guard parts.missing.isEmpty else { return [] }
            guard let message = parts.message, let responder else {
                exchanges[position].reassembly = nil
                return [.drop(.s2Malformed)]
            }
            return [
                .run(
                    .openS2(
                        S2Opening(
                            signer: signer, ephemerals: ephemerals, responder: responder, senderIndex: index,
                            offers: offers, offersInRetry: exchanges[position].offersInRetry, message: message,
                            preshared: preshared, acceptsPartial: acceptsPartial)))
            ]
        }
        return [.drop(.s2Authentication)]
    }

    mutating func receive(needFull datagram: [UInt8], now: Instant) -> [InitiatorEffect] {
        for position in exchanges.indices {
            guard let ephemerals = exchanges[position].ephemerals, exchanges[position].kind == .brief,
                NeedFull.isAuthentic(datagram, key: ephemerals.needFullKey)
            else { continue }
            kind = .full
            // A token is good for one message only, and that one is spent.
            guard exchanges[position].cookie[0] & 0x80 == 0 else { return [.restart] }
            exchanges[position].kind = .full
            exchanges[position].ephemerals = nil
            exchanges[position].datagrams = []
            exchanges[position].reassembly = nil
            return [.run(composition(position))]
        }
        return [.drop(.needFullUnexpected)]
    }

    /// The node decided to believe the descriptor that `judge` showed.
    mutating func believe(
        _ keys: IdentityPublicKeys, acceptsPartial: Bool, now: Instant
    ) -> [InitiatorEffect] {
        guard case .fetchingDescriptor(let cookie, let offers, _, _) = stage else { return [] }
        // A responder that we do not know hardly knows us.
        if responder == nil { kind = .full }
        responder = keys
        self.acceptsPartial = acceptsPartial
        return addExchange(cookie: cookie, offersInRetry: offers, now: now)
    }

    mutating func jobFinished(_ outcome: CryptoJobResult.Outcome, work: CryptoJob.Work, now: Instant)
        -> [InitiatorEffect]
    {
        switch (outcome, work) {
        case (.composedS1(let result), .composeS1(let request)):
            return composed(result, request, now: now)
        case (.openedS2(let result), .openS2(let request)):
            return opened(result, request)
        case (.readDescriptor(.success(let descriptor)), _):
            return [.judge(descriptor)]
        case (.readDescriptor(.failure), _):
            guard case .fetchingDescriptor(let cookie, let offers, _, _) = stage else { return [] }
            stage = .fetchingDescriptor(cookie: cookie, offers: offers, nil, isReading: false)
            return [.drop(.descriptorRefused)]
        default:
            return []
        }
    }

    var deadline: Instant { min(schedule.next, attemptStarted + Limits.handshakeRestart) }

    /// Sends again what is unanswered.
    mutating func timeout(now: Instant) -> [InitiatorEffect] {
        if now >= attemptStarted + Limits.handshakeRestart { return [.restart] }
        guard now >= schedule.next else { return [] }
        schedule.advance(now: now, jitter: jitter())
        switch stage {
        case .awaitingRetry:
            return [.transmit(s0)]
        case .fetchingDescriptor(let cookie, _, let reassembly, let isReading):
            if isReading { return [] }
            // A responder that shows no descriptor may be the one that is known all the same.
            if responder != nil, reassembly == nil, now >= attemptStarted + Limits.descriptorPatience {
                return [.restart]
            }
            return (reassembly?.missing ?? Array(0..<8)).map { infoRequest($0, cookie: cookie) }
        case .exchanging:
            return exchanges.flatMap { exchange -> [InitiatorEffect] in
                // Once a fragment of S2 came, the responder has S1 whole, and answers fragment i with fragment i (§5). Of one that is
                // here whole, and being opened, nothing is missing.
                let wanted = exchange.reassembly?.missing ?? Array(exchange.datagrams.indices)
                return wanted.filter { $0 < exchange.datagrams.count }.map { .transmit(exchange.datagrams[$0]) }
            }
        }
    }

    // MARK: Steps

    private func infoRequest(_ index: Int, cookie: [UInt8]) -> InitiatorEffect {
        let key = s0SealingID.map { MAC1Key(responder: $0) } ?? .unknownResponder
        return .transmit(InfoRequest(index: index, senderIndex: self.index, cookie: cookie).encoded(macKey: key))
    }

    private mutating func addExchange(cookie: [UInt8], offersInRetry: Offers?, now: Instant) -> [InitiatorEffect] {
        if exchanges.isEmpty { schedule = RetransmitSchedule(now: now, jitter: jitter()) }
        stage = .exchanging
        exchanges.append(
            Exchange(
                cookie: cookie, offersInRetry: offersInRetry, kind: kind))
        return [.run(composition(exchanges.count - 1))]
    }

    private func composition(_ position: Int) -> CryptoJob.Work {
        guard let responder else { preconditionFailure("an S1 is composed for a known responder only") }
        let exchange = exchanges[position]
        return .composeS1(
            S1Composition(
                signer: signer, responder: responder, cookie: exchange.cookie, ciphers: offers.ciphers,
                senderIndex: index,
                kind: exchange.kind, mtu: mtu, keepaliveSeconds: keepaliveSeconds,
                presharedKeyID: preshared.id, capabilities: capabilities,
                puzzleSolution: exchange.puzzleSolution))
    }

    private mutating func composed(
        _ result: Result<ComposedS1, HandshakeFailure>, _ request: S1Composition, now: Instant
    ) -> [InitiatorEffect] {
        guard request.senderIndex == index,
            let position = exchanges.firstIndex(where: { $0.cookie == request.cookie && $0.kind == request.kind }),
            exchanges[position].ephemerals == nil
        else { return [] }
        switch result {
        case .failure(let failure):
            return [.refused(failure)]
        case .success(let composed):
            guard
                let shape = FragmentShape.ofS1(
                    total: composed.message.count, isAnonymous: request.kind == .anonymous)
            else { preconditionFailure("an S1 fits 16 fragments of 1232 bytes") }
            let datagrams = S1Fragment.datagrams(
                of: composed.message, shape: shape, senderIndex: index, cookie: request.cookie,
                puzzleSolution: composed.puzzleSolution, macKey: macKey)
            exchanges[position].ephemerals = composed.ephemerals
            exchanges[position].puzzleSolution = composed.puzzleSolution
            exchanges[position].datagrams = datagrams
            schedule = RetransmitSchedule(now: now, jitter: jitter())
            bytesSent = datagrams.reduce(0) { $0 + $1.count }
            return datagrams.map { .transmit($0) }
        }
    }

    private mutating func opened(
        _ result: Result<OpenedS2, HandshakeFailure>, _ request: S2Opening
    ) -> [InitiatorEffect] {
        guard request.senderIndex == index, let responder else { return [] }
        switch result {
        case .success(let opened):
            exchanges = []
            return [.established(opened, responder: responder, index: index)]
        case .failure(let failure):
            // Bad input never aborts a pending handshake (§6): collect anew.
            for position in exchanges.indices where exchanges[position].ephemerals === request.ephemerals {
                exchanges[position].reassembly = nil
            }
            return [.refused(failure)]
        }
    }
}
