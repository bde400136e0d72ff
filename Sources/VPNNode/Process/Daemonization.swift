// SPDX-License-Identifier: Apache-2.0
// `run --daemonize`: the same program once more in a session of its own, and a pipe through which it says that it is up
// or why it is not. Swift's runtime does not survive a fork, so the child is spawned and not forked.
internal import Foundation
internal import Glibc

/// The parent's side.
public enum Daemonization {
    /// The descriptor at which the child finds the pipe.
    public static let readinessDescriptor: Int32 = 3

    /// POSIX_SPAWN_SETSID of <spawn.h>, which glibc shows to GNU sources only.
    private static let setsidFlag: Int16 = 0x80

    /// Of this program.
    static var programPath: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "pqvpn"
    }

    /// Starts this program with other arguments and waits until it is ready. Returns its process id, or throws what it
    /// said was wrong with the status it would have ended with.
    public static func start(arguments: [String]) throws -> Int32 {
        var ends: [Int32] = [-1, -1]
        // SAFETY: the kernel writes two descriptors into the array of two.
        guard unsafe pipe(&ends) == 0 else {
            throw SystemCallError(call: "pipe", path: "readiness", errno: errno)
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let pid: pid_t
        do {
            pid = try spawn(arguments: arguments, readiness: ends[1])
        } catch {
            close(ends[0])
            close(ends[1])
            throw error
        }
        close(ends[1])
        defer { close(ends[0]) }
        return try wait(for: pid, readingFrom: ends[0])
    }

    private static func spawn(arguments: [String], readiness: Int32) throws -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        // SAFETY: both are initialised before use and destroyed after it; the paths are static.
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            unsafe posix_spawn_file_actions_destroy(&actions)
            unsafe posix_spawnattr_destroy(&attributes)
        }
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
            unsafe posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
        }
        unsafe posix_spawn_file_actions_adddup2(&actions, readiness, readinessDescriptor)
        // Whoever started us may wait for the end of a descriptor that it let us inherit.
        let open = try OpenFile.directory("/proc/self/fd").names().compactMap(Int32.init)
        for descriptor in open where descriptor > readinessDescriptor {
            unsafe posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        // A session without a terminal.
        unsafe posix_spawnattr_setflags(&attributes, setsidFlag)
        var argv = unsafe (["pqvpn"] + arguments).map { unsafe strdup($0) } + [nil]
        defer { unsafe argv.forEach { unsafe free($0) } }
        var pid: pid_t = 0
        // SAFETY: argv is an array of terminated strings that ends with nil; both live until the call returns.
        let status = unsafe posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, &argv, environ)
        guard status == 0 else { throw SystemCallError(call: "posix_spawn", path: "/proc/self/exe", errno: status) }
        return pid
    }

    private static func wait(for pid: pid_t, readingFrom descriptor: Int32) throws -> Int32 {
        var said: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            // SAFETY: at most the array's size is written into it.
            let count = unsafe read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            said += buffer.prefix(count)
            if said == Readiness.ready { return pid }
        }
        var status: Int32 = 0
        // SAFETY: the kernel writes one status.
        unsafe waitpid(pid, &status, 0)
        if let failure = Readiness.decode(said) { throw failure }
        let how = status & 0x7F == 0 ? "status \(status >> 8 & 0xFF)" : "signal \(status & 0x7F)"
        throw NodeFailure(.failure, "the daemon ended with \(how) before it was ready")
    }
}

/// The child's side: says once how the start went.
public struct Readiness: Sendable {
    fileprivate static let ready = [UInt8]("ready\n".utf8)
    private let descriptor: Int32?

    /// Nil where nobody waits.
    public init(descriptor: Int32?) {
        self.descriptor = descriptor
        // Programs that this one starts must not hold the pipe open.
        if let descriptor { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }

    public func ready() { say(Self.ready) }

    public func failed(_ failure: NodeFailure) { say([UInt8]("\(failure.status.rawValue)\n\(failure.message)".utf8)) }

    private func say(_ bytes: [UInt8]) {
        guard let descriptor else { return }
        // SAFETY: the array's bytes, no more. Whoever no longer listens has lost interest.
        _ = unsafe write(descriptor, bytes, bytes.count)
        close(descriptor)
    }

    fileprivate static func decode(_ bytes: [UInt8]) -> NodeFailure? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let line = text.firstIndex(of: "\n"), let number = Int32(text[..<line]),
            let status = ExitStatus(rawValue: number)
        else { return nil }
        return NodeFailure(status, String(text[text.index(after: line)...]))
    }
}
