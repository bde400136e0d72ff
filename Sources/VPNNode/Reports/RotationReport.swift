// SPDX-License-Identifier: Apache-2.0
// `pqvpn identity rotate` and `identity revoke`: what was made, and whom to give it to.
internal import VPNCore
internal import VPNCrypto

/// `pqvpn identity rotate`.
public struct RotationReport: Report {
    public static let schema = "pqvpn.rotation/1"
    public let oldPeerID: String
    public let peerID: String
    public let serial: UInt64
    public let oldDirectory: String
    /// Where the statement is: beside the new keys, and where else it was wanted.
    public let statementFile: String
    public let file: String?
    public let statement: String
    public let encrypted: Bool

    private enum CodingKeys: String, CodingKey {
        case oldPeerID = "old_peer_id"
        case peerID = "peer_id"
        case serial
        case oldDirectory = "old_directory"
        case statementFile = "statement_file"
        case file, statement, encrypted
    }

    init(_ rotated: PersistentIdentity.Rotated, text: String, file: String?) {
        oldPeerID = rotated.statement.oldID.hex
        peerID = rotated.statement.newID.hex
        serial = rotated.statement.serial
        oldDirectory = rotated.oldDirectory
        statementFile = rotated.statementFile
        self.file = file
        statement = text
        encrypted = rotated.isEncrypted
    }

    public var text: String {
        """
        new identity  \(peerID)\(encrypted ? " (encrypted)" : "")
        old identity  \(oldPeerID), kept in \(oldDirectory)
        Give \(file ?? statementFile) to every peer (`pqvpn peers rotate NAME FILE`), then restart this node.
        """
    }
}

/// `pqvpn identity revoke`.
public struct RevocationStatementReport: Report {
    public static let schema = "pqvpn.revocation/1"
    public let peerID: String
    public let serial: UInt64
    /// The text of the statement.
    public let statement: String
    /// Where it was written; nil for nowhere.
    public let file: String?

    private enum CodingKeys: String, CodingKey {
        case peerID = "peer_id"
        case serial, statement, file
    }

    public var text: String {
        if let file { return "revocation of \(peerID) written to \(file): `pqvpn peers revoke FILE` at every peer" }
        return String(statement.dropLast())
    }
}
