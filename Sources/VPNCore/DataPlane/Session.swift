// SPDX-License-Identifier: Apache-2.0
// One session's keys, counters and replay window: sealing and opening DATA datagrams in place (§7). It does not know
// what carries it, which peer's addresses are whose, or when a key phase or the session should end. Threads share it:
// everything that changes is an atomic or behind a lock.

import Synchronization
public import VPNCrypto
internal import VPNLock

/// Who began the handshake that made a session.
public enum SessionRole: String, Hashable, Sendable {
    case initiator
    case responder

    var other: SessionRole { self == .initiator ? .responder : .initiator }
}

/// What opening a DATA datagram gave.
public enum OpenVerdict: Hashable, Sendable {
    case frame(FrameView)
    /// Not authentic, seen before, or of a key that is spent: nothing is known about who sent it.
    case drop(DropReason)
    /// Authentic and against the protocol: the peer's fault, and the end of the session.
    case violation(DropReason)
}

/// A session's packet keys and what is counted with them.
public final class Session: Sendable {
    /// The 16-byte session id of the key schedule (§6).
    public let id: [UInt8]
    /// The index by which datagrams find this session here; never 0.
    public let localIndex: UInt32
    /// The index by which they find it at the peer.
    public let remoteIndex: UInt32
    public let peer: PeerSlot
    public let role: SessionRole
    /// The circuit that it was made on, and on which alone it receives; nil where UDP carries it.
    public let place: CircuitPlace?
    /// `CircuitPlace.key`, 0 for UDP.
    let placeKey: UInt64
    public let cipher: PacketCipher
    public let establishedAt: Instant

    private let sending: SendingKeys
    private let receiving: Guarded<ReceivingKeys>
    private let activity = SessionActivity()
    private let isConfirmedFlag: Atomic<Bool>
    private let violationReported = Atomic<Bool>(false)

    /// - Parameters:
    ///   - id: 16 bytes.
    ///   - counterStart: random, below 2^31 (§7).
    ///   - isConfirmed: true for the initiator, whose peer proved its keys by S2; the responder's session is confirmed
    ///     by the first valid DATA.
    ///   - windowWidth: counters among which replays are found.
    public init(
        id: [UInt8], localIndex: UInt32, remoteIndex: UInt32, peer: PeerSlot, role: SessionRole,
        cipher: PacketCipher, sendKeys: consuming KeyRatchet, receiveKeys: consuming KeyRatchet,
        counterStart: UInt64, isConfirmed: Bool, establishedAt: Instant, windowWidth: Int = Limits.replayWindow,
        place: CircuitPlace? = nil
    ) {
        precondition(id.count == 16 && localIndex != 0)
        precondition(counterStart >> UInt64(Limits.counterStartBits) == 0)
        precondition((0..<Limits.peerSlots).contains(peer))
        self.id = id
        self.localIndex = localIndex
        self.remoteIndex = remoteIndex
        self.peer = peer
        self.role = role
        self.cipher = cipher
        self.establishedAt = establishedAt
        self.place = place
        placeKey = place?.key ?? 0
        sending = SendingKeys(sendKeys, counterStart: counterStart, now: establishedAt)
        receiving = Guarded(ReceivingKeys(receiveKeys, windowWidth: windowWidth, now: establishedAt))
        isConfirmedFlag = Atomic(isConfirmed)
    }

    // MARK: - Packet path

    /// Takes `count` counters for one thread: the first of them, and the key phase of all of them.
    @inline(__always)
    func reserve(_ count: UInt64) -> PhasedCounter.Value { sending.reserve(count) }

    /// The key of a phase of which counters were reserved; nil if that phase is long over: its counters are lost.
    func sendingKey(of phase: UInt64) -> SendingKey? { sending.key(of: phase) }

    /// The first counter that nobody has reserved.
    @inline(__always)
    var reservedCounters: UInt64 { sending.firstUnreserved }

    /// Seals the payload at `payload` of `buffer` in place into a DATA datagram; it is not accounted (`account(sent:)`).
    ///
    /// 20 bytes before the payload are overwritten by the headers, and padding and 16 bytes of tag after it; that room
    /// must exist: padding is never shortened for lack of it.
    /// - Parameters:
    ///   - counter: reserved for this datagram alone.
    ///   - key: of the counter's phase.
    ///   - ceiling: the longest plaintext (frame header included) that padding may reach.
    ///   - skipped: so many counters before this one bring no packet (§9).
    /// - Returns: where the datagram lies.
    @inline(__always)
    func seal(
        _ buffer: inout MutableSpan<UInt8>, type: FrameType, payload: Range<Int>, counter: UInt64,
        key: SendingKey, padding: PaddingPolicy, ceiling: Int, skipped: UInt8 = 0
    ) -> Range<Int> {
        precondition(payload.count <= Limits.largestPayload)
        let longest = min(ceiling, Limits.largestPlaintext)
        let plaintext = padding.paddedLength(Limits.frameHeader + payload.count, ceiling: longest)
        let start = payload.lowerBound - Limits.frameHeader - Limits.outerHeader
        let end = start + Limits.outerHeader + plaintext + Limits.tag
        precondition(start >= 0 && end <= buffer.count)
        Frame.encode(type, &buffer, payload: payload, plaintextEnd: end - Limits.tag, skipped: skipped)
        let bodyLength = UInt16(truncatingIfNeeded: end - start - Limits.outerHeader)
        OuterHeader(type: key.type, bodyLength: bodyLength, receiverIndex: remoteIndex, word: counter)
            .encode(into: &buffer, at: start)
        key.key.seal(&buffer, range: start..<end, counter: counter)
        return start..<end
    }

    /// Notes datagrams that were sealed, once for all of a batch.
    func account(sent tally: SessionTally, now: Instant) { activity.note(sent: tally, now: now) }

    /// Opens in place the DATA datagrams at the beginning of a train that are of this session, with the window's lock taken
    /// once for all of them.
    ///
    /// - Parameters:
    ///   - header: of the first datagram, which is DATA for this session by whatever index of its own (§9).
    ///   - verdicts: what each was, in order.
    /// - Returns: whether an authentic one had the newest counter of all: its sender was here last.
    func open(
        _ buffer: inout MutableSpan<UInt8>, train: Train, header: OuterHeader, now: Instant,
        into verdicts: inout OpenedTrain
    ) -> Bool {
        var tally = SessionTally()
        // §7: drop a key after 2^36 failed opens.
        let isSpent = activity.failedOpens >= Limits.failedOpens
        var failures: UInt64 = 0
        let isNewest = receiving.withLock { keys in
            let highest = keys.highest
            var header = header
            let index = header.receiverIndex
            var place = 0
            while true {
                let datagram = train.datagram(place)
                if index != localIndex { OuterHeader.address(&buffer, at: datagram.lowerBound, to: localIndex) }
                let verdict =
                    isSpent
                    ? .drop(.receiveKeySpent)
                    : keys.open(&buffer, datagram: datagram, header: header, sending: sending, now: now)
                switch verdict {
                case .drop(.authentication): failures += 1
                case .drop: break
                case .frame(let frame):
                    tally.packets += 1
                    tally.bytes += UInt64(datagram.count)
                    if frame.type == .ip || frame.type == .relay { tally.hasPayload = true }
                case .violation:
                    tally.packets += 1
                    tally.bytes += UInt64(datagram.count)
                }
                verdicts.append(verdict)
                place += 1
                guard place < train.count, !verdicts.isFull,
                    case .header(let next) = OuterHeader.decode(buffer, train.datagram(place)),
                    next.type.isData, next.receiverIndex == index
                else { return keys.highest != highest }
                header = next
            }
        }
        if failures > 0 { countFailedOpens(failures) }
        if tally.packets > 0 { activity.note(received: tally, now: now) }
        return isNewest
    }

    /// Opens in place one DATA datagram of this session that came inside another one.
    func open(
        _ buffer: inout MutableSpan<UInt8>, datagram: Range<Int>, header: OuterHeader, now: Instant
    ) -> OpenVerdict {
        if activity.failedOpens >= Limits.failedOpens { return .drop(.receiveKeySpent) }
        if header.receiverIndex != localIndex {
            OuterHeader.address(&buffer, at: datagram.lowerBound, to: localIndex)
        }
        let verdict = receiving.withLock {
            $0.open(&buffer, datagram: datagram, header: header, sending: sending, now: now)
        }
        var tally = SessionTally(packets: 1, bytes: UInt64(datagram.count))
        switch verdict {
        case .drop(let reason):
            if reason == .authentication { countFailedOpens(1) }
            return verdict
        case .frame(let frame): tally.hasPayload = frame.type == .ip || frame.type == .relay
        case .violation: break
        }
        activity.note(received: tally, now: now)
        return verdict
    }

    // MARK: - Key phases (§7)

    /// Begins the next key phase with the first counter that nobody has reserved; false if none may begin now: before a frame
    /// of the current phase was opened, an end cannot know that its peer has come this far.
    @discardableResult
    func startPhase(now: Instant) -> Bool {
        let (phase, mayStart) = receiving.withLock { ($0.phase, $0.hasOpened) }
        return mayStart && sending.start(after: phase, now: now)
    }

    /// Where both directions stand.
    var phase: KeyPhase {
        let (received, opened, span) = receiving.withLock { ($0.phase, $0.hasOpened, $0.span) }
        let sent = sending.status
        return KeyPhase(
            sending: sent.phase, receiving: received, since: sent.since, mayEnd: opened && received == sent.phase,
            frames: max(sent.frames, received == sent.phase ? span : 0))
    }

    /// Wipes the keys of the phase before this one after their grace. True if workers may hold the sending one still, with
    /// counters that they have not used: they are to be told (`DataPlaneCommand.dropOldKeys`).
    func dropOldKeys(now: Instant) -> Bool {
        receiving.withLock { $0.dropPrevious(now: now) }
        return sending.dropPrevious(now: now)
    }

    // MARK: - Control plane

    /// True for the call that turned an unconfirmed session into a confirmed one: exactly once in its life.
    public func markConfirmed() -> Bool {
        if isConfirmed { return false }
        return isConfirmedFlag.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing)
            .exchanged
    }

    public var isConfirmed: Bool { isConfirmedFlag.load(ordering: .relaxed) }

    /// Leaves counters unused, as abandoned blocks are.
    func skipCounters(_ count: UInt64) { _ = sending.reserve(count) }

    /// Looks for replays among more counters from now on, as patches that differ in delay need it (§9).
    func widenWindow() { receiving.withLock { $0.widenWindow(to: Limits.quiltReplayWindow) } }

    /// Marks a counter as seen whose packet came otherwise; false where it was seen, or is too old to tell.
    func markReceived(_ counter: UInt64) -> Bool { receiving.withLock { $0.markReceived(counter) } }

    /// Counts datagrams that did not open.
    func countFailedOpens(_ count: UInt64) { activity.note(failedOpens: count) }

    /// True for the first call only, so that a misbehaving peer fills no mailbox.
    func markViolated() -> Bool { !violationReported.exchange(true, ordering: .relaxed) }

    /// When the last authentic datagram came; nil before the first.
    public var lastReceived: Instant? { activity.lastReceived }
    /// When the last datagram was sealed; nil before the first.
    public var lastSent: Instant? { activity.lastSent }
    /// When the last inner packet was sealed: something that a living peer answers, if only by a keepalive.
    public var lastPayloadSent: Instant? { activity.lastPayloadSent }
    /// When the last inner packet came; nil before the first.
    public var lastPayloadReceived: Instant? { activity.lastPayloadReceived }

    /// Counts since the session was made; consistent with each other only when it is idle.
    public var statistics: SessionStatistics {
        activity.statistics(
            framesLeft: Limits.framesPerPhase - min(Limits.framesPerPhase, sending.status.frames))
    }
}
