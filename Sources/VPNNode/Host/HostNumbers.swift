// SPDX-License-Identifier: Apache-2.0
// The numbers and names by which what we do to a host is told from what others do, on one page.
public import VPNCore

enum HostNumbers {
    /// "pq": the mark of outer datagrams and the number of our routing table. Below 32766, the rule of the main table, which
    /// nothing but looks demands.
    static let mark: UInt32 = 0x7071

    /// Our rules, in the order in which the kernel looks at them, all before the main table's (32766) and behind the local
    /// one's (0).
    static let namesPriority = 28_779
    static let excludedPriority = 28_780
    static let lanPriority = 28_781
    static let tunnelPriority = 28_785

    static let lockdownTable = "pqvpn_lockdown"
    /// With the mark behind it, in hexadecimal digits.
    static let marksTable = "pqvpn_marks_"
    static let exitTable = "pqvpn_exit"
    /// With the interface's name behind it.
    static let innerTable = "pqvpn_inner_"

    /// Seconds for a tool to end: they do in milliseconds, and a lock of the kernel's may take a moment.
    static let toolSeconds = 20.0
    /// Seconds for a daemon to say goodbye before it is killed.
    static let goodbyeSeconds = 15.0

    /// `tunnel.allow_lan: true`. RFC 1918, RFC 3927, RFC 4193 and link-local.
    static let usualLAN: [IPPrefix] = prefixes([
        "10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10",
    ])
    /// What a LAN speaks of itself: neighbours' multicast, RFC 5771 §4 and RFC 2365, RFC 4291 §2.7, and limited broadcast.
    /// The kernel sends it by the interface and not by a route.
    static let localMulticast: [IPPrefix] = prefixes([
        "224.0.0.0/24", "239.255.0.0/16", "255.255.255.255/32", "ff02::/16", "ff05::/16",
    ])

    private static func prefixes(_ texts: [String]) -> [IPPrefix] { texts.map { try! IPPrefix($0) } }
}

/// `tunnel.allow_lan`.
public enum LANAccess: Sendable, Hashable {
    case none
    case usual
    case networks([IPPrefix])

    /// Networks that are left to the other routes of the host.
    var routed: [IPPrefix] {
        switch self {
        case .none: []
        case .usual: HostNumbers.usualLAN
        case .networks(let networks): networks
        }
    }

    /// Networks that a lockdown lets out.
    var open: [IPPrefix] { routed.isEmpty ? [] : routed + HostNumbers.localMulticast }
}
