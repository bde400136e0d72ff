// SPDX-License-Identifier: Apache-2.0
// Rotation and revocation statements as text files (docs/key-files.md): public, signed, for whoever knows the old identity.
public import VPNCore
internal import VPNCrypto

public enum RotationFile {
    static let name = "rotation.pub"
    private static let armour = Armour(title: "ROTATION", noun: "rotation")

    public static func text(of statement: RotationStatement) -> String {
        armour.text(
            [
                ("Old-Peer-ID", statement.oldID.hex), ("New-Peer-ID", statement.newID.hex),
                ("Nickname", statement.descriptor.nickname), ("Serial", String(statement.serial)),
            ], statement.encoded)
    }

    /// Reads a file and checks all but the old identity's signatures, for which its pin is needed. Refusals have status 7.
    public static func read(_ path: String) throws -> RotationStatement { try decode(armour.read(path), path: path) }

    static func decode(_ text: String, path: String) throws -> RotationStatement {
        let (fields, content) = try armour.decode(text, path: path)
        let statement: RotationStatement
        do {
            statement = try RotationStatement(decoding: content, using: SystemCryptography())
        } catch { throw NodeFailure(refusing: "rotation \(path)", error) }
        try armour.check(fields, "Old-Peer-ID", is: statement.oldID.hex, path: path)
        try armour.check(fields, "New-Peer-ID", is: statement.newID.hex, path: path)
        return statement
    }
}

public enum RevocationFile {
    private static let armour = Armour(title: "REVOCATION", noun: "revocation")

    public static func text(of statement: RevocationStatement) -> String {
        armour.text([("Peer-ID", statement.peerID.hex), ("Serial", String(statement.serial))], statement.encoded)
    }

    /// Whether a file calls itself one; false for what is none or cannot be read.
    static func isOne(_ path: String) -> Bool {
        guard let text = try? armour.read(path) else { return false }
        return text.contains(armour.begin)
    }

    /// Reads a file and checks its keys and signatures. Refusals have status 7.
    public static func read(_ path: String) throws -> RevocationStatement { try decode(armour.read(path), path: path) }

    static func decode(_ text: String, path: String) throws -> RevocationStatement {
        let (fields, content) = try armour.decode(text, path: path)
        let statement: RevocationStatement
        do {
            statement = try RevocationStatement(decoding: content, using: SystemCryptography())
        } catch { throw NodeFailure(refusing: "revocation \(path)", error) }
        try armour.check(fields, "Peer-ID", is: statement.peerID.hex, path: path)
        return statement
    }
}

extension NodeFailure {
    /// A statement that is not believed.
    init(refusing what: String, _ error: StatementError) {
        switch error {
        case .malformed(let reason): self.init(.usage, "\(what) is damaged: \(reason)")
        case .key(let error): self.init(.untrustedIdentity, "\(what) is refused: \(error)")
        case .descriptor(let error): self.init(refusing: "the descriptor in \(what)", error)
        case .signature: self.init(.untrustedIdentity, "\(what) is refused: its signatures do not hold")
        }
    }
}
