// SPDX-License-Identifier: Apache-2.0
// Comparison of MACs. For secrets see `Secret.isEqual(to:)`.

internal import CLibcrypto

/// Whether two byte strings are equal, in a time that depends on their lengths only.
public func constantTimeEquals(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    guard a.count == b.count else { return false }
    if a.isEmpty { return true }
    // SAFETY: both arrays hold `a.count` bytes, which is not zero.
    return unsafe CRYPTO_memcmp(a, b, a.count) == 0
}
