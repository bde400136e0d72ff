// SPDX-License-Identifier: Apache-2.0
// `keygen`, `identity export` and `peerid`: public facts about an identity, and the acts that make them.
internal import Foundation
internal import VPNCore
internal import VPNCrypto

/// `pqvpn keygen`.
public struct KeygenReport: Report {
    public static let schema = "pqvpn.keygen/1"
    public let peerID: String
    public let nickname: String
    public let directory: String
    /// The four private key files and the descriptor.
    public let files: [String]
    /// The private keys are under a passphrase.
    public let encrypted: Bool
    private let picture: String
    private let grouped: String

    private enum CodingKeys: String, CodingKey {
        case peerID = "peer_id"
        case nickname, directory, files, encrypted
    }

    /// Makes an identity in a directory; see ``PersistentIdentity/generate(into:nickname:sealedBy:)``.
    public static func generate(
        into directory: String, nickname: String, passphrase: PassphraseSource? = nil
    ) throws -> KeygenReport {
        let generated = try PersistentIdentity.generate(
            into: directory, nickname: nickname, sealedBy: passphrase.map(Unlocker.init))
        let id = generated.descriptor.keys.peerID
        return KeygenReport(
            peerID: id.hex, nickname: generated.descriptor.nickname, directory: directory, files: generated.files,
            encrypted: passphrase != nil, picture: id.picture, grouped: id.grouped)
    }

    public var text: String {
        """
        identity of '\(nickname)' written to \(directory): \(files.count - 1) private keys (mode 0600\(encrypted ? ", encrypted" : "")) and the descriptor
        peer_id      \(peerID)
        fingerprint  \(grouped)
        \(picture)
        Give \(files.last ?? "the descriptor") to those who shall know this node (`pqvpn peers add`).
        """
    }
}

/// `pqvpn identity export`.
public struct IdentityReport: Report {
    public static let schema = "pqvpn.identity/1"
    public let peerID: String
    public let nickname: String
    public let notBefore: UInt64
    public let notAfter: UInt64
    public let serial: UInt64
    /// The text of a descriptor file.
    public let descriptor: String
    /// Where it was written; nil for nowhere.
    public let file: String?

    private enum CodingKeys: String, CodingKey {
        case peerID = "peer_id"
        case nickname
        case notBefore = "not_before"
        case notAfter = "not_after"
        case serial, descriptor, file
    }

    /// Signs a new descriptor of a persistent identity. With `output` it is written to a file that must not exist.
    public static func export(
        target: IdentityCommandTarget, nickname: String?, output: String?
    ) throws -> IdentityReport {
        let descriptor = try LoadedIdentity.load(
            target.source, nickname: nickname ?? target.nickname, unlocker: target.unlocker
        ).descriptor
        let text = DescriptorFile.text(of: descriptor)
        if let output { try DescriptorFile.write(text, to: output) }
        return IdentityReport(
            peerID: descriptor.keys.peerID.hex, nickname: descriptor.nickname, notBefore: descriptor.notBefore,
            notAfter: descriptor.notAfter, serial: descriptor.serial, descriptor: text, file: output)
    }

    public var text: String {
        if let file { return "descriptor of '\(nickname)' (\(peerID)) written to \(file)" }
        return String(descriptor.dropLast())
    }
}

extension PeerIDReport: Report {
    public static var schema: String { "pqvpn.peerid/1" }

    private enum CodingKeys: String, CodingKey {
        case peerID = "peer_id"
        case basis, usable
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(peerID.hex, forKey: .peerID)
        try container.encode(basis.rawValue, forKey: .basis)
        try container.encode(isUsable, forKey: .usable)
    }

    public var text: String {
        isUsable ? peerID.hex : "\(peerID.hex)  (from the \(basis.rawValue) alone: unusable for handshakes)"
    }
}
