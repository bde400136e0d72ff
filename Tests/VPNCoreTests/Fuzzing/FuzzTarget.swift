// SPDX-License-Identifier: Apache-2.0
// What is fuzzed of the core, by the names that `make fuzz` knows, each with the property that must hold for any bytes. The fuzzer and
// the tests, which run every committed input again, enter here.
import VPNTesting

@testable import VPNCore

enum FuzzTarget: String, CaseIterable {
    // Decoders.
    case splitter, coalescer, roundTrip = "round-trip"
    case maximumSegment = "maximum-segment", tooBig = "too-big", fragments, headers, congestion, circuits, exit
    case directory, patches, keepalive
    case outerHeader = "outer-header", frames, datagrams, messages, statements
    // Lists of operations, against models.
    case window, order, cookies, reassembly, relay, initiator
    // Whole nodes.
    case node, nodeReal = "node-real", quiltNodes = "quilt-nodes", circuitNodes = "circuit-nodes"

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
        case .outerHeader: try HeaderProperty.check(&input, only: .outer)
        case .frames: try HeaderProperty.check(&input, only: .frame)
        case .datagrams: try DatagramProperty.check(&input)
        case .messages: try MessageProperty.check(&input)
        case .statements: try StatementProperty.check(&input)
        case .window: try WindowProperty.check(&input)
        case .order: try OrderProperty.check(&input)
        case .cookies: try CookieProperty.check(&input)
        case .reassembly: try ReassemblyProperty.check(&input)
        case .relay: try RelayProperty.check(&input)
        case .initiator: try InitiatorProperty.check(&input)
        case .node: try NodeProperty.check(&input, .rehearsal)
        case .nodeReal: try NodeProperty.check(&input, .real)
        case .quiltNodes: try NodeProperty.checkQuilt(&input)
        case .circuitNodes: try CircuitNodesProperty.check(&input)
        }
    }

    /// Whole nodes take a thousand times longer than a decoder.
    var isDear: Bool {
        switch self {
        case .node, .nodeReal, .quiltNodes, .circuitNodes: true
        default: false
        }
    }
}
