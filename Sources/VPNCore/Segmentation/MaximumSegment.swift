// SPDX-License-Identifier: Apache-2.0
// TCP's maximum segment size across the tunnel: a SYN that promises to take more than the path carries is told down, so that
// a connection works even where the messages that a packet is too big get lost (RFC 4821 §1). It never raises a value.

enum MaximumSegment {
    private static var syn: UInt8 { 0x02 }
    private static var optionEnd: UInt8 { 0 }
    private static var optionNone: UInt8 { 1 }
    private static var optionSegmentSize: UInt8 { 2 }

    /// Bounds the MSS option of the IP packet that is exactly `packet` of `buffer`, if it is a SYN with one.
    @inline(__always)
    static func clamp(_ buffer: inout MutableSpan<UInt8>, _ packet: Range<Int>, mtu: Int) {
        let start = packet.lowerBound
        let transport: Int
        if buffer[start] >> 4 == 4 {
            guard buffer[start + 9] == 6 else { return }
            transport = start + Int(buffer[start] & 0xF) * 4
        } else {
            switch buffer[start + 6] {
            case 6: transport = start + 40
            // What may stand before TCP; the rest is looked at below.
            case 0, 43, 60: return clampSlowly(&buffer, packet, mtu: mtu)
            default: return
            }
        }
        guard transport + 13 < packet.upperBound, buffer[transport + 13] & syn != 0 else { return }
        clampSlowly(&buffer, packet, mtu: mtu)
    }

    @inline(never)
    private static func clampSlowly(_ buffer: inout MutableSpan<UInt8>, _ packet: Range<Int>, mtu: Int) {
        guard let found = TransportPacket(buffer, packet), found.transport == .tcp,
            buffer[found.transportStart + 13] & syn != 0
        else { return }
        // RFC 9293 §3.7.1: without IP and TCP options, of which each sender subtracts its own.
        let limit = mtu - (found.isIPv4 ? 40 : 60)
        guard limit > 0 else { return }
        var offset = found.transportStart + 20
        while offset < found.payloadStart {
            switch buffer[offset] {
            case optionEnd: return
            case optionNone: offset += 1
            case optionSegmentSize:
                guard offset + 4 <= found.payloadStart, buffer[offset + 1] == 4 else { return }
                // All of them: receivers differ in which one they obey.
                lower(&buffer, at: offset + 2, to: UInt16(clamping: limit), found)
                offset += 4
            default:
                // A length that leads nowhere: what follows is not ours to guess.
                guard offset + 1 < found.payloadStart, buffer[offset + 1] >= 2 else { return }
                offset += Int(buffer[offset + 1])
            }
        }
    }

    private static func lower(
        _ buffer: inout MutableSpan<UInt8>, at offset: Int, to limit: UInt16, _ packet: TransportPacket
    ) {
        let before = buffer.load(UInt16.self, at: offset)
        guard before > limit else { return }
        buffer.store(limit, at: offset)
        // The sum counts words from the transport header on; an option may begin at an odd place, where its bytes change sides.
        let isOdd = (offset - packet.transportStart) % 2 == 1
        let place = packet.transportStart + packet.checksumOffset
        let sum = InternetChecksum.updated(
            buffer.load(UInt16.self, at: place), from: isOdd ? before.byteSwapped : before,
            to: isOdd ? limit.byteSwapped : limit)
        buffer.store(sum, at: place)
    }
}
