// SPDX-License-Identifier: Apache-2.0
// The message that tells a guest that its packet may not go where it wanted to: ICMPv4 "communication administratively prohibited"
// (RFC 1812 §5.2.7.1) and its like of ICMPv6 (RFC 4443 §3.1). To whom such messages may be sent, PacketTooBig knows.

public enum PacketProhibited {
    /// Room that a message takes at most.
    public static let largest = PacketTooBig.largest

    /// Writes the message about the IP packet that is exactly `packet` of `buffer` into `target`, as if its destination had sent it;
    /// its length, or nil where no message may be sent.
    ///
    /// - Parameter target: with room for `largest` bytes at `start`.
    public static func write(
        about buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, into target: inout MutableSpan<UInt8>,
        at start: Int
    ) -> Int? {
        PacketTooBig.write(about: buffer, packet, v4: (0x030D_0000, 0), v6: (0x0101_0000, 0), into: &target, at: start)
    }
}
