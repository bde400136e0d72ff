// SPDX-License-Identifier: Apache-2.0
// The fallback behind `PacketKey`: OpenSSL's EVP. Correct first: its contexts change with every call, so a lock guards them.

internal import CLibcrypto
internal import VPNLock

/// Two cipher contexts with their key schedules kept, one for each direction of work.
@safe
final class OpenSSLPacketContext: @unchecked Sendable {
    // Sendable: the contexts are touched only under the lock.
    private let sealing: OpaquePointer
    private let opening: OpaquePointer
    private let lock = Guarded(())

    init(_ cipher: PacketCipher, key: borrowing Secret) {
        _ = Libcrypto.isReady
        // SAFETY: the secret holds the 32 bytes that the function reads.
        let kind = Int32(cipher.rawValue)
        let sealing = key.withOctets { unsafe pqvpn_openssl_aead_new(kind, $0, 1) }
        let opening = key.withOctets { unsafe pqvpn_openssl_aead_new(kind, $0, 0) }
        guard let sealing = unsafe sealing, let opening = unsafe opening else {
            fatalError("no memory for a packet key")
        }
        unsafe self.sealing = sealing
        unsafe self.opening = opening
    }

    deinit {
        // OpenSSL cleanses the key schedules before it frees them.
        unsafe EVP_CIPHER_CTX_free(sealing)
        unsafe EVP_CIPHER_CTX_free(opening)
    }

    func seal(
        _ nonce: UnsafePointer<UInt8>, _ ad: UnsafePointer<UInt8>, _ adLength: Int, _ data: UnsafeMutablePointer<UInt8>,
        _ length: Int
    ) -> Bool {
        // SAFETY: the caller's buffers are as long as it says, with 16 bytes of room behind `length`.
        lock.withLock { _ in unsafe pqvpn_openssl_aead_seal(sealing, nonce, ad, adLength, data, length) == 1 }
    }

    func open(
        _ nonce: UnsafePointer<UInt8>, _ ad: UnsafePointer<UInt8>, _ adLength: Int, _ data: UnsafeMutablePointer<UInt8>,
        _ length: Int
    ) -> Bool {
        // SAFETY: the caller's buffers are as long as it says.
        lock.withLock { _ in unsafe pqvpn_openssl_aead_open(opening, nonce, ad, adLength, data, length) == 1 }
    }
}
