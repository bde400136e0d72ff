// SPDX-License-Identifier: Apache-2.0
// epoll over the three things that a worker waits for.

import CLinux
import Glibc

/// What a worker waits for.
enum WorkerSource: UInt64 {
    case tunnel = 0
    case socket = 1
    case commands = 2
}

/// What is ready after a wait.
struct Readiness {
    private var flags: (UInt32, UInt32, UInt32) = (0, 0, 0)

    fileprivate mutating func set(_ event: clinux_event) {
        switch WorkerSource(rawValue: event.tag) {
        case .tunnel: flags.0 = event.ready
        case .socket: flags.1 = event.ready
        case .commands: flags.2 = event.ready
        case nil: break
        }
    }

    var tunnelReadable: Bool { flags.0 & CLINUX_READABLE != 0 }
    var tunnelBroken: Bool { flags.0 & CLINUX_BROKEN != 0 }
    /// An error waits on the socket as well: receiving takes it off.
    var socketReadable: Bool { flags.1 & (CLINUX_READABLE | CLINUX_BROKEN) != 0 }
    var socketWritable: Bool { flags.1 & CLINUX_WRITABLE != 0 }
    var commands: Bool { flags.2 != 0 }
}

/// A level-triggered epoll set.
struct Poller: ~Copyable, Sendable {
    private let descriptor: FileDescriptor

    init() throws(EngineError) { descriptor = try FileDescriptor(clinux_epoll_open(), "epoll_create1") }

    func add(_ raw: Int32, _ source: WorkerSource) throws(EngineError) {
        let result = clinux_epoll_add(descriptor.raw, raw, CLINUX_READABLE, source.rawValue)
        guard result == 0 else { throw EngineError(.system, errno: -result, "epoll_ctl") }
    }

    func change(_ raw: Int32, _ source: WorkerSource, readable: Bool, writable: Bool = false) {
        let interest = (readable ? CLINUX_READABLE : 0) | (writable ? CLINUX_WRITABLE : 0)
        _ = clinux_epoll_change(descriptor.raw, raw, interest, source.rawValue)
    }

    func remove(_ raw: Int32) { _ = clinux_epoll_remove(descriptor.raw, raw) }

    /// Waits until something is ready, or for so many milliseconds; for ever where that is negative.
    func wait(milliseconds: Int32 = -1) -> Readiness {
        var events = (clinux_event(), clinux_event(), clinux_event(), clinux_event())
        var readiness = Readiness()
        // SAFETY: a homogeneous tuple is laid out as an array, and the kernel writes at most 4 events.
        unsafe withUnsafeMutableBytes(of: &events) { bytes in
            let events = unsafe bytes.bindMemory(to: clinux_event.self)
            let count = unsafe clinux_epoll_wait(descriptor.raw, events.baseAddress!, 4, milliseconds)
            precondition(count >= 0, "epoll_wait on a set of our own failed")
            for place in 0..<Int(count) { unsafe readiness.set(events[place]) }
        }
        return readiness
    }
}
