// SPDX-License-Identifier: Apache-2.0
// Memory of the whole process.

import CLinux

public enum ProcessMemory {
    /// Lets go of all code in memory; what is still needed comes back from the page cache, page by page. Starting runs through
    /// ten times the code that moving packets takes, and a daemon starts once. Where /proc is missing nothing happens.
    public static func releaseCode() { _ = clinux_release_code() }

    /// Gives back what malloc keeps and nobody uses. Handshakes take a hundred times what a session keeps, and leave holes between
    /// what stays that malloc gives back by itself only at its end. Some ten milliseconds for 100 MiB; not for a packet thread.
    public static func releaseFree() { _ = clinux_release_free() }

    /// Secrets stay in this process: no core dump, and no debugger of another process but root's. What it starts later is not
    /// held by this, only by the limit. False where the kernel refuses.
    public static func forbidDumps() -> Bool { clinux_forbid_dumps() == 0 }
}
