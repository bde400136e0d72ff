// SPDX-License-Identifier: Apache-2.0
// A worker's view of the network: both halves with one set of commands. The same in an engine and in a simulation.

public struct DataPlane {
    public var sender: OutboundPlane
    public var receiver: InboundPlane
    /// Where both halves count drops.
    public var drops: DropCounters { sender.drops }

    /// - Parameters:
    ///   - carriesDSCP: whether the DSCP of inner packets is shown outside; ECN always is (RFC 6040).
    ///   - mtu: the longest inner packet, in bytes, to a peer of whose path nothing is known.
    public init(
        drops: DropCounters = DropCounters(), padding: PaddingPolicy = .none, carriesDSCP: Bool = true,
        mtu: Int = Limits.largestPayload
    ) {
        sender = OutboundPlane(drops: drops, padding: padding, carriesDSCP: carriesDSCP, mtu: mtu)
        receiver = InboundPlane(drops: drops, mtu: mtu)
    }

    public mutating func apply(_ command: DataPlaneCommand) {
        // Received first, sent later: whatever answers what is sent finds its session.
        receiver.apply(command)
        sender.apply(command)
    }

    /// One packet; see `OutboundPlane.outbound`.
    public mutating func outbound(
        _ buffer: inout MutableSpan<UInt8>, packet: Range<Int>, now: Instant
    ) -> OutboundVerdict {
        defer { sender.settle() }
        return sender.outbound(&buffer, packet: packet, now: now)
    }

    /// One datagram, which is exactly `datagram` of `buffer`; opened in place if it is DATA.
    public mutating func inbound(
        _ buffer: inout MutableSpan<UInt8>, datagram: Range<Int>, from carrier: Carrier? = nil,
        congestion: CongestionMark = .none, now: Instant
    ) -> InboundVerdict {
        receiver.begin(Train(datagram), from: carrier, congestion: congestion)
        guard let verdict = receiver.next(&buffer, now: now) else { fatalError("a train without a datagram") }
        return verdict
    }
}
