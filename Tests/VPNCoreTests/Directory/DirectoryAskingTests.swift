// SPDX-License-Identifier: Apache-2.0
// Whom a node asks about relays (§7), whom it leaves alone and for how long, and how much it answers itself.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

extension GossipScenario {
    /// Node 0 has just asked node 1 for its list, which says nothing but what is made here.
    static func asking(_ seed: UInt64) throws -> GossipScenario {
        let scene = try GossipScenario(seed: seed, hosts: 2, knows: [0: [1], 1: [0]])
        scene.hosts[1].isMute = true
        try #require(scene.network.run(for: .seconds(60)) { scene.hosts[0].isAsking })
        return scene
    }

    /// What node 1 answers node 0: this one it has.
    func promise(_ number: Int) -> DirectoryName {
        let name = DirectoryName(prefix: DirectoryScene.id(number).prefix64, serial: 1)
        say(DirectoryMessage.list(after: nil, names: [name], more: false).encoded, from: 1, to: 0)
        return name
    }

    /// And these are its bytes.
    func tell(_ name: DirectoryName, _ bytes: [UInt8]) {
        var index = 0
        while let count = DirectoryMessage.chunk(index, of: bytes.count) {
            let start = index * DirectoryMessage.pieceSize
            let chunk = Array(bytes[start..<start + count])
            let piece = DirectoryMessage.piece(name, index: index, total: bytes.count, bytes: chunk)
            say(piece.encoded, from: 1, to: 0)
            index += 1
        }
        network.run(for: .seconds(1))
    }

    /// Where a node has sent anything to.
    func called(by number: Int) -> Set<Endpoint> {
        let sent = network.capture.map(\.datagram).filter { $0.source == GossipScenario.endpoint(number) }
        return Set(sent.map(\.destination))
    }
}

@Suite struct DirectoryAskingTests {
    private static let one = DirectoryScene.id(1)

    // MARK: - Who is looked for

    /// Who has somebody to ask looks for nobody else: the fewer know of it the better.
    @Test func nobodyIsLookedForWhileSomebodyIsAsked() throws {
        let scene = try GossipScenario(seed: 121, hosts: 2, knows: [0: [1, 2], 1: [0]])
        let (network, host) = (scene.network, scene.hosts[0])
        // Node 1 is the first to call.
        host.machine.directoryTraffic.nextSearch = network.now + .seconds(30)
        network.run(for: .seconds(40))
        let slot = try #require(host.slot(of: Self.one))
        #expect(scene.called(by: 0) == [GossipScenario.endpoint(1)])
        // Once that one has gone, another one is called.
        network.detach(scene.hosts[1])
        let hasDropped = network.drop(slot, of: host)
        #expect(hasDropped)
        network.run(for: .seconds(70))
        #expect(scene.called(by: 0) == [GossipScenario.endpoint(1), GossipScenario.endpoint(2)])
    }

    @Test func oneIsLookedForInAMinute() throws {
        let scene = try GossipScenario(seed: 122, hosts: 1, knows: [0: [1, 2, 3]])
        scene.network.run(for: .seconds(55))
        #expect(scene.called(by: 0).count == 1)
        scene.network.run(for: .seconds(3600))
        #expect(scene.called(by: 0).count == 3)
    }

    // MARK: - Who is asked

    /// A pin is the operator's word for a relay as much as a descriptor that he imports.
    @Test func aPinnedRelayIsAsked() throws {
        let scene = try GossipScenario(seed: 123, hosts: 2, knows: [1: [0]])
        let pin = PinnedPeer(keys: DirectoryScene.identity(1).publicKeys, name: "one", origin: .operatorAdded)
        scene.network.updatePins([pin], of: scene.hosts[0])
        scene.network.run(for: .seconds(120))
        #expect(scene.known(to: 0) == scene.ids([1]), "\(scene.drops(0)) \(scene.drops(1))")
        #expect(scene.hosts[0].relays.map(\.source) == [.relay(Self.one)])
    }

    /// One that others brought has a session, since it called: it may ask, and is not asked.
    @Test func whomOthersBroughtIsNotAskedThoughItCalls() throws {
        let scene = try GossipScenario(seed: 124, hosts: 2, knows: [1: [0]])
        let brought = try DirectoryScene.descriptor(1)
        let refused = scene.hosts[0].addRelays(
            [(brought, .relay(DirectoryScene.id(9)))], now: scene.network.now)
        scene.network.run(for: .seconds(60))
        let isThere = scene.hosts[0].slot(of: Self.one) != nil
        let asked = scene.hosts.map { Set($0.machine.directoryTraffic.exchanges.keys) }
        #expect(refused.isEmpty && isThere, "\(scene.drops(0)) \(scene.drops(1))")
        #expect(asked[0].isEmpty && asked[1] == scene.ids([0]))
    }

    // MARK: - Who is left alone

    /// A question is said again three times, at longer and longer intervals, and then not for ten minutes.
    @Test func whoDoesNotAnswerIsLeft() throws {
        let scene = try GossipScenario.asking(125)
        #expect(scene.network.run(for: .seconds(20)) { !scene.hosts[0].isAsking })
        #expect(!scene.network.run(for: .seconds(590)) { scene.hosts[0].isAsking })
        #expect(scene.network.run(for: .seconds(180)) { scene.hosts[0].isAsking })
    }

    @Test func whoStaysAwayIsForgotten() throws {
        let scene = try GossipScenario.asking(126)
        let (network, host) = (scene.network, scene.hosts[0])
        network.run(for: .milliseconds(500))
        _ = scene.promise(9)
        network.detach(scene.hosts[1])
        #expect(network.drop(try #require(host.slot(of: Self.one)), of: host))
        network.run(for: .seconds(590))
        #expect(Set(host.machine.directoryTraffic.exchanges.keys) == [Self.one])
        network.run(for: .seconds(60))
        #expect(host.machine.directoryTraffic.exchanges.isEmpty)
    }

    /// What is no relay for this node is not its bringer's lie: that one is asked in an hour, as ever.
    @Test func whoBringsTheUnfitIsAskedAgain() throws {
        let scene = try GossipScenario.asking(127)
        let name = scene.promise(9)
        scene.tell(name, try DirectoryScene.descriptor(9, addresses: ["127.0.0.1:9000"]).encoded)
        #expect(scene.refusals == [.noAddress] && !scene.hosts[0].isAsking)
        #expect(!scene.network.run(for: .seconds(3500)) { scene.hosts[0].isAsking })
        #expect(scene.network.run(for: .seconds(300)) { scene.hosts[0].isAsking })
    }

    /// A forger who has brought all that he may in this hour is shunned for a day, not for the hour.
    @Test func aFullQuotaShortensNoShunning() throws {
        let scene = try GossipScenario.asking(128)
        for number in 10..<10 + Limits.descriptorsPerSource {
            _ = try scene.hosts[0].machine.directory.offer(
                try DirectoryScene.descriptor(number), from: .relay(Self.one), isBarred: false,
                unix: DirectoryScene.unix, now: scene.network.now)
        }
        let name = scene.promise(9)
        scene.tell(name, try DirectoryScene.descriptor(9).encoded.flipping(3))
        #expect(scene.refusals == [.forged])
        #expect(!scene.network.run(for: .seconds(8000)) { scene.hosts[0].isAsking })
    }

    // MARK: - What is answered

    /// Questions for what is not here have the shortest answers, and are as much work as others.
    @Test func questionsForNothingAreBounded() throws {
        let scene = try GossipScenario(seed: 129, hosts: 2, knows: [0: [1], 1: [0]])
        scene.network.run(for: .seconds(20))
        let slot = try #require(scene.hosts[1].slot(of: DirectoryScene.id(0)))
        let before = scene.drops(1)[.directoryUnasked] ?? 0
        let most = Limits.directoryBytesPerMinute / Limits.directoryQuestionCost
        for number in 0..<most + 500 {
            let name = DirectoryName(prefix: UInt64(number), serial: 1)
            let fetch = DirectoryMessage.fetch(name, index: 0)
            scene.network.say(.directory, fetch.encoded, to: slot, from: scene.hosts[1])
        }
        scene.network.run(for: .seconds(2))
        let answers = (scene.drops(1)[.directoryUnasked] ?? 0) - before
        #expect(answers > 1000 && answers <= UInt64(most), "\(answers) of \(most)")
        #expect((scene.drops(0)[.directoryQuota] ?? 0) >= 500)
    }
}
