// SPDX-License-Identifier: Apache-2.0
// What a node refuses of those who ask it about relays or tell it of some (§7): what is too much, too late, or not what
// was promised; and what it says where relays are too few for a path.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct DirectoryRefusalTests {
    private static let one = DirectoryScene.id(1)

    private func name(_ number: Int, serial: UInt64 = 1) -> DirectoryName {
        DirectoryName(prefix: DirectoryScene.id(number).prefix64, serial: serial)
    }

    /// Node 0 has just asked node 1 for its list, which says nothing but what is made here.
    private func asking(_ seed: UInt64) throws -> GossipScenario {
        let scene = try GossipScenario(seed: seed, hosts: 2, knows: [0: [1], 1: [0]])
        scene.hosts[1].isMute = true
        try #require(scene.network.run(for: .seconds(60)) { scene.hosts[0].isAsking })
        return scene
    }

    private func list(_ names: [DirectoryName], _ scene: GossipScenario) {
        let message = DirectoryMessage.list(after: nil, names: names, more: false)
        scene.say(message.encoded, from: 1, to: 0)
    }

    /// Says all of a descriptor, whether or not it is asked for.
    private func tell(_ name: DirectoryName, _ bytes: [UInt8], _ scene: GossipScenario) {
        var index = 0
        while let count = DirectoryMessage.chunk(index, of: bytes.count) {
            let start = index * DirectoryMessage.pieceSize
            let piece = DirectoryMessage.piece(
                name, index: index, total: bytes.count, bytes: Array(bytes[start..<start + count]))
            scene.say(piece.encoded, from: 1, to: 0)
            index += 1
        }
    }

    // MARK: - What was promised

    @Test func anotherSerialThanThePromisedOneIsRefused() throws {
        let scene = try asking(101)
        list([name(9, serial: 5)], scene)
        tell(name(9, serial: 5), try DirectoryScene.descriptor(9, serial: 1).encoded, scene)
        scene.network.run(for: .seconds(1))
        #expect(scene.refusals == [.other] && scene.known(to: 0) == [Self.one])
        // Its bringer is not asked again in an hour, as others are.
        #expect(!scene.network.run(for: .seconds(8000)) { scene.hosts[0].isAsking })
    }

    /// One that is there no more is no forgery: the next one is fetched.
    @Test func whatIsGoneIsPassedOver() throws {
        let scene = try asking(102)
        let names = [name(8), name(9)].sorted { $0.prefix < $1.prefix }
        list(names, scene)
        scene.say(DirectoryMessage.piece(names[0], index: 0, total: 0, bytes: []).encoded, from: 1, to: 0)
        let other = names[1] == name(8) ? 8 : 9
        tell(names[1], try DirectoryScene.descriptor(other).encoded, scene)
        scene.network.run(for: .seconds(1))
        #expect(scene.refusals == [] && scene.known(to: 0) == scene.ids([1, other]))
        #expect(scene.drops(0)[.directoryUnasked] == nil && !scene.hosts[0].isAsking)
    }

    /// Whoever asks for one that is not here, or for more of one than there is, hears that.
    @Test func aQuestionForNothingIsAnswered() throws {
        let scene = try GossipScenario(seed: 103, hosts: 2, knows: [0: [1], 1: [0]])
        scene.network.run(for: .seconds(20))
        let unasked = scene.drops(1)[.directoryUnasked] ?? 0
        scene.say(DirectoryMessage.fetch(name(77), index: 0).encoded, from: 1, to: 0)
        scene.say(DirectoryMessage.fetch(name(0, serial: 2), index: 0).encoded, from: 1, to: 0)
        scene.say(DirectoryMessage.fetch(name(0), index: DirectoryMessage.mostPieces - 1).encoded, from: 1, to: 0)
        #expect(scene.drops(1)[.directoryUnasked] == unasked + 3)
        #expect(DirectoryMessage.chunk(0, of: 0) == nil && DirectoryMessage.chunk(-1, of: 10) == nil)
    }

    // MARK: - Quotas

    /// The sixty-fourth of an hour is the last that is fetched, however many are news.
    @Test func noMoreIsFetchedThanMayBeBrought() throws {
        let scene = try asking(104)
        for number in 10..<10 + Limits.descriptorsPerSource - 1 {
            let descriptor = try DirectoryScene.descriptor(number)
            _ = try scene.hosts[0].machine.directory.offer(
                descriptor, from: .relay(Self.one), isBarred: false, unix: DirectoryScene.unix, now: scene.network.now)
        }
        let names = [name(8), name(9)].sorted { $0.prefix < $1.prefix }
        let numbers = names[0] == name(8) ? [8, 9] : [9, 8]
        list(names, scene)
        for (name, number) in zip(names, numbers) {
            tell(name, try DirectoryScene.descriptor(number).encoded, scene)
            scene.network.run(for: .milliseconds(100))
        }
        #expect(scene.refusals == [] && !scene.hosts[0].isAsking)
        #expect(scene.known(to: 0).contains(DirectoryScene.id(numbers[0])))
        #expect(!scene.known(to: 0).contains(DirectoryScene.id(numbers[1])))
        #expect((scene.drops(0)[.directoryUnasked] ?? 0) > 0)
    }

    /// A question that there is room for, with an answer that there is none for.
    @Test func anAnswerThatIsTooMuchIsNotGiven() throws {
        let scene = try GossipScenario(seed: 105, hosts: 2, knows: [0: [1], 1: [0]])
        scene.network.run(for: .seconds(20))
        let giver = scene.hosts[0]
        let before = Limits.directoryBytesPerMinute - 1000
        giver.machine.directoryTraffic.given[Self.one] = (since: scene.network.now, bytes: before)
        let unasked = scene.drops(1)[.directoryUnasked] ?? 0
        scene.say(DirectoryMessage.fetch(name(0), index: 0).encoded, from: 1, to: 0)
        #expect(scene.drops(0)[.directoryQuota] == 1 && (scene.drops(1)[.directoryUnasked] ?? 0) == unasked)
        // A short one fits still.
        scene.say(DirectoryMessage.ask(after: .max).encoded, from: 1, to: 0)
        #expect(scene.drops(0)[.directoryQuota] == 1 && scene.drops(1)[.directoryUnasked] == unasked + 1)
        let given = giver.machine.directoryTraffic.given[Self.one]?.bytes
        #expect(given == before + 2 * Limits.directoryQuestionCost)
    }

    /// Sixty seconds from the first question on, whenever it is that old minutes are cleared away.
    @Test func aQuotaLastsForItsOwnMinute() throws {
        let scene = try GossipScenario(seed: 106, hosts: 2, knows: [0: [1], 1: [0]])
        let giver = scene.hosts[0]
        scene.network.run(for: .seconds(10))
        // Whoever sets the clock has that done at once, and a minute later again.
        giver.setClock(unixSeconds: DirectoryScene.unix + 100, now: scene.network.now)
        scene.network.run(for: .seconds(2))
        let (began, full) = (scene.network.now, Limits.directoryBytesPerMinute)
        giver.machine.directoryTraffic.given[Self.one] = (since: began, bytes: full)
        func isAnswered(after seconds: Int) -> Bool {
            scene.network.run(for: (began + .seconds(seconds)).since(scene.network.now))
            let unasked = scene.drops(1)[.directoryUnasked] ?? 0
            scene.say(DirectoryMessage.ask(after: .max).encoded, from: 1, to: 0)
            return (scene.drops(1)[.directoryUnasked] ?? 0) > unasked
        }
        let answers = [1, 30, 59, 61, 62].map(isAnswered)
        #expect(answers == [false, false, false, true, true])
        #expect(scene.drops(0)[.directoryQuota] == 3)
    }

    // MARK: - Who is gone

    /// What is half fetched goes with the session that it came by, at once, and its relay is left alone for a while.
    @Test func whoIsGoneIsNotWaitedFor() throws {
        let scene = try asking(107)
        list([name(9)], scene)
        let chunk = [UInt8](repeating: 0, count: DirectoryMessage.pieceSize)
        scene.say(DirectoryMessage.piece(name(9), index: 0, total: 9000, bytes: chunk).encoded, from: 1, to: 0)
        #expect(scene.hosts[0].exchangeBytes == chunk.count)
        #expect(scene.network.drop(try #require(scene.hosts[0].slot(of: Self.one)), of: scene.hosts[0]))
        scene.network.run(for: .milliseconds(700))
        try #require(!scene.hosts[0].isAsking && scene.hosts[0].exchangeBytes == 0)
        #expect(!scene.network.run(for: .seconds(590)) { scene.hosts[0].isAsking })
        #expect(scene.network.run(for: .seconds(120)) { scene.hosts[0].isAsking })
    }

    /// What was due of it is not due for ever, which would have the node look at it again and again until the next second.
    @Test func nothingIsDueOfWhoIsGone() throws {
        let scene = try asking(110)
        scene.network.run(for: .milliseconds(500))
        list([name(9)], scene)
        scene.network.run(for: .milliseconds(400))
        let host = scene.hosts[0]
        #expect(scene.network.drop(try #require(host.slot(of: Self.one)), of: host))
        let due = scene.network.now + .milliseconds(500)
        host.machine.timeout(now: due)
        #expect(host.machine.nextDeadline > due)
    }

    /// A descriptor is whole, and while a job looks at it the session ends: nobody has asked for it any more.
    @Test func whatIsReadTooLateIsNotTaken() throws {
        let scene = try asking(108)
        scene.hosts[0].jobDurations[.readDescriptor] = .seconds(5)
        list([name(9)], scene)
        tell(name(9), try DirectoryScene.descriptor(9).encoded, scene)
        #expect(scene.hosts[0].footprint.jobs == 1 && scene.hosts[0].isAsking)
        #expect(scene.network.drop(try #require(scene.hosts[0].slot(of: Self.one)), of: scene.hosts[0]))
        scene.network.run(for: .seconds(8))
        #expect(scene.hosts[0].footprint.jobs == 0 && scene.known(to: 0) == [Self.one])
        #expect(scene.refusals == [])
    }

    /// A relay that does not speak of relays is met, and not met anew each time that somebody to ask is looked for.
    @Test func whoCannotBeAskedIsCalledOnce() throws {
        let scene = try GossipScenario(seed: 109, hosts: 2, knows: [0: [1], 1: [0]], silent: [1])
        scene.network.run(for: .seconds(80))
        #expect(scene.hosts[0].establishedSessions.count == 1, "\(scene.drops(0)) \(scene.drops(1))")
    }

    @Test func anExchangeThatRestsSaysNothing() {
        let first = Instant.origin + .seconds(5)
        var exchange = DirectoryExchange(beginning: first)
        let effects = exchange.timeout(now: first + .seconds(1))
        #expect(effects == [] && exchange.stage == .resting && exchange.deadline == first)
    }

    // MARK: - Descriptors

    @Test func aDescriptorBeginsBeforeItEnds() throws {
        var directory = RelayDirectory(own: DirectoryScene.id(0), addresses: .publicOnly)
        let unix = DirectoryScene.unix
        for until in [unix + 100, unix + 50] {
            let descriptor = try DirectoryScene.descriptor(1, from: unix + 100, until: until)
            do throws(DirectoryRefusal) {
                _ = try directory.offer(descriptor, from: .imported, isBarred: false, unix: unix, now: .origin)
                Issue.record("taken, though it ends \(until - unix) s from now")
            } catch { #expect(error == .lifetime) }
        }
        #expect(directory.count == 0)
    }

    @Test func addressesOfOneNetworkAreOneNeighbourhood() throws {
        var directory = RelayDirectory(own: DirectoryScene.id(0), addresses: .publicOnly)
        let descriptor = try DirectoryScene.descriptor(
            1, addresses: ["20.1.0.1:9000", "20.1.9.1:9000", "20.2.0.1:9000", "[2606:4700::1]:1", "[2606:4700:9::1]:1"])
        let entry = try directory.offer(
            descriptor, from: .imported, isBarred: false, unix: DirectoryScene.unix, now: .origin)
        #expect(entry.endpoints.count == 5)
        #expect(entry.candidate.neighbourhoods.map(\.length) == [16, 16, 32])
    }

    @Test func noPortAndNoInterfaceIsCalled() throws {
        let address = try #require(IPAddress("2606:4700::1"))
        #expect(RelayAddress.isCallable(Endpoint(address, port: 1), .publicOnly))
        #expect(!RelayAddress.isCallable(Endpoint(address, port: 0), .publicOnly))
        #expect(!RelayAddress.isCallable(Endpoint(address, port: 1, scope: 3), .publicAndPrivate))
    }

    // MARK: - Paths that are chosen

    /// Its exit is its entry: that is no guard, is not judged as one, and no guard can stand for it.
    @Test func aPathOfOneHopHasNoGuard() throws {
        let scene = try ChoiceScenario(seed: 30)
        let (exit, other) = (DirectoryScene.id(5), DirectoryScene.id(6))
        let (number, path) = try scene.build(PathWish(hops: 1, exit: exit))
        #expect(path == [exit] && scene.client.guardList.guards.isEmpty)
        #expect(scene.network.run(for: .seconds(10)) { scene.isReady(number) }, "\(scene.client.circuitEvents)")
        scene.network.run(for: .seconds(61))
        #expect(scene.network.closeCircuit(number, at: scene.client))
        #expect(scene.client.machine.circuits.guardRecords.isEmpty)

        scene.detach(other)
        _ = try scene.client.choosePath(PathWish(hops: 3, exit: other), now: scene.network.now)
        let guards = scene.client.guardList
        #expect(guards.guards.count == 3 && !guards.contains(other))
        _ = try scene.build(PathWish(hops: 1, exit: other), name: "other")
        // A guard that others could stand for would be left after four seconds.
        scene.network.run(for: .seconds(10))
        #expect(scene.client.circuitFailures.isEmpty, "\(scene.client.circuitEvents)")
        func changes() -> Int {
            scene.client.events.count { if case .guardsChanged = $0.event { true } else { false } }
        }
        let before = changes()
        scene.network.run(for: .seconds(15))
        #expect(scene.client.circuitFailures.map(\.failure) == [.noEntry], "\(scene.client.circuitEvents)")
        #expect(scene.client.guardList == guards && changes() == before)
    }

    /// People are told to import relays, not to wait for some.
    @Test func thatThereIsNoGuardIsNotThatAllOfThemRest() throws {
        let scene = try ChoiceScenario(seed: 31, count: 1, exits: [1])
        #expect(throws: SelectionFailure(position: .entry, rule: .none, relays: 1)) {
            try scene.client.choosePath(PathWish(hops: 2, exit: DirectoryScene.id(1)), now: scene.network.now)
        }
    }
}
