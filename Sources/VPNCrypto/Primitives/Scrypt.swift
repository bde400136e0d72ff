// SPDX-License-Identifier: Apache-2.0
// scrypt (RFC 7914) from libcrypto: keys from passphrases, for files only. No handshake comes near it.

internal import CLibcrypto

/// How dear a guess at a passphrase is.
public struct ScryptParameters: Hashable, Sendable {
    /// A power of two; 128 · n · r bytes are needed.
    public let n: Int
    public let r: Int
    public let p: Int

    /// 128 MiB and about a third of a second: what a person who starts a node hardly notices.
    public static let standard = ScryptParameters(unchecked: 1 << 17, 8, 1)
    /// RFC 7914 §2 allows far more; a file that asks for more than this wants this process to choke.
    public static let maximumMemory = 1 << 30
    /// Of n · r · p: some five seconds.
    private static let maximumWork = 1 << 24

    /// Nil for what is no set of parameters, is weaker than anybody would choose, or would take more than 1 GiB or some
    /// seconds. Nothing is allocated.
    public init?(n: Int, r: Int, p: Int) {
        guard (1 << 10...1 << 20).contains(n), n & (n - 1) == 0, (1...32).contains(r), (1...16).contains(p),
            128 * n * r <= Self.maximumMemory, n * r * p <= Self.maximumWork
        else { return nil }
        self.init(unchecked: n, r, p)
    }

    private init(unchecked n: Int, _ r: Int, _ p: Int) { (self.n, self.r, self.p) = (n, r, p) }
}

public enum Scrypt {
    /// In bytes.
    public static let saltSize = 16
    public static let keySize = 32

    /// A key of 32 bytes. libcrypto clears its working memory, which is neither locked nor ours. Throws where there is not
    /// enough of it.
    public static func deriveKey(
        passphrase: borrowing Secret, salt: [UInt8], parameters: ScryptParameters
    ) throws -> Secret {
        _ = Libcrypto.isReady
        return try Secret(
            count: keySize,
            writingOctets: { key in
                let status = passphrase.withBytes { bytes in
                    // SAFETY: passphrase and salt are as long as is said, and `key` has room for 32 bytes.
                    unsafe EVP_PBE_scrypt(
                        bytes.baseAddress!.assumingMemoryBound(to: CChar.self), bytes.count, salt, salt.count,
                        UInt64(parameters.n), UInt64(parameters.r), UInt64(parameters.p),
                        UInt64(ScryptParameters.maximumMemory) * 2, key, keySize)
                }
                guard status == 1 else { throw CryptographyFailure("scrypt") }
            })
    }
}
