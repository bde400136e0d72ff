// SPDX-License-Identifier: Apache-2.0
// An identity on disk: four key files and the descriptor beside them. Made once, never replaced by another; its files may
// be put under a passphrase and out of it again.
internal import Glibc
public import VPNCore
public import VPNCrypto

public enum PersistentIdentity {
    public static let descriptorName = "identity.pub"

    /// What `keygen` made.
    public struct Generated: Sendable {
        public let descriptor: Descriptor
        /// The four key files and the descriptor, as paths.
        public let files: [String]
    }

    /// Makes four fresh keys and writes them to a directory, which is made (0700) where it is absent. All files appear, or
    /// none does; a file that exists is never touched. With an unlocker the keys are under its passphrase.
    public static func generate(
        into directory: String, nickname: String, sealedBy unlocker: Unlocker? = nil
    ) throws -> Generated {
        try prepare(directory)
        var files = try NewFiles(in: directory)
        let names = KeyFileKind.allCases.map(\.fileName) + [descriptorName]
        try files.checkAbsent(names)
        let key = try unlocker?.newKey(sealing: directory)
        let identity = try SoftwareIdentity()
        for kind in KeyFileKind.allCases {
            try files.add(kind.fileName) { try write(kind, of: identity, under: key, to: $0) }
        }
        let descriptor = try LoadedIdentity(signer: identity, nickname: nickname, isTemporary: false).descriptor
        try files.add(descriptorName, mode: 0o644) { try $0.write([UInt8](DescriptorFile.text(of: descriptor).utf8)) }
        do {
            try files.commit()
        } catch let error as SystemCallError where error.errno == EEXIST {
            throw NodeFailure(.failure, "\(error.path) exists and is not overwritten: choose another directory")
        }
        return Generated(descriptor: descriptor, files: names.map { "\(directory)/\($0)" })
    }

    /// One key file's content, plain without a key.
    static func write(
        _ kind: KeyFileKind, of identity: SoftwareIdentity, under key: DerivedKey?, to file: borrowing OpenFile
    ) throws {
        let id = identity.publicKeys.peerID
        if let key {
            let text = KeyFile.sealedText(of: secret(kind, of: identity), kind: kind, peerID: id, key: key)
            try file.write([UInt8](text.utf8))
        } else {
            try file.write(KeyFile.text(of: secret(kind, of: identity), kind: kind, peerID: id))
        }
    }

    private static func secret(_ kind: KeyFileKind, of identity: SoftwareIdentity) -> Secret {
        switch kind {
        case .brainpoolP512r1: identity.brainpoolScalar
        case .ed25519: identity.ed25519Seed
        case .mldsa87: identity.mldsaSeed
        case .mlkem1024: identity.mlkemSeed
        }
    }

    /// A directory that nobody else can put files into.
    static func prepare(_ path: String) throws {
        let (parent, name) = ProtectedFile.split(path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path)
        do {
            let directory = try OpenFile.directory(parent)
            try directory.makeDirectory(name, mode: 0o700)
        } catch {
            switch error.errno {
            case EEXIST: try checkOwnership(path)
            case EACCES, EPERM:
                throw NodeFailure(.permission, "directory \(path) cannot be made by this user")
            default: throw error
            }
        }
    }

    private static func checkOwnership(_ path: String) throws {
        let directory = try OpenFile.directory(path)
        let status = try directory.status()
        guard status.owner == effectiveUser() else {
            throw NodeFailure(.permission, "directory \(path) belongs to user \(status.owner): use one of your own")
        }
        guard status.permissions & 0o022 == 0 else {
            throw NodeFailure(.permission, "directory \(path) can be written by others: run chmod 700 \(path)")
        }
    }

    // MARK: Loading

    /// The key files of a directory. Throws where one is missing.
    static func paths(in directory: String) throws -> KeyFilePaths {
        func path(_ kind: KeyFileKind) -> String { "\(directory)/\(kind.fileName)" }
        let missing = KeyFileKind.allCases.filter { !ProtectedFile.exists(path($0)) }
        guard missing.isEmpty else {
            let what = missing.count == 4 ? "no identity" : "no \(missing.map(\.fileName).joined(separator: ", "))"
            throw NodeFailure(
                .usage, "there is \(what) in \(directory): make one with `pqvpn keygen --out \(directory)`")
        }
        return KeyFilePaths(
            brainpool: path(.brainpoolP512r1), ed25519: path(.ed25519), mldsa: path(.mldsa87), mlkem: path(.mlkem1024))
    }

    public static func load(directory: String, unlocker: Unlocker = .never) throws -> SoftwareIdentity {
        try load(files: paths(in: directory), unlocker: unlocker)
    }

    /// Reads four key files. They must belong to one identity. The unlocker is asked only where one is encrypted.
    public static func load(files: KeyFilePaths, unlocker: Unlocker = .never) throws -> SoftwareIdentity {
        try load(files: files) { path, kind in try KeyFile.read(path, kind: kind, unlocker: unlocker) }
    }

    private static func load(
        files: KeyFilePaths, read: (String, KeyFileKind) throws -> KeyFile.Content
    ) throws -> SoftwareIdentity {
        let brainpool = try read(files.brainpool, .brainpoolP512r1)
        let ed25519 = try read(files.ed25519, .ed25519)
        let mldsa = try read(files.mldsa, .mldsa87)
        let mlkem = try read(files.mlkem, .mlkem1024)
        let identity: SoftwareIdentity
        do {
            identity = try SoftwareIdentity(
                brainpoolScalar: brainpool.secret, ed25519Seed: ed25519.secret, mldsaSeed: mldsa.secret,
                mlkemSeed: mlkem.secret)
        } catch let error as KeyError {
            throw NodeFailure(.usage, "the key files beside \(files.brainpool) hold no identity: \(error)")
        }
        let id = identity.publicKeys.peerID
        let claims = [
            (files.brainpool, brainpool.peerID), (files.ed25519, ed25519.peerID), (files.mldsa, mldsa.peerID),
            (files.mlkem, mlkem.peerID),
        ]
        for (path, claimed) in claims where claimed != id {
            throw NodeFailure(
                .usage,
                "key file \(path) belongs to identity \(claimed.short), and the four files together are \(id.short): "
                    + "name four files of one `pqvpn keygen`")
        }
        return identity
    }

    // MARK: Passphrases

    /// What `identity encrypt`, `decrypt` and `passphrase` make of the files.
    public enum Form: Sendable {
        case plain
        /// Under the passphrase of this unlocker, which is not the one that opens the old files.
        case encrypted(Unlocker)
    }

    /// Writes the four files anew in another form. Either the old ones are all read and found good, or nothing is touched. Where
    /// an earlier change of the passphrase was cut short, some files are under the new one already. Returns the identity's id.
    @discardableResult
    public static func rewrite(files: KeyFilePaths, unlocker: Unlocker, as form: Form) throws -> PeerID {
        let identity = try load(files: files) { path, kind in
            do {
                return try KeyFile.read(path, kind: kind, unlocker: unlocker)
            } catch let failure as NodeFailure where failure.status == .permission {
                // A passphrase that opens none of them is just wrong.
                guard case .encrypted(let new) = form, opensSome(of: files, unlocker) else { throw failure }
                do {
                    return try KeyFile.read(
                        path, kind: kind, unlocker: new, asking: "\(path), which is under the new one already")
                } catch { throw failure }
            }
        }
        var key: DerivedKey?
        if case .encrypted(let new) = form { key = try new.newKey(sealing: files.brainpool) }
        var replacement = FileReplacement()
        for (kind, path) in files.all {
            try replacement.add(path) { try write(kind, of: identity, under: key, to: $0) }
        }
        try replacement.commit()
        return identity.publicKeys.peerID
    }

    /// Whether the unlocker opens at least one of the files that are under a passphrase.
    private static func opensSome(of files: KeyFilePaths, _ unlocker: Unlocker) -> Bool {
        for (kind, path) in files.all {
            do {
                guard try KeyFile.isEncrypted(path) else { continue }
                _ = try KeyFile.read(path, kind: kind, unlocker: unlocker)
                return true
            } catch { continue }
        }
        return false
    }
}

extension KeyFilePaths {
    /// By kind, in the order of the encoding.
    var all: [(kind: KeyFileKind, path: String)] {
        [(.brainpoolP512r1, brainpool), (.ed25519, ed25519), (.mldsa87, mldsa), (.mlkem1024, mlkem)]
    }
}
