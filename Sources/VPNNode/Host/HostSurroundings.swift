// SPDX-License-Identifier: Apache-2.0
// What a plan must know of the host before anything is changed: families, filters, name resolution. It changes nothing.
internal import Foundation
internal import VPNCore

/// Where things of the host are; tests have others.
public struct HostPlaces: Sendable {
    /// Of mode 0700: what was done to the host. On disk and not in /run, since resolv.conf outlives a reboot too.
    public var state: String
    public var resolverFile: String
    /// Where profiles are.
    public var profiles: String
    /// 1: an ARP request is answered by the interface that has the address, and by no other.
    var arpSetting = "/proc/sys/net/ipv4/conf/all/arp_ignore"
    /// Seconds that a command waits for another one that is at work: at boot several units come at once.
    public var patience = 30.0

    public init(
        state: String = "/var/lib/pqvpn-host", resolverFile: String = "/etc/resolv.conf",
        profiles: String = "/etc/pqvpn"
    ) {
        self.state = state
        self.resolverFile = resolverFile
        self.profiles = profiles
    }
}

struct HostSurroundings: Sendable {
    var families: [IPAddress.Family]
    /// rp_filter is 1 somewhere: answers that come in where they would not go out are dropped.
    var hasStrictFilter: Bool
    /// arp_ignore is 0: the host tells neighbours on one cable of addresses that it has elsewhere.
    var answersForAll: Bool
    /// nftables' program is there.
    var hasFilter: Bool
    var hasResolvectl: Bool
    var hasResolvconf: Bool
    /// `resolvconf` is a name of resolvectl.
    var isResolvconfResolvectl: Bool
    /// Where resolv.conf leads if it is a link.
    var resolverLink: String?
    /// resolvconf goes by the kind of an interface.
    var hasInterfaceOrder: Bool

    /// The host as it is.
    init(_ tools: HostTools, _ places: HostPlaces) {
        let files = FileManager.default
        families = files.fileExists(atPath: "/proc/sys/net/ipv6") ? [.v4, .v6] : [.v4]
        let interfaces = (try? files.contentsOfDirectory(atPath: "/proc/sys/net/ipv4/conf")) ?? []
        func filter(_ name: String) -> Int {
            (try? KernelSetting.read("/proc/sys/net/ipv4/conf/\(name)/rp_filter")).flatMap(Int.init) ?? 0
        }
        // The kernel takes the larger of the two; "default" is what new interfaces will have.
        let all = filter("all")
        hasStrictFilter = interfaces.contains { $0 != "all" && $0 != "lo" && max(all, filter($0)) == 1 }
        answersForAll = (try? KernelSetting.read(places.arpSetting)) == "0"
        hasFilter = tools.find("nft") != nil
        hasResolvectl = tools.find("resolvectl") != nil
        let resolvconf = tools.find("resolvconf")
        hasResolvconf = resolvconf != nil
        isResolvconfResolvectl =
            resolvconf.flatMap { try? files.destinationOfSymbolicLink(atPath: $0) }?.hasSuffix("resolvectl") ?? false
        resolverLink = try? files.destinationOfSymbolicLink(atPath: places.resolverFile)
        hasInterfaceOrder = files.fileExists(atPath: "/etc/resolvconf/interface-order")
    }
}
