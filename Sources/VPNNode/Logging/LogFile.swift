// SPDX-License-Identifier: Apache-2.0
// A log file that makes room for itself: at a certain size it becomes FILE.1, FILE.1 becomes FILE.2, and the oldest goes.
// Where the directory does not let it, it goes on in the old file: a log that is too long is better than none.
internal import Glibc

/// When a log file is put aside.
public struct LogFileLimits: Sendable, Hashable {
    /// Bytes; 0 = never.
    public var maximumSize: Int
    /// As many old ones are kept; at least 1.
    public var maximumFiles: Int

    public init(maximumSize: Int = 64 << 20, maximumFiles: Int = 5) {
        self.maximumSize = maximumSize
        self.maximumFiles = maximumFiles
    }
}

/// A regular file of mode 0600 that lines are appended to.
struct LogFile: ~Copyable, Sendable {
    private var file: OpenFile
    private let path: String
    private let limits: LogFileLimits
    /// Bytes, as far as we wrote them.
    private var size: Int
    /// At this size the file is put aside; more than the limit where that failed.
    private var rotation: Int
    /// The last line stands there in part only.
    private var isTorn = false

    /// Opens or makes the file. Throws `NodeFailure` where it is no file of ours.
    init(_ path: String, _ limits: LogFileLimits) throws {
        let opened = try Self.open(path)
        size = try opened.status().size
        file = opened
        self.path = path
        self.limits = limits
        rotation = limits.maximumSize > 0 ? limits.maximumSize : .max
    }

    private static func open(_ path: String) throws -> OpenFile {
        do {
            let file = try OpenFile(path, O_WRONLY | O_APPEND | O_CREAT, mode: 0o600)
            let status = try file.status()
            guard status.kind == .regular, status.permissions & 0o022 == 0 else {
                throw NodeFailure(.permission, "log file \(path) is no regular file, or others can write to it")
            }
            return file
        } catch let error as SystemCallError {
            let reason = error.errno == ELOOP ? "is a symbolic link, which is refused" : error.reason
            throw NodeFailure(error.errno == EACCES ? .permission : .failure, "log file \(path): \(reason)")
        }
    }

    /// Appends a line. Throws where it could not be written as a whole.
    ///
    /// - Returns: why the file could not be put aside, if it is time for that; told once for each try.
    mutating func write(_ line: String) throws(SystemCallError) -> SystemCallError? {
        var refusal: SystemCallError?
        let bytes = [UInt8](((isTorn ? "\n" : "") + line + "\n").utf8)
        if size > 0, size + bytes.count > rotation {
            do throws(SystemCallError) { try putAside() } catch {
                refusal = error
                // Not again with each line, and not never again.
                rotation = size + max(limits.maximumSize / 4, 4096)
            }
        }
        do throws(SystemCallError) {
            try file.write(bytes)
            size += bytes.count
            isTorn = false
        } catch {
            // A full disk takes a part of a line first.
            if let now = try? file.status().size, now != size {
                isTorn = true
                size = now
            }
            throw error
        }
        return refusal
    }

    /// Gives the file its next name and begins a new one. If that goes wrong in the middle, the old one gets its name back.
    private mutating func putAside() throws(SystemCallError) {
        let (parent, name) = ProtectedFile.split(path)
        let directory = try OpenFile.directory(parent)
        for number in stride(from: max(1, limits.maximumFiles) - 1, to: 0, by: -1) {
            guard try directory.status(of: "\(name).\(number)") != nil else { continue }
            try directory.rename("\(name).\(number)", to: "\(name).\(number + 1)")
        }
        try directory.rename(name, to: "\(name).1")
        do throws(SystemCallError) {
            file = try OpenFile(name, in: directory, O_WRONLY | O_APPEND | O_CREAT | O_EXCL, mode: 0o600)
        } catch {
            try? directory.rename("\(name).1", to: name)
            throw error
        }
        size = 0
        isTorn = false
        rotation = limits.maximumSize
    }
}
