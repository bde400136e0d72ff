// SPDX-License-Identifier: Apache-2.0
// Fragments of an inner IPv4 packet that is longer than its path and may be divided (RFC 791 §3.2). Everything else that is too
// long is answered (`PacketTooBig`).

/// A packet and how much of it was given out.
public struct IPv4Fragments: Sendable {
    private let packet: Range<Int>
    private let headerLength: Int
    /// Payload bytes of each fragment but the last: a multiple of 8.
    private let step: Int
    /// Of the packet itself, which may be a fragment: its offset in units of 8, and whether more follow it.
    private let origin: UInt16
    private let hasMore: Bool
    /// Where the next fragment's payload begins.
    private var offset: Int

    private static var moreFragments: UInt16 { 0x2000 }

    /// Takes the IPv4 packet that is exactly `packet` of `buffer` and has no DF; nil where `mtu` leaves no room for payload.
    public init?(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, mtu: Int) {
        self.packet = packet
        headerLength = Int(buffer[packet.lowerBound] & 0xF) * 4
        step = (mtu - headerLength) / 8 * 8
        let field = buffer.load(UInt16.self, at: packet.lowerBound + 6)
        origin = field & 0x1FFF
        hasMore = field & IPv4Fragments.moreFragments != 0
        offset = packet.lowerBound + headerLength
        guard step >= 8, headerLength >= 20, offset < packet.upperBound else { return nil }
        // A fragment that would end beyond what an offset can tell (RFC 791: 65,535) is nobody's.
        guard Int(origin) * 8 + packet.upperBound - offset <= 65_535 else { return nil }
    }

    /// Writes the next fragment into `target` at `start`, where `mtu` bytes must be; its length, or nil after the last.
    public mutating func next(
        _ buffer: borrowing MutableSpan<UInt8>, into target: inout MutableSpan<UInt8>, at start: Int
    ) -> Int? {
        guard offset < packet.upperBound else { return nil }
        let end = min(offset + step, packet.upperBound)
        let units = (offset - packet.lowerBound - headerLength) / 8
        let isFirst = units == 0
        target.copy(buffer, packet.lowerBound..<packet.lowerBound + headerLength, to: start)
        if !isFirst { keepCopiedOptions(&target, at: start) }
        target.copy(buffer, offset..<end, to: start + headerLength)
        let length = headerLength + end - offset
        let more = end < packet.upperBound || hasMore ? IPv4Fragments.moreFragments : 0
        target.store(UInt16(length), at: start + 2)
        target.store(origin &+ UInt16(truncatingIfNeeded: units) | more, at: start + 6)
        target.finishIPv4Header(at: start, length: headerLength)
        offset = end
        return length
    }

    /// RFC 791 §3.1: options whose first bit is not set belong to the first fragment alone; here, no-ops take their places.
    private func keepCopiedOptions(_ target: inout MutableSpan<UInt8>, at start: Int) {
        var place = start + 20
        let end = start + headerLength
        while place < end {
            let kind = target[place]
            if kind == 0 { return }
            let length = kind == 1 ? 1 : place + 1 < end ? Int(target[place + 1]) : 0
            guard length > 0, place + length <= end else { return }
            if kind & 0x80 == 0 { for byte in place..<place + length { target[byte] = 1 } }
            place += length
        }
    }
}
