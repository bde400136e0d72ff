// SPDX-License-Identifier: Apache-2.0
// Relays with signed descriptors, for tests of the directory.
import VPNCrypto
import VPNTesting

@testable import VPNCore

enum DirectoryScene {
    static let unix: UInt64 = 1_800_000_000
    static let cryptography = RehearsalCryptography(seed: 7)

    static func identity(_ number: Int) -> RehearsalIdentity { RehearsalIdentity(seed: 5000 + UInt64(number)) }
    static func id(_ number: Int) -> PeerID { identity(number).publicKeys.peerID }

    /// Relay n is at 20.n.0.1, with an operator of its own.
    static func descriptor(
        _ number: Int, roles: DescriptorRoles = [.relay], operatorName: String? = nil, family: String = "",
        addresses: [String]? = nil, capacity: UInt8 = 40, from: UInt64 = unix - 60, until: UInt64 = unix + 86_400,
        serial: UInt64 = 1
    ) throws -> Descriptor {
        try Descriptor.make(
            signer: identity(number), nickname: "r\(number)", operatorName: operatorName ?? "operator \(number)",
            family: family, addresses: addresses ?? ["20.\(number & 255).\(number >> 8).1:9000"],
            roles: roles.rawValue, capacity: capacity, notBefore: from, notAfter: until, serial: serial)
    }
}
