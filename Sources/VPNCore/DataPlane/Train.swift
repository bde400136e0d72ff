// SPDX-License-Identifier: Apache-2.0
// Datagrams of one size that came from one sender in one piece (UDP_GRO), and what became of those that were opened together.
// Places in a buffer only: it holds no bytes.

/// Datagrams that lie one after the other: all of one size but the last, which may be shorter.
public struct Train: Hashable, Sendable {
    /// Where the datagrams lie that are still to be looked at.
    public private(set) var range: Range<Int>
    /// Bytes of each but the last; not 0.
    public let segment: Int

    /// - Parameter segment: the size that the kernel told, or nil for one datagram.
    public init(_ range: Range<Int>, segment: Int? = nil) {
        self.range = range
        self.segment = max(1, segment ?? range.count)
    }

    /// How many datagrams there are; an empty datagram is one, too.
    @inline(__always)
    public var count: Int { max(1, (range.count + segment - 1) / segment) }

    /// Where a datagram lies.
    @inline(__always)
    public func datagram(_ place: Int) -> Range<Int> {
        let start = range.lowerBound + place * segment
        return start..<min(start + segment, range.upperBound)
    }

    /// What is left without the first datagrams; nil if nothing is.
    @inline(__always)
    func dropping(_ count: Int) -> Train? {
        let start = range.lowerBound + count * segment
        return start < range.upperBound ? Train(start..<range.upperBound, segment: segment) : nil
    }
}

/// What the datagrams of a train were, of those that were opened under one lock.
struct OpenedTrain {
    /// So many fit: UDP_SEGMENT's limit before Linux 6.9.
    static var capacity: Int { 64 }

    private var verdicts = InlineArray<64, OpenVerdict>(repeating: .drop(.tooShort))
    private(set) var count = 0

    var isFull: Bool { count == OpenedTrain.capacity }

    @inline(__always)
    mutating func append(_ verdict: OpenVerdict) {
        verdicts[count] = verdict
        count += 1
    }

    @inline(__always)
    mutating func removeAll() { count = 0 }

    @inline(__always)
    subscript(place: Int) -> OpenVerdict { verdicts[place] }
}
