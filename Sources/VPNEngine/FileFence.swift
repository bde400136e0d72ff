// SPDX-License-Identifier: Apache-2.0
// Which files this process may open from some moment on, beside what their modes say (Landlock). Which those are is a daemon's matter.

import CLinux

/// A fence that stands nowhere yet; closed when dropped.
public struct FileFence: ~Copyable {
    public struct Access: OptionSet, Sendable, Hashable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        public static let read = Access(rawValue: CLINUX_FENCE_READ)
        /// Starting programs.
        public static let run = Access(rawValue: CLINUX_FENCE_RUN)
        /// Making, changing and removing.
        public static let write = Access(rawValue: CLINUX_FENCE_WRITE)
        public static let remove = Access(rawValue: CLINUX_FENCE_REMOVE)
        /// Calls of a device's own.
        public static let device = Access(rawValue: CLINUX_FENCE_DEVICE)
    }

    let descriptor: Int32

    /// The kernel's version of Landlock; nil where it has none.
    public static var version: Int? {
        let version = clinux_fence_version()
        return version > 0 ? Int(version) : nil
    }

    /// A fence that lets nothing through. Nil where the kernel knows of none.
    public init?() {
        descriptor = clinux_fence_open()
        guard descriptor >= 0 else { return nil }
    }

    deinit { clinux_close(descriptor) }

    /// A gate for a file, or for all beneath a directory, as it is now; where there is none of that name there is no gate.
    public borrowing func allow(_ path: String, _ access: Access) {
        // SAFETY: the string is valid and terminated for the call.
        _ = unsafe path.withCString { unsafe clinux_fence_allow(descriptor, $0, access.rawValue) }
    }
}
