// SPDX-License-Identifier: Apache-2.0
// A network namespace of one's own, for tests and demonstrations: interfaces made in it touch nothing of the host.

import CLinux
import Glibc

public enum PrivateNetwork {
    /// Moves the calling thread into a new network namespace with its loopback interface up. Sockets and interfaces that
    /// the thread opens from then on live there, as do threads that it starts. It needs CAP_SYS_ADMIN.
    public static func enter() throws(EngineError) {
        let result = clinux_enter_private_network()
        guard result == 0 else { throw EngineError(.system, errno: -result, "entering a network namespace") }
    }

    /// Takes all capabilities from the calling thread alone, for good: what a process without privileges sees.
    public static func dropCapabilities() throws(EngineError) {
        let result = clinux_drop_thread_capabilities()
        guard result == 0 else { throw EngineError(.system, errno: -result, "dropping capabilities") }
    }
}
