// SPDX-License-Identifier: Apache-2.0
// The kernel's random generator. Not a generator of our own, and without a fallback.

internal import CLibcrypto
internal import Glibc

enum SystemRandom {
    /// Fills the buffer from `getrandom`. Traps if the kernel refuses.
    static func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        var done = 0
        while done < buffer.count {
            // SAFETY: `done` is below the count, and at most the rest is written.
            let got = unsafe getrandom(buffer.baseAddress! + done, buffer.count - done, 0)
            if got > 0 {
                done += got
            } else if errno != EINTR {
                fatalError("the kernel gave no random bytes: errno \(errno)")
            }
        }
    }

    /// `count` public random bytes.
    static func bytes(_ count: Int) -> [UInt8] {
        // SAFETY: all `count` bytes are written before they are declared initialised.
        unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            unsafe fill(UnsafeMutableRawBufferPointer(buffer))
            initialized = count
        }
    }
}
