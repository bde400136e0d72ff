// SPDX-License-Identifier: Apache-2.0
// The persistent identity that a command works on, and what `pqvpn identity encrypt|decrypt|passphrase` do to its files.
internal import VPNCore
internal import VPNCrypto

/// From a configuration, or a directory of keys.
public struct IdentityCommandTarget: Sendable {
    let source: NodeConfiguration.IdentitySource
    let nickname: String
    let passphrase: PassphraseSource
    let unlocker: Unlocker

    /// The default is the directory `keys`. `passphraseFile` goes before all other places of a passphrase.
    public init(configurationFile: String?, keyDirectory: String?, passphraseFile: String?) throws {
        var source = NodeConfiguration.IdentitySource.directory(keyDirectory ?? "keys")
        var passphrase = PassphraseSource(file: passphraseFile)
        var nickname = "node"
        if let configurationFile {
            let configuration = try LoadedConfiguration(file: configurationFile).configuration
            nickname = configuration.nickname
            passphrase.configuredFile = configuration.passphraseFile
            if keyDirectory == nil { source = configuration.identity }
        }
        if case .temporary = source {
            throw NodeFailure(
                .usage,
                "this configuration makes a temporary identity for each run, of which no command knows: make one that "
                    + "lasts with `pqvpn keygen` and set keys.runtime_temp_keys: false")
        }
        self.source = source
        self.nickname = nickname
        self.passphrase = passphrase
        unlocker = Unlocker(passphrase)
    }

    private func files() throws -> KeyFilePaths {
        switch source {
        case .directory(let path): try PersistentIdentity.paths(in: path)
        case .files(let paths): paths
        case .temporary: throw NodeFailure(.usage, "a temporary identity has no files")
        }
    }

    // MARK: Rotation and revocation

    /// Fresh keys in the place of the old ones, and the statement that both sign. With `output` the statement is written
    /// to that new file too.
    public func rotate(nickname: String?, output: String?) throws -> RotationReport {
        guard case .directory(let directory) = source else {
            throw NodeFailure(
                .usage,
                "only a directory of `pqvpn keygen` can be rotated, not four files of a configuration: use keys.dir")
        }
        // Before anything has changed: whoever repeats a command that was refused does not rotate twice.
        if let output {
            let (parent, name) = ProtectedFile.split(output)
            try NewFiles(in: parent).checkAbsent([name])
        }
        let rotated = try PersistentIdentity.rotate(directory: directory, nickname: nickname, unlocker: unlocker)
        let text = RotationFile.text(of: rotated.statement)
        if let output {
            do { try Armour.write(text, to: output) } catch {
                throw NodeFailure(
                    .failure,
                    "the keys were rotated, and the statement is \(directory)/rotation.pub; \(NodeFailure(error).message)"
                )
            }
        }
        return RotationReport(rotated, text: text, file: output)
    }

    /// The statement by which an identity, this one or an older one, declares itself dead.
    public func revoke(output: String?) throws -> RevocationStatementReport {
        let identity = try LoadedIdentity.load(source, nickname: nickname, unlocker: unlocker)
        let statement = try RevocationStatement.make(signer: identity.signer, serial: UnixTime.now)
        let text = RevocationFile.text(of: statement)
        if let output { try Armour.write(text, to: output) }
        return RevocationStatementReport(
            peerID: statement.peerID.hex, serial: statement.serial, statement: text, file: output)
    }

    // MARK: Passphrases

    /// Puts the plain key files under a passphrase.
    public func encrypt() throws -> IdentityFilesReport {
        let files = try files()
        guard try !files.all.allSatisfy({ try KeyFile.isEncrypted($0.path) }) else {
            throw NodeFailure(
                .failure,
                "\(files.brainpool) and its like are encrypted already: `pqvpn identity passphrase` changes that")
        }
        return try rewrite(files, as: .encrypted(unlocker), "encrypted")
    }

    public func decrypt() throws -> IdentityFilesReport {
        let files = try files()
        guard try files.all.contains(where: { try KeyFile.isEncrypted($0.path) }) else {
            throw NodeFailure(.failure, "\(files.brainpool) and its like are not encrypted")
        }
        return try rewrite(files, as: .plain, "decrypted")
    }

    /// Another passphrase in the place of the old one. The new one comes from a file or from a person.
    public func changePassphrase(newFile: String?) throws -> IdentityFilesReport {
        let files = try files()
        guard try files.all.contains(where: { try KeyFile.isEncrypted($0.path) }) else {
            throw NodeFailure(
                .failure, "\(files.brainpool) and its like are not encrypted: `pqvpn identity encrypt` does it")
        }
        var source = PassphraseSource(file: newFile)
        source.usesEnvironment = false
        return try rewrite(files, as: .encrypted(Unlocker(source)), "passphrase_changed")
    }

    private func rewrite(
        _ files: KeyFilePaths, as form: PersistentIdentity.Form, _ action: String
    ) throws -> IdentityFilesReport {
        let id = try PersistentIdentity.rewrite(files: files, unlocker: unlocker, as: form)
        return IdentityFilesReport(action: action, peerID: id.hex, files: files.all.map(\.path))
    }
}

/// What became of the key files of an identity.
public struct IdentityFilesReport: Report {
    public static let schema = "pqvpn.identity-files/1"
    /// "encrypted", "decrypted", "passphrase_changed".
    public let action: String
    public let peerID: String
    public let files: [String]

    private enum CodingKeys: String, CodingKey {
        case action
        case peerID = "peer_id"
        case files
    }

    public var text: String {
        let what =
            switch action {
            case "encrypted":
                "the private keys are under a passphrase now; what was there before may still be on the disk"
            case "decrypted": "the private keys are in the clear now: whoever reads these files is this node"
            default: "the private keys are under the new passphrase now"
            }
        return "\(what)\n" + files.map { "  \($0)" }.joined(separator: "\n")
    }
}
