// SPDX-License-Identifier: Apache-2.0
// The message that tells the sender of an inner packet how long one may be: ICMPv4 "fragmentation needed" (RFC 792, RFC 1191)
// and ICMPv6 "packet too big" (RFC 4443 §3.2). It says whether there is one to send, and writes it; who sends it is another's
// business.

public enum PacketTooBig {
    /// Room that a message takes at most: RFC 4443 §2.4 (c), and more than RFC 1812 §4.3.2.3 asks of IPv4.
    public static let largest = 1280
    private static let largestIPv4 = 576

    /// Whether the IP packet that is exactly `packet` of `buffer` may not be fragmented on its way.
    public static func mustNotFragment(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>) -> Bool {
        buffer[packet.lowerBound] >> 4 != 4 || buffer[packet.lowerBound + 6] & 0x40 != 0
    }

    /// Writes the message about a packet into `target`, as if the packet's destination had sent it: an address of this host
    /// would be refused as a martian when it arrives by the interface.
    ///
    /// - Parameters:
    ///   - packet: a whole IP packet, longer than `mtu`, which may not be fragmented.
    ///   - target: with room for `largest` bytes at `start`.
    /// - Returns: the message's length; nil where no message may be sent: about an ICMP error, a fragment that is not the
    ///   first, or where one end is no single host (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)).
    public static func write(
        about buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, mtu: Int,
        into target: inout MutableSpan<UInt8>, at start: Int
    ) -> Int? {
        write(
            about: buffer, packet, v4: (0x0304_0000, UInt32(UInt16(clamping: mtu))),
            v6: (0x0200_0000, UInt32(clamping: mtu)), into: &target, at: start)
    }

    /// The same for any ICMP error: its type and code, and the word behind the checksum, in either family.
    static func write(
        about buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, v4: (UInt32, UInt32), v6: (UInt32, UInt32),
        into target: inout MutableSpan<UInt8>, at start: Int
    ) -> Int? {
        guard let inner = InnerPacket(buffer, packet) else { return nil }
        switch inner {
        case .v4(let source, let destination):
            guard isHost(source), isHost(destination), isAnswerable4(buffer, packet) else { return nil }
            return write4(buffer, packet, v4, &target, start)
        case .v6(let source, let destination):
            guard isHost(source), isHost(destination), isAnswerable6(buffer, packet) else { return nil }
            return write6(buffer, packet, v6, &target, start)
        }
    }

    /// Neither multicast, nor broadcast, nor unspecified.
    private static func isHost(_ address: UInt32) -> Bool { address >> 28 < 0xE && address >> 24 != 0 }
    private static func isHost(_ address: UInt128) -> Bool { address >> 120 != 0xFF && address != 0 }

    private static func isAnswerable4(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>) -> Bool {
        let start = packet.lowerBound
        guard buffer.load(UInt16.self, at: start + 6) & 0x1FFF == 0 else { return false }
        let transport = start + Int(buffer[start] & 0xF) * 4
        guard buffer[start + 9] == 1, transport < packet.upperBound else { return true }
        // Echo, timestamp and their answers are no errors.
        return [0, 8, 13, 14].contains(buffer[transport])
    }

    private static func isAnswerable6(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>) -> Bool {
        let start = packet.lowerBound
        // RFC 4443 §2.1: errors are the types below 128.
        return buffer[start + 6] != 58 || packet.count < 41 || buffer[start + 40] >= 128
    }

    private static func write4(
        _ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, _ words: (UInt32, UInt32),
        _ target: inout MutableSpan<UInt8>, _ start: Int
    ) -> Int {
        let (quoted, icmp) = (min(packet.count, largestIPv4 - 28), start + 20)
        let length = 28 + quoted
        target.store(UInt16(0x4500), at: start)
        target.store(UInt16(length), at: start + 2)
        // Don't fragment, so that an id of 0 means nothing (RFC 6864).
        target.store(UInt32(0x0000_4000), at: start + 4)
        // TTL 64, ICMP.
        target.store(UInt32(0x4001_0000), at: start + 8)
        target.store(buffer.load(UInt32.self, at: packet.lowerBound + 16), at: start + 12)
        target.store(buffer.load(UInt32.self, at: packet.lowerBound + 12), at: start + 16)
        target.finishIPv4Header(at: start, length: 20)
        target.store(words.0, at: icmp)
        target.store(words.1, at: icmp + 4)
        target.copy(buffer, packet.lowerBound..<packet.lowerBound + quoted, to: icmp + 8)
        var sum = InternetChecksum()
        sum.add(target, icmp..<start + length)
        target.store(sum.checksum, at: icmp + 2)
        return length
    }

    private static func write6(
        _ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, _ words: (UInt32, UInt32),
        _ target: inout MutableSpan<UInt8>, _ start: Int
    ) -> Int {
        let (quoted, icmp) = (min(packet.count, largest - 48), start + 40)
        let length = 48 + quoted
        target.store(UInt32(0x6000_0000), at: start)
        target.store(UInt16(length - 40), at: start + 4)
        // ICMPv6, hop limit 64.
        target.store(UInt16(0x3A40), at: start + 6)
        target.store(buffer.load(UInt128.self, at: packet.lowerBound + 24), at: start + 8)
        target.store(buffer.load(UInt128.self, at: packet.lowerBound + 8), at: start + 24)
        target.store(words.0, at: icmp)
        target.store(words.1, at: icmp + 4)
        target.copy(buffer, packet.lowerBound..<packet.lowerBound + quoted, to: icmp + 8)
        var sum = InternetChecksum()
        sum.add(target, start + 8..<start + 40)
        sum.add(length - 40)
        sum.add(58)
        sum.add(target, icmp..<start + length)
        target.store(sum.checksum, at: icmp + 2)
        return length
    }
}
