// SPDX-License-Identifier: Apache-2.0
// Files that only their owner may touch: opened with suspicion, replaced as a whole or not at all.
internal import Glibc
internal import VPNCrypto

/// Reading and writing of files of mode 0600.
enum ProtectedFile {
    /// Opens for reading, and refuses a symbolic link, anything but a regular file, another owner than this user or
    /// root, and permissions for anybody else. `noun` names it in errors: "key file".
    static func open(_ path: String, noun: String, maximumSize: Int) throws -> OpenFile {
        let file: OpenFile
        do {
            file = try OpenFile(path, O_RDONLY)
        } catch {
            throw refusal(error, path: path, noun: noun)
        }
        try check(file.status(), path: path, noun: noun, maximumSize: maximumSize)
        return file
    }

    private static func refusal(_ error: SystemCallError, path: String, noun: String) -> NodeFailure {
        switch error.errno {
        case ELOOP:
            NodeFailure(.permission, "\(noun) \(path) is a symbolic link, which is refused: name the file itself")
        case ENOENT, ENOTDIR: NodeFailure(.usage, "\(noun) \(path) does not exist")
        case EACCES, EPERM:
            NodeFailure(.permission, "\(noun) \(path) cannot be read by this user: check its owner and directory")
        default: NodeFailure(.failure, "\(noun) \(path): \(error.reason)")
        }
    }

    private static func check(_ status: FileStatus, path: String, noun: String, maximumSize: Int) throws {
        guard status.kind == .regular else {
            throw NodeFailure(.usage, "\(noun) \(path) is not a regular file")
        }
        guard status.owner == effectiveUser() || status.owner == 0 else {
            // What belongs to the user of its directory is in the right hands: root's would take it out of them.
            let advice =
                StateOwner.foreign(path) == status.owner
                ? "run this as that user, `\(StateOwner.command(status.owner)) …`" : "chown it"
            throw NodeFailure(
                .permission,
                "\(noun) \(path) belongs to user \(status.owner), not to user \(effectiveUser()) or root: \(advice)")
        }
        guard !status.isOpenToOthers else {
            let mode = String(status.permissions, radix: 8)
            throw NodeFailure(
                .permission, "\(noun) \(path) has mode \(mode), so that others can reach it: run chmod 600 \(path)")
        }
        guard status.size <= maximumSize else {
            throw NodeFailure(.usage, "\(noun) \(path) has \(status.size) bytes, more than any such file has")
        }
    }

    /// The directory and the name of a path.
    static func split(_ path: String) -> (directory: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        let directory = path[..<slash]
        return (directory.isEmpty ? "/" : String(directory), String(path[path.index(after: slash)...]))
    }

    /// Whether there is anything of that name; false only where it certainly is absent.
    static func exists(_ path: String) -> Bool {
        let (directory, name) = split(path)
        do {
            return try OpenFile.directory(directory).status(of: name) != nil
        } catch {
            return error.errno != ENOENT && error.errno != ENOTDIR
        }
    }

    /// A name that nobody else uses, for the time before a file is complete.
    static func temporaryName(for name: String) -> String {
        let random = String(UInt64.random(in: .min ... .max), radix: 36)
        return ".\(name).tmp-\(random)"
    }

    /// Replaces the file at once: after a crash there is the old content or the new.
    static func replace(_ path: String, with bytes: [UInt8]) throws {
        let (directoryPath, name) = split(path)
        let directory = try OpenFile.directory(directoryPath)
        let temporary = temporaryName(for: name)
        let file = try OpenFile(temporary, in: directory, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
        do {
            try file.write(bytes)
            try file.sync()
            try directory.rename(temporary, to: name)
        } catch {
            try? directory.remove(temporary)
            throw error
        }
        try directory.sync()
    }
}

/// Several files that are replaced together, each as a whole: until `commit` all old ones stand, and a crash in the midst of
/// it leaves some old and some new, none of them half.
struct FileReplacement: ~Copyable {
    private var pending: [(directory: String, temporary: String, name: String)] = []

    /// Writes the new content of mode 0600 beside the old one.
    mutating func add(_ path: String, write: (borrowing OpenFile) throws -> Void) throws {
        let (directoryPath, name) = ProtectedFile.split(path)
        let directory = try OpenFile.directory(directoryPath)
        let temporary = ProtectedFile.temporaryName(for: name)
        let file = try OpenFile(temporary, in: directory, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
        pending.append((directoryPath, temporary, name))
        try write(file)
        try file.sync()
    }

    mutating func commit() throws {
        while let (directoryPath, temporary, name) = pending.first {
            let directory = try OpenFile.directory(directoryPath)
            try directory.rename(temporary, to: name)
            pending.removeFirst()
            try directory.sync()
        }
    }

    deinit {
        for (directory, temporary, _) in pending { try? OpenFile.directory(directory).remove(temporary) }
    }
}

/// Several new files that appear together, none of which may exist before. Until `commit` nothing has its final name.
struct NewFiles: ~Copyable {
    private let directory: OpenFile
    private var pending: [(temporary: String, name: String)] = []

    /// `path` is an existing directory.
    init(in path: String) throws {
        directory = try OpenFile.directory(path)
    }

    /// Refuses if one of the names is taken.
    borrowing func checkAbsent(_ names: [String]) throws {
        for name in names where try directory.status(of: name) != nil {
            throw NodeFailure(
                .failure,
                "\(directory.path)/\(name) exists and is not overwritten: choose another directory or move it away")
        }
    }

    /// Writes a file of mode 0600 (or `mode`) under a temporary name.
    mutating func add(_ name: String, mode: UInt32 = 0o600, write: (borrowing OpenFile) throws -> Void) throws {
        let temporary = ProtectedFile.temporaryName(for: name)
        let file = try OpenFile(temporary, in: directory, O_WRONLY | O_CREAT | O_EXCL, mode: mode)
        pending.append((temporary, name))
        // What others are to read does not hang on the umask of whoever installs it.
        if mode & 0o077 != 0 { try file.setMode(mode) }
        try write(file)
        try file.sync()
    }

    /// Gives all files their names. If one is taken by now, those that were given are taken back.
    mutating func commit() throws {
        var done: [String] = []
        do {
            for (temporary, name) in pending {
                try directory.link(temporary, to: name)
                done.append(name)
            }
            removeTemporaries()
            try directory.sync()
        } catch {
            for name in done { try? directory.remove(name) }
            removeTemporaries()
            throw error
        }
    }

    private mutating func removeTemporaries() {
        for (temporary, _) in pending { try? directory.remove(temporary) }
        pending = []
    }

    deinit {
        for (temporary, _) in pending { try? directory.remove(temporary) }
    }
}
