// SPDX-License-Identifier: Apache-2.0
// The paths that a circuit has beside its first one (§9): how soon one that is lost is built again, what goes with it,
// and what goes on without it.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct SidePathTests {
    // MARK: - How soon

    /// The first loss may be chance.
    @Test func aPathThatIsLostIsBuiltAgainAtOnce() throws {
        let paths = try PathScene(seed: 701, paths: 2)
        #expect(paths.connect(), "\(paths.describe())")
        paths.scene.endByGuard(try #require(paths.sides.first))
        paths.network.run(for: .milliseconds(200))
        #expect(paths.lost.map(\.pause) == [.zero] && paths.lost.map(\.hop) == [1], "\(paths.describe())")
        #expect(paths.circuit?.sideLosses == 1 && paths.circuit?.sideFailures == 0)
        #expect(paths.connect(), "\(paths.describe())")
    }

    /// One that does not even come up is tried again after a while, which doubles.
    @Test func aPathThatCannotBeBuiltIsTriedAgainLater() throws {
        let paths = try PathScene(seed: 702, paths: 2)
        let hops = try #require(paths.circuit?.successor.flatMap { paths.path($0) }).hops
        for relay in paths.scene.relays where !hops.contains(relay.identity.publicKeys.peerID) {
            paths.network.enableRelay(nil, of: relay)
        }
        #expect(paths.network.run(for: .seconds(60)) { paths.lost.count == 2 }, "\(paths.describe())")
        #expect(paths.lost.map(\.failure) == [.refused(.refused), .refused(.refused)])
        #expect(paths.lost.map(\.pause) == [.seconds(1), .seconds(2)], "\(paths.describe())")
        #expect(paths.circuit?.sideLosses == 0)
    }

    /// Whoever lets paths come up and ends them is not followed at his pace: five of them were lost before they had
    /// been in use for a minute. One that was is no further one of those, nor are those before it any more.
    @Test(arguments: [true, false]) func aPathThatLastedIsBuiltAgainAtOnce(isProven: Bool) throws {
        let paths = try PathScene(seed: 703, paths: 2)
        #expect(paths.connect(), "\(paths.describe())")
        paths.client.machine.circuits.all[paths.number]?.sideLosses = 5
        if isProven { paths.network.run(for: .seconds(61)) }
        paths.scene.endByGuard(try #require(paths.sides.first))
        paths.network.run(for: .milliseconds(200))
        let pause: TimeSpan = isProven ? .zero : .seconds(16)
        #expect(paths.lost.map(\.pause) == [pause], "\(paths.describe())")
        #expect(paths.circuit?.sideLosses == (isProven ? 0 : 6))
    }

    /// The same of one that had its time, when another one has taken its place.
    @Test(arguments: [true, false]) func aPathThatLastedClearsTheLossesBeforeIt(isProven: Bool) throws {
        let paths = try PathScene(seed: 704, paths: 2)
        #expect(paths.connect(), "\(paths.describe())")
        paths.client.machine.circuits.all[paths.number]?.sideLosses = 5
        if isProven { paths.network.run(for: .seconds(61)) }
        let side = try #require(paths.sides.first)
        paths.client.machine.circuits.paths[side.number]?.replaceAt = paths.network.now
        let isReplaced = paths.network.run(for: .seconds(10)) {
            paths.path(side.number)?.machine.stage == .draining
        }
        #expect(isReplaced && paths.circuit?.sideLosses == (isProven ? 0 : 5), "\(paths.describe())")
    }

    /// And of the first path, which has a count of its own.
    @Test(arguments: [true, false]) func aFirstPathThatLastedClearsTheLossesBeforeIt(isProven: Bool) throws {
        let paths = try PathScene(seed: 705, paths: 2)
        #expect(paths.connect(), "\(paths.describe())")
        paths.client.machine.circuits.all[paths.number]?.losses = 5
        if isProven { paths.network.run(for: .seconds(61)) }
        #expect(paths.network.replaceCircuit(paths.number, at: paths.client))
        #expect(paths.network.run(for: .seconds(20)) { paths.replaced == 1 }, "\(paths.describe())")
        #expect(paths.circuit?.losses == (isProven ? 0 : 5))
        #expect(paths.connect(), "\(paths.describe())")
        paths.scene.endByGuard(try #require(paths.first))
        paths.network.run(for: .milliseconds(200))
        let pause: TimeSpan = isProven ? .zero : .seconds(16)
        #expect(paths.lost.map(\.pause) == [pause], "\(paths.describe())")
    }

    /// A guard that dies while a path is begun through it: the vigil notices, and it is the guard that is blamed,
    /// before its silence on an EXTEND would be one of the relay behind it.
    @Test func aPathWhoseGuardDiesIsNotWaitedFor() throws {
        let paths = try PathScene(seed: 706, paths: 2)
        let isBegun = paths.network.run(for: .seconds(30)) {
            if case .extending(hop: 1, repeats: _)? = paths.sides.first?.machine.stage { true } else { false }
        }
        try #require(isBegun, "\(paths.describe())")
        let entry = try #require(paths.sides.first).hops[0]
        paths.scene.detach(entry)
        #expect(paths.network.run(for: .seconds(7)) { !paths.lost.isEmpty }, "\(paths.describe())")
        #expect(paths.lost.map(\.failure) == [.lost] && paths.lost.map(\.hop) == [0], "\(paths.describe())")
        #expect(paths.client.guardList.guards.contains { $0.id == entry && $0.failures == 1 })
    }

    // MARK: - Where they go

    /// Where paths may share what they had better not, they share it rather than not be there; the same path twice is
    /// none.
    @Test func noPathIsThereTwice() throws {
        let scene = try ChoiceScenario(seed: 707, count: 2, exits: [2])
        let request = CircuitRequest(
            name: "home", hops: [], allowedIPs: [ChoiceScenario.behind],
            wish: PathWish(hops: 2, exit: DirectoryScene.id(2)),
            quilt: CircuitQuilt(configuration: QuiltConfiguration(relaxesDisjointness: true), paths: 2))
        let number = try scene.network.build(request, at: scene.client)
        #expect(scene.network.run(for: .seconds(30)) { scene.isReady(number) }, "\(scene.client.circuitEvents)")
        scene.network.run(for: .seconds(10))
        #expect(scene.client.machine.circuits.all[number]?.sides == [])
        let circuit = try #require(scene.client.circuits(now: scene.network.now).first)
        #expect(circuit.paths == [[1, 2].map(DirectoryScene.id)], "\(scene.client.circuitEvents)")
    }

    /// §8: guards are for months. One that comes before it in the list by now is no reason to leave the path's own.
    @Test func aFirstPathThatIsReplacedKeepsItsGuard() throws {
        let paths = try PathScene(seed: 708, paths: 2)
        #expect(paths.connect(), "\(paths.describe())")
        let first = try #require(paths.first)
        let used = Set((paths.sides + [first]).flatMap(\.hops))
        let other = try #require((1...11).map(DirectoryScene.id).first { !used.contains($0) })
        let guards = paths.client.guardList.guards
        let before = GuardList.Guard(id: other, added: guards[0].added, expires: guards[0].expires)
        paths.client.restoreGuards(GuardList([before] + guards.filter { $0.id != other }))
        #expect(paths.network.replaceCircuit(paths.number, at: paths.client))
        #expect(paths.network.run(for: .seconds(20)) { paths.replaced == 1 }, "\(paths.describe())")
        #expect(paths.first?.hops.first == first.hops.first && paths.first?.hops.last == first.hops.last)
    }
}
