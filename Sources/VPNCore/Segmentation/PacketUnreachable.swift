// SPDX-License-Identifier: Apache-2.0
// The message that tells the sender of an inner packet that no peer has its destination: ICMPv4 "host unreachable" (RFC 792) and
// ICMPv6 "address unreachable" (RFC 4443 §3.1). To whom such messages may be sent, PacketTooBig knows.

public enum PacketUnreachable {
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
        PacketTooBig.write(about: buffer, packet, v4: (0x0301_0000, 0), v6: (0x0103_0000, 0), into: &target, at: start)
    }
}
