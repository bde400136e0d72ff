// SPDX-License-Identifier: Apache-2.0
// The routes of one worker: which peer an inner address belongs to, in both directions (§7).

/// A worker's view of a `RouteTable`, held by value so that a look-up counts no references.
struct Routes {
    private var v4: IntervalMap<UInt32>
    private var v6: IntervalMap<UInt128>

    init(_ table: RouteTable = RouteTable()) {
        v4 = table.v4
        v6 = table.v6
    }

    /// The peer that a packet to this destination goes to, or −1.
    @inline(__always)
    func destination(_ packet: InnerPacket) -> Int32 {
        switch packet {
        case .v4(_, let destination): v4.lookup(destination)
        case .v6(_, let destination): v6.lookup(destination)
        }
    }

    /// The peer that this source address belongs to, or −1.
    @inline(__always)
    func source(_ packet: InnerPacket) -> Int32 {
        switch packet {
        case .v4(let source, _): v4.lookup(source)
        case .v6(let source, _): v6.lookup(source)
        }
    }
}
