// SPDX-License-Identifier: Apache-2.0
// An exit's word on packets, both ways (§8): the fence asked about what the packet says of itself, the memory of fragments, and how
// often a refusal is told. One value for each direction of each worker, single-threaded; nothing is allocated once it is made.

/// What becomes of a guest's packet.
public enum ExitVerdict: Sendable, Equatable {
    case accept
    /// The policy has no room for it. `isTold` is true where its sender is to hear so: at most so often a second.
    case refuse(isTold: Bool)
    /// Nobody can tell what it is: source routing, a broken chain of headers, a fragment whose first part was not let through.
    case unreadable
}

public struct ExitGate: Sendable {
    /// Which way packets go.
    public enum Direction: Sendable {
        /// From a guest: judged by where it wants to go.
        case outward
        /// To a guest: judged by where it comes from, as if that were where the guest wants to go.
        case homeward
    }

    private let fence: ExitFence
    private let direction: Direction
    private var fragments = FragmentMemory()
    private var told = AnswerRate()

    public init(_ fence: ExitFence, _ direction: Direction) {
        self.fence = fence
        self.direction = direction
    }

    /// Whether the packet that is exactly `packet` of `buffer` may pass; a packet that is none is unreadable.
    public mutating func judge(
        _ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, now: Instant
    ) -> ExitVerdict {
        guard let inner = InnerPacket(buffer, packet) else { return .unreadable }
        return judge(buffer, packet, inner, now: now)
    }

    @inline(__always)
    mutating func judge(
        _ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, _ inner: InnerPacket, now: Instant
    ) -> ExitVerdict {
        guard let reading = TransportReading(buffer, packet, isV4: inner.isV4) else { return .unreadable }
        let isAllowed: Bool
        switch reading.kind {
        case .tcp: isAllowed = allows(inner, .tcp, reading)
        case .udp: isAllowed = allows(inner, .udp, reading)
        case .echo: isAllowed = allows(inner, .icmp, reading)
        case .other: isAllowed = allows(inner, .other, reading)
        case .signal: isAllowed = false
        case .error(let quoted): return judge(error: inner, buffer, quoted..<packet.upperBound)
        case .laterFragment:
            let mark = FragmentMemory.Mark(inner, reading)
            return fragments.knows(mark, now: now) ? .accept : .unreadable
        }
        guard isAllowed else { return refuse(now) }
        if reading.fragment != nil { fragments.note(FragmentMemory.Mark(inner, reading), now: now) }
        return .accept
    }

    @inline(__always)
    private func allows(_ inner: InnerPacket, _ name: ExitProtocol, _ reading: TransportReading) -> Bool {
        switch (inner, direction) {
        case (.v4(_, let remote), .outward): fence.v4.allows(remote, name, port: reading.destination)
        case (.v4(let remote, _), .homeward): fence.v4.allows(remote, name, port: reading.source)
        case (.v6(_, let remote), .outward): fence.v6.allows(remote, name, port: reading.destination)
        case (.v6(let remote, _), .homeward): fence.v6.allows(remote, name, port: reading.source)
        }
    }

    /// An ICMP error may pass where what it is about might have: a packet of the guest that receives it, or one to the guest that
    /// sends it, which goes to nobody but the sender of that packet. Who complains to a guest, some router on the way, does not
    /// matter.
    @inline(never)
    private func judge(
        error inner: InnerPacket, _ buffer: borrowing MutableSpan<UInt8>, _ quoted: Range<Int>
    ) -> ExitVerdict {
        guard let about = InnerPacket(quotedIn: buffer, quoted), about.isV4 == inner.isV4,
            let reading = TransportReading(buffer, quoted, isV4: about.isV4, isQuoted: true)
        else { return .unreadable }
        let name: ExitProtocol
        switch reading.kind {
        case .tcp: name = .tcp
        case .udp: name = .udp
        case .echo: name = .icmp
        case .other: name = .other
        case .signal, .error, .laterFragment: return .unreadable
        }
        let isAllowed: Bool
        switch (inner, about) {
        case (.v4(let from, let to), .v4(let source, let destination)):
            isAllowed =
                direction == .homeward
                ? to == source && fence.v4.allows(destination, name, port: reading.destination)
                : from == destination && to == source && fence.v4.allows(source, name, port: reading.source)
        case (.v6(let from, let to), .v6(let source, let destination)):
            isAllowed =
                direction == .homeward
                ? to == source && fence.v6.allows(destination, name, port: reading.destination)
                : from == destination && to == source && fence.v6.allows(source, name, port: reading.source)
        default: isAllowed = false
        }
        // Nobody is told of a refused error (RFC 1122 §3.2.2).
        return isAllowed ? .accept : .refuse(isTold: false)
    }

    @inline(never)
    private mutating func refuse(_ now: Instant) -> ExitVerdict {
        guard direction == .outward else { return .refuse(isTold: false) }
        return .refuse(isTold: told.admit(now: now))
    }
}

/// The first fragments that were let through a short time ago.
struct FragmentMemory: Sendable {
    /// What the fragments of one packet have in common (RFC 791, RFC 8200 §4.5).
    struct Mark: Sendable, Equatable {
        var source: UInt128
        var destination: UInt128
        var id: UInt32
        var number: UInt8
        var isV4: Bool

        init(_ inner: InnerPacket, _ reading: TransportReading) {
            switch inner {
            case .v4(let source, let destination):
                (self.source, self.destination, isV4) = (UInt128(source), UInt128(destination), true)
            case .v6(let source, let destination):
                (self.source, self.destination, isV4) = (source, destination, false)
            }
            id = reading.fragment ?? 0
            // RFC 8200 leaves the protocol out, since only the first fragment's counts.
            number = isV4 ? reading.number : 0
        }
    }

    private var marks: [(mark: Mark, at: Instant)?] = Array(repeating: nil, count: Limits.exitFragments)
    private var next = 0

    /// The oldest gives way.
    @inline(never)
    mutating func note(_ mark: Mark, now: Instant) {
        marks[next] = (mark, now)
        next = (next + 1) % marks.count
    }

    @inline(never)
    func knows(_ mark: Mark, now: Instant) -> Bool {
        marks.contains { entry in
            guard let entry else { return false }
            return entry.mark == mark && now.since(entry.at) < Limits.exitFragmentLife
        }
    }
}
