// SPDX-License-Identifier: Apache-2.0
// Joins consecutive TCP or UDP packets of one flow into one that a TUN interface takes in a single call and divides again
// where it must. What it does not understand in full it leaves alone, byte for byte; the order of packets never changes.
// It holds no bytes: it says which packets belong together and rewrites the headers of the first.

/// The packets that go into the next write. For every packet, in order: `append`; where that gives nil, `close` and write
/// what is held, if anything, and then `begin`.
public struct PacketCoalescer: Sendable {
    /// Packets that one write takes at most.
    public static let capacity = 128
    /// Of them, UDP packets: kernels before 6.9 cut UDP into no more, and some of them refuse a write that asks for it.
    public static let datagrams = 64
    /// The longest packet that IPv4's length can tell.
    private static let longest = 65_535

    private let joinsTCP: Bool
    private let joinsUDP: Bool
    /// The first packet that is held, if more may follow.
    private var head: TransportPacket?
    /// The first packet that is held, if others followed.
    private var joined: TransportPacket?
    /// The packet that was looked at last.
    private var candidate: TransportPacket?
    private var count = 0
    private var length = 0
    private var segmentSize = 0
    private var sequence: UInt32 = 0
    private var isHeadVerified = false
    private var hasPush = false

    public init(joinsTCP: Bool, joinsUDP: Bool) {
        self.joinsTCP = joinsTCP
        self.joinsUDP = joinsUDP
    }

    /// Adds the packet that is exactly `packet` of `buffer`, in which all that is held lies as well.
    /// - Returns: where its payload lies, which goes behind what is held; nil, and nothing is changed, if it must begin a
    ///   write of its own.
    @inline(__always)
    public mutating func append(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>) -> Range<Int>? {
        candidate = joinsTCP || joinsUDP ? TransportPacket(buffer, packet) : nil
        guard let next = candidate, let first = head, follows(next, first, buffer) else { return nil }
        take(next, after: first, buffer)
        return next.payloadStart..<next.end
    }

    /// Holds, whole, the packet that `append` just refused. What was held before has been closed.
    @inline(__always)
    public mutating func begin(_ buffer: borrowing MutableSpan<UInt8>) {
        guard let packet = candidate, mayBegin(packet, buffer) else {
            head = nil
            return
        }
        head = packet
        count = 1
        length = packet.end - packet.start
        segmentSize = packet.payloadLength
        isHeadVerified = false
        hasPush = false
        if packet.transport == .tcp {
            let start = buffer.load(UInt32.self, at: packet.transportStart + 4)
            sequence = start &+ UInt32(truncatingIfNeeded: packet.payloadLength)
        }
    }

    /// Ends what is held: makes the first packet's headers those of all, and says what the interface must know. Nothing
    /// is changed where only one packet is held.
    public mutating func close(_ buffer: inout MutableSpan<UInt8>) -> OffloadHeader {
        defer {
            head = nil
            joined = nil
        }
        guard let first = joined else { return OffloadHeader() }
        let transportLength = length - (first.transportStart - first.start)
        if first.isIPv4 {
            buffer.store(UInt16(truncatingIfNeeded: length), at: first.start + 2)
            buffer.finishIPv4Header(at: first.start, length: 20)
        } else {
            buffer.store(UInt16(truncatingIfNeeded: length - 40), at: first.start + 4)
        }
        if first.transport == .udp {
            buffer.store(UInt16(truncatingIfNeeded: transportLength), at: first.transportStart + 4)
        } else if hasPush {
            buffer[first.transportStart + 13] |= PacketCoalescer.push
        }
        // A partial checksum: the interface completes it, or knows that it need not.
        let partial = first.pseudoHeader(buffer, at: first.start, length: transportLength).folded
        buffer.store(partial, at: first.transportStart + first.checksumOffset)
        var header = OffloadHeader()
        header.needsChecksum = true
        header.segmentation = first.transport == .udp ? .udp : first.isIPv4 ? .tcpIPv4 : .tcpIPv6
        header.headerLength = UInt16(first.headerLength)
        header.segmentSize = UInt16(truncatingIfNeeded: segmentSize)
        header.checksumStart = UInt16(first.transportStart - first.start)
        header.checksumOffset = UInt16(first.checksumOffset)
        return header
    }

    // MARK: - The first packet

    private static var push: UInt8 { 0x08 }
    private static var acknowledge: UInt8 { 0x10 }
    private static var congestionEcho: UInt8 { 0x40 }

    @inline(__always)
    private func mayBegin(_ packet: TransportPacket, _ buffer: borrowing MutableSpan<UInt8>) -> Bool {
        guard packet.payloadLength > 0, !packet.hasExtensions else { return false }
        switch packet.transport {
        case .tcp:
            // Data in the middle of a connection: SYN, FIN, RST, URG, CWR and PSH each end what can be joined.
            let flags = buffer[packet.transportStart + 13] & ~PacketCoalescer.congestionEcho
            return joinsTCP && flags == PacketCoalescer.acknowledge
        case .udp:
            return joinsUDP && isExact(packet, buffer)
        }
    }

    /// Whether a UDP header counts all of the packet.
    @inline(__always)
    private func isExact(_ packet: TransportPacket, _ buffer: borrowing MutableSpan<UInt8>) -> Bool {
        Int(buffer.load(UInt16.self, at: packet.transportStart + 4)) == packet.end - packet.transportStart
    }

    // MARK: - Those that follow

    @inline(__always)
    private mutating func take(
        _ next: TransportPacket, after first: TransportPacket, _ buffer: borrowing MutableSpan<UInt8>
    ) {
        joined = first
        count += 1
        length += next.payloadLength
        sequence &+= UInt32(truncatingIfNeeded: next.payloadLength)
        if next.transport == .tcp { hasPush = buffer[next.transportStart + 13] & PacketCoalescer.push != 0 }
        let limit = next.transport == .udp ? PacketCoalescer.datagrams : PacketCoalescer.capacity
        // A shorter segment is the last, and so is one that pushes.
        if next.payloadLength < segmentSize || hasPush || count == limit { head = nil }
    }

    @inline(__always)
    private mutating func follows(
        _ next: TransportPacket, _ first: TransportPacket, _ buffer: borrowing MutableSpan<UInt8>
    ) -> Bool {
        guard next.isIPv4 == first.isIPv4, next.transport == first.transport, !next.hasExtensions,
            next.headerLength == first.headerLength, next.payloadLength > 0, next.payloadLength <= segmentSize,
            length + next.payloadLength <= PacketCoalescer.longest,
            hasSameIPHeader(next, first, buffer)
        else { return false }
        switch next.transport {
        case .tcp: guard hasSameTCPHeader(next, first, buffer) else { return false }
        case .udp:
            guard isSame(4, next.transportStart, first.transportStart, buffer), isExact(next, buffer) else {
                return false
            }
        }
        // What was damaged before it came into the tunnel must not be vouched for.
        guard next.hasValidChecksums(buffer) else { return false }
        if !isHeadVerified {
            guard first.hasValidChecksums(buffer) else { return false }
            isHeadVerified = true
        }
        return true
    }

    /// All but lengths, checksum, and an id that counts on or means nothing (RFC 6864 §4.1: with DF).
    @inline(__always)
    private func hasSameIPHeader(
        _ next: TransportPacket, _ first: TransportPacket, _ buffer: borrowing MutableSpan<UInt8>
    ) -> Bool {
        let (a, b) = (next.start, first.start)
        guard next.isIPv4 else {
            // Version, traffic class and flow label; next header and hop limit; addresses.
            return isSame(4, a, b, buffer) && isSame(2, a + 6, b + 6, buffer) && isSame(32, a + 8, b + 8, buffer)
        }
        let fragmentation = buffer.load(UInt16.self, at: a + 6)
        let id = buffer.load(UInt16.self, at: b + 4) &+ UInt16(truncatingIfNeeded: count)
        return isSame(2, a, b, buffer) && isSame(4, a + 6, b + 6, buffer) && isSame(8, a + 12, b + 12, buffer)
            && (fragmentation & 0x4000 != 0 || buffer.load(UInt16.self, at: a + 4) == id)
    }

    /// All but sequence, checksum and PSH.
    @inline(__always)
    private func hasSameTCPHeader(
        _ next: TransportPacket, _ first: TransportPacket, _ buffer: borrowing MutableSpan<UInt8>
    ) -> Bool {
        let (a, b) = (next.transportStart, first.transportStart)
        return buffer.load(UInt32.self, at: a + 4) == sequence
            && isSame(4, a, b, buffer)
            // Acknowledgement; offset and reserved bits; window; urgent pointer; options.
            && isSame(4, a + 8, b + 8, buffer) && buffer[a + 12] == buffer[b + 12]
            && buffer[a + 13] & ~PacketCoalescer.push == buffer[b + 13]
            && isSame(2, a + 14, b + 14, buffer) && isSame(2, a + 18, b + 18, buffer)
            && isSame(next.payloadStart - a - 20, a + 20, b + 20, buffer)
    }

    /// Whether two pieces of an even number of bytes are the same.
    @inline(__always)
    private func isSame(_ count: Int, _ a: Int, _ b: Int, _ buffer: borrowing MutableSpan<UInt8>) -> Bool {
        var offset = 0
        while count - offset >= 8 {
            guard buffer.load(UInt64.self, at: a + offset) == buffer.load(UInt64.self, at: b + offset) else {
                return false
            }
            offset += 8
        }
        while count - offset >= 2 {
            guard buffer.load(UInt16.self, at: a + offset) == buffer.load(UInt16.self, at: b + offset) else {
                return false
            }
            offset += 2
        }
        return true
    }
}
