// SPDX-License-Identifier: Apache-2.0
// How many settings of a configuration are weaker than their defaults: a number to watch over many nodes. What each of them
// means is said as a warning where the configuration is read.
internal import VPNCore

extension NodeConfiguration {
    /// Trust on first use, one signature of two, no limit of handshakes, metrics for other machines.
    var insecureSettings: Int {
        [
            security.trustsOnFirstUse, !security.requiresBothSignatures, security.handshakesPerMinutePerAddress == 0,
            metrics.isEnabled && !metrics.bindHost.isLoopback,
        ].count { $0 }
    }
}

extension IPAddress {
    /// 127.0.0.0/8 or ::1, also as an IPv4 address inside IPv6: never leaves the machine.
    var isLoopback: Bool {
        switch family {
        case .v4: value >> 24 == 127
        case .v6: value == 1 || value >> 24 == 0xFFFF_7F
        }
    }
}
