// SPDX-License-Identifier: Apache-2.0
// The key of one direction of a session, applied in place to datagrams. The key schedule is kept; nothing is allocated per
// packet. Not a counter and not a replay window: the caller brings a counter that it never uses twice.

/// Key and iv of one direction. A datagram is header 16 ‖ plaintext ‖ 16 bytes of room for the tag (§7).
///
/// Any number of threads may seal and open with one key at once. With `.openSSL` they take turns.
public struct PacketKey: ~Copyable, Sendable {
    /// Who does the work. Both give identical bytes.
    public enum Backend: Sendable, CaseIterable {
        /// The BoringSSL inside swift-crypto: 350 ns for 1,400 bytes.
        case boringSSL
        /// libcrypto, the tested fallback: 720 ns.
        case openSSL
    }

    /// The outer header, which is authenticated and not encrypted, in bytes (§3).
    public static let headerSize = 16
    /// What sealing adds to header and plaintext, in bytes.
    public static let overhead = PacketCipher.tagSize

    // BoringSSL documents seal and open as safe to call concurrently; the other context has a lock.
    // Not private: other modules refer to its metadata where they destroy a key, and an optimised build without testability
    // would not export it.
    enum Context: ~Copyable, Sendable {
        case boringSSL(AEADContext)
        case openSSL(OpenSSLPacketContext)
    }

    private let context: Context
    private let iv: Secret

    /// A key of 32 bytes and an iv of 12; traps for other sizes, since both are slices of M (§6).
    public init(
        _ cipher: PacketCipher, key: borrowing Secret, iv: borrowing Secret, backend: Backend = .boringSSL
    ) {
        precondition(key.count == PacketCipher.keySize && iv.count == PacketCipher.nonceSize, "packet key sizes")
        self.iv = iv.copy()
        switch backend {
        case .boringSSL: context = .boringSSL(AEADContext(cipher, key: key))
        case .openSSL: context = .openSSL(OpenSSLPacketContext(cipher, key: key))
        }
    }

    /// Seals in place: bytes 16 ..< count - 16 of `buffer[range]` are the plaintext, its first 16 are authenticated, its last
    /// 16 receive the tag. The nonce is iv XOR (0³² ‖ counter); **a counter must never be used twice**. Traps if the range
    /// is outside the buffer or shorter than 32 bytes.
    public borrowing func seal(_ buffer: inout MutableSpan<UInt8>, range: Range<Int>, counter: UInt64) {
        precondition(range.count >= Self.headerSize + Self.overhead, "no room for header and tag")
        let sealed = unsafe apply(&buffer, range, counter) { datagram, nonce in
            let body = unsafe datagram + Self.headerSize
            let length = range.count - Self.headerSize - Self.overhead
            return switch context {
            case .boringSSL(let context): unsafe context.seal(nonce, datagram, Self.headerSize, body, length)
            case .openSSL(let context): unsafe context.seal(nonce, datagram, Self.headerSize, body, length)
            }
        }
        // A failure here would be a datagram in the clear: there is nothing to go on with.
        precondition(sealed, "sealing failed")
    }

    /// Opens `buffer[range]` in place. False if it is not authentic or shorter than 32 bytes: then its contents must not be
    /// used. Traps if the range is outside the buffer.
    public borrowing func open(_ buffer: inout MutableSpan<UInt8>, range: Range<Int>, counter: UInt64) -> Bool {
        guard range.count >= Self.headerSize + Self.overhead else { return false }
        return unsafe apply(&buffer, range, counter) { datagram, nonce in
            let body = unsafe datagram + Self.headerSize
            let length = range.count - Self.headerSize
            return switch context {
            case .boringSSL(let context): unsafe context.open(nonce, datagram, Self.headerSize, body, length)
            case .openSSL(let context): unsafe context.open(nonce, datagram, Self.headerSize, body, length)
            }
        }
    }

    @inline(__always)
    private borrowing func apply(
        _ buffer: inout MutableSpan<UInt8>, _ range: Range<Int>, _ counter: UInt64,
        _ body: (UnsafeMutablePointer<UInt8>, UnsafePointer<UInt8>) -> Bool
    ) -> Bool {
        precondition(range.lowerBound >= 0 && range.upperBound <= buffer.count, "range outside the buffer")
        return unsafe withNonce(counter) { nonce in
            // SAFETY: the range was checked against the buffer; `body` stays inside it.
            unsafe buffer.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress! + range.lowerBound, nonce) }
        }
    }

    /// §7: iv XOR (0³² ‖ counter), on the stack.
    @inline(__always)
    private borrowing func withNonce(_ counter: UInt64, _ body: (UnsafePointer<UInt8>) -> Bool) -> Bool {
        iv.withBytes { iv in
            // SAFETY: the iv is 12 bytes long, and so is the tuple.
            let head = unsafe iv.loadUnaligned(fromByteOffset: 0, as: UInt32.self)
            let tail = unsafe iv.loadUnaligned(fromByteOffset: 4, as: UInt64.self) ^ counter.bigEndian
            var nonce: (UInt32, UInt32, UInt32) = (
                head, UInt32(truncatingIfNeeded: tail), UInt32(truncatingIfNeeded: tail >> 32)
            )
            return unsafe withUnsafeBytes(of: &nonce) {
                unsafe body($0.assumingMemoryBound(to: UInt8.self).baseAddress!)
            }
        }
    }
}
