// SPDX-License-Identifier: Apache-2.0
// Divides what a TUN interface hands over in one piece into the packets that go on the wire: TCP and UDP segments with
// their own headers and checksums, or one packet whose checksum is completed. It can stop after any packet and go on
// later; it reads no descriptors and sends nothing.

/// A packet of up to 64 KiB from a TUN interface, and how much of it was given out.
public struct PacketSplitter: Sendable {
    private enum Shape {
        /// One packet, as it is but for its checksum.
        case single
        case tcp
        case udp
    }

    /// The whole packet in its buffer.
    private let packet: Range<Int>
    private let header: OffloadHeader
    private let shape: Shape
    private let isIPv4: Bool
    private let transportStart: Int
    private let payloadStart: Int
    /// Where the next segment's payload begins.
    private var offset: Int
    private var index: UInt16 = 0
    public private(set) var isFinished = false

    /// Takes the packet that is exactly `packet` of `buffer`; nil if the header is not true of it.
    public init?(_ buffer: borrowing MutableSpan<UInt8>, packet: Range<Int>, header: OffloadHeader) {
        self.packet = packet
        self.header = header
        guard header.segmentation != .none else {
            if header.needsChecksum {
                let start = Int(header.checksumStart)
                guard start + Int(header.checksumOffset) + 2 <= packet.count else { return nil }
                // A checksum inside the IP header would change what was looked at before.
                guard start >= (buffer[packet.lowerBound] >> 4 == 6 ? 40 : 20) else { return nil }
            }
            (shape, isIPv4, transportStart, payloadStart, offset) = (.single, false, 0, 0, 0)
            return
        }
        guard header.segmentSize > 0, let found = TransportPacket(buffer, packet) else { return nil }
        switch header.segmentation {
        case .tcpIPv4: guard found.transport == .tcp, found.isIPv4 else { return nil }
        case .tcpIPv6: guard found.transport == .tcp, !found.isIPv4 else { return nil }
        case .udp: guard found.transport == .udp else { return nil }
        case .none: return nil
        }
        if header.needsChecksum {
            guard Int(header.checksumStart) == found.transportStart - packet.lowerBound,
                Int(header.checksumOffset) == found.checksumOffset
            else { return nil }
        }
        shape = found.transport == .tcp ? .tcp : .udp
        isIPv4 = found.isIPv4
        transportStart = found.transportStart
        payloadStart = found.payloadStart
        offset = found.payloadStart
    }

    /// Bytes of the longest packet that `next` gives.
    public var longest: Int {
        guard shape != .single else { return packet.count }
        return payloadStart - packet.lowerBound + min(Int(header.segmentSize), packet.upperBound - payloadStart)
    }

    /// How many packets `next` still gives.
    public var remaining: Int {
        if isFinished { return 0 }
        guard shape != .single else { return 1 }
        return max(1, (packet.upperBound - offset + Int(header.segmentSize) - 1) / Int(header.segmentSize))
    }

    /// Writes the next packet into `target` at `start` and gives its length; nil when there is none left.
    ///
    /// - Parameters:
    ///   - buffer: the one of `init`, unchanged.
    ///   - target: has room for `longest` bytes at `start`.
    @inline(__always)
    public mutating func next(
        _ buffer: borrowing MutableSpan<UInt8>, into target: inout MutableSpan<UInt8>, at start: Int
    ) -> Int? {
        if isFinished { return nil }
        if shape == .single {
            isFinished = true
            target.copy(buffer, packet, to: start)
            if header.needsChecksum { completeChecksum(&target, at: start) }
            return packet.count
        }
        let end = min(offset + Int(header.segmentSize), packet.upperBound)
        let headers = payloadStart - packet.lowerBound
        let length = headers + end - offset
        target.copy(buffer, packet.lowerBound..<payloadStart, to: start)
        target.copy(buffer, offset..<end, to: start + headers)
        writeIP(&target, at: start, length: length)
        writeTransport(&target, at: start, length: length, isLast: end == packet.upperBound)
        offset = end
        index &+= 1
        isFinished = end == packet.upperBound
        return length
    }

    @inline(__always)
    private func completeChecksum(_ target: inout MutableSpan<UInt8>, at start: Int) {
        let from = start + Int(header.checksumStart)
        var sum = InternetChecksum()
        sum.add(target, from..<start + packet.count)
        // At 6 it is UDP's, where 0 means none; 0xFFFF is the same number.
        let value = header.checksumOffset == 6 ? sum.udpChecksum : sum.checksum
        target.store(value, at: from + Int(header.checksumOffset))
    }

    @inline(__always)
    private func writeIP(_ target: inout MutableSpan<UInt8>, at start: Int, length: Int) {
        guard isIPv4 else {
            target.store(UInt16(truncatingIfNeeded: length - 40), at: start + 4)
            return
        }
        target.store(UInt16(truncatingIfNeeded: length), at: start + 2)
        // RFC 791: packets between the same two hosts need ids of their own.
        target.store(target.load(UInt16.self, at: start + 4) &+ index, at: start + 4)
        target.finishIPv4Header(at: start, length: transportStart - packet.lowerBound)
    }

    private static var finAndPush: UInt8 { 0x09 }
    private static var congestionWindowReduced: UInt8 { 0x80 }

    @inline(__always)
    private func writeTransport(_ target: inout MutableSpan<UInt8>, at start: Int, length: Int, isLast: Bool) {
        let transport = start + transportStart - packet.lowerBound
        let transportLength = start + length - transport
        var sum = InternetChecksum()
        sum.add(target, isIPv4 ? start + 12..<start + 20 : start + 8..<start + 40)
        sum.add(transportLength)
        switch shape {
        case .tcp:
            let sequence = target.load(UInt32.self, at: transport + 4)
            target.store(sequence &+ UInt32(truncatingIfNeeded: offset - payloadStart), at: transport + 4)
            // FIN and PSH end the data, so the last segment has them; CWR speaks of the moment (RFC 3168 §6.1.2), so the
            // first has it.
            if !isLast { target[transport + 13] &= ~PacketSplitter.finAndPush }
            if index > 0 { target[transport + 13] &= ~PacketSplitter.congestionWindowReduced }
            target.store(UInt16(0), at: transport + 16)
            sum.add(6)
            sum.add(target, transport..<start + length)
            target.store(sum.checksum, at: transport + 16)
        case .udp:
            target.store(UInt16(truncatingIfNeeded: transportLength), at: transport + 4)
            target.store(UInt16(0), at: transport + 6)
            sum.add(17)
            sum.add(target, transport..<start + length)
            target.store(sum.udpChecksum, at: transport + 6)
        case .single: break
        }
    }
}
