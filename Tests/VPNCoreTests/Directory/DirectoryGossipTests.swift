// SPDX-License-Identifier: Apache-2.0
// Relays that tell each other of relays, over the virtual network: what spreads, and what does not, whoever lies.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

/// Relays that know only their neighbours' descriptors; relay n is at 20.n.0.1.
final class GossipScenario {
    let network: VirtualNetwork
    let hosts: [VirtualHost]
    let cryptography = RehearsalCryptography(seed: 11)

    static func endpoint(_ number: Int) -> Endpoint { Endpoint(v4: 0x1400_0001 | UInt32(number) << 16, port: 9000) }

    /// - Parameters:
    ///   - knows: who has whose descriptor by its operator's hand.
    ///   - silent: those that do not speak of relays.
    init(
        seed: UInt64, hosts count: Int, knows: [Int: [Int]], silent: Set<Int> = [],
        conditions: LinkConditions = LinkConditions()
    ) throws {
        network = VirtualNetwork(seed: seed)
        network.conditions = conditions
        var hosts: [VirtualHost] = []
        for number in 0..<count {
            var parameters = NodeParameters(
                offers: Offers(hasAESHardware: true), mtu: 1436,
                trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
                maximumJobs: 200, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600),
                unixSeconds: DirectoryScene.unix)
            parameters.exchangesDirectory = !silent.contains(number)
            parameters.relayDescriptor = try DirectoryScene.descriptor(number)
            let host = VirtualHost(
                name: "r\(number)", endpoint: Self.endpoint(number), identity: DirectoryScene.identity(number),
                cryptography: RehearsalCryptography(seed: seed &* 97 &+ UInt64(number)), parameters: parameters,
                now: network.now)
            host.addRelays(
                try (knows[number] ?? []).map { (try DirectoryScene.descriptor($0), .imported) }, now: .origin)
            network.attach(host)
            network.enableRelay(RelayPolicy(), of: host)
            hosts.append(host)
        }
        self.hosts = hosts
    }

    func known(to number: Int) -> Set<PeerID> { Set(hosts[number].relays.map(\.id)) }
    func ids(_ numbers: [Int]) -> Set<PeerID> { Set(numbers.map(DirectoryScene.id)) }

    /// Has one host say something of its own making to another, in the session that it has.
    func say(_ payload: [UInt8], from: Int, to other: Int) {
        guard let slot = hosts[from].slot(of: DirectoryScene.id(other)) else { return }
        network.say(.directory, payload, to: slot, from: hosts[from])
        network.run(for: .milliseconds(200))
    }

    var refusals: [DirectoryRefusal] {
        hosts.flatMap(\.events).compactMap { if case .relayRefused(let refusal, _) = $0.event { refusal } else { nil } }
    }

    func drops(_ number: Int) -> [DropReason: UInt64] {
        Dictionary(hosts[number].controlDrops.nonZero.map { ($0.reason, $0.count) }) { first, _ in first }
    }

    func violations(_ number: Int) -> Int {
        hosts[number].events.count {
            if case .sessionEnded(_, .protocolViolation) = $0.event { true } else { false }
        }
    }
}

struct DirectoryGossipTests {
    /// 0 and 2 know 1 alone, which knows both: a round later each knows both others.
    @Test(arguments: [1, 2, 3] as [UInt64]) func threeRelaysLearnOfEachOther(_ seed: UInt64) throws {
        let scene = try GossipScenario(seed: seed, hosts: 3, knows: [0: [1], 1: [0, 2], 2: [1]])
        let isDone = scene.network.run(for: .seconds(7200)) {
            (0..<3).allSatisfy { scene.known(to: $0) == scene.ids([0, 1, 2].filter { [here = $0] in $0 != here }) }
        }
        #expect(isDone, "\((0..<3).map { scene.known(to: $0).map(\.short) })")
        #expect(scene.refusals == [])
        // Nobody became a peer by that.
        #expect(scene.hosts.allSatisfy { $0.snapshot(now: scene.network.now).allSatisfy { !$0.isConfigured } })
    }

    @Test func lossAndReorderingDelayAndNoMore() throws {
        var conditions = LinkConditions()
        conditions.loss = 0.1
        conditions.latency = .milliseconds(40)
        conditions.jitter = .milliseconds(40)
        let scene = try GossipScenario(
            seed: 4, hosts: 6, knows: [0: [1], 1: [0, 2, 3, 4, 5]], conditions: conditions)
        #expect(scene.network.run(for: .seconds(7200)) { scene.known(to: 0) == scene.ids([1, 2, 3, 4, 5]) })
        #expect(scene.refusals == [])
    }

    @Test func aNewerDescriptorFollowsAnOlderOne() throws {
        let scene = try GossipScenario(seed: 5, hosts: 3, knows: [0: [1], 1: [0, 2]])
        #expect(scene.network.run(for: .seconds(60)) { scene.known(to: 0).count == 2 })
        let newer = try DirectoryScene.descriptor(2, capacity: 77, serial: 9)
        #expect(scene.hosts[1].addRelays([(newer, .imported)], now: scene.network.now).isEmpty)
        func serial() -> UInt64? {
            scene.hosts[0].relays.first { $0.id == DirectoryScene.id(2) }?.descriptor.serial
        }
        #expect(scene.network.run(for: .seconds(7300)) { serial() == 9 })
        #expect(scene.hosts[0].relays.first { $0.id == DirectoryScene.id(2) }?.source == .relay(DirectoryScene.id(1)))
    }

    /// Whoever did not say that it speaks of relays is not spoken to, and takes such a frame for one of no type.
    @Test func theSilentAreNotAsked() throws {
        let scene = try GossipScenario(seed: 6, hosts: 3, knows: [0: [1], 1: [0, 2]], silent: [1])
        scene.network.run(for: .seconds(30))
        #expect(scene.known(to: 0) == scene.ids([1]))
        #expect(scene.hosts[0].confirmedSessions.count > 0)
        #expect(scene.violations(0) + scene.violations(1) == 0)
        scene.say(DirectoryMessage.ask(after: nil).encoded, from: 0, to: 1)
        #expect(scene.violations(1) == 1)
    }

    /// Only those are asked for whom the operator vouched; what others brought is used, not asked.
    @Test func theBroughtAreNotAsked() throws {
        let scene = try GossipScenario(seed: 7, hosts: 4, knows: [0: [1], 1: [0, 2], 2: [1, 3], 3: [2]])
        scene.network.run(for: .seconds(50))
        #expect(scene.known(to: 0).isSuperset(of: scene.ids([1, 2])))
        let endpoint = GossipScenario.endpoint(2)
        #expect(
            !scene.network.capture.contains {
                $0.datagram.source == GossipScenario.endpoint(0) && $0.datagram.destination == endpoint
            })
    }

    private func exchanging(_ seed: UInt64) throws -> (GossipScenario, DirectoryName) {
        // 1 has nothing but promises: it does not answer by itself, since what it says is made here.
        let scene = try GossipScenario(seed: seed, hosts: 2, knows: [0: [1], 1: [0]])
        scene.hosts[1].publish(nil)
        scene.network.run(for: .seconds(6))
        return (scene, DirectoryName(prefix: DirectoryScene.id(9).prefix64, serial: 1))
    }

    /// Waits until relay 0 asks for a list and answers with this name, then with the pieces of `bytes`.
    private func feed(_ scene: GossipScenario, _ name: DirectoryName, _ bytes: [UInt8]) {
        scene.hosts[1].isMute = true
        scene.network.run(for: .seconds(3700)) { scene.hosts[0].isAsking }
        scene.say(DirectoryMessage.list(after: nil, names: [name], more: false).encoded, from: 1, to: 0)
        var index = 0
        while let count = DirectoryMessage.chunk(index, of: bytes.count) {
            let start = index * DirectoryMessage.pieceSize
            scene.say(
                DirectoryMessage.piece(
                    name, index: index, total: bytes.count, bytes: Array(bytes[start..<start + count])
                )
                .encoded, from: 1, to: 0)
            index += 1
        }
        scene.network.run(for: .seconds(2))
    }

    @Test func theTruthIsTaken() throws {
        let (scene, name) = try exchanging(8)
        feed(scene, name, try DirectoryScene.descriptor(9).encoded)
        #expect(scene.known(to: 0) == scene.ids([1, 9]))
    }

    @Test func forgeriesAreRefusedAndTheirBringerShunned() throws {
        let (scene, name) = try exchanging(9)
        var bytes = try DirectoryScene.descriptor(9).encoded
        bytes[3] ^= 1
        feed(scene, name, bytes)
        #expect(scene.refusals == [.forged])
        #expect(scene.known(to: 0) == scene.ids([1]))
        #expect(scene.drops(0)[.directoryRefused] == 1)
        // Not asked again before a day is over.
        #expect(!scene.network.run(for: .seconds(80_000)) { scene.hosts[0].isAsking })
    }

    @Test func whatWasNotPromisedIsRefused() throws {
        let (scene, name) = try exchanging(10)
        feed(scene, name, try DirectoryScene.descriptor(8).encoded)
        #expect(scene.refusals == [.other])
        #expect(scene.known(to: 0) == scene.ids([1]))
    }

    @Test func theOldAndTheUnfitAreRefused() throws {
        let (scene, _) = try exchanging(11)
        let known = DirectoryScene.id(1).prefix64
        // What is no newer is not even asked for.
        feed(scene, DirectoryName(prefix: known, serial: 1), try DirectoryScene.descriptor(1).encoded)
        #expect(scene.refusals == [])
        #expect((scene.drops(0)[.directoryUnasked] ?? 0) > 0)
        let (other, name) = try exchanging(12)
        feed(other, name, try DirectoryScene.descriptor(9, until: DirectoryScene.unix + 1).encoded)
        #expect(other.refusals == [.expired])
        let (third, _) = try exchanging(13)
        feed(third, name, try DirectoryScene.descriptor(9, addresses: ["127.0.0.1:9000"]).encoded)
        #expect(third.refusals == [.noAddress])
        let own = DirectoryName(prefix: DirectoryScene.id(0).prefix64, serial: 99)
        let (fourth, _) = try exchanging(14)
        feed(fourth, own, try DirectoryScene.descriptor(0, serial: 99).encoded)
        #expect(fourth.known(to: 0) == fourth.ids([1]))
    }

    @Test func garbageAndWhatNobodyAskedForIsDropped() throws {
        let (scene, name) = try exchanging(15)
        scene.network.run(for: .seconds(20))
        let before = scene.drops(0)
        scene.say([9, 9, 9], from: 1, to: 0)
        scene.say([], from: 1, to: 0)
        scene.say([UInt8](repeating: 0, count: 1200), from: 1, to: 0)
        #expect(scene.drops(0)[.directoryMalformed] == (before[.directoryMalformed] ?? 0) + 3)
        scene.say(DirectoryMessage.list(after: nil, names: [name], more: false).encoded, from: 1, to: 0)
        scene.say(
            DirectoryMessage.piece(name, index: 0, total: 2000, bytes: [UInt8](repeating: 0, count: 1024)).encoded,
            from: 1, to: 0)
        #expect(scene.drops(0)[.directoryUnasked] == (before[.directoryUnasked] ?? 0) + 2)
        #expect(scene.violations(0) == 0)
    }

    /// Pieces that stop coming, and lists that never end.
    @Test func whoeverStallsIsLeft() throws {
        let (scene, name) = try exchanging(16)
        scene.hosts[1].isMute = true
        #expect(scene.network.run(for: .seconds(3700)) { scene.hosts[0].isAsking })
        scene.say(DirectoryMessage.list(after: nil, names: [name], more: false).encoded, from: 1, to: 0)
        scene.say(
            DirectoryMessage.piece(name, index: 0, total: 9242, bytes: [UInt8](repeating: 0, count: 1024)).encoded,
            from: 1, to: 0)
        #expect(scene.hosts[0].isAsking)
        #expect(scene.network.run(for: .seconds(10)) { !scene.hosts[0].isAsking })
        #expect(scene.hosts[0].exchangeBytes == 0)
        // Asked anew after ten minutes.
        #expect(!scene.network.run(for: .seconds(500)) { scene.hosts[0].isAsking })
        #expect(scene.network.run(for: .seconds(200)) { scene.hosts[0].isAsking })
    }

    @Test func aListWithoutEndEnds() {
        var exchange = DirectoryExchange(beginning: .origin)
        var effects = exchange.begin(now: .origin)
        var last: UInt64?
        var pages = 0
        while case .say(.ask(let after))? = effects.first {
            pages += 1
            let names = (1...64).map { DirectoryName(prefix: (last ?? 0) + UInt64($0), serial: 1) }
            last = names.last?.prefix
            guard let next = exchange.received(list: after, names, more: true, now: .origin, wants: { _ in false })
            else { break }
            effects = next
        }
        #expect(pages == Limits.directoryPages)
        #expect(!exchange.isActive)
        #expect(exchange.wanted.isEmpty)
    }

    /// A flood of questions is answered up to 512 KiB a minute; one of promises, with 64 descriptors an hour.
    @Test func floodsAreBounded() throws {
        let (scene, name) = try exchanging(17)
        let slot = try #require(scene.hosts[1].slot(of: DirectoryScene.id(0)))
        let sent = scene.hosts[0].bytesSent
        for _ in 0..<3000 {
            let fetch = DirectoryMessage.fetch(
                DirectoryName(prefix: DirectoryScene.id(0).prefix64, serial: 1), index: 0)
            scene.network.say(.directory, fetch.encoded, to: slot, from: scene.hosts[1])
        }
        scene.network.run(for: .seconds(2))
        #expect((scene.drops(0)[.directoryQuota] ?? 0) > 2000)
        #expect(scene.hosts[0].bytesSent - sent < 640 << 10)
        var exchange = DirectoryExchange(beginning: .origin)
        _ = exchange.begin(now: .origin)
        let names = (1...64).map { DirectoryName(prefix: UInt64($0), serial: 1) }
        _ = exchange.received(list: nil, names, more: true, now: .origin, wants: { _ in true })
        #expect(exchange.wanted.count == 63)
        guard case .fetching = exchange.stage else {
            Issue.record("64 are enough for an hour: \(exchange.stage) \(name)")
            return
        }
    }

    /// Questions cost their share even where the answers are short.
    @Test func questionsAreBounded() throws {
        let (scene, _) = try exchanging(18)
        let slot = try #require(scene.hosts[1].slot(of: DirectoryScene.id(0)))
        let questions = Limits.directoryBytesPerMinute / Limits.directoryQuestionCost + 500
        for number in 0..<questions {
            let ask = DirectoryMessage.ask(after: UInt64.max - UInt64(number))
            scene.network.say(.directory, ask.encoded, to: slot, from: scene.hosts[1])
        }
        scene.network.run(for: .seconds(2))
        #expect((scene.drops(0)[.directoryQuota] ?? 0) >= 500)
    }

    @Test func bytesOfAPieceCannotGrow() {
        var exchange = DirectoryExchange(beginning: .origin)
        let name = DirectoryName(prefix: 1, serial: 1)
        _ = exchange.begin(now: .origin)
        _ = exchange.received(list: nil, [name], more: false, now: .origin, wants: { _ in true })
        let chunk = [UInt8](repeating: 0, count: 1024)
        _ = exchange.received(piece: name, index: 0, total: 9000, chunk, now: .origin)
        // The same piece again is not asked for; another total ends it.
        #expect(exchange.received(piece: name, index: 0, total: 9000, chunk, now: .origin) == nil)
        #expect(exchange.received(piece: name, index: 1, total: 9700, chunk, now: .origin) == [])
        #expect(exchange.bytes.isEmpty && !exchange.isActive)
    }
}
