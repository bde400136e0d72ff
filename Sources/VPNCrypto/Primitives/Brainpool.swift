// SPDX-License-Identifier: Apache-2.0
// brainpoolP512r1 (RFC 5639) from libcrypto. No curve arithmetic here, and none in the C beneath: only EVP calls.

internal import CLibcrypto

enum BrainpoolCurve {
    /// 0x04 ‖ X ‖ Y.
    static let pointSize = 129
    static let scalarSize = 64
    /// The X coordinate of the shared point.
    static let sharedSecretSize = 64

    /// OpenSSL keeps private scalars in its own locked heap, once it has one: 64 bytes each, so this is room for some 15,000
    /// key pairs alive at a time. Beyond, generating one throws. Costs no time that could be measured.
    fileprivate static let lockedHeap: Void = {
        _ = Libcrypto.isReady
        if CRYPTO_secure_malloc_init(1 << 20, 64) != 1 { SecretMemory.shared.noteUnlockedMemory() }
    }()
}

/// A public point that lies on the curve and is not infinite.
@safe
final class BrainpoolPoint: @unchecked Sendable {
    // Sendable: OpenSSL only reads a parsed public key, and counts references atomically.
    fileprivate let key: OpaquePointer

    /// Refuses wrong sizes, compressed and hybrid forms, infinity, coordinates out of range and points off the curve.
    init(_ bytes: [UInt8]) throws(KeyError) {
        guard bytes.count == BrainpoolCurve.pointSize else {
            throw .wrongSize(.brainpool, expected: BrainpoolCurve.pointSize, actual: bytes.count)
        }
        guard bytes[0] == 4 else { throw .invalid(.brainpool, reason: "not an uncompressed point") }
        _ = Libcrypto.isReady
        // SAFETY: the array holds the 129 bytes that the function reads.
        let parsed = unsafe pqvpn_brainpool_parse_point(bytes)
        guard let parsed = unsafe parsed else { throw .invalid(.brainpool, reason: "not a point of the curve") }
        unsafe key = parsed
    }

    deinit { unsafe EVP_PKEY_free(key) }
}

/// A key pair; OpenSSL keeps the scalar in locked memory and clears it when it frees it.
@safe
final class BrainpoolKeyPair: ECDHKeyPair, @unchecked Sendable {
    // Sendable: OpenSSL derives from a key without changing it, in a context of each call's own.
    private let key: OpaquePointer
    let publicPoint: [UInt8]

    /// Fresh, 1.85 ms.
    convenience init() throws {
        _ = BrainpoolCurve.lockedHeap
        try unsafe self.init(owning: pqvpn_brainpool_generate(), "brainpoolP512r1 key generation")
    }

    /// From a stored scalar. Throws unless it is 64 bytes and in 1 ..< n.
    convenience init(scalar: borrowing Secret) throws {
        _ = BrainpoolCurve.lockedHeap
        guard scalar.count == BrainpoolCurve.scalarSize else {
            throw KeyError.wrongSize(.brainpool, expected: BrainpoolCurve.scalarSize, actual: scalar.count)
        }
        // SAFETY: the secret holds the 64 bytes that the function reads.
        let key = scalar.withOctets { unsafe pqvpn_brainpool_from_scalar($0) }
        guard unsafe key != nil else { throw KeyError.invalid(.brainpool, reason: "scalar out of range") }
        try unsafe self.init(owning: key, "brainpoolP512r1 key import")
    }

    private init(owning pointer: OpaquePointer?, _ operation: String) throws {
        guard let key = unsafe pointer else { throw CryptographyFailure(operation) }
        var point = [UInt8](repeating: 0, count: BrainpoolCurve.pointSize)
        // SAFETY: the array has room for the 129 bytes that the function writes.
        let done = unsafe pqvpn_brainpool_public_point(key, &point)
        unsafe self.key = key
        publicPoint = point
        guard done == 1 else { throw CryptographyFailure(operation) }
    }

    deinit { unsafe EVP_PKEY_free(key) }

    /// The scalar, 64 bytes.
    func scalar() throws -> Secret {
        try Secret(
            count: BrainpoolCurve.scalarSize,
            writingOctets: { target in
                // SAFETY: the target has room for the 64 bytes that the function writes.
                guard unsafe pqvpn_brainpool_scalar(key, target) == 1 else {
                    throw CryptographyFailure("brainpoolP512r1 key export")
                }
            })
    }

    func sharedSecret(with point: [UInt8]) throws -> Secret {
        let peer = try BrainpoolPoint(point)
        return try Secret(
            count: BrainpoolCurve.sharedSecretSize,
            writingOctets: { target in
                // SAFETY: the target has room for the 64 bytes that the function writes; both keys outlive the call.
                guard unsafe pqvpn_brainpool_derive(key, peer.key, target) == 1 else {
                    throw CryptographyFailure("brainpoolP512r1 ECDH")
                }
            })
    }
}

extension BrainpoolKeyPair: CustomStringConvertible, CustomReflectable {
    var description: String { "brainpoolP512r1 key pair" }
    var customMirror: Mirror { Mirror(self, children: [:]) }
}
