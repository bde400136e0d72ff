// SPDX-License-Identifier: Apache-2.0
// The one clock of the product, CLOCK_BOOTTIME: monotonic, and it counts while the machine sleeps.

import CLinux
import Glibc
public import VPNCore

public enum MonotonicClock {
    public static var now: Instant { Instant(nanoseconds: clinux_boottime()) }
}

/// What the kernel knows of the time of day. No decision goes by it.
public enum WallClock {
    public enum Error: Sendable, Hashable {
        /// Somebody keeps it right, within so many microseconds.
        case synchronised(microseconds: Int)
        /// Nobody does.
        case free
        /// The kernel does not say.
        case unknown
    }

    public static var largestError: Error {
        let answer = clinux_clock_error()
        if answer >= 0 { return .synchronised(microseconds: answer) }
        return answer == -Int(EAGAIN) ? .free : .unknown
    }
}
