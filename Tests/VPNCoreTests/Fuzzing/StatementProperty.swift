// SPDX-License-Identifier: Apache-2.0
// What identities sign of themselves (§2): descriptors, rotations, revocations. What is accepted is what was signed, to the byte.
import VPNCrypto
import VPNTesting

@testable import VPNCore

enum StatementProperty {
    private static let cryptography = RehearsalCryptography(seed: 5)
    private static let old = RehearsalIdentity(seed: 1)
    private static let new = RehearsalIdentity(seed: 2)
    private static let descriptor = made {
        try Descriptor.make(
            signer: new, nickname: "node", operatorName: "somebody", family: "f", addresses: ["192.0.2.1:9000"],
            roles: 3, capacity: 4, notBefore: 1, notAfter: 1 << 40, serial: 7)
    }
    private static let rotation = made {
        try RotationStatement.make(old: old, new: new, descriptor: descriptor, serial: 9)
    }
    private static let revocation = made { try RevocationStatement.make(signer: old, serial: 9) }

    private static func made<Value>(_ make: () throws -> Value) -> Value {
        do { return try make() } catch { preconditionFailure("\(error)") }
    }

    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        let original = [descriptor.encoded, rotation.encoded, revocation.encoded][Int(kind & 3) % 3]
        let bytes = kind & 4 == 0 ? edited(original, &input) : input.rest(upTo: 512)
        switch kind & 3 {
        case 1:
            let found = try? RotationStatement(decoding: bytes, using: cryptography)
            // Its first signature is not looked at before somebody's keys are there.
            let end = rotation.encoded.count - 2 * 4691
            let isGood =
                bytes.count == rotation.encoded.count && bytes[..<end] == rotation.encoded[..<end]
                && bytes[(end + 4691)...] == rotation.encoded[(end + 4691)...]
            try expect(found?.encoded, isGood, bytes, "rotation")
            guard let found else { return }
            let isSigned = (try? found.verify(oldKeys: old.publicKeys, using: cryptography)) != nil
            try FuzzFinding.unless(isSigned == (bytes == rotation.encoded), "a rotation that nobody signed")
            let isAnother = (try? found.verify(oldKeys: new.publicKeys, using: cryptography)) != nil
            try FuzzFinding.unless(!isAnother, "a rotation that somebody else signed")
        case 2:
            let found = try? RevocationStatement(decoding: bytes, using: cryptography)
            try expect(found?.encoded, bytes == revocation.encoded, bytes, "revocation")
        default:
            let found = try? Descriptor(decoding: bytes, using: cryptography)
            try expect(found?.encoded, bytes == descriptor.encoded, bytes, "descriptor")
        }
    }

    private static func expect(_ found: [UInt8]?, _ isGood: Bool, _ bytes: [UInt8], _ name: String) throws {
        try FuzzFinding.unless((found != nil) == isGood, "\(name), accepted \(found != nil): \(bytes.prefix(64))")
        if let found { try FuzzFinding.unless(found == bytes, "\(name): other bytes") }
    }

    private static func edited(_ bytes: [UInt8], _ input: inout FuzzInput) -> [UInt8] {
        var bytes = bytes
        while !input.isEmpty, !bytes.isEmpty {
            let kind = input.byte()
            // Heads and lengths more often than keys.
            let place =
                kind & 4 == 0
                ? Int(input.byte()) % bytes.count
                : kind & 8 == 0 ? input.number(below: bytes.count) : max(0, bytes.count - 4760 + Int(input.byte()))
            guard place < bytes.count else { continue }
            switch kind & 3 {
            case 0: bytes[place] ^= input.byte()
            case 1: bytes.remove(at: place)
            case 2: bytes.insert(input.byte(), at: place)
            default: bytes.removeSubrange(place...)
            }
        }
        return bytes
    }
}
