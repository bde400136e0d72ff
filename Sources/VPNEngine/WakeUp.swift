// SPDX-License-Identifier: Apache-2.0
// An eventfd: what one thread rings and another waits for in epoll.

import CLinux
import Glibc

/// A bell between threads.
final class WakeUp: Sendable {
    private let descriptor: FileDescriptor

    init() throws(EngineError) { descriptor = try FileDescriptor(clinux_eventfd_open(0), "eventfd") }

    var raw: Int32 { descriptor.raw }

    func ring() { clinux_eventfd_signal(descriptor.raw, 1) }

    /// Makes it silent again.
    func silence() { _ = clinux_eventfd_take(descriptor.raw) }
}
