// SPDX-License-Identifier: Apache-2.0
// BoringSSL's deterministic entry points, which only tests may reach: with them the vectors of encapsulation and signing can
// be compared byte for byte. The product calls the same code with fresh randomness and has no way to these.

@testable import VPNCrypto

// The Swift and the C calling convention agree for pointers and sizes on the platforms that we build for.
@_silgen_name("CCryptoBoringSSL_MLKEM1024_parse_public_key")
private func mlkemParsePublic(_ key: UnsafeMutableRawPointer, _ input: UnsafeMutableRawPointer) -> Int32
@_silgen_name("CCryptoBoringSSL_BCM_mlkem1024_encap_external_entropy")
private func mlkemEncapsulate(
    _ ciphertext: UnsafeMutablePointer<UInt8>, _ secret: UnsafeMutablePointer<UInt8>, _ key: UnsafeRawPointer,
    _ entropy: UnsafePointer<UInt8>
) -> Int32
@_silgen_name("CCryptoBoringSSL_BCM_mlkem1024_parse_private_key")
private func mlkemParsePrivate(_ key: UnsafeMutableRawPointer, _ input: UnsafeMutableRawPointer) -> Int32
@_silgen_name("CCryptoBoringSSL_MLKEM1024_decap")
private func mlkemDecapsulate(
    _ secret: UnsafeMutablePointer<UInt8>, _ ciphertext: UnsafePointer<UInt8>, _ length: Int, _ key: UnsafeRawPointer
) -> Int32
@_silgen_name("CCryptoBoringSSL_BCM_mldsa87_parse_private_key")
private func mldsaParsePrivate(_ key: UnsafeMutableRawPointer, _ input: UnsafeMutableRawPointer) -> Int32
@_silgen_name("CCryptoBoringSSL_BCM_mldsa87_parse_public_key")
private func mldsaParsePublic(_ key: UnsafeMutableRawPointer, _ input: UnsafeMutableRawPointer) -> Int32
@_silgen_name("CCryptoBoringSSL_BCM_mldsa87_sign_internal")
private func mldsaSign(
    _ signature: UnsafeMutablePointer<UInt8>, _ key: UnsafeRawPointer, _ message: UnsafePointer<UInt8>,
    _ messageCount: Int, _ prefix: UnsafePointer<UInt8>, _ prefixCount: Int, _ context: UnsafePointer<UInt8>,
    _ contextCount: Int, _ randomizer: UnsafePointer<UInt8>
) -> Int32
@_silgen_name("CCryptoBoringSSL_BCM_mldsa87_verify_internal")
private func mldsaVerify(
    _ key: UnsafeRawPointer, _ signature: UnsafePointer<UInt8>, _ message: UnsafePointer<UInt8>, _ messageCount: Int,
    _ prefix: UnsafePointer<UInt8>, _ prefixCount: Int, _ context: UnsafePointer<UInt8>, _ contextCount: Int
) -> Int32

/// BCM's "approved" and "not approved by FIPS" are both success; only 2 is failure.
private let failure: Int32 = 2

enum DeterministicBoringSSL {
    /// Nil if the key is refused.
    static func encapsulate(to key: [UInt8], entropy: [UInt8]) -> (ciphertext: [UInt8], secret: [UInt8])? {
        var parsed = [UInt64](repeating: 0, count: 10_304 / 8 + 1)
        var ciphertext = [UInt8](repeating: 0, count: 1568)
        var secret = [UInt8](repeating: 0, count: 32)
        guard withByteString(key, { unsafe mlkemParsePublic(&parsed, $0) == 1 }) else { return nil }
        _ = unsafe mlkemEncapsulate(&ciphertext, &secret, parsed, entropy)
        return (ciphertext, secret)
    }

    /// With an expanded key, which the product never reads. Nil if key or ciphertext are refused.
    static func decapsulate(_ ciphertext: [UInt8], expandedKey: [UInt8]) -> [UInt8]? {
        var key = [UInt64](repeating: 0, count: 12_384 / 8 + 1)
        var secret = [UInt8](repeating: 0, count: 32)
        guard withByteString(expandedKey, { unsafe mlkemParsePrivate(&key, $0) != failure }),
            unsafe mlkemDecapsulate(&secret, ciphertext, ciphertext.count, key) == 1
        else { return nil }
        return secret
    }

    /// With the key that `MLDSA.expand` makes.
    static func sign(_ message: [UInt8], prefix: [UInt8], context: [UInt8], randomizer: [UInt8], key: borrowing Secret)
        -> [UInt8]?
    {
        var signature = [UInt8](repeating: 0, count: 4627)
        let status = key.withOctets {
            unsafe mldsaSign(
                &signature, $0, message, message.count, prefix, prefix.count, context, context.count, randomizer)
        }
        return status == failure ? nil : signature
    }

    /// The private key in BoringSSL's form from the standard's expanded encoding; nil if it is refused.
    static func parsePrivateKey(_ encoded: [UInt8]) -> [UInt8]? {
        var key = [UInt8](repeating: 0, count: 23_680)
        return withByteString(encoded, { unsafe mldsaParsePrivate(&key, $0) != failure }) ? key : nil
    }

    /// The internal interface of FIPS 204: no context, no prefix.
    static func verifyInternal(_ signature: [UInt8], of message: [UInt8], by encoded: [UInt8]) -> Bool {
        var key = [UInt64](repeating: 0, count: 8_288 / 8 + 1)
        guard signature.count == 4627, withByteString(encoded, { unsafe mldsaParsePublic(&key, $0) != failure }) else {
            return false
        }
        return unsafe mldsaVerify(key, signature, message, message.count, [], 0, [], 0) != failure
    }

    /// Lends a CBS over the bytes; true if the body holds and nothing was left unread.
    @safe
    private static func withByteString(_ bytes: [UInt8], _ body: (UnsafeMutableRawPointer) -> Bool) -> Bool {
        unsafe bytes.withUnsafeBytes { buffer in
            var string = (buffer.baseAddress, buffer.count)
            let held = unsafe withUnsafeMutableBytes(of: &string) { unsafe body($0.baseAddress!) }
            return unsafe held && string.1 == 0
        }
    }
}
