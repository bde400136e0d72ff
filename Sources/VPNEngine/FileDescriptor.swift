// SPDX-License-Identifier: Apache-2.0
// A file descriptor with one owner, closed when the owner goes.

import CLinux
import Glibc

/// An open descriptor; closing it is the end of its life.
struct FileDescriptor: ~Copyable, Sendable {
    let raw: Int32

    /// Takes the result of a call that gives a descriptor or a negative errno.
    init(_ result: Int32, _ call: String) throws(EngineError) {
        guard result >= 0 else { throw EngineError(.system, errno: -result, call) }
        raw = result
    }

    /// Takes an open descriptor, or −1 for none.
    init(owning raw: Int32) { self.raw = raw }

    deinit {
        if raw >= 0 { clinux_close(raw) }
    }
}
