// SPDX-License-Identifier: Apache-2.0
// An open file or directory and the system calls that keys, pins and locks need: relative to a directory, never through
// a symbolic link, errors with their errno. No policy: who may own what is decided by ProtectedFile and its kin.
internal import CLinux
internal import Glibc
internal import VPNCrypto

/// A system call that failed.
struct SystemCallError: Error, Equatable, CustomStringConvertible {
    let call: String
    let path: String
    let errno: Int32

    var reason: String {
        // SAFETY: strerror returns a terminated string that stays valid until this thread's next call of it.
        unsafe String(cString: strerror(errno))
    }
    var description: String { "\(call) \(path): \(reason)" }
}

/// What fstat says.
struct FileStatus: Equatable {
    enum Kind { case regular, directory, symbolicLink, other }

    let kind: Kind
    let owner: UInt32
    /// The permission bits, 0…0o7777.
    let permissions: UInt32
    let size: Int
    let device: UInt
    let inode: UInt
    /// When content, name or rights last changed, in nanoseconds since 1970.
    let changed: Int

    init(_ status: stat) {
        kind =
            switch status.st_mode & S_IFMT {
            case S_IFREG: .regular
            case S_IFDIR: .directory
            case S_IFLNK: .symbolicLink
            default: .other
            }
        owner = status.st_uid
        permissions = status.st_mode & 0o7777
        size = Int(status.st_size)
        device = UInt(status.st_dev)
        inode = UInt(status.st_ino)
        changed = status.st_ctim.tv_sec * 1_000_000_000 + status.st_ctim.tv_nsec
    }

    /// Bits that let anybody but the owner in.
    var isOpenToOthers: Bool { permissions & 0o077 != 0 }
}

/// A file descriptor that closes itself.
struct OpenFile: ~Copyable, Sendable {
    let descriptor: Int32
    let path: String

    /// Opens, by default without following a symbolic link in the last step; never becomes a controlling terminal.
    init(_ path: String, _ flags: Int32, mode: UInt32 = 0, followsLinks: Bool = false) throws(SystemCallError) {
        // O_NONBLOCK, so that a FIFO in a file's place does not hang the program.
        let always = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (followsLinks ? 0 : O_NOFOLLOW)
        // SAFETY: here and below, a String argument is a terminated string for the length of the call.
        descriptor = unsafe open(path, flags | always, mode)
        self.path = path
        if descriptor < 0 { throw SystemCallError(call: "open", path: path, errno: Glibc.errno) }
    }

    /// A second descriptor of an open file, such as standard error.
    init(duplicating descriptor: Int32, path: String) throws(SystemCallError) {
        self.descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        self.path = path
        if self.descriptor < 0 { throw SystemCallError(call: "dup", path: path, errno: Glibc.errno) }
    }

    /// Opens a name inside a directory.
    init(_ name: String, in directory: borrowing OpenFile, _ flags: Int32, mode: UInt32 = 0) throws(SystemCallError) {
        path = directory.path + "/" + name
        descriptor = unsafe openat(
            directory.descriptor, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode)
        if descriptor < 0 { throw SystemCallError(call: "open", path: path, errno: Glibc.errno) }
    }

    /// Opens a directory for the calls below. Links on the way to it are the operator's business (/var/run is one).
    static func directory(_ path: String) throws(SystemCallError) -> OpenFile {
        try OpenFile(path, O_RDONLY | O_DIRECTORY, followsLinks: true)
    }

    deinit { close(descriptor) }

    private func failure(_ call: String, _ name: String? = nil) -> SystemCallError {
        SystemCallError(call: call, path: name.map { path + "/" + $0 } ?? path, errno: Glibc.errno)
    }

    borrowing func status() throws(SystemCallError) -> FileStatus {
        var buffer = stat()
        // SAFETY: the kernel writes one struct stat into ours.
        guard unsafe fstat(descriptor, &buffer) == 0 else { throw failure("stat") }
        return FileStatus(buffer)
    }

    /// The status of a name in this directory, the link itself if it is one; nil where there is none.
    borrowing func status(of name: String) throws(SystemCallError) -> FileStatus? {
        var buffer = stat()
        // SAFETY: as above; the name is a terminated string for the length of the call.
        if unsafe fstatat(descriptor, name, &buffer, AT_SYMLINK_NOFOLLOW) == 0 { return FileStatus(buffer) }
        if Glibc.errno == ENOENT { return nil }
        throw failure("stat", name)
    }

    /// Everything up to `limit` bytes, and never more.
    borrowing func read(limit: Int) throws(SystemCallError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: limit)
        var filled = 0
        while filled < limit {
            let (start, room) = (filled, limit - filled)
            let count = unsafe bytes.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress! + start, room)
            }
            if count < 0 && Glibc.errno == EINTR { continue }
            if count < 0 { throw failure("read") }
            if count == 0 { break }
            filled += count
        }
        bytes.removeLast(limit - filled)
        return bytes
    }

    /// Exactly `count` bytes into locked memory; fewer in the file throw with errno 0.
    borrowing func readSecret(count: Int) throws -> Secret {
        let (descriptor, path) = (descriptor, path)
        return try Secret(count: count) { room in
            var filled = 0
            while filled < count {
                // SAFETY: `filled` is inside the block of `count` bytes, which is ours until the closure returns.
                let done = unsafe Glibc.read(descriptor, room.baseAddress! + filled, count - filled)
                if done < 0 && Glibc.errno == EINTR { continue }
                if done <= 0 { throw SystemCallError(call: "read", path: path, errno: done < 0 ? Glibc.errno : 0) }
                filled += done
            }
        }
    }

    /// Whether something can be written without waiting, or that fails at once; waits so many milliseconds for it.
    borrowing func isWritable(within milliseconds: Int32) -> Bool {
        var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        // SAFETY: one element, which outlives the calls.
        let count = unsafe poll(&wanted, 1, milliseconds)
        // Where a signal came in between, it is asked once more and not waited for.
        return count < 0 ? unsafe poll(&wanted, 1, 0) > 0 : count > 0
    }

    borrowing func write(_ bytes: [UInt8]) throws(SystemCallError) {
        var written = 0
        while written < bytes.count {
            let start = written
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress! + start, $0.count - start)
            }
            if count < 0 && Glibc.errno == EINTR { continue }
            if count < 0 { throw failure("write") }
            written += count
        }
    }

    borrowing func write(_ secret: borrowing Secret) throws {
        let (descriptor, path) = (descriptor, path)
        try secret.withBytes { bytes in
            var written = 0
            while written < bytes.count {
                // SAFETY: `written` is inside the secret's block, which is borrowed for the closure.
                let count = unsafe Glibc.write(descriptor, bytes.baseAddress! + written, bytes.count - written)
                if count < 0 && Glibc.errno == EINTR { continue }
                if count < 0 { throw SystemCallError(call: "write", path: path, errno: Glibc.errno) }
                written += count
            }
        }
    }

    borrowing func sync() throws(SystemCallError) {
        guard fsync(descriptor) == 0 else { throw failure("fsync") }
    }

    borrowing func truncate() throws(SystemCallError) {
        guard ftruncate(descriptor, 0) == 0, lseek(descriptor, 0, SEEK_SET) == 0 else { throw failure("truncate") }
    }

    /// Takes the file's exclusive lock if nobody holds it. It falls with the last descriptor, however the process ends.
    borrowing func tryLock() throws(SystemCallError) -> Bool {
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return true }
        if Glibc.errno == EWOULDBLOCK { return false }
        throw failure("flock")
    }

    /// The same by a lock that only who may write the file can have (fcntl(2), of the open file description); `tryLock` is for anybody
    /// who can open it.
    borrowing func tryOwnersLock() throws(SystemCallError) -> Bool {
        let status = clinux_lock(descriptor)
        if status == 0 { return true }
        if status == -EAGAIN || status == -EACCES { return false }
        throw SystemCallError(call: "fcntl", path: path, errno: -status)
    }

    /// Waits for the file's exclusive lock for so long at most; false where somebody holds it still.
    borrowing func tryLock(milliseconds: Int) throws(SystemCallError) -> Bool {
        var left = milliseconds
        while try !tryLock() {
            guard left > 0 else { return false }
            usleep(5000)
            left -= 5
        }
        return true
    }

    /// Takes the lock of a file that is to be changed.
    ///
    /// - Parameter patience: milliseconds, where others wait for the caller; nil = as long as it takes.
    borrowing func lock(patience: Int?) throws {
        guard let patience else { return try lock() }
        guard try tryLock(milliseconds: patience) else {
            throw NodeFailure(.failure, "\(path) is held by another process: it is tried again later")
        }
    }

    /// Waits for the file's exclusive lock.
    borrowing func lock() throws(SystemCallError) {
        while flock(descriptor, LOCK_EX) != 0 {
            if Glibc.errno != EINTR { throw failure("flock") }
        }
    }

    borrowing func setMode(_ mode: UInt32) throws(SystemCallError) {
        guard fchmod(descriptor, mode) == 0 else { throw failure("chmod") }
    }

    /// Its owner stays.
    borrowing func giveToGroup(_ group: UInt32) throws(SystemCallError) {
        guard fchown(descriptor, uid_t.max, group) == 0 else { throw failure("chown") }
    }

    // MARK: Inside a directory

    borrowing func makeDirectory(_ name: String, mode: UInt32) throws(SystemCallError) {
        guard unsafe mkdirat(descriptor, name, mode) == 0 else { throw failure("mkdir", name) }
    }

    /// Gives a file a second name; fails where the name is taken, which makes it a creation that never overwrites.
    borrowing func link(_ name: String, to newName: String) throws(SystemCallError) {
        guard unsafe linkat(descriptor, name, descriptor, newName, 0) == 0 else { throw failure("link", newName) }
    }

    borrowing func rename(_ name: String, to newName: String) throws(SystemCallError) {
        guard unsafe renameat(descriptor, name, descriptor, newName) == 0 else { throw failure("rename", newName) }
    }

    borrowing func remove(_ name: String, directory: Bool = false) throws(SystemCallError) {
        guard unsafe unlinkat(descriptor, name, directory ? AT_REMOVEDIR : 0) == 0 else {
            throw failure("unlink", name)
        }
    }

    /// Swaps what two paths name, in one step that nobody sees half done. Both must exist, in one file system that can do it.
    static func exchange(_ path: String, with other: String) throws(SystemCallError) {
        let status = unsafe clinux_exchange(path, other)
        guard status == 0 else { throw SystemCallError(call: "renameat2", path: other, errno: -status) }
    }

    /// The names in this directory, without "." and "..", sorted.
    borrowing func names() throws(SystemCallError) -> [String] {
        let second = unsafe openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard second >= 0 else { throw failure("open") }
        // SAFETY: fdopendir takes the descriptor over; the stream is closed below, and entries are read before the next.
        guard let stream = unsafe fdopendir(second) else {
            close(second)
            throw failure("opendir")
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}

/// The user whose files this process trusts.
func effectiveUser() -> UInt32 { geteuid() }
