// SPDX-License-Identifier: Apache-2.0
// Looks up the names of endpoints, at start until they resolve and again when a peer cannot be reached. On a thread of its own: a
// resolver may take half a minute to say that it knows nothing. What an answer means is the node's.
internal import VPNCore
internal import VPNEngine

/// The names of a configuration and the peers behind them.
struct NameResolver {
    private var peersByName: [EndpointName: [String]]
    private var namesByPeer: [String: EndpointName]
    private let network: NodeConfiguration.Network
    private let pool: JobPool
    private let onAnswer: @Sendable (EndpointName, [Endpoint]) -> Void
    /// Names that are being looked up.
    private var pending: Set<EndpointName> = []
    /// Names that have not resolved yet.
    private var unresolved: Set<EndpointName>

    /// - Parameters:
    ///   - names: of each peer that has an endpoint; literal addresses are left out.
    ///   - unresolved: those that did not resolve at start: the network may come later than the node.
    ///   - onAnswer: called on the resolver's thread with the addresses that the node can send to; to be followed by `finish`.
    init(
        _ names: [String: EndpointName], unresolved: [EndpointName], network: NodeConfiguration.Network,
        onAnswer: @escaping @Sendable (EndpointName, [Endpoint]) -> Void
    ) throws(EngineError) {
        namesByPeer = names.filter { $0.value.literal == nil }
        peersByName = Dictionary(grouping: namesByPeer.keys) { names[$0]! }
        self.unresolved = Set(unresolved).intersection(peersByName.keys)
        self.network = network
        self.onAnswer = onAnswer
        // One look-up of each name at a time, so that all of them always find a place.
        pool = try JobPool(threads: 1, capacity: max(NameResolver.leastCapacity, peersByName.count))
    }

    /// Names that come later are fewer, or wait for their turn.
    private static let leastCapacity = 64

    /// These are the names from now on.
    mutating func replace(by names: [String: EndpointName], unresolved: [EndpointName]) {
        namesByPeer = names.filter { $0.value.literal == nil }
        peersByName = Dictionary(grouping: namesByPeer.keys) { names[$0]! }
        self.unresolved = Set(unresolved).intersection(peersByName.keys)
    }

    var isComplete: Bool { unresolved.isEmpty }

    /// Names that no address was found for.
    var unresolvedNames: [String] { unresolved.map(\.description) }

    /// Looks up the name behind which a peer is, if it is behind one, and if that is not under way already.
    mutating func ask(forPeer peer: String) {
        if let name = namesByPeer[peer] { ask(name) }
    }

    /// Looks up what has not resolved yet.
    mutating func askAgain() {
        for name in unresolved { ask(name) }
    }

    private mutating func ask(_ name: EndpointName) {
        guard !pending.contains(name) else { return }
        let taken = pool.submit { [network, onAnswer] in
            onAnswer(name, ((try? name.resolve()) ?? []).filter { network.reaches($0) })
        }
        if taken { pending.insert(name) }
    }

    /// An answer has come; the peers behind that name.
    mutating func finish(_ name: EndpointName, isFound: Bool) -> [String] {
        pending.remove(name)
        if isFound { unresolved.remove(name) }
        return (peersByName[name] ?? []).sorted()
    }

    /// Looks nothing up any more. Waits for nothing: a resolver without servers takes longer than a service manager's patience.
    func stop() { pool.leave() }
}
