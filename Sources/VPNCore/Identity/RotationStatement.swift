// SPDX-License-Identifier: Apache-2.0
// "This identity goes on as that one" (§2): signed by the old keys and by the new. Whether it applies to a pin is not decided
// here.
public import VPNCrypto

/// Why bytes are no statement.
public enum StatementError: Error, Equatable, Sendable {
    case malformed(String)
    case key(KeyError)
    /// The new identity's descriptor.
    case descriptor(DescriptorError)
    /// Of the new identity, or of the one that revokes itself.
    case signature(SignatureFailure)
}

/// A rotation whose new identity has signed; the old one's signature waits for keys that somebody believes.
///
/// Layout: ver 1 ‖ kind 1 (1) ‖ reserved 2 ‖ serial 8 ‖ old peer_id 32 ‖ u32 length ‖ descriptor of the new identity ‖
/// signatures of the old 4691 ‖ of the new 4691, with the roles "rotation-from" and "rotation-to" over H(all before them).
public struct RotationStatement: Sendable, Equatable {
    /// Grows with each rotation of one node: Unix seconds, or one more than the last.
    public let serial: UInt64
    public let oldID: PeerID
    /// Of the new identity; its signatures hold.
    public let descriptor: Descriptor
    /// The exact bytes, signatures included.
    public let encoded: [UInt8]

    public var newID: PeerID { descriptor.keys.peerID }

    private static let head = 48
    private static let signatureSize = DualSignature.size
    /// Descriptors are below 10 KB.
    private static let maximumDescriptor = 16 << 10

    /// `descriptor` is the new signer's own.
    public static func make(
        old: any IdentitySigner, new: any IdentitySigner, descriptor: Descriptor, serial: UInt64
    ) throws -> RotationStatement {
        precondition(descriptor.keys == new.publicKeys, "a descriptor of somebody else")
        var bytes: [UInt8] = [1, 1, 0, 0]
        bytes.append(bigEndian: serial)
        bytes += old.publicKeys.peerID.bytes
        bytes.append(bigEndian: UInt32(descriptor.encoded.count))
        bytes += descriptor.encoded
        let hash = Hash.sha512(bytes)
        bytes += try old.sign(hash, role: .rotationFrom)
        bytes += try new.sign(hash, role: .rotationTo)
        return RotationStatement(
            serial: serial, oldID: old.publicKeys.peerID, descriptor: descriptor, encoded: bytes)
    }

    private init(serial: UInt64, oldID: PeerID, descriptor: Descriptor, encoded: [UInt8]) {
        self.serial = serial
        self.oldID = oldID
        self.descriptor = descriptor
        self.encoded = encoded
    }

    /// Decodes, and checks all that the new identity signed. About 1.2 ms.
    public init(decoding bytes: [UInt8], using cryptography: any HandshakeCryptography) throws(StatementError) {
        guard bytes.count > Self.head + 2 * Self.signatureSize else { throw .malformed("too short") }
        guard bytes[0] == 1 else { throw .malformed("version \(bytes[0]), expected 1") }
        guard bytes[1] == 1 else { throw .malformed("not a rotation") }
        guard bytes[2] == 0, bytes[3] == 0 else { throw .malformed("reserved bits are set") }
        let size = Int(bytes.u32(at: 44))
        guard size <= Self.maximumDescriptor, bytes.count == Self.head + size + 2 * Self.signatureSize else {
            throw .malformed("its length does not fit its descriptor")
        }
        guard let oldID = PeerID(bytes: bytes.bytes(at: 12, count: 32)) else { throw .malformed("no peer_id") }
        let descriptor: Descriptor
        do throws(DescriptorError) {
            descriptor = try Descriptor(decoding: bytes.bytes(at: Self.head, count: size), using: cryptography)
        } catch { throw .descriptor(error) }
        self.init(serial: bytes.u64(at: 4), oldID: oldID, descriptor: descriptor, encoded: bytes)
        guard newID != oldID else { throw .malformed("the new identity is the old one") }
        do throws(SignatureFailure) {
            try cryptography.verify(
                Array(bytes.suffix(Self.signatureSize)), of: hash, role: .rotationTo, by: descriptor.keys)
        } catch { throw .signature(error) }
    }

    private var hash: [UInt8] { Hash.sha512(Array(encoded.dropLast(2 * Self.signatureSize))) }

    /// Returns only if these keys are those of the old identity and signed this.
    public func verify(
        oldKeys: IdentityPublicKeys, using cryptography: any HandshakeCryptography
    ) throws(StatementError) {
        guard oldKeys.peerID == oldID else { throw .malformed("signed by another identity") }
        let signatures = Array(encoded.suffix(2 * Self.signatureSize).prefix(Self.signatureSize))
        do throws(SignatureFailure) {
            try cryptography.verify(signatures, of: hash, role: .rotationFrom, by: oldKeys)
        } catch { throw .signature(error) }
    }
}
