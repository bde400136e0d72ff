// SPDX-License-Identifier: Apache-2.0
// A node's signed public description of itself (§2): the four keys, when they are good, and what people call it.
public import VPNCrypto

/// Why bytes are not a descriptor.
public enum DescriptorError: Error, Equatable, Sendable {
    /// Not the layout of §2, a length that is off, or bytes after the end.
    case malformed(String)
    case key(KeyError)
    case signature(SignatureFailure)
}

/// What a node says that it does for others: bits of a descriptor (§2).
public struct DescriptorRoles: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let relay = DescriptorRoles(rawValue: 1)
    public static let exit = DescriptorRoles(rawValue: 2)
}

/// A decoded descriptor whose signatures hold.
///
/// Layout: ver 1 ‖ flags 1 ‖ roles 1 ‖ capacity 1 ‖ not_before 8 ‖ not_after 8 ‖ serial 8 ‖ B 129 ‖ e 32 ‖ d 2592 ‖
/// k 1568 ‖ nickname ‖ operator ‖ family (each u8 length ‖ UTF-8) ‖ u8 count ‖ addresses (each u8 length ‖ UTF-8) ‖
/// Ed25519 64 ‖ ML-DSA-87 4627, the signatures with role "descriptor" over H(all before them).
public struct Descriptor: Sendable, Equatable {
    /// Unix seconds; told to people, not enforced by the handshake, which trusts no clock.
    public let notBefore: UInt64
    public let notAfter: UInt64
    /// Grows with each descriptor of one identity.
    public let serial: UInt64
    /// Bit 0: relay, bit 1: exit.
    public let roles: UInt8
    /// What it says that it can carry (`RelayCapacity`); 0 = not said.
    public let capacity: UInt8
    public let keys: IdentityPublicKeys
    public let nickname: String
    public let operatorName: String
    public let family: String
    public let addresses: [String]
    /// The exact bytes, signatures included.
    public let encoded: [UInt8]

    public static let maximumAddresses = DescriptorLayout.mostAddresses
    /// UTF-8 bytes of any one string.
    public static let maximumText = DescriptorLayout.longestText
    /// Bytes of the longest.
    public static let maximumSize = DescriptorLayout.largest

    /// Signs a description of the signer's own identity. Texts are cut to 63 bytes of UTF-8, addresses to eight.
    public static func make(
        signer: any IdentitySigner, nickname: String, operatorName: String = "", family: String = "",
        addresses: [String] = [], roles: UInt8 = 0, capacity: UInt8 = 0, notBefore: UInt64, notAfter: UInt64,
        serial: UInt64
    ) throws -> Descriptor {
        let names = [nickname, operatorName, family].map(DescriptorLayout.cut)
        let listed = addresses.prefix(maximumAddresses).map(DescriptorLayout.cut)
        var bytes = DescriptorLayout.encoded(
            roles: roles, capacity: capacity, notBefore: notBefore, notAfter: notAfter, serial: serial,
            keys: signer.publicKeys.encoded, names: names, addresses: listed)
        bytes += try signer.sign(Hash.sha512(bytes), role: .descriptor)
        return Descriptor(try DescriptorLayout(bytes), keys: signer.publicKeys, encoded: bytes)
    }

    private init(_ layout: DescriptorLayout, keys: IdentityPublicKeys, encoded: [UInt8]) {
        notBefore = layout.notBefore
        notAfter = layout.notAfter
        serial = layout.serial
        roles = layout.roles
        capacity = layout.capacity
        self.keys = keys
        nickname = layout.names[0]
        operatorName = layout.names[1]
        family = layout.names[2]
        addresses = layout.addresses
        self.encoded = encoded
    }

    /// Decodes, then checks the keys, then both signatures. About 0.6 ms.
    public init(decoding bytes: [UInt8], using cryptography: any HandshakeCryptography) throws(DescriptorError) {
        let layout: DescriptorLayout
        do { layout = try DescriptorLayout(bytes) } catch { throw .malformed(error.reason) }
        let keys: IdentityPublicKeys
        do { keys = try cryptography.parsePublicKeys(Array(bytes[DescriptorLayout.keys])) } catch { throw .key(error) }
        do {
            try cryptography.verify(
                Array(bytes[layout.signedCount...]), of: Hash.sha512(Array(bytes[..<layout.signedCount])),
                role: .descriptor, by: keys)
        } catch { throw .signature(error) }
        self.init(layout, keys: keys, encoded: bytes)
    }
}
