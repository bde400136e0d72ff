// SPDX-License-Identifier: Apache-2.0
// The datagrams that carry an S1 (§5). All of one message are of one size.
internal import VPNCrypto

/// How a message is cut: `count` chunks of one size, the last one zero-padded.
struct FragmentShape: Equatable {
    let total: Int
    let count: Int

    var chunk: Int { (total + count - 1) / count }

    /// Zero bytes after the message in the last chunk.
    var padding: Int { chunk * count - total }

    /// The fewest fragments of at most `datagram` bytes, `overhead` of them before the chunk; nil where 16 are too few.
    static func fitting(total: Int, datagram: Int, overhead: Int) -> FragmentShape? {
        let room = datagram - overhead
        guard room > 0 else { return nil }
        let count = (total + room - 1) / room
        return count <= Limits.fragmentMaximumCount ? FragmentShape(total: total, count: count) : nil
    }

    /// How an S1 is cut: §6 gives every anonymous one 16 fragments, so that their number does not tell its depth.
    static func ofS1(total: Int, isAnonymous: Bool) -> FragmentShape? {
        if isAnonymous { return FragmentShape(total: total, count: Limits.fragmentMaximumCount) }
        return fitting(total: total, datagram: Limits.handshakeDatagram, overhead: S1Fragment.overhead)
    }

    func chunk(_ index: Int, of message: [UInt8]) -> [UInt8] {
        var bytes = Array(message[min(index * chunk, total)..<min((index + 1) * chunk, total)])
        bytes.append(zeros: chunk - bytes.count)
        return bytes
    }

    /// The message in `chunks`, or nil where the padding is not zero.
    func join(_ chunks: [[UInt8]?]) -> [UInt8]? {
        var message = [UInt8]()
        message.reserveCapacity(chunk * count)
        for part in chunks {
            guard let part else { return nil }
            message += part
        }
        guard message.isZero(total..<message.count) else { return nil }
        message.removeLast(message.count - total)
        return message
    }
}

/// One fragment of an S1.
struct S1Fragment {
    static let overhead = 80

    var index: Int
    var shape: FragmentShape
    var senderIndex: UInt32
    var cookie: [UInt8]
    var puzzleSolution: [UInt8]
    /// First 8 bytes of SHA-256(message).
    var messageHash: UInt64
    var chunk: [UInt8]

    /// Exact in every length; the totals are those of §5.
    init?(_ datagram: [UInt8]) {
        guard datagram.count > Self.overhead, datagram.count <= Limits.handshakeDatagram, datagram.u32(at: 4) == 0
        else { return nil }
        let total = Int(datagram.u16(at: 18))
        shape = FragmentShape(total: total, count: Int(datagram[17]))
        index = Int(datagram[16])
        guard total == S1Message.briefSize || total == S1Message.fullSize,
            (1...Limits.fragmentMaximumCount).contains(shape.count),
            index < shape.count, datagram.count == Self.overhead + shape.chunk
        else { return nil }
        messageHash = datagram.u64(at: 8)
        senderIndex = datagram.u32(at: 20)
        guard senderIndex != 0 else { return nil }
        cookie = datagram.bytes(at: 24, count: 32)
        puzzleSolution = datagram.bytes(at: 56, count: 8)
        chunk = datagram.bytes(at: Self.overhead, count: shape.chunk)
    }

    static func isAuthentic(_ datagram: [UInt8], macKey: MAC1Key) -> Bool { macKey.verifies(datagram, macOffset: 64) }

    /// All datagrams of `message`.
    static func datagrams(
        of message: [UInt8], shape: FragmentShape, senderIndex: UInt32, cookie: [UInt8], puzzleSolution: [UInt8],
        macKey: MAC1Key
    ) -> [[UInt8]] {
        let hash = Hash.sha256(message).u64(at: 0)
        return (0..<shape.count).map { index in
            var bytes = OuterHeader.bytes(
                .s1, bodyLength: overhead + shape.chunk - OuterHeader.size, receiverIndex: 0, word: hash)
            bytes += [UInt8(index), UInt8(shape.count)]
            bytes.append(bigEndian: UInt16(shape.total))
            bytes.append(bigEndian: senderIndex)
            bytes += cookie
            bytes += puzzleSolution
            bytes += macKey.mac(bytes)
            bytes += shape.chunk(index, of: message)
            return bytes
        }
    }
}
