// SPDX-License-Identifier: Apache-2.0
// What this process may do, from now on and for good. Which of it a daemon needs is its own matter.

import CLinux

/// Capabilities of Linux (capabilities(7)).
public struct ProcessPrivileges: OptionSet, Sendable, Hashable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// CAP_DAC_OVERRIDE: files of others, whatever their modes.
    public static let othersFiles = ProcessPrivileges(rawValue: 1 << 1)
    /// CAP_NET_ADMIN: interfaces, routes, marks, filters.
    public static let network = ProcessPrivileges(rawValue: 1 << 12)

    /// Gives up all others in every thread, and the right to get any by starting a program. What was not there is not there
    /// afterwards either.
    ///
    /// Each thread is told by the signal SIGSYS, which none may block, and does it itself.
    public static func keep(_ kept: ProcessPrivileges) throws(EngineError) { try confine(kept, -1) }

    /// The same, and puts all threads, and what they start, behind a fence.
    public static func keep(_ kept: ProcessPrivileges, behind fence: borrowing FileFence) throws(EngineError) {
        try confine(kept, fence.descriptor)
    }

    private static func confine(_ kept: ProcessPrivileges, _ fence: Int32) throws(EngineError) {
        let result = clinux_confine(kept.rawValue, fence)
        guard result == 0 else { throw EngineError(.system, errno: -result, "giving up privileges") }
    }

    /// Leaves this process, and what it starts, the system calls of an ordinary service: none that load code into the kernel, mount, trace,
    /// set clocks or make namespaces.
    public static func filterCalls() throws(EngineError) {
        let result = clinux_filter_calls()
        guard result == 0 else { throw EngineError(.system, errno: -result, "filtering system calls") }
    }

    /// Whether this process could write in a directory, or else read a file, if it had no right to files of others. True where nobody
    /// can tell, as where there is nothing of the kind.
    public static func couldUse(_ path: String, writing: Bool) -> Bool {
        // SAFETY: the string is valid and terminated for the call.
        unsafe path.withCString { unsafe clinux_may_without_override($0, writing ? 1 : 0) } != 0
    }
}
