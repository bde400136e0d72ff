// SPDX-License-Identifier: Apache-2.0
// The datagrams that carry an S2 (§5). Each is authenticated by a key that only the two ends of this S1 know, so that
// nobody off the path, and nobody on it without R's KEM key, can spoil the initiator's reassembly.
internal import VPNCrypto

/// One fragment of an S2, its MAC not yet checked.
struct S2Fragment {
    static let overhead = 40

    var index: Int
    var shape: FragmentShape
    var receiverIndex: UInt32
    var senderIndex: UInt32
    var messageHash: UInt64
    var chunk: [UInt8]
    private var mac: [UInt8]
    private var authenticated: [UInt8]

    init?(_ datagram: [UInt8]) {
        guard datagram.count > Self.overhead, datagram.count <= Limits.handshakeDatagram else { return nil }
        shape = FragmentShape(total: Int(datagram.u16(at: 18)), count: Int(datagram[17]))
        index = Int(datagram[16])
        guard shape.total == S2Message.size, (1...Limits.fragmentMaximumCount).contains(shape.count),
            index < shape.count,
            datagram.count == Self.overhead + shape.chunk
        else { return nil }
        receiverIndex = datagram.u32(at: 4)
        messageHash = datagram.u64(at: 8)
        senderIndex = datagram.u32(at: 20)
        mac = datagram.bytes(at: 24, count: 16)
        chunk = datagram.bytes(at: Self.overhead, count: shape.chunk)
        authenticated = Array(datagram[0..<24]) + chunk
    }

    func isAuthentic(under key: borrowing Secret) -> Bool {
        constantTimeEquals(Array(Hash.hmacSHA256(key: key, authenticated)[0..<16]), mac)
    }

    static func datagrams(
        of message: [UInt8], shape: FragmentShape, receiverIndex: UInt32, senderIndex: UInt32, key: borrowing Secret
    ) -> [[UInt8]] {
        let hash = Hash.sha256(message).u64(at: 0)
        var result: [[UInt8]] = []
        for index in 0..<shape.count {
            var bytes = OuterHeader.bytes(
                .s2, bodyLength: overhead + shape.chunk - OuterHeader.size, receiverIndex: receiverIndex, word: hash)
            bytes += [UInt8(index), UInt8(shape.count)]
            bytes.append(bigEndian: UInt16(shape.total))
            bytes.append(bigEndian: senderIndex)
            let chunk = shape.chunk(index, of: message)
            let mac = Hash.hmacSHA256(key: key, bytes, chunk)[0..<16]
            result.append(bytes + mac + chunk)
        }
        return result
    }
}

/// The fragments of one S2 that have come so far.
struct S2Reassembly {
    private var chunks: [[UInt8]?]
    let shape: FragmentShape
    let messageHash: UInt64
    let senderIndex: UInt32

    init(_ first: S2Fragment) {
        shape = first.shape
        messageHash = first.messageHash
        senderIndex = first.senderIndex
        chunks = Array(repeating: nil, count: first.shape.count)
    }

    /// First copy wins; a fragment that disagrees with the first one about the message is not of it.
    mutating func add(_ fragment: S2Fragment) -> Bool {
        guard fragment.shape == shape, fragment.messageHash == messageHash, fragment.senderIndex == senderIndex,
            chunks[fragment.index] == nil
        else { return false }
        chunks[fragment.index] = fragment.chunk
        return true
    }

    var missing: [Int] { chunks.indices.filter { chunks[$0] == nil } }

    /// The whole message once all have come and its hash is right.
    var message: [UInt8]? {
        guard let message = shape.join(chunks), Hash.sha256(message).u64(at: 0) == messageHash else { return nil }
        return message
    }
}
