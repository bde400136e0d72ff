// SPDX-License-Identifier: Apache-2.0
// A key schedule of BoringSSL in secret memory: locked, left out of core dumps, wiped. It knows no packet format.

internal import CPacketAEAD

/// One AEAD key with its expanded schedule. Any number of threads may seal and open with it at once.
struct AEADContext: ~Copyable {
    private let state: Secret

    /// Traps unless the key is 32 bytes.
    init(_ cipher: PacketCipher, key: borrowing Secret) {
        precondition(key.count == PacketCipher.keySize, "AEAD key size")
        state = Secret(
            count: Int(PQVPN_AEAD_CONTEXT),
            writingOctets: { context in
                // SAFETY: the block has the size that the header names and is 32-aligned; the key is 32 bytes long.
                let done = key.withOctets { unsafe pqvpn_aead_init(context, Int32(cipher.rawValue), $0) }
                // Only an unknown cipher or a wrong size can fail, and neither can be here.
                precondition(done == 1, "AEAD key set-up failed")
            })
    }

    deinit {
        // SAFETY: nobody else can hold a borrow any more; the bytes are wiped by the secret afterwards.
        state.withOctets { unsafe pqvpn_aead_cleanup(UnsafeMutableRawPointer(mutating: $0)) }
    }

    /// In place; 16 bytes of room for the tag follow `length`.
    @inline(__always)
    borrowing func seal(
        _ nonce: UnsafePointer<UInt8>, _ ad: UnsafePointer<UInt8>, _ adLength: Int, _ data: UnsafeMutablePointer<UInt8>,
        _ length: Int
    ) -> Bool {
        // SAFETY: the caller's buffers are as long as it says.
        state.withOctets { unsafe pqvpn_aead_seal($0, nonce, ad, adLength, data, length) == 1 }
    }

    /// In place; `length` counts the tag. On failure the plaintext area is zeroed.
    @inline(__always)
    borrowing func open(
        _ nonce: UnsafePointer<UInt8>, _ ad: UnsafePointer<UInt8>, _ adLength: Int, _ data: UnsafeMutablePointer<UInt8>,
        _ length: Int
    ) -> Bool {
        // SAFETY: the caller's buffers are as long as it says.
        state.withOctets { unsafe pqvpn_aead_open($0, nonce, ad, adLength, data, length) == 1 }
    }
}
