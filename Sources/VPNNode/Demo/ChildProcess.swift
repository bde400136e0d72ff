// SPDX-License-Identifier: Apache-2.0
// A program started by posix_spawn and asked after by waitpid: no threads, no sockets, no shell. Foundation's Process is
// not used because it needs a loopback interface that is up, which a new network namespace has not.
internal import Glibc

/// A child of this process, reaped by ``poll()``. Dropping it ends nothing.
struct ChildProcess: ~Copyable {
    let identifier: pid_t
    private var ended: Int32?

    /// Where a stream of the child goes.
    enum Stream {
        case shared
        /// A new or emptied file of mode 0600.
        case file(String)
    }

    /// Starts `executable` (a path) with standard input from a file, by default /dev/null, default signal handling and a process group
    /// of its own, so that a key pressed at the terminal reaches this process only.
    init(
        _ executable: String, _ arguments: [String], environment: [String: String], input: String = "/dev/null",
        inputDescriptor: Int32? = nil, output: Stream = .shared, errors: Stream = .shared
    ) throws {
        var actions = unsafe posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        // SAFETY: both are initialised before any other call sees them and destroyed once, behind the last.
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            unsafe posix_spawn_file_actions_destroy(&actions)
            unsafe posix_spawnattr_destroy(&attributes)
        }
        // SAFETY: the paths are copied by the calls.
        if let inputDescriptor {
            unsafe posix_spawn_file_actions_adddup2(&actions, inputDescriptor, 0)
        } else {
            unsafe posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        }
        for (descriptor, stream) in [(Int32(1), output), (2, errors)] {
            if case .file(let path) = stream {
                unsafe posix_spawn_file_actions_addopen(
                    &actions, descriptor, path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            }
        }

        var (none, all) = (sigset_t(), sigset_t())
        // SAFETY: both sets are ours, and copied by the attributes.
        unsafe sigemptyset(&none)
        unsafe sigfillset(&all)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        unsafe posix_spawnattr_setpgroup(&attributes, 0)
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        unsafe posix_spawnattr_setflags(&attributes, Int16(flags))

        let words = CStrings([executable] + arguments)
        let variables = CStrings(environment.map { "\($0.key)=\($0.value)" })
        var identifier: pid_t = 0
        // SAFETY: both lists end in nil and live until the call is over, by which time the child has its copies.
        let error = unsafe posix_spawn(
            &identifier, executable, &actions, &attributes, words.pointers, variables.pointers)
        guard error == 0 else {
            let reason = unsafe String(cString: strerror(error))
            throw NodeFailure(.failure, "\(executable) could not be started: \(reason)")
        }
        self.identifier = identifier
    }

    /// Its exit status, or 128 and the number of the signal that ended it; nil while it runs.
    mutating func poll() -> Int32? {
        if let ended { return ended }
        var status: Int32 = 0
        // SAFETY: the status is ours and written by the call only.
        let result = unsafe waitpid(identifier, &status, WNOHANG)
        guard result != 0 else { return nil }
        // An error means that somebody else has reaped it, so that its end is not known to us.
        let signal = status & 0x7F
        ended = result < 0 ? 255 : signal == 0 ? status >> 8 & 0xFF : 128 + signal
        return ended
    }

    /// Sends a signal, unless the process has been reaped and its number may be another's by now.
    func send(_ signal: Int32) {
        if ended == nil { _ = kill(identifier, signal) }
    }
}

/// A list of C strings that ends in nil.
@safe private struct CStrings: ~Copyable {
    let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        count = strings.count
        // SAFETY: count + 1 places are allocated and all are initialised.
        unsafe pointers = .allocate(capacity: count + 1)
        for (index, string) in strings.enumerated() {
            unsafe (pointers + index).initialize(to: strdup(string))
        }
        unsafe (pointers + count).initialize(to: nil)
    }

    deinit {
        // SAFETY: each string came from strdup, and the list is ours.
        for index in 0..<count { unsafe free(pointers[index]) }
        unsafe pointers.deinitialize(count: count + 1)
        unsafe pointers.deallocate()
    }
}
