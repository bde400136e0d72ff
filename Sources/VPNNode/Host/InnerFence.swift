// SPDX-License-Identifier: Apache-2.0
// Linux answers for each of its addresses on each of its interfaces. So a neighbour on the cable may send packets to the tunnel's inner
// address and learn from what this host does (CVE-2019-14899): one nftables table drops them. Leased addresses come and go in it.
internal import Foundation
internal import Glibc
internal import VPNCore
internal import VPNEngine

/// The table of one tunnel, as text.
struct InnerFence: Hashable, Sendable {
    let interface: String
    /// This host's own in the tunnel.
    var addresses: [IPAddress]

    /// Several tunnels may be up. An interface's name has bytes that a table's has not.
    static func table(_ interface: String) -> String {
        HostNumbers.innerTable
            + interface.utf8.map { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: String(UnicodeScalar(byte))
                default: "_" + String(byte, radix: 16)
                }
            }.joined()
    }

    private var name: String { "inet \(Self.table(interface))" }
    /// Takes the table away, whether or not there is one.
    var removal: String { "table \(name)\ndelete table \(name)\n" }
    /// One transaction of `nft -f -`.
    var replacement: String { removal + text }

    /// Before anything else sees a packet, connection tracking included: who is refused here has been nowhere.
    var text: String {
        """
        table \(name) {
          set inner4 { type ipv4_addr;\(elements(.v4)) }
          set inner6 { type ipv6_addr;\(elements(.v6)) }
          chain beside {
            type filter hook prerouting priority raw; policy accept;
            iifname { "lo", "\(interface)" } accept
            ip daddr @inner4 counter drop
            ip6 daddr @inner6 counter drop
          }
        }

        """
    }

    private func elements(_ family: IPAddress.Family) -> String {
        let members = Set(addresses.filter { $0.family == family }).sorted().map(\.description)
        return members.isEmpty ? "" : " elements = { \(members.joined(separator: ", ")) }"
    }

    var undo: HostCommand { HostCommand("nft", ["-f", "-"], input: removal) }

    /// Into the kernel; then what the interface has by now: a daemon that was given an address before there was a table cannot have
    /// entered it, and one that is given an address later finds the table.
    func load(_ tools: HostTools) throws {
        try tools.perform(HostCommand("nft", ["-f", "-"], input: replacement))
        for address in HostAddresses.current()
        where !addresses.contains(address) && NetworkInterface.holder(of: address) == interface {
            try tools.perform(HostCommand("nft", Self.element("add", address, interface)))
        }
    }

    fileprivate static func element(_ verb: String, _ address: IPAddress, _ interface: String) -> [String] {
        [verb, "element", "inet", table(interface), address.family == .v4 ? "inner4" : "inner6", "{ \(address) }"]
    }
}

/// The daemon's hand on the table that `pqvpn up` made. It makes none itself: without `up` there is nothing to do. Some milliseconds a
/// word.
struct InnerFenceSet: Sendable {
    let interface: String
    private let nft: String

    /// Nil where there is no nft.
    init?(interface: String) {
        guard let nft = HostTools(scratch: "/").find("nft") else { return nil }
        (self.interface, self.nft) = (interface, nft)
    }

    /// Whether the table has the address now.
    @discardableResult
    func enter(_ address: IPAddress) -> Bool { run(InnerFence.element("add", address, interface)) }

    func leave(_ address: IPAddress) { _ = run(InnerFence.element("delete", address, interface)) }

    var isThere: Bool { run(["-t", "list", "table", "inet", InnerFence.table(interface)]) }

    private func run(_ arguments: [String]) -> Bool {
        guard
            var child = try? ChildProcess(
                nft, arguments, environment: ["LC_ALL": "C"], output: .file("/dev/null"), errors: .file("/dev/null"))
        else { return false }
        while child.poll() == nil { usleep(500) }
        return child.poll() == 0
    }
}
