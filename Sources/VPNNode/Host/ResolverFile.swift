// SPDX-License-Identifier: Apache-2.0
// /etc/resolv.conf where nobody else keeps it: replaced at once, and put back with its bytes, mode and owner. A file that is
// somebody else's (a link, a mount) is refused before anything has changed.
internal import Foundation
internal import Glibc

/// A file as it was before we replaced it.
struct ResolverFile: Codable, Hashable, Sendable {
    struct Saved: Codable, Hashable, Sendable {
        var content: Data
        var mode: UInt32
        var owner: UInt32
        var group: UInt32
    }

    var path: String
    /// Nil where there was none.
    var before: Saved?
    /// What we wrote.
    var wrote: String
    /// What we had written there when we were about to write that; nil where it was another's file.
    var earlier: String?

    private static let largest = 1 << 20

    /// Looks at the file that is about to be replaced. Throws where it is not ours to replace.
    static func save(_ path: String, for text: String) throws -> ResolverFile {
        let (directory, name) = ProtectedFile.split(path)
        guard let status = try OpenFile.directory(directory).status(of: name) else {
            return ResolverFile(path: path, before: nil, wrote: text)
        }
        if status.kind == .symbolicLink {
            let target = (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) ?? "somewhere"
            throw NodeFailure(
                .failure,
                "\(path) is a link to \(target), which another program keeps: set dns.mode to "
                    + "\(target.contains("systemd/resolve") ? "resolvectl" : "resolvconf or resolvectl"), or to off")
        }
        guard status.kind == .regular, status.size <= largest else {
            throw NodeFailure(.failure, "\(path) is no plain file: set dns.mode to off, or mend it")
        }
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        let content = try OpenFile(path, O_RDONLY).read(limit: status.size)
        return ResolverFile(
            path: path,
            before: Saved(
                content: Data(content), mode: status.permissions, owner: status.owner,
                group: (attributes[.groupOwnerAccountID] as? NSNumber)?.uint32Value ?? 0), wrote: text)
    }

    /// Puts a text in its place, for all to read.
    static func write(_ path: String, _ text: String) throws {
        try place(path, Saved(content: Data(text.utf8), mode: 0o644, owner: geteuid(), group: getegid()))
    }

    /// The old file, unless somebody has changed it since; that is told then.
    func restore() throws -> String? {
        let (directory, name) = ProtectedFile.split(path)
        let status = try OpenFile.directory(directory).status(of: name)
        if status?.kind == .symbolicLink { return "\(path) is a link by now and stays as it is" }
        let now = status == nil ? nil : try OpenFile(path, O_RDONLY).read(limit: Self.largest)
        if now == before.map({ [UInt8]($0.content) }) { return nil }
        guard [wrote, earlier].contains(where: { $0.map { [UInt8]($0.utf8) } == now }) else {
            return "\(path) was changed by somebody else and stays as it is"
        }
        guard let before else {
            try OpenFile.directory(directory).remove(name)
            return nil
        }
        try Self.place(path, before)
        return nil
    }

    /// Whether the file is still as we wrote it.
    var isOurs: Bool {
        get throws {
            let (directory, name) = ProtectedFile.split(path)
            guard try OpenFile.directory(directory).status(of: name)?.kind == .regular else { return false }
            let now = try OpenFile(path, O_RDONLY).read(limit: Self.largest)
            return [wrote, earlier].contains { $0.map { [UInt8]($0.utf8) } == now }
        }
    }

    /// The same way back, from another text of ours.
    func rewritten(_ text: String) -> ResolverFile {
        ResolverFile(path: path, before: before, wrote: text, earlier: wrote)
    }

    /// At once: after a crash there is the old file or the new one.
    private static func place(_ path: String, _ file: Saved) throws {
        let (directoryPath, name) = ProtectedFile.split(path)
        let temporary = ProtectedFile.temporaryName(for: name)
        let directory = try OpenFile.directory(directoryPath)
        let new = try OpenFile(temporary, in: directory, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
        do {
            try new.write([UInt8](file.content))
            try FileManager.default.setAttributes(
                [
                    .posixPermissions: NSNumber(value: file.mode), .ownerAccountID: NSNumber(value: file.owner),
                    .groupOwnerAccountID: NSNumber(value: file.group),
                ], ofItemAtPath: "\(directoryPath)/\(temporary)")
            try new.sync()
            try directory.rename(temporary, to: name)
        } catch {
            try? directory.remove(temporary)
            if let error = error as? SystemCallError, error.errno == EBUSY {
                throw NodeFailure(
                    .failure,
                    "\(path) is mounted there, as in containers: set dns.mode to off, and name servers outside")
            }
            throw error
        }
        try directory.sync()
    }
}
