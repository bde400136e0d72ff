// SPDX-License-Identifier: Apache-2.0
// One session's keys, counters and replay window: sealing and opening DATA datagrams in place (§7). It does not know
// what carries it, which peer's addresses are whose, or when it should be replaced. Threads share it: everything that
// changes is an atomic or behind the window's lock.

import Synchronization
public import VPNCrypto
internal import VPNLock

/// Who began the handshake that made a session.
public enum SessionRole: String, Hashable, Sendable {
    case initiator
    case responder
}

/// A small integer that stands for a peer on the packet path, given out by the control plane.
public typealias PeerSlot = Int

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
    public let cipher: PacketCipher
    public let establishedAt: Instant

    private let sendKey: PacketKey
    private let receiveKey: PacketKey
    private let firstCounter: UInt64
    private let nextCounter: Atomic<UInt64>
    private let window: Guarded<ReplayWindow>
    private let failedOpens = Atomic<UInt64>(0)

    private let isConfirmedFlag: Atomic<Bool>
    private let violationReported = Atomic<Bool>(false)

    private let packetsIn = Atomic<UInt64>(0)
    private let bytesIn = Atomic<UInt64>(0)
    private let packetsOut = Atomic<UInt64>(0)
    private let bytesOut = Atomic<UInt64>(0)
    private let lastReceivedNanoseconds = Atomic<UInt64>(0)
    private let lastSentNanoseconds = Atomic<UInt64>(0)
    private let lastPayloadNanoseconds = Atomic<UInt64>(0)

    /// - Parameters:
    ///   - id: 16 bytes.
    ///   - counterStart: random, below 2^31 (§7).
    ///   - isConfirmed: true for the initiator, whose peer proved its keys by S2; the responder's session is confirmed
    ///     by the first valid DATA.
    ///   - windowWidth: `Limits.replayWindow`, or `Limits.quiltReplayWindow` on a quilt.
    public init(
        id: [UInt8], localIndex: UInt32, remoteIndex: UInt32, peer: PeerSlot, role: SessionRole,
        cipher: PacketCipher, sendKey: consuming PacketKey, receiveKey: consuming PacketKey,
        counterStart: UInt64, isConfirmed: Bool, establishedAt: Instant, windowWidth: Int = Limits.replayWindow
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
        self.sendKey = sendKey
        self.receiveKey = receiveKey
        firstCounter = counterStart
        nextCounter = Atomic(counterStart)
        window = Guarded(ReplayWindow(width: windowWidth))
        isConfirmedFlag = Atomic(isConfirmed)
    }

    // MARK: - Packet path

    /// Takes `count` counters for one thread and gives the first; nil if the sending key reached its hard limit.
    func reserve(_ count: UInt64) -> UInt64? {
        // §7: the counter never wraps; hard stop at 2^30 frames a phase. An increment past it is harmless: it would
        // take centuries of refused calls to reach 2^64.
        let first = nextCounter.wrappingAdd(count, ordering: .relaxed).oldValue
        return first &+ count &- firstCounter <= Limits.framesPerPhase ? first : nil
    }

    /// The first counter that nobody has reserved.
    @inline(__always)
    var reservedCounters: UInt64 { nextCounter.load(ordering: .relaxed) }

    /// Seals the payload at `payload` of `buffer` in place into a DATA datagram; it is not accounted (`account(sent:)`).
    ///
    /// 20 bytes before the payload are overwritten by the headers, and padding and 16 bytes of tag after it; that room
    /// must exist: padding is never shortened for lack of it.
    /// - Parameters:
    ///   - counter: reserved for this datagram alone.
    ///   - ceiling: the longest plaintext (frame header included) that padding may reach.
    /// - Returns: where the datagram lies.
    @inline(__always)
    func seal(
        _ buffer: inout MutableSpan<UInt8>, type: FrameType, payload: Range<Int>, counter: UInt64,
        padding: PaddingPolicy, ceiling: Int
    ) -> Range<Int> {
        precondition(payload.count <= Limits.largestPayload)
        let longest = min(ceiling, Limits.largestPlaintext)
        let plaintext = padding.paddedLength(Limits.frameHeader + payload.count, ceiling: longest)
        let start = payload.lowerBound - Limits.frameHeader - Limits.outerHeader
        let end = start + Limits.outerHeader + plaintext + Limits.tag
        precondition(start >= 0 && end <= buffer.count)
        Frame.encode(type, &buffer, payload: payload, plaintextEnd: end - Limits.tag)
        let bodyLength = UInt16(truncatingIfNeeded: end - start - Limits.outerHeader)
        OuterHeader(type: .data0, bodyLength: bodyLength, receiverIndex: remoteIndex, word: counter)
            .encode(into: &buffer, at: start)
        sendKey.seal(&buffer, range: start..<end, counter: counter)
        return start..<end
    }

    /// Notes datagrams that were sealed, once for all of a batch.
    func account(sent tally: SessionTally, now: Instant) {
        packetsOut.wrappingAdd(tally.packets, ordering: .relaxed)
        bytesOut.wrappingAdd(tally.bytes, ordering: .relaxed)
        // Another worker may have settled a later batch before.
        if !tally.isProbe { lastSentNanoseconds.max(now.nanoseconds, ordering: .relaxed) }
        if tally.hasPayload { lastPayloadNanoseconds.max(now.nanoseconds, ordering: .relaxed) }
    }

    /// Opens in place the DATA datagrams at the beginning of a train that are of this session, with the window's lock taken
    /// once for all of them.
    ///
    /// - Parameters:
    ///   - header: of the first datagram, which is DATA for this session.
    ///   - verdicts: what each was, in order.
    func open(
        _ buffer: inout MutableSpan<UInt8>, train: Train, header: OuterHeader, now: Instant,
        into verdicts: inout OpenedTrain
    ) {
        var tally = SessionTally()
        // §7: drop a key after 2^36 failed opens.
        let isSpent = failedOpens.load(ordering: .relaxed) >= Limits.failedOpens
        var failures: UInt64 = 0
        window.withLock { window in
            var header = header
            var place = 0
            while true {
                let datagram = train.datagram(place)
                let verdict =
                    isSpent ? .drop(.receiveKeySpent) : open(&buffer, datagram: datagram, header: header, &window)
                switch verdict {
                case .drop(.authentication): failures += 1
                case .drop: break
                case .frame, .violation:
                    tally.packets += 1
                    tally.bytes += UInt64(datagram.count)
                }
                verdicts.append(verdict)
                place += 1
                guard place < train.count, !verdicts.isFull,
                    case .header(let next) = OuterHeader.decode(buffer, train.datagram(place)),
                    next.type.isData, next.receiverIndex == localIndex
                else { return }
                header = next
            }
        }
        if failures > 0 { countFailedOpens(failures) }
        guard tally.packets > 0 else { return }
        packetsIn.wrappingAdd(tally.packets, ordering: .relaxed)
        bytesIn.wrappingAdd(tally.bytes, ordering: .relaxed)
        lastReceivedNanoseconds.store(now.nanoseconds, ordering: .relaxed)
    }

    @inline(__always)
    private func open(
        _ buffer: inout MutableSpan<UInt8>, datagram: Range<Int>, header: OuterHeader, _ window: inout ReplayWindow
    ) -> OpenVerdict {
        guard datagram.count >= Limits.smallestData else { return .drop(.tooShort) }
        // §7: phase 0 is the only one until the ratchet exists.
        guard header.type == .data0 else { return .drop(.keyPhase) }
        // §7: check, open, **then** mark.
        switch window.check(header.word) {
        case .fresh: break
        case .duplicate: return .drop(.replayDuplicate)
        case .tooOld: return .drop(.replayTooOld)
        }
        guard receiveKey.open(&buffer, range: datagram, counter: header.word) else { return .drop(.authentication) }
        window.mark(header.word)
        let plaintext = datagram.lowerBound + Limits.outerHeader..<datagram.upperBound - Limits.tag
        switch Frame.decode(buffer, plaintext) {
        case .frame(let view): return .frame(view)
        case .malformed(let reason): return .violation(reason)
        }
    }

    // MARK: - Control plane

    /// Seals a whole datagram; nil if the sending key reached its hard limit.
    ///
    /// - Parameter payload: at most `Limits.largestPayload` bytes.
    public func sealFrame(
        type: FrameType, payload: [UInt8], padding: PaddingPolicy = .none, ceiling: Int = .max, now: Instant
    ) -> [UInt8]? {
        let front = Limits.outerHeader + Limits.frameHeader
        let longest = min(ceiling, Limits.largestPlaintext)
        let plaintext = padding.paddedLength(Limits.frameHeader + payload.count, ceiling: longest)
        guard let counter = reserve(1) else { return nil }
        var bytes = [UInt8](repeating: 0, count: Limits.outerHeader + plaintext + Limits.tag)
        bytes.replaceSubrange(front..<front + payload.count, with: payload)
        var span = bytes.mutableSpan
        _ = seal(
            &span, type: type, payload: front..<front + payload.count, counter: counter, padding: padding,
            ceiling: longest)
        let tally = SessionTally(
            packets: 1, bytes: UInt64(bytes.count), hasPayload: type == .ip,
            isProbe: type == .probe || type == .probeReport)
        account(sent: tally, now: now)
        return bytes
    }

    /// Opens a whole datagram that is known to be DATA for this session.
    public func openFrame(_ datagram: [UInt8], now: Instant) -> OpenedFrame {
        guard case .header(let header) = OuterHeader.decode(datagram), header.type.isData,
            header.receiverIndex == localIndex
        else { return .drop(.unknownIndex) }
        var bytes = datagram
        var span = bytes.mutableSpan
        var opened = OpenedTrain()
        open(&span, train: Train(0..<datagram.count), header: header, now: now, into: &opened)
        switch opened[0] {
        case .frame(let view): return .frame(view.type, Array(bytes[view.payload]))
        case .drop(let reason): return .drop(reason)
        case .violation(let reason): return .violation(reason)
        }
    }

    /// True for the call that turned an unconfirmed session into a confirmed one: exactly once in its life.
    public func markConfirmed() -> Bool {
        if isConfirmed { return false }
        return isConfirmedFlag.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing)
            .exchanged
    }

    public var isConfirmed: Bool { isConfirmedFlag.load(ordering: .relaxed) }

    /// Leaves counters unused, as abandoned blocks are.
    func skipCounters(_ count: UInt64) { nextCounter.wrappingAdd(count, ordering: .relaxed) }

    /// Counts datagrams that did not open.
    func countFailedOpens(_ count: UInt64) { failedOpens.wrappingAdd(count, ordering: .relaxed) }

    /// True for the first call only, so that a misbehaving peer fills no mailbox.
    func markViolated() -> Bool { !violationReported.exchange(true, ordering: .relaxed) }

    /// When the last authentic datagram came; nil before the first.
    public var lastReceived: Instant? { instant(lastReceivedNanoseconds) }
    /// When the last datagram was sealed; nil before the first.
    public var lastSent: Instant? { instant(lastSentNanoseconds) }
    /// When the last inner packet was sealed: something that a living peer answers, if only by a keepalive.
    public var lastPayloadSent: Instant? { instant(lastPayloadNanoseconds) }

    private func instant(_ nanoseconds: borrowing Atomic<UInt64>) -> Instant? {
        let value = nanoseconds.load(ordering: .relaxed)
        return value == 0 ? nil : Instant(nanoseconds: value)
    }

    /// Counts since the session was made; consistent with each other only when it is idle.
    public var statistics: SessionStatistics {
        SessionStatistics(
            packetsIn: packetsIn.load(ordering: .relaxed), bytesIn: bytesIn.load(ordering: .relaxed),
            packetsOut: packetsOut.load(ordering: .relaxed), bytesOut: bytesOut.load(ordering: .relaxed),
            failedOpens: failedOpens.load(ordering: .relaxed),
            framesLeft: Limits.framesPerPhase
                - min(Limits.framesPerPhase, nextCounter.load(ordering: .relaxed) &- firstCounter))
    }
}

/// What opening a whole datagram gave: `OpenVerdict` with the payload copied out.
public enum OpenedFrame: Hashable, Sendable {
    case frame(FrameType, [UInt8])
    case drop(DropReason)
    case violation(DropReason)
}
