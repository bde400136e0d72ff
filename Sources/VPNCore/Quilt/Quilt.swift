// SPDX-License-Identifier: Apache-2.0
// The patches of one session (§9), as threads share them: workers send and count by it, the control side adds and takes away. What is
// known of them: QuiltState.

internal import Synchronization
internal import VPNLock

/// One session's carriers. Only sessions that have more than one have this.
public final class Quilt: Sendable {
    public let session: Session
    private let state: Guarded<QuiltState>
    /// Of the worker that keeps its time.
    private let alarm = Guarded<QuiltAlarm?>(nil)

    /// - Parameter shared: bytes that all quilts of this node keep to send them again.
    init(
        _ session: Session, _ configuration: QuiltConfiguration,
        sharing shared: SharedBytes = SharedBytes(limit: Limits.sentBytesOfAllQuilts)
    ) {
        self.session = session
        state = Guarded(QuiltState(configuration, sharing: shared))
        repairs = configuration.scheduler == .fec
    }

    deinit { withState { $0.forgetSent() } }

    /// Of the last packet; 0 before the first.
    private let lastPacket = Atomic<UInt64>(0)

    /// Whether repairs go with packets.
    let repairs: Bool

    func withState<Result: Sendable>(_ body: (inout QuiltState) -> Result) -> Result {
        let (result, isEarlier) = state.withLock { state in
            let result = body(&state)
            defer { if state.isEarlier { state.tell() } }
            return (result, state.isEarlier)
        }
        if isEarlier { alarm.withLock { $0 }?.ring(session.localIndex) }
        return result
    }

    /// From now on this rings when something may be due earlier than it was at the last look. Returns when something is due.
    func attach(_ alarm: QuiltAlarm) -> Instant {
        self.alarm.withLock { $0 = alarm }
        return withState { $0.look() }
    }

    /// How many counters between a packet and the one before it bring something else: whoever receives need not wait for them. Where
    /// two threads send at once it may be too many, which costs disorder among flows of different threads.
    func skipped(before counter: UInt64) -> UInt8 {
        let last = lastPacket.exchange(counter, ordering: .relaxed)
        guard last != 0, counter > last else { return 0 }
        return UInt8(clamping: counter - last - 1)
    }

    /// Seals a frame for a patch; nil if the sending key reached its hard limit.
    /// - Parameters:
    ///   - size: bytes of the datagram, at least; 0 for what the frame takes.
    ///   - padding: of a frame that is longer than that.
    func seal(
        _ type: FrameType, _ payload: [UInt8], for way: QuiltState.Way, size: Int = 0, padding: PaddingPolicy = .none,
        now: Instant
    ) -> [UInt8]? {
        let wanted = size - Limits.outerHeader - Limits.tag
        let isPadded = wanted > Limits.frameHeader + payload.count
        guard
            var datagram = session.sealFrame(
                type: type, payload: payload, padding: isPadded ? .buckets([wanted]) : padding,
                ceiling: isPadded ? wanted : way.mtu + Limits.frameHeader, now: now)
        else { return nil }
        OuterHeader.address(&datagram, to: way.remoteIndex)
        let bytes = datagram.count
        withState { $0.sent(bytes, on: way.patch) }
        return datagram
    }
}
