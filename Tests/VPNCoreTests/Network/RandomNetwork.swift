// SPDX-License-Identifier: Apache-2.0
// The network of a plan as it runs: nodes that start, stop and move, packets among them, and what must hold at all times. What
// happens to it: RandomNetwork+Mishaps; how it gets well again: RandomNetwork+Recovery.
import VPNCrypto
import VPNTesting

@testable import VPNCore

final class RandomNetwork {
    /// One direction in which packets go: of a pair, or of a circuit.
    enum Route: Hashable {
        case pair(Int, isBack: Bool)
        case circuit(Int, isBack: Bool)
    }

    /// A circuit that its client wants.
    struct Wanted {
        var number: OwnCircuit.Number?
        var isReady = false
        var due = Instant.origin
        var failures = 0
        var lease: UInt32?
    }

    struct Counts {
        var nodes = 0, happenings = 0, packets = 0, arrivals = 0, datagrams = 0, handshakes = 0, renewals = 0
        var circuits = 0, paths = 0, hostile = 0, restarts = 0, moves = 0
        var slowestPair = TimeSpan.zero, slowestCircuit = TimeSpan.zero, slowestEnd = TimeSpan.zero

        mutating func add(_ other: Counts) {
            nodes += other.nodes
            happenings += other.happenings
            packets += other.packets
            arrivals += other.arrivals
            datagrams += other.datagrams
            handshakes += other.handshakes
            renewals += other.renewals
            circuits += other.circuits
            paths += other.paths
            hostile += other.hostile
            restarts += other.restarts
            moves += other.moves
            slowestPair = max(slowestPair, other.slowestPair)
            slowestCircuit = max(slowestCircuit, other.slowestCircuit)
            slowestEnd = max(slowestEnd, other.slowestEnd)
        }
    }

    let plan: NetworkPlan
    let network: VirtualNetwork
    let links: LinkTable
    var random: SeededRandom
    var ledger = PacketLedger()
    /// Nil while it is down.
    var hosts: [VirtualHost?]
    var strangers: [VirtualHost] = []
    /// Those that start again by themselves.
    var returns: [(node: Int, at: Instant)] = []
    var endpoints: [Endpoint]
    private var translations: [VirtualNAT?]
    private var runs: [UInt64]
    var wanted: [Wanted]
    /// Pairs that the operator of one end took away.
    var absent: Set<Route> = []
    var revoking: Set<Int> = []
    var counts = Counts()
    let isTracing: Bool

    var now: Instant { network.now }
    /// All that happened, in a number.
    var digest: TraceDigest {
        var digest = network.digest
        digest.take(UInt64(ledger.arrivals))
        return digest
    }

    init(_ plan: NetworkPlan, isTracing: Bool = false) {
        self.plan = plan
        self.isTracing = isTracing
        network = VirtualNetwork(seed: plan.seed)
        network.isCapturing = false
        network.isWatching = true
        network.watchword = PacketLedger.watchword
        links = LinkTable(network)
        random = SeededRandom(seed: plan.seed &+ 77)
        hosts = Array(repeating: nil, count: plan.nodes.count)
        runs = Array(repeating: 0, count: plan.nodes.count)
        wanted = Array(repeating: Wanted(), count: plan.circuits.count)
        endpoints = plan.nodes.indices.map {
            plan.nodes[$0].translation == nil ? NetworkPlan.home($0) : NetworkPlan.hidden($0)
        }
        translations = plan.nodes.indices.map { node in
            plan.nodes[node].translation.map {
                VirtualNAT($0.mapping, publicEndpoint: NetworkPlan.translated(node), timeout: $0.timeout)
            }
        }
        counts.nodes = plan.nodes.count
        for node in plan.nodes.indices {
            links.own(plan.nodes[node].translation == nil ? endpoints[node] : NetworkPlan.translated(node), by: node)
        }
        for pair in plan.pairs where pair.scheduler != nil {
            // Ways of their own, which a partition leaves alone.
            links.own(NetworkPlan.second(pair, pair.caller), by: 1000 + pair.caller)
            links.own(NetworkPlan.second(pair, pair.called), by: 1000 + pair.called)
        }
        redrawLinks()
        for node in plan.nodes.indices { start(node) }
        for number in 0..<plan.strangers { strangers.append(makeStranger(number)) }
    }

    func tell(_ text: @autoclosure () -> String) {
        if isTracing { print("\(Double(now.nanoseconds / 1_000_000) / 1000) \(text())") }
    }

    // MARK: - Nodes

    private func parameters(_ node: Int?) -> NodeParameters {
        var parameters = NodeParameters(
            offers: Offers(hasAESHardware: node.map { plan.nodes[$0].hasAESHardware } ?? true), mtu: 1436,
            trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 16, rekeyThreshold: plan.rekeyThreshold, rekeyInterval: plan.rekeyThreshold * 2,
            unixSeconds: DirectoryScene.unix + now.nanoseconds / 1_000_000_000)
        parameters.padding = plan.padding
        parameters.workers = plan.workers
        if let node, plan.isGossiping {
            parameters.exchangesDirectory = true
            if plan.nodes[node].isRelay { parameters.relayDescriptor = plan.descriptor(node) }
        }
        return parameters
    }

    private func pins(_ node: Int) -> [PinnedPeer] {
        var known = Set(plan.pairs.flatMap { $0.caller == node ? [$0.called] : $0.called == node ? [$0.caller] : [] })
        // Relays let clients in as their operators would by a pin.
        if plan.nodes[node].isRelay { known.formUnion(plan.clients) }
        return known.sorted().map {
            PinnedPeer(
                keys: NetworkPlan.identity($0).publicKeys, name: NetworkPlan.name($0), origin: .operatorAdded)
        }
    }

    /// What a node's configuration says of its peers now.
    func peers(_ node: Int) -> [PeerConfiguration] {
        plan.pairs.enumerated().compactMap { number, pair in
            let isCaller = pair.caller == node
            guard isCaller || pair.called == node, !absent.contains(.pair(number, isBack: !isCaller)) else {
                return nil
            }
            let other = isCaller ? pair.called : pair.caller
            var peer = PeerConfiguration(
                name: NetworkPlan.name(other), peerID: NetworkPlan.id(other),
                endpoint: isCaller || pair.isMutual ? endpoints[other] : nil,
                allowedIPs: [IPPrefix(containing: IPAddress(v4: NetworkPlan.inner(other)), length: 32)],
                keepaliveSeconds: isCaller ? pair.keepaliveSeconds : 0)
            if pair.isKeyed {
                peer.presharedKey = PresharedKey(
                    configured: Secret(copying: [UInt8](repeating: UInt8(number & 0xFF), count: 32)))
            }
            peer.quilt = pair.scheduler.map {
                QuiltConfiguration(
                    scheduler: $0, ways: isCaller ? [NetworkPlan.second(pair, pair.called)] : [])
            }
            return peer
        }
    }

    var relayPolicy: RelayPolicy {
        var policy = RelayPolicy()
        // In a small network all guests may come by one link, which has half of the places.
        policy.circuits = 16 * plan.nodes.count
        policy.circuitsPerClient = 16
        policy.guests = 8 * plan.nodes.count
        return policy
    }

    func exitTerms(_ node: Int, policy: String = "allow-all") -> ExitTerms? {
        guard let network = try? IPPrefix("10.\(100 + node).0.0/16"), let policy = try? ExitPolicy(text: policy),
            let peers = try? IPPrefix("10.77.0.0/16")
        else { return nil }
        let own = IPAddress(v4: UInt32(network.first + 1))
        let surroundings = ExitSurroundings(
            addresses: [own, IPAddress(v4: NetworkPlan.home(node).v4)], port: 9000, closed: [network, peers])
        return ExitTerms(
            fence: ExitFence(policy, surroundings), networks: [network], reserved: [own], servers: [],
            isAllowAll: policy.isAllowAll)
    }

    /// The same identity and configuration, and nothing else of before.
    func start(_ node: Int) {
        runs[node] += 1
        let host = VirtualHost(
            name: NetworkPlan.name(node), endpoint: endpoints[node], identity: NetworkPlan.identity(node),
            cryptography: RehearsalCryptography(seed: plan.seed &* 1_000_003 &+ UInt64(node) &+ runs[node] << 40),
            parameters: parameters(node), pins: pins(node), peers: peers(node), now: now)
        host.interfaces = plan.pairs.filter { $0.scheduler != nil && ($0.caller == node || $0.called == node) }
            .map { NetworkPlan.second($0, node) }
        host.deliver = { [unowned self] in ledger.take($0, at: node, now: $1) }
        importRelays(node, host)
        hosts[node] = host
        network.attach(host, nat: translations[node])
        if plan.nodes[node].isRelay { network.enableRelay(relayPolicy, of: host) }
        if plan.nodes[node].isExit, let terms = exitTerms(node) { network.openExit(terms, at: host) }
        if revoking.contains(node) { network.updateRevoked(revoked(by: node), of: host) }
        tell("\(host.name) starts")
    }

    func importRelays(_ node: Int, _ host: VirtualHost) {
        let known = knownRelays(node).compactMap { plan.descriptor($0) }
        host.addRelays(known.map { ($0, .imported) }, now: now)
    }

    private func knownRelays(_ node: Int) -> [Int] {
        let others = plan.relays.filter { $0 != node }
        guard plan.isGossiping, !plan.nodes[node].isRelay,
            let circuit = plan.circuits.first(where: { $0.client == node })
        else { return others }
        // No more than its paths need.
        let needed = Set(circuit.named + [circuit.exit])
        let more = others.filter { !needed.contains($0) }.prefix(circuit.paths * (circuit.hops - 1))
        return others.filter { needed.contains($0) || more.contains($0) }
    }

    func stop(_ node: Int, says goodbye: Bool) {
        guard let host = hosts[node] else { return }
        collect()
        tell("\(host.name) \(goodbye ? "stops" : "crashes")")
        if goodbye, !host.isStopped { network.shutDown(host) } else { network.detach(host) }
        translations[node] = host.nat
        hosts[node] = nil
        for place in plan.circuits.indices where plan.circuits[place].client == node { wanted[place] = Wanted() }
        counts.restarts += 1
    }

    private func makeStranger(_ number: Int) -> VirtualHost {
        let targets = plan.nodes.indices.filter { plan.nodes[$0].isPublic }
        let target = targets[number % targets.count]
        let endpoint = Endpoint(v4: 0x3C00_0001 | UInt32(number) << 8, port: 9000)
        let host = VirtualHost(
            name: "stranger\(number)", endpoint: endpoint, identity: DirectoryScene.identity(1000 + number),
            cryptography: RehearsalCryptography(seed: plan.seed &* 7 &+ UInt64(number)), parameters: parameters(nil),
            pins: [
                PinnedPeer(keys: NetworkPlan.identity(target).publicKeys, name: "target", origin: .operatorAdded)
            ],
            peers: [
                PeerConfiguration(
                    name: "target", peerID: NetworkPlan.id(target), endpoint: NetworkPlan.home(target),
                    allowedIPs: [IPPrefix(containing: IPAddress(v4: NetworkPlan.inner(target)), length: 32)])
            ], now: now)
        network.attach(host)
        return host
    }

    /// The first of its peers, where it revokes one.
    func revoked(by node: Int) -> Set<PeerID> {
        let pair = plan.pairs.first { $0.caller == node || $0.called == node }
        return pair.map { [NetworkPlan.id($0.caller == node ? $0.called : $0.caller)] } ?? []
    }

    func redrawLinks() {
        for from in plan.nodes.indices {
            for to in plan.nodes.indices where from != to && (plan.nodes[from].isPublic || plan.nodes[to].isPublic) {
                links.set(NetworkPlan.conditions(&random), from: from, to: to)
            }
        }
        for pair in plan.pairs where pair.scheduler != nil {
            links.set(NetworkPlan.conditions(&random), from: 1000 + pair.caller, to: 1000 + pair.called)
            links.set(NetworkPlan.conditions(&random), from: 1000 + pair.called, to: 1000 + pair.caller)
        }
    }

    // MARK: - Time and traffic

    func run(for time: TimeSpan) {
        let end = now + time
        while now < end {
            network.run(for: min(.milliseconds(500), end.since(now)))
            for due in returns where due.at <= now && hosts[due.node] == nil { start(due.node) }
            returns.removeAll { $0.at <= now }
            collect()
            tendCircuits()
        }
    }

    var routes: [Route] {
        plan.pairs.indices.flatMap { [.pair($0, isBack: false), .pair($0, isBack: true)] as [Route] }
            + plan.circuits.indices.flatMap { [.circuit($0, isBack: false), .circuit($0, isBack: true)] as [Route] }
    }

    /// Sends a packet of some length; nil where nobody is there to send it. Its number in the ledger.
    @discardableResult
    func send(_ route: Route, length: Int) -> Int? {
        var (from, to, source, destination) = (0, 0, UInt32(0), UInt32(0))
        let isReturning: Bool
        switch route {
        case .pair(let number, let isBack):
            (from, to, isReturning) = (plan.pairs[number].caller, plan.pairs[number].called, isBack)
            (source, destination) = (NetworkPlan.inner(from), NetworkPlan.inner(to))
        case .circuit(let number, let isBack):
            guard let lease = wanted[number].lease else { return nil }
            (from, to, isReturning) = (plan.circuits[number].client, plan.circuits[number].exit, isBack)
            (source, destination) = (lease, 0x0101_0101)
        }
        if isReturning { (from, to, source, destination) = (to, from, destination, source) }
        guard let host = hosts[from], !host.isStopped else { return nil }
        let packet = ledger.packet(
            from: source, to: destination, sender: from, addressee: to, length: length, now: now)
        network.sendInner(packet, from: host)
        return ledger.entries.count - 1
    }

    /// What became known since the last time.
    func collect() {
        for node in hosts.indices {
            guard let host = hosts[node] else { continue }
            while !host.events.isEmpty {
                // What is done about them makes more.
                let events = host.events
                host.forgetEvents()
                for (at, event) in events { note(event, at: at, of: node) }
            }
        }
        for stranger in strangers { stranger.forgetEvents() }
    }

    private func note(_ event: Event, at: Instant, of node: Int) {
        tell("  \(NetworkPlan.name(node)): \(String(describing: event).prefix(220))")
        switch event {
        case .sessionConfirmed: counts.handshakes += 1
        case .sessionEnded(_, .replaced): counts.renewals += 1
        case .pathMoved: counts.moves += 1
        case .circuit(let event): note(event, of: node)
        default: break
        }
    }

    private func note(_ event: CircuitEvent, of node: Int) {
        guard let place = plan.circuits.firstIndex(where: { $0.client == node }) else { return }
        switch event {
        case .ready:
            counts.circuits += 1
            wanted[place].isReady = true
            wanted[place].failures = 0
        case .leased(_, _, let lease): wanted[place].lease = lease.ipv4.map { UInt32(truncatingIfNeeded: $0.value) }
        case .replaced: counts.paths += 1
        case .failed, .closed: forgetCircuit(place)
        case .leaseRefused(let number, _, _):
            // Without addresses it is of no use.
            if let host = hosts[node] { network.closeCircuit(number, at: host) }
        default: break
        }
    }

    private func forgetCircuit(_ place: Int) {
        let failures = min(wanted[place].failures, 3)
        wanted[place] = Wanted(due: now + .seconds(1 << failures), failures: failures + 1)
    }

    /// As a daemon does with the circuits of its configuration.
    private func tendCircuits() {
        for (place, circuit) in plan.circuits.enumerated() where wanted[place].number == nil {
            guard wanted[place].due <= now, let host = hosts[circuit.client], !host.isStopped else { continue }
            var request = CircuitRequest(
                name: "home", hops: circuit.named.map(NetworkPlan.id),
                allowedIPs: [IPPrefix(containing: IPAddress(v4: 0), length: 0)], wantsLease: true)
            if circuit.named.isEmpty {
                request.wish = PathWish(hops: circuit.hops, exit: NetworkPlan.id(circuit.exit))
            }
            if circuit.paths > 1 { request.quilt = CircuitQuilt(paths: circuit.paths) }
            do {
                wanted[place].number = try network.build(request, at: host)
            } catch {
                tell("  \(host.name): no circuit: \(error)")
                forgetCircuit(place)
            }
        }
    }
}
