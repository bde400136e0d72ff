// SPDX-License-Identifier: Apache-2.0
// INFO_REQ and INFO_RESP (§4): how an initiator that may trust on first use gets a responder's descriptor, one fragment
// a request, after its address is proven.
internal import VPNCrypto

/// Asks for one fragment of the descriptor; as long as the longest answer, so that nothing is amplified.
struct InfoRequest {
    static let size = 1232

    var index: Int
    var senderIndex: UInt32
    var cookie: [UInt8]

    init(index: Int, senderIndex: UInt32, cookie: [UInt8]) {
        self.index = index
        self.senderIndex = senderIndex
        self.cookie = cookie
    }

    init?(_ datagram: [UInt8]) {
        guard datagram.count == Self.size, datagram.u32(at: 4) == 0, datagram.u64(at: 8) == 0, datagram.isZero(17..<20),
            datagram[16] < Limits.fragmentMaximumCount, datagram.u32(at: 20) != 0, datagram.isZero(72..<Self.size)
        else { return nil }
        index = Int(datagram[16])
        senderIndex = datagram.u32(at: 20)
        cookie = datagram.bytes(at: 24, count: 32)
    }

    static func isAuthentic(_ datagram: [UInt8], macKey: MAC1Key) -> Bool { macKey.verifies(datagram, macOffset: 56) }

    func encoded(macKey: MAC1Key) -> [UInt8] {
        var bytes = OuterHeader.bytes(.infoRequest, bodyLength: Self.size - OuterHeader.size, receiverIndex: 0, word: 0)
        bytes += [UInt8(index), 0, 0, 0]
        bytes.append(bigEndian: senderIndex)
        bytes += cookie
        bytes += macKey.mac(bytes)
        bytes.append(zeros: Self.size - bytes.count)
        return bytes
    }
}

/// One fragment of a descriptor, zeros behind it: as long as its request.
struct InfoResponse {
    static let size = InfoRequest.size
    static let overhead = 24
    static let maximumChunk = 1152

    var index: Int
    var shape: FragmentShape
    var receiverIndex: UInt32
    var descriptorHash: UInt64
    var chunk: [UInt8]

    init?(_ datagram: [UInt8]) {
        guard datagram.count == Self.size else { return nil }
        index = Int(datagram[16])
        shape = FragmentShape(total: Int(datagram.u16(at: 18)), count: Int(datagram[17]))
        guard (1...Limits.fragmentMaximumCount).contains(shape.count), shape.total > 0, index < shape.count,
            shape.chunk <= Self.maximumChunk, datagram.isZero(Self.overhead + shape.chunk..<Self.size),
            datagram.u32(at: 20) == datagram.u32(at: 4)
        else { return nil }
        receiverIndex = datagram.u32(at: 4)
        descriptorHash = datagram.u64(at: 8)
        chunk = datagram.bytes(at: Self.overhead, count: shape.chunk)
    }

    /// The answer to `request`, or nil where the descriptor has no such fragment.
    static func encoded(_ descriptor: [UInt8], hash: UInt64, answering request: InfoRequest) -> [UInt8]? {
        guard
            let shape = FragmentShape.fitting(
                total: descriptor.count, datagram: overhead + maximumChunk, overhead: overhead),
            request.index < shape.count
        else { return nil }
        var bytes = OuterHeader.bytes(
            .infoResponse, bodyLength: size - OuterHeader.size, receiverIndex: request.senderIndex,
            word: hash)
        bytes += [UInt8(request.index), UInt8(shape.count)]
        bytes.append(bigEndian: UInt16(shape.total))
        bytes.append(bigEndian: request.senderIndex)
        bytes += shape.chunk(request.index, of: descriptor)
        bytes.append(zeros: size - bytes.count)
        return bytes
    }
}

/// The fragments of a descriptor that have come so far. They are not authenticated one by one: the descriptor's own
/// signatures and hash are checked when it is whole, and a bad whole is thrown away.
struct DescriptorReassembly {
    private var chunks: [[UInt8]?]
    private let shape: FragmentShape
    private let hash: UInt64

    init(_ first: InfoResponse) {
        shape = first.shape
        hash = first.descriptorHash
        chunks = Array(repeating: nil, count: first.shape.count)
    }

    mutating func add(_ fragment: InfoResponse) -> Bool {
        guard fragment.shape == shape, fragment.descriptorHash == hash, chunks[fragment.index] == nil else {
            return false
        }
        chunks[fragment.index] = fragment.chunk
        return true
    }

    var missing: [Int] { chunks.indices.filter { chunks[$0] == nil } }

    /// Complete bytes whose hash is right; nil while something is missing or where the whole does not match.
    var descriptor: [UInt8]? {
        guard let bytes = shape.join(chunks), Hash.sha256(bytes).u64(at: 0) == hash else { return nil }
        return bytes
    }
}
