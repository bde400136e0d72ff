// SPDX-License-Identifier: Apache-2.0
// Where fuzzed code finds a packet.

@testable import VPNCore

/// A packet in a buffer with guard bytes before it. It ends where the memory does, so that a sanitizer sees what reads on.
struct GuardedPacket {
    let range: Range<Int>
    var buffer: [UInt8]

    init(_ packet: [UInt8], front: Int) {
        buffer = [UInt8](repeating: 0xEE, count: front) + packet
        range = front..<front + packet.count
    }

    var packet: [UInt8] { Array(buffer[range]) }
    var isGuardIntact: Bool {
        buffer.count == range.upperBound && buffer[..<range.lowerBound].allSatisfy { $0 == 0xEE }
    }

    /// Lets `body` read and change the packet in its place.
    mutating func access<Result>(
        _ body: (inout MutableSpan<UInt8>, Range<Int>) throws -> Result
    ) rethrows -> Result {
        let range = range
        var span = buffer.mutableSpan
        return try body(&span, range)
    }

    /// Whether it is what other code takes for granted of a packet that comes this far.
    mutating func isInner() -> Bool { access { InnerPacket($0, $1) != nil } }
}
