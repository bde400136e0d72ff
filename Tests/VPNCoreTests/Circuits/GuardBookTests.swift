// SPDX-License-Identifier: Apache-2.0
// What a node writes down of its guards and of the relays behind them (§8): which there are, which rest, what became of
// paths, and whom it leaves alone for a while.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct GuardBookTests {
    private static let unix = DirectoryScene.unix

    /// A client of seven relays whose guards are 1, 2 and 3.
    private func guarded(seed: UInt64) throws -> ChoiceScenario {
        let scene = try ChoiceScenario(seed: seed)
        let list = [1, 2, 3].map { number in
            GuardList.Guard(
                id: DirectoryScene.id(number), added: Self.unix, expires: Self.unix + 90 * GuardList.day)
        }
        scene.client.restoreGuards(GuardList(list))
        return scene
    }

    /// Builds a circuit through these relays and waits for it.
    private func build(
        _ path: [PeerID], _ wish: PathWish?, name: String = "home", _ scene: ChoiceScenario
    ) throws -> Int {
        let request = CircuitRequest(name: name, hops: path, allowedIPs: [ChoiceScenario.behind], wish: wish)
        let number = try scene.network.build(request, at: scene.client)
        let isReady = scene.network.run(for: .seconds(30)) { scene.isReady(number) }
        try #require(isReady, "\(scene.client.circuitEvents)")
        return number
    }

    /// Its guard says that the only path that there is is over.
    private func endByGuard(_ number: Int, _ scene: ChoiceScenario) throws {
        scene.endByGuard(try #require(scene.client.machine.circuits.paths.values.first))
        #expect(scene.network.run(for: .seconds(5)) { scene.path(number) == nil })
    }

    private func record(_ id: PeerID, _ scene: ChoiceScenario) -> GuardRecord? {
        scene.client.machine.circuits.guardRecords[id]
    }

    // MARK: - Which there are

    /// Written to disk each time that they change, or others would be drawn after the next start; and not each time
    /// that one of them is chosen.
    @Test func guardsAreToldOfWhenTheyChange() throws {
        let scene = try ChoiceScenario(seed: 401)
        for _ in 0..<5 { _ = try scene.client.choosePath(PathWish(hops: 3), now: scene.network.now) }
        scene.network.drain(scene.client)
        let told: [GuardList] = scene.client.events.compactMap {
            if case .guardsChanged(let list) = $0.event { list } else { nil }
        }
        #expect(told == [scene.client.guardList] && scene.client.guardList.guards.count == 3)
    }

    /// Two guards are of the exit's own operator, the third failed once: it is waited for, or whoever can make a guard
    /// fail now and then would have one drawn for it each time.
    @Test func aGuardThatRestsIsWaitedForBeforeAnotherIsDrawn() throws {
        let scene = try guarded(seed: 402)
        for number in [1, 2] {
            let newer = try DirectoryScene.descriptor(number, operatorName: "operator 5", serial: 2)
            let refused = scene.client.addRelays([(newer, .imported)], now: scene.network.now)
            #expect(refused.isEmpty)
        }
        let wish = PathWish(hops: 3, exit: DirectoryScene.id(5))
        scene.client.machine.guards.failed(DirectoryScene.id(3), unix: Self.unix)
        #expect(throws: SelectionFailure(position: .entry, rule: .operatorName, relays: 7)) {
            try scene.client.choosePath(wish, now: scene.network.now)
        }
        #expect(scene.client.guardList.guards.map(\.id) == [1, 2, 3].map(DirectoryScene.id))
        scene.network.run(for: .seconds(31))
        let path = try scene.client.choosePath(wish, now: scene.network.now)
        #expect(path[0] == DirectoryScene.id(3) && scene.client.guardList.guards.count == 3)
        // One that fails again is not counted on any more.
        for _ in 0..<2 { scene.client.machine.guards.failed(DirectoryScene.id(3), unix: Self.unix + 31) }
        let other = try scene.client.choosePath(wish, now: scene.network.now)
        #expect(![1, 2, 3].map(DirectoryScene.id).contains(other[0]) && scene.client.guardList.guards.count == 4)
    }

    /// People are told that it is a matter of time, and that only where it is.
    @Test func thatAllGuardsRestIsSaidWhereNothingElseIsMissing() throws {
        let scene = try guarded(seed: 403)
        for number in [1, 2, 3] { scene.client.machine.guards.failed(DirectoryScene.id(number), unix: Self.unix) }
        #expect(throws: SelectionFailure(position: .entry, rule: .available, relays: 7)) {
            try scene.client.choosePath(PathWish(hops: 3), now: scene.network.now)
        }
        // Relay 1 is no exit, and there is none by waiting.
        #expect(throws: SelectionFailure(position: .exit, rule: .none, relays: 7)) {
            try scene.client.choosePath(PathWish(hops: 3, exit: DirectoryScene.id(1)), now: scene.network.now)
        }
        #expect(scene.client.guardList.guards.count == 3)
    }

    // MARK: - What became of paths

    /// What people name themselves says nothing of how a guard does with what this node draws, and the other way round.
    @Test(arguments: [true, false]) func pathsOfItsOwnChoiceAloneAreCounted(isChosen: Bool) throws {
        let scene = try ChoiceScenario(seed: 404)
        let wish = PathWish(hops: 3)
        let path = try scene.client.choosePath(wish, now: scene.network.now)
        scene.client.machine.guards.failed(path[0], unix: Self.unix)
        let number = try build(path, isChosen ? wish : nil, scene)
        let entry = try #require(scene.client.guardList.guards.first { $0.id == path[0] })
        #expect(entry.failures == (isChosen ? 0 : 1))
        try endByGuard(number, scene)
        let ended: Int? = isChosen ? 1 : nil
        #expect(record(path[0], scene)?.ended == ended)
        #expect(scene.client.machine.circuits.avoided.isEmpty == !isChosen)
    }

    /// A path that was in use for a minute speaks for its guard, however it ends; one that was not speaks against it.
    @Test func aPathThatLastedSpeaksForItsGuard() throws {
        let scene = try ChoiceScenario(seed: 405)
        let wish = PathWish(hops: 3)
        let path = try scene.client.choosePath(wish, now: scene.network.now)
        let first = try build(path, wish, scene)
        scene.network.run(for: .seconds(61))
        try endByGuard(first, scene)
        #expect(record(path[0], scene)?.ended == 1 && record(path[0], scene)?.lasted == 1)
        let second = try build(path, wish, name: "second", scene)
        scene.network.run(for: .seconds(10))
        try endByGuard(second, scene)
        #expect(record(path[0], scene)?.ended == 2 && record(path[0], scene)?.lasted == 1)
    }

    /// §8: a guard that is gone itself rests, and is not judged by that as one that breaks what suits it not.
    @Test func aGuardThatIsGoneIsNotJudgedByThat() throws {
        let scene = try ChoiceScenario(seed: 406)
        let (number, path) = try scene.build(PathWish(hops: 3))
        try #require(scene.network.run(for: .seconds(30)) { scene.isReady(number) }, "\(scene.client.circuitEvents)")
        scene.detach(path[0])
        scene.network.run(for: .seconds(20)) { !scene.client.circuitFailures.isEmpty }
        #expect(scene.client.circuitFailures.map(\.failure) == [.lost], "\(scene.client.circuitEvents)")
        #expect(scene.client.circuitFailures.map(\.hop) == [0])
        #expect(scene.client.guardList.guards.contains { $0.id == path[0] && $0.failures == 1 })
        #expect(scene.client.machine.circuits.guardRecords.isEmpty && scene.client.machine.circuits.avoided.isEmpty)
    }

    // MARK: - Who is left alone

    /// The exit falls silent: the relay before it may not have handed on. An exit that was asked for by name is the
    /// only one, and is no worse for another circuit.
    @Test(arguments: [true, false]) func theExitIsLeftAloneUnlessItWasNamed(isNamed: Bool) throws {
        let scene = try ChoiceScenario(seed: 407)
        let (number, path) = try scene.build(PathWish(hops: 3, exit: isNamed ? DirectoryScene.id(5) : nil))
        try #require(scene.network.run(for: .seconds(30)) { scene.isReady(number) }, "\(scene.client.circuitEvents)")
        scene.detach(path[2])
        scene.network.run(for: .seconds(20)) { !scene.client.circuitFailures.isEmpty }
        #expect(scene.client.circuitFailures.map(\.hop) == [2], "\(scene.client.circuitEvents)")
        let avoided = scene.client.machine.circuits.avoided
        #expect(avoided.count == (isNamed ? 1 : 2) && avoided[path[0]]?.until == nil)
        #expect(avoided[path[1]]?.isItself == false)
        let exit: Bool? = isNamed ? nil : true
        #expect(avoided[path[2]]?.isItself == exit)
    }

    /// That this node has no room for a job is no other's fault.
    @Test func nobodyIsLeftAloneForWantOfRoomHere() throws {
        let scene = try ChoiceScenario(seed: 408)
        let wish = PathWish(hops: 3)
        let path = try scene.client.choosePath(wish, now: scene.network.now)
        let number = try build(path, wish, scene)
        #expect(scene.network.closeCircuit(number, at: scene.client))
        scene.client.refusesJobs = true
        let request = CircuitRequest(name: "next", hops: path, allowedIPs: [ChoiceScenario.behind], wish: wish)
        _ = try scene.network.build(request, at: scene.client)
        scene.network.run(for: .seconds(5))
        #expect(scene.client.circuitFailures.map(\.failure) == [.local], "\(scene.client.circuitEvents)")
        #expect(scene.client.machine.circuits.avoided.isEmpty)
        #expect(scene.client.guardList.guards.allSatisfy { $0.failures == 0 })
    }
}
