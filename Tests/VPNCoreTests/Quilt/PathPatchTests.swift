// SPDX-License-Identifier: Apache-2.0
// Paths that come and go under a session that goes on (§8, §9): what an END takes at the exit and what not, and what is
// waited for where nothing carries for a while.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct PathPatchTests {
    // MARK: - At the exit

    /// The circuit that it was made on is ended by a relay: others carry the session.
    @Test func aSessionOutlivesTheEndOfTheCircuitThatItWasMadeOn() throws {
        let paths = try PathScene(seed: 711, paths: 2)
        #expect(paths.connect(), "\(paths.describe())")
        let guest = try #require(paths.exit.guests.last)
        let middle = try #require(paths.first).hops[1]
        #expect(paths.exit.machine.peers[guest]?.arrival?.outer == paths.exit.slot(of: middle))
        let ends = paths.exit.sessionEnds.count
        paths.cut(try #require(paths.first))
        paths.network.run(for: .milliseconds(300))
        #expect(paths.exit.footprint.guests == 1 && paths.exit.sessionEnds.count == ends, "\(paths.describe())")
        #expect(paths.connect(), "\(paths.describe())")
        #expect(paths.client.circuitFailures.isEmpty && paths.exit.guests.count == 1)
    }

    @Test func theEndOfOnePathTakesNoPatchOfAnother() throws {
        let paths = try PathScene(seed: 712, paths: 3)
        #expect(paths.connect(), "\(paths.describe())")
        let guest = try #require(paths.exit.guests.last)
        func patches() -> Int { paths.exit.quilt(of: guest, now: paths.network.now)?.patches.count ?? 0 }
        #expect(patches() == 3)
        paths.cut(try #require(paths.sides.first))
        // The relay's word is there, and nothing that the client would have to say of it.
        paths.network.run(for: .milliseconds(15))
        #expect(patches() == 2, "\(paths.describe())")
    }

    // MARK: - At the client

    /// Each time that a path ends its patch goes with it: numbers and indices are few.
    @Test func aPathThatIsOverIsNoPatchAnyMore() throws {
        let paths = try PathScene(seed: 713, paths: 2)
        #expect(paths.connect(), "\(paths.describe())")
        let destination = try #require(paths.circuit?.destination)
        for _ in 0..<3 {
            paths.scene.endByGuard(try #require(paths.sides.first))
            paths.network.run(for: .milliseconds(200))
            #expect(paths.connect(), "\(paths.describe())")
        }
        let quilts = paths.client.machine.peers[destination]?.quilts.values.map { $0 } ?? []
        let wanted = quilts.flatMap { $0.joins + $0.leaving }.map(\.carrier)
        let places = paths.sides.compactMap(\.places.last)
        #expect(paths.lost.count == 3 && places.count == 1)
        #expect(wanted == places.map { Carrier.circuit($0) }, "\(paths.describe())")
    }

    /// The first path is lost and another one nearly there in its place, when the last that carries goes, too.
    @Test func aPathThatIsNearlyThereIsWaitedFor() throws {
        let paths = try PathScene(seed: 714, paths: 2)
        #expect(paths.connect(), "\(paths.describe())")
        paths.cut(try #require(paths.first))
        #expect(paths.meetSlowly(.seconds(3)), "\(paths.describe())")
        paths.network.run(for: .seconds(3))
        #expect(paths.circuit?.successor != nil && paths.replaced == 0)
        paths.cut(try #require(paths.sides.first))
        paths.network.run(for: .milliseconds(200))
        #expect(paths.lost.count == 2 && paths.client.circuitFailures.isEmpty, "\(paths.describe())")
        #expect(paths.network.run(for: .seconds(15)) { paths.replaced == 1 }, "\(paths.describe())")
        paths.exit.jobDuration = .milliseconds(7)
        #expect(paths.connect() && paths.client.circuitFailures.isEmpty, "\(paths.describe())")
    }

    /// The exit ends the session while a path is being built that is to bring another one: that is no session of this
    /// path.
    @Test func aPathIsThereWithItsOwnSession() throws {
        let paths = try PathScene(seed: 715, paths: 2)
        #expect(paths.connect(), "\(paths.describe())")
        let destination = try #require(paths.circuit?.destination)
        let guest = try #require(paths.exit.guests.last)
        paths.cut(try #require(paths.first))
        #expect(paths.meetSlowly(.seconds(5)), "\(paths.describe())")
        paths.network.run(for: .seconds(3))
        // It says so by the path that carries still.
        #expect(paths.network.drop(guest, of: paths.exit))
        paths.network.run(for: .milliseconds(300))
        #expect(paths.client.machine.peers[destination]?.ring.current?.installed == nil, "\(paths.describe())")
        #expect(paths.replaced == 0 && paths.circuit?.successor != nil, "\(paths.describe())")
        #expect(paths.network.run(for: .seconds(15)) { paths.replaced == 1 }, "\(paths.describe())")
        #expect(paths.client.machine.peers[destination]?.ring.current?.installed != nil)
        paths.exit.jobDuration = .milliseconds(7)
        #expect(paths.connect() && paths.client.circuitFailures.isEmpty, "\(paths.describe())")
    }
}
