// SPDX-License-Identifier: Apache-2.0
// Several paths through relays on networks drawn at random (§8, §9): relays of many operators, families and networks, which die, come back
// and begin anew; loads both ways; from one seed each, so that a seed replays its run: `PQVPN_SEED=number` runs that one alone.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

/// One network and what happens in it.
private final class CircuitChurn {
    let network: VirtualNetwork
    let client: VirtualHost
    let exit: VirtualHost
    /// All but the exit; those that are there, and those that are not.
    private(set) var relays: [VirtualHost] = []
    private var gone: Set<Int> = []
    private var random: SeededGenerator
    private let request: CircuitRequest
    private let isRelaxed: Bool
    private let candidates: [PeerID: RelayCandidate]
    private let makeRelay: (_ number: Int, _ run: UInt64, _ now: Instant) -> VirtualHost
    private var conditions: [LinkConditions]
    private var number: OwnCircuit.Number?
    /// Numbers that went, by who sent them.
    private var sent: [String: Set<UInt32>] = ["client": [], "exit": []]
    private var next: UInt32 = 0
    private(set) var mostPaths = 0

    private static func endpoint(_ relay: Int, _ neighbourhood: Int) -> Endpoint {
        Endpoint(v4: 0x1400_0001 | UInt32(neighbourhood) << 16 | UInt32(relay) << 8, port: 9000)
    }

    init(_ seed: UInt64, _ identities: (Int) -> any IdentitySigner, _ primitives: Primitives) throws {
        var random = SeededGenerator(seed)
        let count = Int.random(in: 4...11, using: &random)
        // From one of its own each to few for all.
        let variety = Int.random(in: count / 2...count * 3, using: &random)
        var descriptors: [Descriptor] = []
        var endpoints: [Endpoint] = []
        var candidates: [PeerID: RelayCandidate] = [:]
        for relay in 0...count {
            let isExit = relay == count
            func draw() -> Int { isExit ? 200 : Int.random(in: 0..<variety, using: &random) }
            let (operatorName, family, neighbourhood) = (draw(), draw(), draw())
            let endpoint = Self.endpoint(relay, neighbourhood)
            let isSilent = !isExit && Int.random(in: 0..<3, using: &random) == 0
            let signer = identities(relay)
            let address = "20.\(neighbourhood).\(relay).1"
            let descriptor = try Descriptor.make(
                signer: signer, nickname: "r\(relay)", operatorName: isSilent ? "" : "operator \(operatorName)",
                family: isSilent ? "" : "family \(family)", addresses: ["\(address):9000"],
                roles: (isExit ? [.relay, .exit] as DescriptorRoles : [.relay]).rawValue, capacity: 40,
                notBefore: DirectoryScene.unix - 60, notAfter: DirectoryScene.unix + 86_400, serial: 1)
            descriptors.append(descriptor)
            endpoints.append(endpoint)
            candidates[signer.publicKeys.peerID] = RelayCandidate(
                id: signer.publicKeys.peerID, isExit: isExit, operatorName: isSilent ? "" : "operator \(operatorName)",
                family: isSilent ? "" : "family \(family)",
                neighbourhoods: [IPPrefix(containing: IPAddress(address)!, length: 16)], capacity: 40)
        }
        isRelaxed = Int.random(in: 0..<4, using: &random) == 0
        let wish = PathWish(hops: Int.random(in: 2...3, using: &random), exit: identities(count).publicKeys.peerID)
        request = CircuitRequest(
            name: "home", hops: [], allowedIPs: [try IPPrefix("0.0.0.0/0")], wantsLease: true, wish: wish,
            quilt: CircuitQuilt(
                configuration: QuiltConfiguration(
                    scheduler: QuiltScheduler.allCases.randomElement(using: &random)!,
                    relaxesDisjointness: isRelaxed),
                paths: Int.random(in: 2...4, using: &random)))
        conditions = (0...count).map { _ in CircuitChurn.conditions(&random) }
        self.candidates = candidates
        self.random = random

        let network = VirtualNetwork(seed: seed)
        self.network = network
        network.isCapturing = false
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: true), mtu: 1436,
            trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 200, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600),
            unixSeconds: DirectoryScene.unix)
        let callers = identities(-1)
        let pin = PinnedPeer(keys: callers.publicKeys, name: "client", origin: .operatorAdded)
        let signers = (0...count).map(identities)
        makeRelay = { number, run, now in
            let host = VirtualHost(
                name: number == count ? "exit" : "r\(number)", endpoint: endpoints[number], identity: signers[number],
                cryptography: Scenario.cryptography(seed &* 97 &+ UInt64(number) &+ run << 32, primitives),
                parameters: parameters, pins: [pin], now: now)
            host.addRelays(
                descriptors.enumerated().filter { $0.offset != number }.map { ($0.element, .imported) }, now: now)
            return host
        }
        client = VirtualHost(
            name: "client", endpoint: Endpoint(v4: 0x0A00_0001, port: 9000), identity: callers,
            cryptography: Scenario.cryptography(seed &* 97 &+ 99, primitives), parameters: parameters, pins: [],
            now: network.now)
        client.addRelays(descriptors.map { ($0, .imported) }, now: network.now)
        exit = makeRelay(count, 0, network.now)
        relays = (0..<count).map { makeRelay($0, 0, network.now) }
        network.path = { [unowned self] datagram in
            let relay = datagram.destination.isV4 ? Int(datagram.destination.v4 >> 8 & 0xFF) : 0
            return self.conditions[min(relay, self.conditions.count - 1)]
        }
        for host in [client, exit] + relays { network.attach(host) }
        for host in relays + [exit] { network.enableRelay(RelayPolicy(), of: host) }
        network.openExit(try CircuitChurn.terms(), at: exit)
    }

    private static func terms() throws -> ExitTerms {
        let inner = try IPPrefix("10.66.0.0/16")
        let own = [IPAddress("10.66.0.1")!]
        let policy = try ExitPolicy(text: "allow-all")
        let surroundings = ExitSurroundings(addresses: own, port: 9000, closed: [inner])
        return ExitTerms(
            fence: ExitFence(policy, surroundings), networks: [inner], reserved: own, servers: [], isAllowAll: true)
    }

    private static func conditions(_ random: inout SeededGenerator) -> LinkConditions {
        var conditions = LinkConditions(
            loss: Bool.random(using: &random) ? 0 : Double.random(in: 0...0.05, using: &random),
            latency: .milliseconds(Int.random(in: 1...60, using: &random)))
        conditions.jitter = .milliseconds(Int.random(in: 0...5, using: &random))
        if Bool.random(using: &random) { (conditions.duplication, conditions.reordering) = (0.03, 0.03) }
        return conditions
    }

    // MARK: - The circuit

    var circuit: CircuitSnapshot? { client.circuits(now: network.now).first }
    private var isUp: Bool { circuit.map { $0.state != .building } ?? false && lease != nil }
    private var lease: ExitLease? { client.grantedLeases.last }

    /// As a node does that wants one. False where there is no path at all.
    private func want() -> Bool {
        guard circuit == nil else { return true }
        do {
            number = try network.build(request, at: client)
            return true
        } catch { return false }
    }

    func patchesUp() -> Int {
        guard let slot = circuit?.destination else { return 0 }
        return client.quilt(of: slot, now: network.now)?.patches.count { $0.state == .up } ?? 0
    }

    /// Relays of two paths, or of one, that have something in common.
    private func conflicts() -> Set<[PeerID]> {
        guard let circuit else { return [] }
        mostPaths = max(mostPaths, circuit.paths.count)
        var found: Set<[PeerID]> = []
        for (place, path) in circuit.paths.enumerated() {
            for (hop, id) in path.enumerated() {
                for other in path[(hop + 1)...] where candidates[id]!.conflict(with: candidates[other]!) != nil {
                    found.insert([id, other])
                }
            }
            if circuit.isRelaxed && isRelaxed { continue }
            for other in circuit.paths[(place + 1)...] {
                for a in path.dropLast() {
                    for b in other.dropLast() where candidates[a]!.conflict(with: candidates[b]!) != nil {
                        found.insert([a, b])
                    }
                }
            }
        }
        return found
    }

    // MARK: - What happens

    private func packet(out: Bool) -> [UInt8]? {
        guard let own = lease?.ipv4 else { return nil }
        let ends = out ? own.bytes + [1, 1, 1, 1] : [1, 1, 1, 1] + own.bytes
        let length = Int.random(in: 20...900, using: &random)
        let ports: [UInt8] = out ? [0x9C, 0x40, 1, 0xBB] : [1, 0xBB, 0x9C, 0x40]
        let (total, body) = (32 + length, 12 + length)
        var packet: [UInt8] =
            [0x45, 0, UInt8(total >> 8), UInt8(total & 0xFF), 0, 0, 0, 0, 64, 17, 0, 0] + ends + ports
        packet += [UInt8(body >> 8), UInt8(body & 0xFF), 0, 0]
        packet += (0..<4).map { UInt8(truncatingIfNeeded: next >> UInt32(24 - 8 * $0)) }
        return packet + [UInt8](repeating: 7, count: length)
    }

    private func send(out: Bool) {
        guard let packet = packet(out: out) else { return }
        sent[out ? "client" : "exit"]!.insert(next)
        next += 1
        network.sendInner(packet, from: out ? client : exit)
    }

    /// Something happens, then a moment of traffic both ways.
    private func step() {
        switch Int.random(in: 0..<10, using: &random) {
        case 0, 1:
            // One dies that is used, if possible.
            let used = Set((circuit?.paths ?? []).flatMap { $0.dropLast() })
            let there = relays.indices.filter { !gone.contains($0) }
            let victims = there.filter { used.contains(relays[$0].identity.publicKeys.peerID) }
            guard let victim = (victims.isEmpty ? there : victims).randomElement(using: &random) else { break }
            gone.insert(victim)
            network.detach(relays[victim])
        case 2, 3:
            guard let back = gone.sorted().randomElement(using: &random) else { break }
            comeBack(back, anew: Bool.random(using: &random))
        case 4: conditions[Int.random(in: conditions.indices, using: &random)] = CircuitChurn.conditions(&random)
        case 5: if let number, circuit != nil { network.replaceCircuit(number, at: client) }
        case 6, 7: network.run(for: .seconds(Int.random(in: 1...40, using: &random)))
        case 8: network.run(for: .seconds(Int.random(in: 60...400, using: &random)))
        default: break
        }
        _ = want()
        for _ in 0..<Int.random(in: 1...60, using: &random) {
            send(out: Bool.random(using: &random))
            network.run(for: .microseconds(Int.random(in: 0...20_000, using: &random)))
        }
    }

    private func comeBack(_ relay: Int, anew: Bool) {
        gone.remove(relay)
        if anew { relays[relay] = makeRelay(relay, network.now.nanoseconds, network.now) }
        network.attach(relays[relay], starting: anew)
        if anew { network.enableRelay(RelayPolicy(), of: relays[relay]) }
    }

    /// What is wrong with what came so far; nil for nothing.
    private func fault() -> String? {
        for (host, other) in [(client, "exit"), (exit, "client")] {
            let numbers = QuiltScenario.numbers(host)
            if Set(numbers).count != numbers.count { return "\(host.name) had a packet twice" }
            if !Set(numbers).isSubset(of: sent[other]!) { return "\(host.name) had a packet that nobody sent" }
            for packet in host.delivered where !packet[32...].allSatisfy({ $0 == 7 }) {
                return "\(host.name) had a spoilt packet"
            }
        }
        // A path may be replaced by one through the same relays, and both are there for a moment.
        var shared = conflicts()
        for _ in 0..<30 where !shared.isEmpty {
            network.run(for: .seconds(1))
            shared.formIntersection(conflicts())
        }
        return shared.isEmpty ? nil : "paths share something: \(describe())"
    }

    /// So many paths there are at least once all relays are there: as many as are wanted, or as the relays have room for beside whichever
    /// others were chosen first, since paths are drawn one by one and not undone for one more.
    private var leastPaths: Int {
        let ids = relays.map { $0.identity.publicKeys.peerID }
        func clash(_ a: Int, _ b: Int) -> Bool { candidates[ids[a]]!.conflict(with: candidates[ids[b]]!) != nil }
        let inner = request.wish!.hops - 1
        var ways: [[Int]] = ids.indices.map { [$0] }
        for _ in 1..<inner {
            ways = ways.flatMap { way in
                ids.indices.filter { next in next > way.last! && !way.contains { clash($0, next) } }.map { way + [$0] }
            }
        }
        func fits(_ way: [Int], beside others: [[Int]]) -> Bool {
            !others.joined().contains { other in way.contains { $0 == other || clash($0, other) } }
        }
        let wanted = request.quilt!.paths
        // Every set of ways, by the order of their places; one that nothing fits beside is where choosing ends.
        var least = wanted
        func choose(_ chosen: [[Int]], from place: Int) {
            guard chosen.count < least else { return }
            if !ways.contains(where: { fits($0, beside: chosen) }) { return least = chosen.count }
            for next in place..<max(place, ways.count) where fits(ways[next], beside: chosen) {
                choose(chosen + [ways[next]], from: next + 1)
            }
        }
        choose([], from: 0)
        return least
    }

    /// All is well from now on: whatever happened, packets go both ways again, by as many paths as there is room for.
    private func heal() -> String? {
        for relay in gone.sorted() { comeBack(relay, anew: true) }
        conditions = conditions.map { LinkConditions(loss: 0, latency: $0.latency) }
        let least = leastPaths
        // Relays where paths failed are left out for ten minutes.
        let end = network.now + Limits.relayAvoided + .seconds(300)
        let before = (client.delivered.count, exit.delivered.count)
        while network.now < end {
            _ = want()
            for out in [true, false] { send(out: out) }
            network.run(for: .milliseconds(500))
            if client.delivered.count > before.0 + 20, exit.delivered.count > before.1 + 20,
                max(patchesUp(), isUp ? 1 : 0) >= least
            {
                return nil
            }
        }
        return "no way back, at least \(least) paths: \(describe())"
    }

    private func describe() -> String {
        "\(patchesUp()) up of \(circuit?.wantedPaths ?? 0), \(circuit.map { "\($0.state)" } ?? "gone"), relaxed "
            + "\(isRelaxed); \(client.circuitEvents.suffix(6)); \(client.controlDrops.nonZero) "
            + "\(client.dataPlaneDrops.nonZero) exit \(exit.controlDrops.nonZero) \(exit.dataPlaneDrops.nonZero)"
    }

    /// What went wrong on one network, and how many paths there were at most; nil where there is no path.
    static func run(
        _ seed: UInt64, _ identities: (Int) -> any IdentitySigner, _ primitives: Primitives
    ) throws -> (fault: String?, paths: Int)? {
        let churn = try CircuitChurn(seed, identities, primitives)
        guard churn.want() else { return nil }
        return (churn.life().map { "seed \(seed): \($0)" }, churn.mostPaths)
    }

    /// The same, and a number for all that went over the wires and what came of it.
    static func watched(
        _ seed: UInt64, _ identities: (Int) -> any IdentitySigner, _ primitives: Primitives
    ) throws -> (digest: TraceDigest, fault: String?) {
        let churn = try CircuitChurn(seed, identities, primitives)
        churn.network.isWatching = true
        let fault = churn.want() ? churn.life() : nil
        var digest = churn.network.digest
        for host in [churn.client, churn.exit] {
            for number in QuiltScenario.numbers(host) { digest.take(UInt64(number)) }
        }
        return (digest, fault)
    }

    private func life() -> String? {
        network.run(for: .seconds(20)) { self.isUp }
        for _ in 0..<random.next() % 8 + 2 {
            step()
            if let fault = fault() { return fault }
        }
        return heal() ?? fault()
    }
}

@Suite struct CircuitQuiltChurnTests {
    /// A fourth of `PQVPN_SEEDS`, which is 10,000 for the whole of it; a few in each run of the tests.
    private static let seeds = (Figures.number("PQVPN_SEEDS") ?? 240) / 4
    private static let replayed = Figures.number("PQVPN_SEED")
    /// Those of the real primitives begin here.
    private static let firstReal = 2_000_000

    private static func stand(_ seed: Int) -> (Int) -> any IdentitySigner {
        { RehearsalIdentity(seed: UInt64(seed) &* 64 &+ UInt64($0 + 8)) }
    }

    @Test(.enabled(if: CircuitQuiltChurnTests.replayed == nil), arguments: 0..<20) func networksDrawnAtRandom(part: Int)
        throws
    {
        var paths: [Int: Int] = [:]
        for seed in 0..<Self.seeds where seed % 20 == part {
            guard let (fault, most) = try CircuitChurn.run(UInt64(seed), Self.stand(seed), .rehearsal) else {
                paths[0, default: 0] += 1
                continue
            }
            if let fault { Issue.record("\(fault)") }
            paths[most, default: 0] += 1
        }
        // Most draws have room for more than one.
        let (several, all) = (paths.filter { $0.key > 1 }.values.reduce(0, +), paths.values.reduce(0, +))
        #expect(several * 2 >= all || all < 20, "\(paths)")
    }

    /// Signers are dear, and are used again.
    private static let signers: [SoftwareIdentity] = (0..<13).map { _ in
        do { return try SoftwareIdentity() } catch { preconditionFailure("no identity: \(error)") }
    }

    @Test(.enabled(if: CircuitQuiltChurnTests.replayed == nil)) func withTheRealPrimitives() throws {
        for seed in 0..<max(2, Self.seeds / 200) {
            let run = try CircuitChurn.run(UInt64(seed + Self.firstReal), { Self.signers[$0 + 1] }, .real)
            if let fault = run?.fault { Issue.record("\(fault)") }
        }
    }

    @Test(.enabled(if: CircuitQuiltChurnTests.replayed != nil)) func oneNetworkAgain() throws {
        let seed = Self.replayed ?? 0
        let isReal = seed >= Self.firstReal
        let (digest, fault) = try CircuitChurn.watched(
            UInt64(seed), isReal ? { Self.signers[$0 + 1] } : Self.stand(seed), isReal ? .real : .rehearsal)
        print("circuit quilt seed \(seed): \(digest)")
        if let fault { Issue.record("\(fault)") }
    }

    /// Bit by bit: the same datagrams at the same times, and the same packets from them, whatever else runs.
    @Test func aSeedReplaysItsRun() async throws {
        let seeds = 0..<6
        let digests = try await withThrowingTaskGroup(of: (Int, TraceDigest).self) { group in
            for seed in Array(seeds) + seeds {
                group.addTask { (seed, try CircuitChurn.watched(UInt64(seed), Self.stand(seed), .rehearsal).digest) }
            }
            return try await group.reduce(into: [Int: [TraceDigest]]()) { $0[$1.0, default: []].append($1.1) }
        }
        for seed in seeds {
            #expect(Set(digests[seed]!.map(\.description)).count == 1, "seed \(seed): \(digests[seed]!)")
        }
        #expect(Set(digests.values.map { $0[0].description }).count == seeds.count)
    }
}
