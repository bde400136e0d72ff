// SPDX-License-Identifier: Apache-2.0
// A file with the process id, locked for as long as the process runs: two daemons cannot share it, and a file that a
// killed one left behind is no obstacle.
internal import Glibc

final class PIDFile: Sendable {
    let path: String
    private let file: OpenFile

    /// Takes the lock and writes this process's id. Throws where another process holds it.
    init(path: String) throws {
        self.path = path
        file = try Self.open(path)
        try file.truncate()
        try file.write([UInt8]("\(getpid())\n".utf8))
    }

    private static func open(_ path: String) throws -> OpenFile {
        // The file may be removed between its opening and its locking by a daemon that ends.
        for _ in 0..<10 {
            let file: OpenFile
            do {
                file = try OpenFile(path, O_RDWR | O_CREAT, mode: 0o644)
            } catch let error {
                let reason = error.errno == ELOOP ? "is a symbolic link, which is refused" : error.reason
                let isPermission = error.errno == EACCES || error.errno == EPERM
                throw NodeFailure(isPermission ? .permission : .failure, "pid file \(path): \(reason)")
            }
            guard try file.tryOwnersLock() else {
                let owner = String(decoding: (try? file.read(limit: 32)) ?? [], as: UTF8.self)
                let pid = Int(owner.split(separator: "\n").first ?? "").map { " (process \($0))" } ?? ""
                throw NodeFailure(.failure, "pid file \(path) is held by a running pqvpn\(pid): stop it first")
            }
            guard try isAt(path, file) else { continue }
            try checkContent(file)
            // By this one a daemon is known to whoever started it.
            _ = try? file.tryLock()
            return file
        }
        throw NodeFailure(.failure, "pid file \(path) changes too fast")
    }

    /// What is no process id was written by nobody of our kind: somebody's configuration, most likely.
    private static func checkContent(_ file: borrowing OpenFile) throws {
        let size = try file.status().size
        if size == 0 { return }
        let text = String(decoding: try file.read(limit: 32), as: UTF8.self)
        let isNumber = size <= 32 && text.hasSuffix("\n") && Int(text.dropLast()) != nil
        guard isNumber || size <= 32 && Int(text) != nil else {
            throw NodeFailure(
                .failure, "pid file \(file.path) holds something else than a process id, and is not overwritten")
        }
    }

    /// Whether `path` is still the name of this very file.
    private static func isAt(_ path: String, _ file: borrowing OpenFile) throws -> Bool {
        let (directory, name) = ProtectedFile.split(path)
        let (own, named) = (try file.status(), try OpenFile.directory(directory).status(of: name))
        return named?.inode == own.inode && named?.device == own.device
    }

    /// Removes the file while the lock is held; never the file of a successor.
    func remove() {
        guard (try? Self.isAt(path, file)) == true else { return }
        let (directory, name) = ProtectedFile.split(path)
        try? OpenFile.directory(directory).remove(name)
    }

    deinit { remove() }
}
