// SPDX-License-Identifier: Apache-2.0
// A network drawn from a seed: which nodes there are, who calls whom, who builds circuits through whom. What happens in it is
// RandomNetwork's.
import VPNCrypto
import VPNTesting

@testable import VPNCore

struct NetworkPlan {
    /// A NAT before a node.
    struct Translation {
        var mapping: VirtualNAT.Mapping
        var timeout: TimeSpan
    }

    struct Node {
        /// Others call it, so it stays where it is.
        var isPublic = false
        var isRelay = false
        var isExit = false
        var translation: Translation?
        var hasAESHardware = true
    }

    /// Two nodes with inner addresses for each other.
    struct Pair {
        var caller: Int
        var called: Int
        /// The one that is called calls, too.
        var isMutual = false
        var keepaliveSeconds: UInt16 = 0
        var isKeyed = false
        var scheduler: QuiltScheduler?
    }

    struct Circuit {
        var client: Int
        var exit: Int
        var hops: Int
        var paths = 1
        /// Its relays are named by the client, not chosen.
        var named: [Int] = []
    }

    let seed: UInt64
    var nodes: [Node] = []
    var pairs: [Pair] = []
    var circuits: [Circuit] = []
    /// Nodes that nobody knows, and that call all the same.
    var strangers = 0
    var rekeyThreshold = TimeSpan.seconds(1800)
    var padding = PaddingPolicy.none
    var workers = 1
    /// Relays tell of each other; clients know no more than they need at first.
    var isGossiping = false
    var steps = 0

    var relays: [Int] { nodes.indices.filter { nodes[$0].isRelay } }
    var clients: [Int] { nodes.indices.filter { !nodes[$0].isPublic } }

    /// - Parameter seed: one of 250 has 50 to 60 nodes, most have 3 to 6.
    init(_ seed: UInt64) {
        self.seed = seed
        var random = SeededRandom(seed: seed &* 0x5851_F42D_4C95_7F2D &+ 1)
        let count = Self.size(seed, &random)
        drawNodes(count, &random)
        drawPairs(&random)
        drawCircuits(&random)
        strangers = random.chance(0.3) ? Int.random(in: 1...3, using: &random) : 0
        if random.chance(0.5) { rekeyThreshold = .seconds(Int.random(in: 20...60, using: &random)) }
        if random.chance(0.2) { padding = .datagrams([128, 512, 1200]) }
        workers = Int.random(in: 1...2, using: &random)
        isGossiping = random.chance(0.5)
        steps = count > 30 ? 12 : Int.random(in: 4...20, using: &random)
    }

    private static func size(_ seed: UInt64, _ random: inout SeededRandom) -> Int {
        if seed % 250 == 249 { return Int.random(in: 50...60, using: &random) }
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<86: return Int.random(in: 3...6, using: &random)
        case 86..<98: return Int.random(in: 7...12, using: &random)
        default: return Int.random(in: 13...25, using: &random)
        }
    }

    private mutating func drawNodes(_ count: Int, _ random: inout SeededRandom) {
        nodes = Array(repeating: Node(), count: count)
        let relays = random.chance(0.6) ? Int.random(in: 2...min(max(2, count / 2), 9), using: &random) : 0
        let exits = min(relays, Int.random(in: 1...2, using: &random))
        let open = min(count - 1, max(relays, Int.random(in: 1...max(1, count / 2), using: &random)))
        for node in 0..<open { nodes[node].isPublic = true }
        for node in 0..<min(relays, open) { nodes[node].isRelay = true }
        for node in 0..<min(exits, min(relays, open)) { nodes[node].isExit = true }
        for node in open..<count where random.chance(0.5) {
            nodes[node].translation = Translation(
                mapping: random.chance(0.5) ? .endpointIndependent : .endpointDependent,
                timeout: .seconds(Int.random(in: 2...60, using: &random)))
        }
        for node in 0..<count { nodes[node].hasAESHardware = random.chance(0.8) }
    }

    private mutating func drawPairs(_ random: inout SeededRandom) {
        let open = nodes.count(where: \.isPublic)
        for client in clients {
            for called in (0..<open).shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random)) {
                var pair = Pair(caller: client, called: called)
                // Whoever is behind a NAT keeps it open, or is not called back.
                pair.keepaliveSeconds = random.chance(0.5) ? UInt16.random(in: 2...25, using: &random) : 0
                pair.isKeyed = random.chance(0.2)
                if nodes[client].translation == nil, random.chance(0.3) {
                    pair.scheduler = QuiltScheduler.allCases.randomElement(using: &random)
                }
                pairs.append(pair)
            }
        }
        for node in 0..<max(0, open - 1) where random.chance(0.4) {
            pairs.append(Pair(caller: node, called: node + 1, isMutual: random.chance(0.7)))
        }
    }

    private mutating func drawCircuits(_ random: inout SeededRandom) {
        let (relays, exits) = (relays, nodes.indices.filter { nodes[$0].isExit })
        guard relays.count >= 2 else { return }
        for client in clients where random.chance(0.6) {
            var circuit = Circuit(
                client: client, exit: exits.randomElement(using: &random)!,
                hops: Int.random(in: 2...min(3, relays.count), using: &random))
            let between = relays.filter { $0 != circuit.exit }.shuffled(using: &random)
            if 2 * (circuit.hops - 1) <= between.count, random.chance(0.5) {
                circuit.paths = 2
            } else if random.chance(0.5) {
                circuit.named = Array(between.prefix(circuit.hops - 1)) + [circuit.exit]
            }
            circuits.append(circuit)
        }
    }

    /// What a way does while things are bad.
    static func conditions(_ random: inout SeededRandom) -> LinkConditions {
        var conditions = LinkConditions(
            loss: random.chance(0.5) ? 0 : Double.random(in: 0...0.2, using: &random),
            latency: .milliseconds(Int.random(in: 1...80, using: &random)))
        conditions.jitter = .milliseconds(Int.random(in: 0...20, using: &random))
        conditions.duplication = random.chance(0.5) ? 0 : 0.05
        conditions.reordering = random.chance(0.5) ? 0 : 0.05
        if random.chance(0.2) { conditions.bytesPerSecond = UInt64.random(in: 50_000...2_000_000, using: &random) }
        if random.chance(0.1) { conditions.largestDatagram = Int.random(in: 1252...1472, using: &random) }
        return conditions
    }

    // MARK: - Who is where

    static func name(_ node: Int) -> String { "n\(node)" }
    static func identity(_ node: Int) -> RehearsalIdentity { identities[node] }
    static func id(_ node: Int) -> PeerID { identities[node].publicKeys.peerID }
    static func inner(_ node: Int) -> UInt32 { 0x0A4D_0001 + UInt32(node) }
    private static let identities = (0..<64).map { DirectoryScene.identity($0 + 1) }

    /// As its descriptor says, where it is a relay.
    static func home(_ node: Int) -> Endpoint { Endpoint(v4: 0x1400_0001 | UInt32(node + 1) << 16, port: 9000) }
    /// Behind its NAT, and before it.
    static func hidden(_ node: Int) -> Endpoint { Endpoint(v4: 0xC0A8_0002 | UInt32(node) << 8, port: 9000) }
    static func translated(_ node: Int) -> Endpoint { Endpoint(v4: 0x1E00_0001 | UInt32(node) << 16, port: 20_000) }
    /// The ends of a pair's second way, in a network of its own.
    static func second(_ pair: Pair, _ node: Int) -> Endpoint {
        let network = 0x3200_0000 | UInt32(pair.called) << 16 | UInt32(pair.caller) << 8
        return Endpoint(v4: network | (node == pair.called ? 1 : 2), port: 9000)
    }

    private static let descriptors: [[Descriptor?]] = (0..<64).map { node in
        let roles: [DescriptorRoles] = [[.relay], [.relay, .exit]]
        return roles.map { try? DirectoryScene.descriptor(node + 1, roles: $0) }
    }

    func descriptor(_ relay: Int) -> Descriptor? { Self.descriptors[relay][nodes[relay].isExit ? 1 : 0] }
}
