// SPDX-License-Identifier: Apache-2.0
// A node's name on the network. Not a key, and no secret.

/// 32 bytes that bind the four public keys of an identity (§2).
///
/// Ordered as big-endian numbers are: in a simultaneous open the smaller one stays initiator (§6).
public struct PeerID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// In bytes.
    public static let size = 32

    private let word0, word1, word2, word3: UInt64

    /// 32 zero bytes: what an initiator writes where it does not know the responder (§4).
    public static let zero = PeerID(words: [0, 0, 0, 0])

    private init(words: [UInt64]) {
        (word0, word1, word2, word3) = (words[0], words[1], words[2], words[3])
    }

    /// Nil unless there are exactly 32 bytes.
    public init?(bytes: [UInt8]) {
        guard bytes.count == Self.size else { return nil }
        self.init(
            words: (0..<4).map { word in
                bytes[word * 8..<word * 8 + 8].reduce(0) { $0 << 8 | UInt64($1) }
            })
    }

    /// Nil unless there are exactly 64 hexadecimal digits, of either case.
    public init?(hex: String) {
        guard let bytes = Hex.decode(hex) else { return nil }
        self.init(bytes: bytes)
    }

    /// 32 bytes.
    public var bytes: [UInt8] { [word0, word1, word2, word3].flatMap { bigEndianBytes($0) } }

    /// 64 lower-case digits.
    public var hex: String { Hex.encode(bytes) }

    /// The first 8 digits of ``hex``, for people; never for decisions.
    public var short: String { String(hex.prefix(8)) }

    public var description: String { hex }

    public static func < (left: PeerID, right: PeerID) -> Bool {
        (left.word0, left.word1, left.word2, left.word3) < (right.word0, right.word1, right.word2, right.word3)
    }
}
