// SPDX-License-Identifier: Apache-2.0
// What is fuzzed, by the names that `make fuzz` knows, each with the property that must hold for any bytes. The fuzzer and the
// tests, which run every committed input again, enter here.

@testable import VPNCore

/// A property that did not hold.
struct FuzzFinding: Error, CustomStringConvertible {
    let description: String

    /// Throws unless `condition`.
    static func unless(_ condition: Bool, _ text: @autoclosure () -> String) throws {
        if !condition { throw FuzzFinding(description: text()) }
    }
}

enum FuzzTarget: String, CaseIterable {
    case splitter, coalescer, roundTrip = "round-trip"
    case maximumSegment = "maximum-segment", tooBig = "too-big", fragments, headers, congestion, circuits, exit
    case directory, patches, keepalive, window, order

    /// Traps or throws if the property does not hold.
    func run(_ bytes: [UInt8]) throws {
        var input = FuzzInput(bytes)
        switch self {
        case .splitter: try SplitterProperty.check(&input)
        case .coalescer: try JoiningProperty.check(&input)
        case .roundTrip: try JoiningProperty.checkRoundTrip(&input)
        case .maximumSegment: try MaximumSegmentProperty.check(&input)
        case .tooBig: try TooBigProperty.check(&input)
        case .fragments: try FragmentsProperty.check(&input)
        case .headers: try HeaderProperty.check(&input)
        case .congestion: try CongestionProperty.check(&input)
        case .circuits: try CircuitProperty.check(&input)
        case .exit: try ExitProperty.check(&input)
        case .directory: try DirectoryProperty.check(&input)
        case .patches: try PatchProperty.check(&input)
        case .keepalive: try KeepaliveProperty.check(&input)
        case .window: try WindowProperty.check(&input)
        case .order: try OrderProperty.check(&input)
        }
    }
}

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
