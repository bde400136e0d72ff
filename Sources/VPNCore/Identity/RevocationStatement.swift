// SPDX-License-Identifier: Apache-2.0
// "Believe these keys no more" (§2), signed by the very keys: whoever holds them may say so, a thief too, and nobody else.
public import VPNCrypto

/// A revocation whose signatures hold.
///
/// Layout: ver 1 ‖ kind 1 (2) ‖ reserved 2 ‖ serial 8 ‖ B ‖ e ‖ d ‖ k ‖ signatures 4691, with the role "revocation" over
/// H(all before them).
public struct RevocationStatement: Sendable, Equatable {
    /// Unix seconds at which it was made; told to people, decides nothing.
    public let serial: UInt64
    public let keys: IdentityPublicKeys
    /// The exact bytes, signatures included.
    public let encoded: [UInt8]

    public var peerID: PeerID { keys.peerID }

    private static let head = 12
    /// In bytes.
    public static let size = head + IdentityPublicKeys.encodedSize + DualSignature.size

    public static func make(signer: any IdentitySigner, serial: UInt64) throws -> RevocationStatement {
        var bytes: [UInt8] = [1, 2, 0, 0]
        bytes.append(bigEndian: serial)
        bytes += signer.publicKeys.encoded
        bytes += try signer.sign(Hash.sha512(bytes), role: .revocation)
        return RevocationStatement(serial: serial, keys: signer.publicKeys, encoded: bytes)
    }

    private init(serial: UInt64, keys: IdentityPublicKeys, encoded: [UInt8]) {
        self.serial = serial
        self.keys = keys
        self.encoded = encoded
    }

    /// Decodes, and checks keys and signatures. About 0.6 ms.
    public init(decoding bytes: [UInt8], using cryptography: any HandshakeCryptography) throws(StatementError) {
        guard bytes.count == Self.size else { throw .malformed("\(bytes.count) bytes, expected \(Self.size)") }
        guard bytes[0] == 1 else { throw .malformed("version \(bytes[0]), expected 1") }
        guard bytes[1] == 2 else { throw .malformed("not a revocation") }
        guard bytes[2] == 0, bytes[3] == 0 else { throw .malformed("reserved bits are set") }
        let keys: IdentityPublicKeys
        do throws(KeyError) {
            keys = try cryptography.parsePublicKeys(bytes.bytes(at: Self.head, count: IdentityPublicKeys.encodedSize))
        } catch { throw .key(error) }
        let end = bytes.count - DualSignature.size
        do throws(SignatureFailure) {
            try cryptography.verify(
                Array(bytes[end...]), of: Hash.sha512(Array(bytes[..<end])), role: .revocation, by: keys)
        } catch { throw .signature(error) }
        self.init(serial: bytes.u64(at: 4), keys: keys, encoded: bytes)
    }
}
