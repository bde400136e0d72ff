// SPDX-License-Identifier: Apache-2.0
// Packets to a peer whose session has several carriers (§9): by which each goes, and what goes beside it. The choice itself is the
// quilt's.

/// Datagrams that go beside packets: copies on another patch, repairs.
struct QuiltExtras {
    private var datagrams: [(datagram: [UInt8], carrier: Carrier)] = []
    /// Of quilts that repair, by the index of their session, and when each had its last packet, in packets of all of them.
    private var encoders: [UInt32: (encoder: RepairEncoder, used: UInt64)] = [:]
    private var taken: UInt64 = 0

    var isEmpty: Bool { datagrams.isEmpty }

    mutating func add(_ datagram: [UInt8], _ carrier: Carrier) { datagrams.append((datagram, carrier)) }

    mutating func next() -> (datagram: [UInt8], carrier: Carrier)? {
        datagrams.isEmpty ? nil : datagrams.removeFirst()
    }

    /// Takes a packet that went; the repair that is due after it, if one is.
    mutating func sent(_ packet: [UInt8], under counter: UInt64, by session: Session, lossPerMille: Int)
        -> RepairMessage?
    {
        taken += 1
        var (encoder, _) =
            encoders.removeValue(forKey: session.localIndex)
            ?? (RepairEncoder(seed: UInt32(truncatingIfNeeded: counter)), 0)
        guard makeRoom() else { return nil }
        encoder.adjust(lossPerMille: lossPerMille)
        let repair = encoder.sent(packet, under: counter)
        encoders[session.localIndex] = (encoder, taken)
        return repair
    }

    /// Forgets the quilt that has been idle longest, most likely one that is over. Where all are busy a newcomer goes without repairs:
    /// else each would push out another before its window is worth anything.
    private mutating func makeRoom() -> Bool {
        guard encoders.count >= Limits.quiltsRepaired, let idle = encoders.min(by: { $0.value.used < $1.value.used })
        else { return true }
        guard taken - idle.value.used > Limits.idleQuiltRepairs else { return false }
        encoders[idle.key] = nil
        return true
    }
}

extension OutboundPlane {
    /// Chooses the patch of a sealed datagram and addresses it to that; nil where none carries, and the datagram stays as it is.
    ///
    /// - Parameter packet: where the plaintext was; it is sealed by now.
    @inline(never)
    mutating func address(
        _ buffer: inout MutableSpan<UInt8>, _ datagram: Range<Int>, flow: UInt32, by quilt: Quilt, isExpress: Bool,
        now: Instant
    ) -> QuiltState.Way? {
        var bytes = OutboundPlane.copy(buffer, datagram)
        guard
            let (first, copy) = quilt.withState({ [bytes] in
                $0.choose(for: bytes, flow: flow, isExpress: isExpress, now: now)
            })
        else { return nil }
        OuterHeader.address(&buffer, at: datagram.lowerBound, to: first.remoteIndex)
        if let copy {
            // §9: the same bytes but for the index, which is not authenticated: the replay window removes the one that comes later.
            OuterHeader.address(&bytes, to: copy.remoteIndex)
            extras.add(bytes, copy.carrier)
        }
        return first
    }

    /// A repair that is due after a packet, on another patch than that one's.
    @inline(never)
    mutating func repair(_ packet: [UInt8], under counter: UInt64, sentOn patch: Int, by quilt: Quilt, now: Instant) {
        let loss = quilt.withState { $0.lossPerMille }
        guard
            let message = extras.sent(packet, under: counter, by: quilt.session, lossPerMille: loss)
        else { return }
        let bytes = message.encoded
        let size = Limits.layerOverhead + bytes.count
        guard let way = quilt.withState({ $0.other(than: patch, bytes: size, now: now) }),
            let datagram = quilt.session.sealFrame(
                type: .repair, payload: bytes, padding: padding, ceiling: way.mtu + Limits.frameHeader, now: now)
        else { return }
        var addressed = datagram
        OuterHeader.address(&addressed, to: way.remoteIndex)
        extras.add(addressed, way.carrier)
    }

    /// A datagram that goes beside the packets, and where to; nil if there is no other. To be asked for after each packet.
    public mutating func nextExtra() -> (datagram: [UInt8], carrier: Carrier)? { extras.next() }

    @inline(__always)
    public var hasExtras: Bool { !extras.isEmpty }

    static func copy(_ buffer: borrowing MutableSpan<UInt8>, _ range: Range<Int>) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        var span = bytes.mutableSpan
        span.copy(buffer, range, to: 0)
        return bytes
    }
}
