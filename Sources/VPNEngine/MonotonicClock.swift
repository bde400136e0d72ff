// SPDX-License-Identifier: Apache-2.0
// The one clock of the product, CLOCK_BOOTTIME: monotonic, and it counts while the machine sleeps.

import CLinux
public import VPNCore

public enum MonotonicClock {
    public static var now: Instant { Instant(nanoseconds: clinux_boottime()) }
}
