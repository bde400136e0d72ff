// SPDX-License-Identifier: Apache-2.0
// The per-run directory of a temporary identity (0700): the public descriptor, the process id and a locked marker. No
// secret is ever in it. Removed when the run ends; what a killed run left behind is swept by the next one.
internal import Foundation
internal import Glibc
public import VPNCore
internal import VPNCrypto

/// Lives as long as the run; its end removes the directory.
public final class RuntimeKeyDirectory: Sendable {
    public let path: String
    private let base: OpenFile
    private let name: String
    /// Its lock tells other starts that this run lives, and falls with the process however that ends.
    private let marker: OpenFile

    static let markerName = "pqvpn.lock"
    static let markerText = "pqvpn runtime directory 1\n"
    private static let pidName = "pid"
    private static let contents = [PersistentIdentity.descriptorName, pidName, markerName]

    /// Sweeps what dead runs left in `base`, then makes the directory of this one.
    public init(prefix: String, descriptor: Descriptor, base basePath: String? = nil) throws {
        let basePath = basePath ?? Self.defaultBase
        base = try OpenFile.directory(basePath)
        Self.sweep(base, prefix: prefix)
        let unique = String(UInt64.random(in: .min ... .max), radix: 36)
        name = "\(prefix)-\(getpid())-\(unique)"
        path = "\(basePath)/\(name)"
        // Under a name that no sweep looks at until the marker is locked.
        let draft = ".\(name)"
        try base.makeDirectory(draft, mode: 0o700)
        do {
            let directory = try OpenFile(draft, in: base, O_RDONLY | O_DIRECTORY)
            marker = try OpenFile(Self.markerName, in: directory, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
            _ = try marker.tryLock()
            try marker.write([UInt8](Self.markerText.utf8))
            try Self.write("\(getpid())\n", to: Self.pidName, in: directory)
            try Self.write(DescriptorFile.text(of: descriptor), to: PersistentIdentity.descriptorName, in: directory)
            try base.rename(draft, to: name)
        } catch {
            Self.remove(draft, in: base)
            throw error
        }
    }

    private static func write(_ text: String, to name: String, in directory: borrowing OpenFile) throws {
        let file = try OpenFile(name, in: directory, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
        try file.write([UInt8](text.utf8))
    }

    /// Removes the directory. Idempotent.
    public func remove() { Self.remove(name, in: base) }

    deinit { remove() }

    /// XDG_RUNTIME_DIR where it is this user's own, else /run where this user may write, else the temporary directory.
    private static var defaultBase: String {
        let environment = ProcessInfo.processInfo.environment
        if let path = environment["XDG_RUNTIME_DIR"], path.hasPrefix("/"),
            let status = try? OpenFile.directory(path).status(), status.owner == effectiveUser(), !status.isOpenToOthers
        {
            return path
        }
        if let status = try? OpenFile.directory("/run").status(), status.owner == effectiveUser() { return "/run" }
        if let path = environment["TMPDIR"], path.hasPrefix("/"), (try? OpenFile.directory(path)) != nil { return path }
        return "/tmp"
    }

    // MARK: Sweeping

    /// Removes the directories of dead runs with this prefix, and nothing that is not certainly one of them.
    static func sweep(_ base: borrowing OpenFile, prefix: String) {
        guard let names = try? base.names() else { return }
        for name in names where name.hasPrefix("\(prefix)-") && isDead(name, in: base) { remove(name, in: base) }
    }

    /// Whether a directory is ours by owner, mode and marker, and nobody holds its marker's lock.
    private static func isDead(_ name: String, in base: borrowing OpenFile) -> Bool {
        guard let directory = try? OpenFile(name, in: base, O_RDONLY | O_DIRECTORY),
            let status = try? directory.status(), status.owner == effectiveUser(), status.permissions == 0o700,
            let marker = try? OpenFile(markerName, in: directory, O_RDWR),
            let markerStatus = try? marker.status(), markerStatus.kind == .regular,
            markerStatus.owner == effectiveUser(), let text = try? marker.read(limit: 64),
            text == [UInt8](markerText.utf8), (try? marker.tryLock()) == true,
            let found = try? directory.names()
        else { return false }
        return found.allSatisfy(contents.contains)
    }

    /// Removes the known files and the directory; stays where anything else is in it.
    private static func remove(_ name: String, in base: borrowing OpenFile) {
        guard let directory = try? OpenFile(name, in: base, O_RDONLY | O_DIRECTORY) else { return }
        for file in contents { try? directory.remove(file) }
        try? base.remove(name, directory: true)
    }
}
