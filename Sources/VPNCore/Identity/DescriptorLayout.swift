// SPDX-License-Identifier: Apache-2.0
// Where things lie in a descriptor (§2), before anything of it is believed: lengths, reserved bits, texts. No cryptography, so that
// it can be fed with anything.

/// The parts of bytes that have the form of a descriptor.
struct DescriptorLayout: Equatable {
    /// What bytes are not, for people.
    struct Malformed: Error, Equatable { let reason: String }

    /// B, e, d and k.
    static var keys: Range<Int> { 28..<28 + 4321 }
    static var signatureSize: Int { 4691 }
    static var mostAddresses: Int { 8 }
    static var longestText: Int { 63 }
    /// With every text as long as it may be.
    static var largest: Int { keys.upperBound + (3 + mostAddresses) * (1 + longestText) + 1 + signatureSize }

    var roles: UInt8
    var capacity: UInt8
    var notBefore: UInt64
    var notAfter: UInt64
    var serial: UInt64
    /// Nickname, operator, family.
    var names: [String]
    var addresses: [String]
    /// Bytes before the signatures.
    var signedCount: Int

    init(_ bytes: [UInt8]) throws(Malformed) {
        guard bytes.count >= Self.keys.upperBound + 4 + Self.signatureSize else { throw Malformed(reason: "too short") }
        guard bytes.count <= Self.largest else { throw Malformed(reason: "too long") }
        guard bytes[0] == 1 else { throw Malformed(reason: "version \(bytes[0]), expected 1") }
        guard bytes[1] == 0 else { throw Malformed(reason: "reserved bits are set") }
        let end = bytes.count - Self.signatureSize
        var offset = Self.keys.upperBound
        func text() throws(Malformed) -> String {
            guard offset < end, Int(bytes[offset]) <= Self.longestText, offset + 1 + Int(bytes[offset]) <= end else {
                throw Malformed(reason: "a text runs past the end")
            }
            let raw = bytes[(offset + 1)..<(offset + 1 + Int(bytes[offset]))]
            offset += 1 + raw.count
            guard let value = String(validating: raw, as: UTF8.self), !value.unicodeScalars.contains(where: \.isControl)
            else { throw Malformed(reason: "a text is not printable UTF-8") }
            return value
        }
        names = []
        addresses = []
        for _ in 0..<3 { names.append(try text()) }
        guard offset < end, Int(bytes[offset]) <= Self.mostAddresses else {
            throw Malformed(reason: "too many addresses")
        }
        let count = Int(bytes[offset])
        offset += 1
        for _ in 0..<count { addresses.append(try text()) }
        guard offset == end else { throw Malformed(reason: "bytes after the last address") }
        (roles, capacity) = (bytes[2], bytes[3])
        notBefore = bytes.u64(at: 4)
        notAfter = bytes.u64(at: 12)
        serial = bytes.u64(at: 20)
        signedCount = end
    }

    /// All that is signed, around keys that are given as they are.
    ///
    /// - Parameters:
    ///   - names: three, of at most 63 bytes.
    ///   - addresses: at most eight, of at most 63 bytes.
    static func encoded(
        roles: UInt8, capacity: UInt8, notBefore: UInt64, notAfter: UInt64, serial: UInt64, keys: [UInt8],
        names: [String], addresses: [String]
    ) -> [UInt8] {
        precondition(keys.count == self.keys.count && names.count == 3 && addresses.count <= mostAddresses)
        var bytes: [UInt8] = [1, 0, roles, capacity]
        bytes.append(bigEndian: notBefore)
        bytes.append(bigEndian: notAfter)
        bytes.append(bigEndian: serial)
        bytes += keys
        for text in names { append(text, to: &bytes) }
        bytes.append(UInt8(addresses.count))
        for text in addresses { append(text, to: &bytes) }
        return bytes
    }

    private static func append(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(text.utf8.count))
        bytes += text.utf8
    }

    /// At most 63 bytes, never half a character, no control characters.
    static func cut(_ text: String) -> String {
        var result = ""
        for character in text where !character.unicodeScalars.contains(where: \.isControl) {
            guard result.utf8.count + String(character).utf8.count <= longestText else { break }
            result.append(character)
        }
        return result
    }
}

extension Unicode.Scalar {
    /// Control characters could rewrite a terminal's screen.
    fileprivate var isControl: Bool { properties.generalCategory == .control || properties.generalCategory == .format }
}
