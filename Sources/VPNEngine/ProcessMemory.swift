// SPDX-License-Identifier: Apache-2.0
// Memory of the whole process.

import CLinux

public enum ProcessMemory {
    /// Lets go of all code in memory; what is still needed comes back from the page cache, page by page. Starting runs through
    /// ten times the code that moving packets takes, and a daemon starts once. Where /proc is missing nothing happens.
    public static func releaseCode() { _ = clinux_release_code() }
}
