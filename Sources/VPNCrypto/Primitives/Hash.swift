// SPDX-License-Identifier: Apache-2.0
// Hashes and MACs over several parts. SHA-512 everywhere except in cookies and what surrounds them, which use SHA-256.

internal import Crypto

/// SHA-512, SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104) over the concatenation of parts.
public enum Hash {
    /// 64 bytes.
    public static func sha512(_ parts: [UInt8]...) -> [UInt8] { sha512(parts) }

    /// 64 bytes.
    public static func sha512(_ parts: [[UInt8]]) -> [UInt8] { digest(SHA512(), parts) }

    /// 32 bytes.
    public static func sha256(_ parts: [UInt8]...) -> [UInt8] { sha256(parts) }

    /// 32 bytes.
    public static func sha256(_ parts: [[UInt8]]) -> [UInt8] { digest(SHA256(), parts) }

    /// 32 bytes.
    public static func hmacSHA256(key: [UInt8], _ parts: [UInt8]...) -> [UInt8] {
        hmacSHA256(SymmetricKey(data: key), parts)
    }

    /// 32 bytes.
    public static func hmacSHA256(key: borrowing Secret, _ parts: [UInt8]...) -> [UInt8] {
        hmacSHA256(key.symmetricKey, parts)
    }

    private static func hmacSHA256(_ key: SymmetricKey, _ parts: [[UInt8]]) -> [UInt8] {
        var mac = HMAC<SHA256>(key: key)
        for part in parts { mac.update(data: part) }
        return [UInt8](mac.finalize())
    }

    private static func digest<Function: HashFunction>(_ empty: Function, _ parts: [[UInt8]]) -> [UInt8] {
        var hasher = empty
        for part in parts { hasher.update(data: part) }
        return [UInt8](hasher.finalize())
    }
}
