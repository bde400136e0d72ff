// SPDX-License-Identifier: Apache-2.0
// The type of every secret byte in the project. Not copyable, not printable, without `==`: what the compiler refuses need
// not be reviewed.

internal import CLibcrypto
internal import Glibc

/// Secret bytes in locked memory, wiped when the value dies.
///
/// A `Secret` cannot be copied silently, printed, reflected or compared with `==`. The bytes are reached through
/// ``withBytes(_:)`` only; whoever copies them out of the closure owns the copy and its wiping. Empty secrets exist: the
/// absent pre-shared key of §6 is one.
@safe
public struct Secret: ~Copyable, @unchecked Sendable {
    // Sendable because nothing can change the bytes once the initialiser has returned, and the owner is unique.
    private let base: UnsafeMutableRawPointer
    /// In bytes.
    public let count: Int

    /// `count` bytes from the kernel's generator. Traps if the kernel refuses, since no answer but random bytes is safe.
    public init(random count: Int) {
        self.init(count: count) { unsafe SystemRandom.fill($0) }
    }

    /// A copy. The array that was given remains the caller's to forget.
    public init(copying bytes: [UInt8]) {
        self.init(count: bytes.count) { unsafe $0.copyBytes(from: bytes) }
    }

    /// `count` bytes, zeroed, then written by the closure. If it throws, they are wiped.
    @safe
    public init(count: Int, initializing body: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        precondition(count >= 0, "a secret of negative size")
        let block = unsafe SecretMemory.shared.allocate(count)
        do {
            // SAFETY: the block holds at least `count` bytes and is nobody else's.
            try unsafe body(UnsafeMutableRawBufferPointer(start: block, count: count))
        } catch {
            unsafe SecretMemory.shared.release(block, count: count)
            throw error
        }
        unsafe self.base = block
        self.count = count
    }

    deinit {
        unsafe SecretMemory.shared.release(base, count: count)
    }

    /// Lends the bytes. The pointer is dead when the closure returns.
    @safe
    public borrowing func withBytes<R: ~Copyable>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        // SAFETY: the block lives as long as self, which this call borrows.
        try unsafe body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// The same for C functions that want octets.
    @safe
    borrowing func withOctets<R: ~Copyable>(_ body: (UnsafePointer<UInt8>) throws -> R) rethrows -> R {
        // SAFETY: raw memory of ours, never bound to another type than bytes.
        try unsafe body(UnsafePointer(base.assumingMemoryBound(to: UInt8.self)))
    }

    /// `count` bytes, written by a C function.
    @safe
    init(count: Int, writingOctets body: (UnsafeMutablePointer<UInt8>) throws -> Void) rethrows {
        // SAFETY: an empty secret has a block too, so that there is a base address always.
        try self.init(count: count) { try unsafe body($0.baseAddress!.assumingMemoryBound(to: UInt8.self)) }
    }

    /// A second secret of the same bytes.
    public borrowing func copy() -> Secret { slice(0..<count) }

    /// A second secret of some of the bytes. Traps if the range is not inside.
    public borrowing func slice(_ range: Range<Int>) -> Secret {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "slice outside the secret")
        return Secret(count: range.count) { target in
            withBytes { unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
        }
    }

    /// In constant time, save for the length, which is no secret.
    public borrowing func isEqual(to other: borrowing Secret) -> Bool {
        guard count == other.count else { return false }
        return withBytes { own in
            // SAFETY: both pointers are valid for `count` bytes.
            other.withBytes { unsafe CRYPTO_memcmp(own.baseAddress!, $0.baseAddress!, own.count) == 0 }
        }
    }

    /// For ``SecretBuffer``, which owns the secret alone while it fills it.
    mutating func overwrite(at offset: Int, with bytes: UnsafeRawBufferPointer) {
        precondition(offset >= 0 && bytes.count <= count - offset, "write outside the secret")
        // SAFETY: the target range is inside the block, as checked above.
        unsafe UnsafeMutableRawBufferPointer(start: base + offset, count: bytes.count).copyMemory(from: bytes)
    }

    /// The bytes as an ordinary array, outside locked memory and never wiped: for key files, and for tests.
    public borrowing func exposedCopy() -> [UInt8] {
        withBytes { unsafe [UInt8]($0) }
    }

    /// Whether all secret memory of this process could be locked (`RLIMIT_MEMLOCK`). If not, secrets are still wiped and
    /// still left out of core dumps, but could be written to swap. Locks do not survive `fork`: daemonise before the first
    /// secret.
    public static var isMemoryLocked: Bool { SecretMemory.shared.isLocked }
}
