// SPDX-License-Identifier: Apache-2.0
// One direction of a cable as a value, in anybody's time: what goes in comes out in order, as late as the cable is long and slow. Not random:
// nothing is lost but what finds the queue full, and all while the cable is cut.
internal import VPNCore

struct DelayLine {
    struct Shape: Equatable, Sendable {
        var bitsPerSecond: Double
        /// From one end to the other.
        var delay: TimeSpan
        /// A packet that would wait longer than that for its turn is lost.
        var queue = TimeSpan.milliseconds(50)
    }

    private struct Packet {
        let due: Instant
        let bytes: [UInt8]
    }

    let shape: Shape
    private var packets: [Packet] = []
    /// The first of those that are still under way.
    private var head = 0
    /// When the last bit of what was taken so far has gone in.
    private var free = Instant.origin
    private(set) var lost = 0
    /// What is under way goes, too.
    var isCut = false {
        didSet { if isCut { (packets, head) = ([], 0) } }
    }

    init(_ shape: Shape) { self.shape = shape }

    var isEmpty: Bool { head == packets.count }

    /// - Parameter time: since when the packet may have waited at this end; whoever looks seldom gives the time of the look before, so that
    ///   the rate does not suffer from it.
    mutating func take(_ bytes: [UInt8], at time: Instant) {
        let begin = max(free, time)
        guard !isCut, begin.since(time) <= shape.queue else {
            lost += 1
            return
        }
        free = begin + TimeSpan(nanoseconds: UInt64(Double(bytes.count) * 8e9 / shape.bitsPerSecond))
        packets.append(Packet(due: free + shape.delay, bytes: bytes))
    }

    /// The next that has reached the other end.
    mutating func next(by now: Instant) -> [UInt8]? {
        guard head < packets.count, packets[head].due <= now else { return nil }
        defer {
            head += 1
            if head == packets.count || head >= 1024 {
                packets.removeFirst(head)
                head = 0
            }
        }
        return packets[head].bytes
    }
}
