// SPDX-License-Identifier: Apache-2.0
// The public half of an identity. A value of this type has been checked: nothing downstream checks again.

/// The four public keys of a node, validated, and the peer_id that binds them (§2).
public struct IdentityPublicKeys: Hashable, Sendable {
    /// B, an uncompressed point of brainpoolP512r1, 129 bytes. It authenticates nothing by itself (§6): it leads the id.
    public let brainpool: [UInt8]
    /// e, 32 bytes.
    public let ed25519: [UInt8]
    /// d, ML-DSA-87, 2592 bytes.
    public let mldsa: [UInt8]
    /// k, ML-KEM-1024, 1568 bytes.
    public let mlkem: [UInt8]
    public let peerID: PeerID

    /// B ‖ e ‖ d ‖ k, in bytes.
    public static let encodedSize = 4321

    /// Sizes in bytes, in the order of the encoding.
    private static let sizes: [(KeyKind, Int)] = [
        (.brainpool, BrainpoolCurve.pointSize), (.ed25519, Ed25519.publicKeySize), (.mldsa, MLDSA.publicKeySize),
        (.mlkem, MLKEM.publicKeySize),
    ]

    /// Throws for wrong sizes, a B that is compressed, infinite or off the curve, an e that is small-order or non-canonical,
    /// and a k with a coefficient that is not below q (FIPS 203, 7.2). Every d of the right size is a key (FIPS 204).
    public init(brainpool: [UInt8], ed25519: [UInt8], mldsa: [UInt8], mlkem: [UInt8]) throws(KeyError) {
        try self.init(checkingSizesOf: [brainpool, ed25519, mldsa, mlkem])
        try Ed25519.checkPublicKey(ed25519)
        try MLKEM.checkPublicKey(mlkem)
        // Last, because it is the dearest.
        _ = try BrainpoolPoint(brainpool)
    }

    /// From B ‖ e ‖ d ‖ k. A total that is wrong is reported as a wrong size of the last key.
    public init(encoded: [UInt8]) throws(KeyError) {
        let parts = try Self.split(encoded)
        try self.init(brainpool: parts[0], ed25519: parts[1], mldsa: parts[2], mlkem: parts[3])
    }

    /// Sizes only, for simulations whose keys are no keys. Reachable only by a target that asks for this interface by name.
    @_spi(Simulation)
    public init(uncheckedEncoding encoded: [UInt8]) throws(KeyError) {
        try self.init(checkingSizesOf: Self.split(encoded))
    }

    private init(checkingSizesOf keys: [[UInt8]]) throws(KeyError) {
        for (key, (kind, size)) in zip(keys, Self.sizes) where key.count != size {
            throw .wrongSize(kind, expected: size, actual: key.count)
        }
        (brainpool, ed25519, mldsa, mlkem) = (keys[0], keys[1], keys[2], keys[3])
        peerID = Self.peerID(of: keys)
    }

    /// B ‖ e ‖ d ‖ k, 4321 bytes.
    public var encoded: [UInt8] { brainpool + ed25519 + mldsa + mlkem }

    private static func split(_ encoded: [UInt8]) throws(KeyError) -> [[UInt8]] {
        guard encoded.count == encodedSize else {
            let last = sizes[3].1
            throw .wrongSize(.mlkem, expected: last, actual: encoded.count - (encodedSize - last))
        }
        var parts: [[UInt8]] = []
        var start = 0
        for (_, size) in sizes {
            parts.append([UInt8](encoded[start..<start + size]))
            start += size
        }
        return parts
    }

    /// §2: the first 32 bytes of H(label ‖ for each key: u8 tag ‖ u16 length ‖ key).
    private static func peerID(of keys: [[UInt8]]) -> PeerID {
        var parts = [Labels.Identity.peerID]
        for (index, key) in keys.enumerated() {
            parts.append([UInt8(index + 1)] + bigEndianBytes(UInt16(key.count)))
            parts.append(key)
        }
        return PeerID(bytes: [UInt8](Hash.sha512(parts).prefix(PeerID.size)))!
    }
}
