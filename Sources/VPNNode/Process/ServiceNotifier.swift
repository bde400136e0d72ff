// SPDX-License-Identifier: Apache-2.0
// The service manager's notification protocol (sd_notify(3)): one datagram of lines to the socket that it named. Without one
// nothing is sent. No library is needed for it.
internal import Glibc

/// Tells a service manager how it stands with this process.
struct ServiceNotifier: Sendable {
    /// A path, or "@" and a name of the abstract namespace; nil: nobody listens.
    private let address: String?
    /// How often a sign of life is due: half of what was asked for. Nil: none is wanted.
    let watchdogInterval: Duration?

    /// From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. What is malformed counts as absent.
    init(environment: [String: String], pid: Int32 = getpid()) {
        let socket = environment["NOTIFY_SOCKET"] ?? ""
        let isAddress =
            (socket.hasPrefix("/") || socket.hasPrefix("@")) && (2...Self.longestAddress).contains(socket.utf8.count)
        address = isAddress ? socket : nil
        let isForUs = environment["WATCHDOG_PID"].map { Int32($0) == pid } ?? true
        let limit = environment["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0
        watchdogInterval = isForUs && limit > 1 && isAddress ? .microseconds(limit / 2) : nil
    }

    /// Whether somebody listens.
    var isWanted: Bool { address != nil }

    func ready(_ status: String) { send(["READY=1", "STATUS=\(status)", "MAINPID=\(getpid())"]) }
    func reloading() { send(["RELOADING=1", "MONOTONIC_USEC=\(Self.monotonicMicroseconds)"]) }
    func stopping() { send(["STOPPING=1", "STATUS=stopping"]) }
    func isAlive() { send(["WATCHDOG=1"]) }

    /// sun_path without its last byte.
    private static let longestAddress = 107

    /// The manager compares it with its own CLOCK_MONOTONIC, which stands still in sleep.
    private static var monotonicMicroseconds: Int {
        var time = timespec()
        // SAFETY: the pointer is to a local that outlives the call.
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1_000_000 + time.tv_nsec / 1000
    }

    /// A manager that does not take it is its own affair: nothing here fails.
    private func send(_ lines: [String]) {
        guard let address else { return }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        // A manager that stopped reading is waited for once, and not by whoever asks this process to end.
        var patience = timeval(tv_sec: 1, tv_usec: 0)
        // SAFETY: the option is read during the call, from a local of this size.
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var target = sockaddr_un()
        target.sun_family = sa_family_t(AF_UNIX)
        var name = Array(address.utf8)
        if name[0] == UInt8(ascii: "@") { name[0] = 0 }
        // SAFETY: at most 107 bytes go into the 108 of sun_path, which is zeroed.
        unsafe withUnsafeMutableBytes(of: &target.sun_path) { unsafe $0.copyBytes(from: name) }
        let message = Array(lines.joined(separator: "\n").utf8)
        // An abstract name ends with the length of the address.
        let length = socklen_t(2 + name.count)
        // SAFETY: the address holds `length` bytes and the message `count`; both outlive the call.
        _ = unsafe withUnsafePointer(to: &target) { target in
            unsafe target.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe sendto(descriptor, message, message.count, Int32(MSG_NOSIGNAL), $0, length)
            }
        }
    }
}
