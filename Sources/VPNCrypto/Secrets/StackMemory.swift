// SPDX-License-Identifier: Apache-2.0
// What computing with secrets leaves on the calling thread's stack: frames of functions that have returned, of libraries and our own. They
// stay until something as deep runs there again, which on an idle thread may be never.

internal import CPacketAEAD

public enum StackMemory {
    /// Overwrites 64 KiB below the caller's frame: more than any primitive takes. To be called by whoever called what handled secrets; the
    /// thread must have so much left.
    public static func wipe() { pqvpn_wipe_stack() }
}
