// SPDX-License-Identifier: Apache-2.0
// This node's own identity, ready for use: from key files, or fresh for one run.
internal import Foundation
public import VPNCore
public import VPNCrypto

/// The holder of the private keys, and the signed public description made for this run.
public struct LoadedIdentity: Sendable {
    public let signer: any IdentitySigner
    public let descriptor: Descriptor
    /// It ends with the process.
    public let isTemporary: Bool

    public var peerID: PeerID { signer.publicKeys.peerID }

    /// Seconds for which a descriptor says it is good: ten years for a persistent identity, a week for a temporary one.
    private static func validity(isTemporary: Bool) -> UInt64 { (isTemporary ? 7 : 3650) * 86400 }

    init(signer: any IdentitySigner, nickname: String, addresses: [String] = [], isTemporary: Bool) throws {
        let now = UInt64(max(0, Date().timeIntervalSince1970))
        self.signer = signer
        self.isTemporary = isTemporary
        descriptor = try Descriptor.make(
            signer: signer, nickname: nickname, addresses: addresses, notBefore: now,
            notAfter: now + Self.validity(isTemporary: isTemporary), serial: now)
    }

    /// The identity that a configuration asks for. Throws with status 2 where persistent keys are absent or bad, and 4
    /// where their files are reachable by others or their passphrase is wrong.
    public static func load(
        _ source: NodeConfiguration.IdentitySource, nickname: String, unlocker: Unlocker
    ) throws -> LoadedIdentity {
        switch source {
        case .temporary:
            try LoadedIdentity(signer: SoftwareIdentity(), nickname: nickname, isTemporary: true)
        case .directory(let path):
            try LoadedIdentity(
                signer: PersistentIdentity.load(directory: path, unlocker: unlocker), nickname: nickname,
                isTemporary: false)
        case .files(let paths):
            try LoadedIdentity(
                signer: PersistentIdentity.load(files: paths, unlocker: unlocker), nickname: nickname,
                isTemporary: false)
        }
    }
}
