// SPDX-License-Identifier: Apache-2.0
// The wall clock, for what people read, for what descriptors say that they are good for, and for guards. No decision of the protocol
// looks at it.
internal import Glibc

enum UnixTime {
    /// Seconds since 1970.
    static var now: UInt64 {
        let seconds = time(nil)
        return seconds > 0 ? UInt64(seconds) : 0
    }
}
