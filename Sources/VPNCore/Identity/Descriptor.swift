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

/// A decoded descriptor whose signatures hold.
///
/// Layout: ver 1 ‖ flags 1 ‖ roles 1 ‖ reserved 1 ‖ not_before 8 ‖ not_after 8 ‖ serial 8 ‖ B 129 ‖ e 32 ‖ d 2592 ‖
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
    public let keys: IdentityPublicKeys
    public let nickname: String
    public let operatorName: String
    public let family: String
    public let addresses: [String]
    /// The exact bytes, signatures included.
    public let encoded: [UInt8]

    public static let maximumAddresses = 8
    /// UTF-8 bytes of any one string.
    public static let maximumText = 63
    private static let signatureSize = 4691

    /// Signs a description of the signer's own identity. Texts are cut to 63 bytes of UTF-8, addresses to eight.
    public static func make(
        signer: any IdentitySigner, nickname: String, operatorName: String = "", family: String = "",
        addresses: [String] = [], roles: UInt8 = 0, notBefore: UInt64, notAfter: UInt64, serial: UInt64
    ) throws -> Descriptor {
        var bytes: [UInt8] = [1, 0, roles, 0]
        bytes.append(bigEndian: notBefore)
        bytes.append(bigEndian: notAfter)
        bytes.append(bigEndian: serial)
        bytes += signer.publicKeys.encoded
        let listed = addresses.prefix(maximumAddresses).map(cut)
        for text in [cut(nickname), cut(operatorName), cut(family)] { append(text, to: &bytes) }
        bytes.append(UInt8(listed.count))
        for text in listed { append(text, to: &bytes) }
        bytes += try signer.sign(Hash.sha512(bytes), role: .descriptor)
        return Descriptor(
            notBefore: notBefore, notAfter: notAfter, serial: serial, roles: roles, keys: signer.publicKeys,
            nickname: cut(nickname), operatorName: cut(operatorName), family: cut(family), addresses: listed,
            encoded: bytes)
    }

    private init(
        notBefore: UInt64, notAfter: UInt64, serial: UInt64, roles: UInt8, keys: IdentityPublicKeys, nickname: String,
        operatorName: String, family: String, addresses: [String], encoded: [UInt8]
    ) {
        self.notBefore = notBefore
        self.notAfter = notAfter
        self.serial = serial
        self.roles = roles
        self.keys = keys
        self.nickname = nickname
        self.operatorName = operatorName
        self.family = family
        self.addresses = addresses
        self.encoded = encoded
    }

    /// Decodes, then checks the keys, then both signatures. About 0.6 ms.
    public init(decoding bytes: [UInt8], using cryptography: any HandshakeCryptography) throws(DescriptorError) {
        let fixed = 28 + IdentityPublicKeys.encodedSize
        guard bytes.count >= fixed + 4 + Self.signatureSize else { throw .malformed("too short") }
        guard bytes[0] == 1 else { throw .malformed("version \(bytes[0]), expected 1") }
        guard bytes[1] == 0, bytes[3] == 0 else { throw .malformed("reserved bits are set") }
        var texts: [String] = []
        var offset = fixed
        let end = bytes.count - Self.signatureSize
        func text() throws(DescriptorError) -> String {
            guard offset < end, Int(bytes[offset]) <= Self.maximumText, offset + 1 + Int(bytes[offset]) <= end else {
                throw .malformed("a text runs past the end")
            }
            let raw = bytes[(offset + 1)..<(offset + 1 + Int(bytes[offset]))]
            offset += 1 + raw.count
            guard let value = String(validating: raw, as: UTF8.self), !value.unicodeScalars.contains(where: \.isControl)
            else { throw .malformed("a text is not printable UTF-8") }
            return value
        }
        for _ in 0..<3 { texts.append(try text()) }
        guard offset < end, Int(bytes[offset]) <= Self.maximumAddresses else { throw .malformed("too many addresses") }
        let count = Int(bytes[offset])
        offset += 1
        for _ in 0..<count { texts.append(try text()) }
        guard offset == end else { throw .malformed("bytes after the last address") }
        let keys: IdentityPublicKeys
        do {
            keys = try cryptography.parsePublicKeys(bytes.bytes(at: 28, count: IdentityPublicKeys.encodedSize))
        } catch { throw .key(error) }
        do {
            try cryptography.verify(
                Array(bytes[end...]), of: Hash.sha512(Array(bytes[..<end])), role: .descriptor, by: keys)
        } catch { throw .signature(error) }
        self.init(
            notBefore: bytes.u64(at: 4), notAfter: bytes.u64(at: 12), serial: bytes.u64(at: 20), roles: bytes[2],
            keys: keys, nickname: texts[0], operatorName: texts[1], family: texts[2], addresses: Array(texts[3...]),
            encoded: bytes)
    }

    private static func append(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(text.utf8.count))
        bytes += text.utf8
    }

    /// At most 63 bytes, never half a character, no control characters.
    private static func cut(_ text: String) -> String {
        var result = ""
        for character in text where !character.unicodeScalars.contains(where: \.isControl) {
            guard result.utf8.count + String(character).utf8.count <= maximumText else { break }
            result.append(character)
        }
        return result
    }
}

extension Unicode.Scalar {
    /// Control characters could rewrite a terminal's screen.
    fileprivate var isControl: Bool { properties.generalCategory == .control || properties.generalCategory == .format }
}
