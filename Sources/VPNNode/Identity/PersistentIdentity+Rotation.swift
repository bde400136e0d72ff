// SPDX-License-Identifier: Apache-2.0
// New keys for a node: a fresh identity in the place of the old one, which stays aside, and the statement that both sign.
internal import Foundation
internal import Glibc
public import VPNCore
internal import VPNCrypto

extension PersistentIdentity {
    /// What `identity rotate` did.
    public struct Rotated: Sendable {
        public let statement: RotationStatement
        /// The statement, beside the new keys.
        public let statementFile: String
        /// The old identity's files.
        public let oldDirectory: String
        public let isEncrypted: Bool
    }

    /// Replaces the identity of a directory by a fresh one. Until one system call swaps the two directories the old one
    /// stands; after it the new one is whole. Encrypted keys are followed by keys under the same passphrase.
    public static func rotate(directory path: String, nickname: String?, unlocker: Unlocker) throws -> Rotated {
        let directory = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        let files = try paths(in: directory)
        let isEncrypted = try files.all.contains { try KeyFile.isEncrypted($0.path) }
        let old = try load(files: files, unlocker: unlocker)
        let aside = "\(directory).old-\(old.publicKeys.peerID.short)"
        try makeAside(aside)
        let name = nickname ?? (try? DescriptorFile.read("\(directory)/\(descriptorName)").nickname) ?? "node"
        // The new one is made in the very place where the old one will lie.
        do {
            let descriptor = try generate(
                into: aside, nickname: name, sealedBy: isEncrypted ? unlocker : nil
            ).descriptor
            let new = try load(directory: aside, unlocker: unlocker)
            let statement = try RotationStatement.make(
                old: old, new: new, descriptor: descriptor, serial: nextSerial(in: directory))
            try Armour.write(RotationFile.text(of: statement), to: "\(aside)/\(RotationFile.name)")
            try OpenFile.exchange(aside, with: directory)
            return Rotated(
                statement: statement, statementFile: "\(directory)/\(RotationFile.name)", oldDirectory: aside,
                isEncrypted: isEncrypted)
        } catch {
            discard(aside)
            throw error
        }
    }

    /// By the very call that finds it absent: of two rotations at once one is refused, and takes back nothing of the other's.
    private static func makeAside(_ path: String) throws {
        let (parent, name) = ProtectedFile.split(path)
        do throws(SystemCallError) {
            try OpenFile.directory(parent).makeDirectory(name, mode: 0o700)
        } catch {
            guard error.errno == EEXIST else { throw error }
            throw NodeFailure(.failure, "\(path) exists and is not overwritten: move it away first")
        }
    }

    /// More than that of the rotation by which the present keys came.
    private static func nextSerial(in directory: String) throws -> UInt64 {
        let path = "\(directory)/\(RotationFile.name)"
        guard ProtectedFile.exists(path) else { return UnixTime.now }
        return max(UnixTime.now, try RotationFile.read(path).serial + 1)
    }

    /// Takes back an identity that nobody has seen: exactly the files that were made here.
    private static func discard(_ directory: String) {
        guard let opened = try? OpenFile.directory(directory) else { return }
        for name in KeyFileKind.allCases.map(\.fileName) + [descriptorName, RotationFile.name] {
            try? opened.remove(name)
        }
        let (parent, name) = ProtectedFile.split(directory)
        try? OpenFile.directory(parent).remove(name, directory: true)
    }
}
