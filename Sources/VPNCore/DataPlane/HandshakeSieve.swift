// SPDX-License-Identifier: Apache-2.0
// The first look at datagrams that are no data, on a thread of their own: as cheap as it can be made, since a flood of
// handshakes comes this way. It knows no key; what passes is looked at in the order of §5.

/// Sorts datagrams by what is to be done with them.
public struct HandshakeSieve: Sendable {
    public enum Verdict: Hashable, Sendable {
        case handshake
        /// Of a session: it came here in a train behind a handshake.
        case data(receiverIndex: UInt32)
        case drop(DropReason)
    }

    /// S1 (§5): the cookie behind header, fragment fields and sender index; its first byte's bit 7 marks a token, its second
    /// byte is the work that was asked for it.
    private static let cookie = 24
    private static let tokenBit: UInt8 = 0x80

    private var windowEnds = Instant.origin
    private var looksLeft = 0

    public init() {}

    /// - Parameter price: what the work behind a cookie must be, in bits, to be worth a look; 0 = anything is. Of what is worth
    ///   less, `Limits.unpaidLooks` a window pass all the same: the repeat of one that is known already may be among them.
    public mutating func look(
        _ buffer: borrowing MutableSpan<UInt8>, _ datagram: Range<Int>, price: UInt8, now: Instant
    ) -> Verdict {
        let header: OuterHeader
        switch OuterHeader.decode(buffer, datagram) {
        case .header(let decoded): header = decoded
        case .drop(let reason): return .drop(reason)
        }
        if header.type.isData { return .data(receiverIndex: header.receiverIndex) }
        guard datagram.count <= Limits.handshakeDatagram else { return .drop(.tooLong) }
        guard price > 0, header.type == .s1, datagram.count > S1Fragment.overhead else { return .handshake }
        let cookie = datagram.lowerBound + Self.cookie
        guard buffer[cookie] & Self.tokenBit == 0, buffer[cookie + 1] < price else { return .handshake }
        if now >= windowEnds {
            windowEnds = now + Limits.unpaidWindow
            looksLeft = Limits.unpaidLooks
        }
        guard looksLeft > 0 else { return .drop(.unpaid) }
        looksLeft -= 1
        return .handshake
    }
}
