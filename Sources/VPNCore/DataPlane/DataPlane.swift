// SPDX-License-Identifier: Apache-2.0
// A worker's view of the network: both halves with one set of commands. The same in an engine and in a simulation.

public struct DataPlane {
    public var sender: OutboundPlane
    public var receiver: InboundPlane
    private var quilts: QuiltPlane
    /// Where both halves count drops.
    public var drops: DropCounters { sender.drops }

    /// - Parameters:
    ///   - carriesDSCP: whether the DSCP of inner packets is shown outside; ECN always is (RFC 6040).
    ///   - mtu: the longest inner packet, in bytes, to a peer of whose path nothing is known.
    ///   - worker: which of how many it is: the one that a session's datagrams come to puts them in order, and asks how its
    ///     patches do (§9).
    public init(
        drops: DropCounters = DropCounters(), padding: PaddingPolicy = .none, carriesDSCP: Bool = true,
        mtu: Int = Limits.largestPayload, worker: Int = 0, of workers: Int = 1
    ) {
        quilts = QuiltPlane(padding: padding, worker: worker, of: workers)
        sender = OutboundPlane(drops: drops, padding: padding, carriesDSCP: carriesDSCP, mtu: mtu)
        receiver = InboundPlane(drops: drops, padding: padding, mtu: mtu, worker: worker, of: workers)
    }

    /// What wakes the worker that sleeps until `deadline`, since another one has made something due earlier.
    public func wakeBy(_ bell: @escaping @Sendable () -> Void) { quilts.wakeBy(bell) }

    public mutating func apply(_ command: DataPlaneCommand) {
        quilts.apply(command)
        // Received first, sent later: whatever answers what is sent finds its session.
        receiver.apply(command)
        sender.apply(command)
    }

    // MARK: - Time (§9)

    /// When `expire` has something to do; nil where there is no quilt.
    public var deadline: Instant? {
        mutating get {
            var due = deadlineWhileBlocked
            if let sender = sender.deadline { due = min(due ?? sender, sender) }
            return due
        }
    }

    /// The same while nothing can be sent: packets that a patch would take wait for that, whatever the time is.
    public var deadlineWhileBlocked: Instant? {
        mutating get {
            var due = quilts.deadline
            if let receiver = receiver.deadline { due = min(due ?? receiver, receiver) }
            return due
        }
    }

    /// What is due by time alone: probes are to be had by `nextFrame`, packets that waited long enough by `receiver.next` and
    /// `sender.nextStaged`.
    public mutating func expire(now: Instant) {
        receiver.expire(now: now)
        quilts.expire(now: now)
    }

    /// A frame of this data plane itself, and where it goes; nil if there is no other.
    public mutating func nextFrame() -> (datagram: [UInt8], carrier: Carrier)? {
        receiver.nextAnswer() ?? quilts.nextFrame() ?? sender.nextExtra()
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
