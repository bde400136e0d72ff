// SPDX-License-Identifier: Apache-2.0
// Whole datagrams of one session, for the control side and for tests: a frame in, bytes out, and back. Packets go the other
// way, in place (Session, CounterBlock).

extension Session {
    /// Seals a whole datagram; nil if the sending key reached its hard limit.
    ///
    /// - Parameter payload: at most `Limits.largestPayload` bytes.
    public func sealFrame(
        type: FrameType, payload: [UInt8], padding: PaddingPolicy = .none, ceiling: Int = .max, now: Instant
    ) -> [UInt8]? {
        let front = Limits.outerHeader + Limits.frameHeader
        let longest = min(ceiling, Limits.largestPlaintext)
        let plaintext = padding.paddedLength(Limits.frameHeader + payload.count, ceiling: longest)
        guard let (counter, key) = takeCounter() else { return nil }
        var bytes = [UInt8](repeating: 0, count: Limits.outerHeader + plaintext + Limits.tag)
        bytes.replaceSubrange(front..<front + payload.count, with: payload)
        var span = bytes.mutableSpan
        _ = seal(
            &span, type: type, payload: front..<front + payload.count, counter: counter, key: key,
            padding: padding, ceiling: longest)
        let tally = SessionTally(
            packets: 1, bytes: UInt64(bytes.count), hasPayload: type == .ip || type == .relay,
            isProbe: [.probe, .probeReport, .pathChallenge, .pathResponse].contains(type))
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
        _ = open(&span, train: Train(0..<datagram.count), header: header, now: now, into: &opened)
        switch opened[0] {
        case .frame(let view): return .frame(view.type, Array(bytes[view.payload]))
        case .drop(let reason): return .drop(reason)
        case .violation(let reason): return .violation(reason)
        }
    }

    /// One counter and the key of its phase; nil if the sending key reached its hard limit.
    private func takeCounter() -> (UInt64, SendingKey)? {
        while true {
            let taken = reserve(1)
            guard let key = sendingKey(of: taken.phase) else { continue }
            return taken.counter &- key.firstCounter < Limits.framesPerPhase ? (taken.counter, key) : nil
        }
    }
}

/// What opening a whole datagram gave: `OpenVerdict` with the payload copied out.
public enum OpenedFrame: Hashable, Sendable {
    case frame(FrameType, [UInt8])
    case drop(DropReason)
    case violation(DropReason)
}
