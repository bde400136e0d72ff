// SPDX-License-Identifier: Apache-2.0
// What the kernel may do for many packets at once. Each is asked for at start and can be lost at run time, one by one;
// without any of them packets move one a piece, which is slower and otherwise the same.

/// A set of the kernel's services.
public struct Offloads: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Many datagrams of one size to one endpoint in one call (UDP_SEGMENT, Linux 4.18).
    public static let sendTrains = Offloads(rawValue: 1)
    /// Datagrams of one size from one endpoint in one buffer (UDP_GRO, Linux 5.0).
    public static let receiveTrains = Offloads(rawValue: 2)
    /// TCP in pieces of up to 64 KiB and unfinished checksums through the TUN (IFF_VNET_HDR, TUN_F_TSO4, TUN_F_TSO6).
    public static let tunnelTCP = Offloads(rawValue: 4)
    /// The like for UDP (TUN_F_USO4, TUN_F_USO6, Linux 6.2).
    public static let tunnelUDP = Offloads(rawValue: 8)

    public static let all: Offloads = [.sendTrains, .receiveTrains, .tunnelTCP, .tunnelUDP]
}

extension Offloads: CustomStringConvertible {
    private static let names: [(Offloads, String)] = [
        (.sendTrains, "udp_segment"), (.receiveTrains, "udp_gro"), (.tunnelTCP, "tun_tso"), (.tunnelUDP, "tun_uso"),
    ]

    /// The kernel's names, separated by blanks; "none" if there are none.
    public var description: String {
        let present = Offloads.names.filter { contains($0.0) }.map(\.1)
        return present.isEmpty ? "none" : present.joined(separator: " ")
    }
}
