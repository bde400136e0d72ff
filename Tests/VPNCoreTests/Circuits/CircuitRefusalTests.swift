// SPDX-License-Identifier: Apache-2.0
// What a builder of circuits refuses (§8, §9): requests that are none, hops that are not believed any more, steps that
// come out of turn.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct CircuitRefusalTests {
    private func connected(_ relays: Int, seed: UInt64) -> CircuitScenario {
        let scenario = CircuitScenario(seed: seed, relays: relays)
        scenario.network.run(for: .seconds(5)) { !scenario.client.confirmedSessions.isEmpty }
        scenario.network.run(for: .seconds(1))
        return scenario
    }

    /// Why the client does not even begin this circuit; nil where it does.
    private func refusal(_ request: CircuitRequest, _ scenario: CircuitScenario) -> CircuitRefusal? {
        do throws(CircuitRefusal) {
            _ = try scenario.network.build(request, at: scenario.client)
            return nil
        } catch { return error }
    }

    private func replaced(_ client: VirtualHost) -> Int {
        client.circuitEvents.count { if case .replaced = $0 { true } else { false } }
    }

    private func notReplaced(_ client: VirtualHost) -> Int {
        client.circuitEvents.count { if case .replacementFailed = $0 { true } else { false } }
    }

    // MARK: - Requests

    @Test func ownCircuitsHaveNamesOfTheirOwnAndAreSoMany() throws {
        let scenario = connected(1, seed: 1)
        func refusal(_ name: String) -> CircuitRefusal? {
            self.refusal(CircuitRequest(name: name, hops: [scenario.id(1)], allowedIPs: []), scenario)
        }
        let first = try scenario.build([1], name: "c0")
        #expect(refusal("c0") == .name)
        #expect(scenario.client.footprint.circuits == 1)
        for number in 1..<Limits.ownCircuits { #expect(refusal("c\(number)") == nil, "\(number)") }
        #expect(refusal("one more") == .tooMany)
        #expect(scenario.client.footprint.circuits == Limits.ownCircuits)
        // One that is closed leaves its place, and its name.
        #expect(scenario.network.closeCircuit(first, at: scenario.client))
        #expect(refusal("c0") == nil)
    }

    @Test func noPathComesByItsOwnNodeOrIsTooLong() {
        let scenario = connected(2, seed: 2)
        let own = scenario.client.identity.publicKeys.peerID
        let (first, second) = (scenario.id(1), scenario.id(2))
        for hops in [[own], [first, own], [first, own, second], [first, second, own]] {
            let request = CircuitRequest(name: "x", hops: hops, allowedIPs: [])
            #expect(refusal(request, scenario) == .loop, "\(hops.map(\.short))")
        }
        for hops in [-1, 0, Limits.circuitHops + 1] {
            let request = CircuitRequest(name: "x", hops: [], allowedIPs: [], wish: PathWish(hops: hops))
            #expect(refusal(request, scenario) == .length, "\(hops)")
        }
        #expect(scenario.client.footprint.circuits == 0)
    }

    /// §9: paths that are named lead to the circuit's end, by relays that are believed, as any path does.
    @Test func namedPathsAreHeldToWhatPathsAre() {
        let scenario = connected(9, seed: 4)
        let own = scenario.client.identity.publicKeys.peerID
        let stranger = RehearsalIdentity(seed: 999).publicKeys.peerID
        func refusal(_ hops: [Int], _ named: [PeerID]...) -> CircuitRefusal? {
            let quilt = CircuitQuilt(paths: 2, named: named)
            let request = CircuitRequest(name: "x", hops: hops.map(scenario.id), allowedIPs: [], quilt: quilt)
            return self.refusal(request, scenario)
        }
        func way(_ hops: Int...) -> [PeerID] { hops.map(scenario.id) }
        // A peer that is met directly has one way to it.
        #expect(refusal([1]) == .loop)
        // Nobody between, another end, the same relay twice, this node, and more hops than there are.
        #expect(refusal([1, 2], way(2)) == .loop)
        #expect(refusal([1, 2], way(3, 2), way(1, 3)) == .loop)
        #expect(refusal([1, 2], way(3, 4, 3, 2)) == .loop)
        #expect(refusal([1, 2], [scenario.id(3), own, scenario.id(2)]) == .loop)
        #expect(refusal([1, 9], way(1, 2, 3, 4, 5, 6, 7, 8, 9)) == .loop)
        #expect(refusal([1, 2], [stranger, scenario.id(2)]) == .unknownHop)
        scenario.network.updateRevoked([scenario.id(3)], of: scenario.client)
        #expect(refusal([1, 2], way(3, 2)) == .unknownHop)
        #expect(scenario.client.footprint.circuits == 0)
        // It was that alone.
        scenario.network.updateRevoked([], of: scenario.client)
        #expect(refusal([1, 2], way(3, 2)) == nil)
    }

    @Test func aCircuitOfOneHopIsNotReplaced() throws {
        let scenario = connected(1, seed: 5)
        let number = try scenario.build([1])
        #expect(scenario.isReady(number))
        #expect(!scenario.network.replaceCircuit(number, at: scenario.client))
        #expect(scenario.client.footprint.paths == 1)
    }

    // MARK: - Paths that grow

    /// That this node has no room for a job says nothing of its guard.
    @Test func aPathWithoutKeysEndsAndIsNoMarkOfItsGuard() throws {
        let now = Instant.origin + .seconds(10)
        var machine = CircuitStateMachine(hops: 2)
        _ = machine.start(isEntered: true, now: now)
        _ = machine.extended(hop: 1, .ready(largest: 1400), now: now)
        let effects = machine.identified(hop: 1, false, now: now)
        #expect(effects == [.failed(.local, hop: 1)] && machine.stage == .over)

        let scene = try ChoiceScenario(seed: 6)
        let (number, path) = try scene.build(PathWish(hops: 3))
        try #require(scene.network.run(for: .seconds(30)) { scene.isReady(number) }, "\(scene.client.circuitEvents)")
        #expect(scene.network.closeCircuit(number, at: scene.client))
        scene.client.refusesJobs = true
        let request = CircuitRequest(
            name: "next", hops: path, allowedIPs: [ChoiceScenario.behind], wish: PathWish(hops: 3))
        _ = try scene.network.build(request, at: scene.client)
        scene.network.run(for: .seconds(5))
        let failures = scene.client.circuitFailures
        #expect(failures.map(\.failure) == [.local] && failures.map(\.hop) == [1], "\(scene.client.circuitEvents)")
        #expect(scene.client.controlDrops[.jobsFull] == 1 && scene.client.footprint.paths == 0)
        #expect(scene.client.machine.circuits.guardRecords.isEmpty)
    }

    @Test(arguments: 1...2) func aHopThatIsRevokedMeanwhileIsNotGreeted(hop: Int) throws {
        let scenario = connected(3, seed: 10 + UInt64(hop))
        _ = try scenario.build([1, 2, 3])
        scenario.network.updateRevoked([scenario.id(hop + 1)], of: scenario.client)
        scenario.network.run(for: .seconds(30))
        let failures = scenario.client.circuitFailures
        #expect(failures.map(\.failure) == [.local] && failures.map(\.hop) == [hop], "\(scenario.describe())")
        #expect(!scenario.client.establishedSessions.map(\.peer).contains(scenario.id(hop + 1)))
        #expect(scenario.relays[hop].footprint.guests == 0 && scenario.client.footprint.circuits == 0)
    }

    /// All paths of a circuit share the peer that its last hop is. One has had its time while another is greeted.
    @Test func aPathThatIsOverLeavesTheHandshakeOfTheNextAlone() throws {
        let scenario = CircuitScenario(seed: 20, relays: 2)
        let number = try scenario.connect([1, 2])
        #expect(scenario.network.replaceCircuit(number, at: scenario.client))
        #expect(scenario.network.run(for: .seconds(20)) { replaced(scenario.client) == 1 }, "\(scenario.describe())")
        scenario.network.run(for: .seconds(7))
        // Six seconds of public-key work: the first path's ten are over in the middle of it.
        scenario.relays[1].jobDuration = .seconds(3)
        #expect(scenario.network.replaceCircuit(number, at: scenario.client))
        scenario.network.run(for: .seconds(1))
        #expect(scenario.client.footprint.paths == 3 && scenario.client.footprint.initiations == 1)
        scenario.network.run(for: .seconds(3))
        #expect(scenario.client.footprint.paths == 2 && scenario.client.footprint.initiations == 1)
        #expect(scenario.network.run(for: .seconds(20)) { replaced(scenario.client) == 2 }, "\(scenario.describe())")
        #expect(notReplaced(scenario.client) == 0)
    }

    @Test func aHopThatPromisesLessLaterCostsTheReplacementAlone() throws {
        let scenario = CircuitScenario(seed: 21, relays: 2)
        let number = try scenario.connect([1, 2])
        scenario.relays[1].composing { $0.lifetimeSeconds = 4 }
        #expect(scenario.network.replaceCircuit(number, at: scenario.client))
        scenario.network.run(for: .seconds(5))
        #expect(notReplaced(scenario.client) == 1, "\(scenario.describe())")
        #expect(scenario.client.controlDrops[.handshakeRefused] == 1)
        #expect(scenario.client.circuitFailures.isEmpty && scenario.isReady(number))
        #expect(scenario.carriesTraffic(to: 2), "\(scenario.describe())")
        scenario.relays[1].alterJob = nil
        #expect(scenario.network.run(for: .seconds(40)) { replaced(scenario.client) == 1 }, "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 2, tag: 2))
    }

    /// A path that waits for its entry loses nothing with a session that it does not stand on yet.
    @Test func anEntryThatIsMetAnewIsWaitedFor() throws {
        let scenario = CircuitScenario(seed: 22, relays: 2)
        _ = try scenario.connect([1, 2])
        scenario.network.suspend(scenario.relays[0])
        for tag in 0..<60 where scenario.client.circuitFailures.isEmpty {
            scenario.network.sendInner(
                CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: UInt8(tag)), from: scenario.client)
            scenario.network.run(for: .milliseconds(50))
        }
        #expect(scenario.client.circuitFailures.map(\.failure) == [.lost], "\(scenario.describe())")
        // No circuit is begun in the session with it before something comes from it; now that session ends.
        let number = try scenario.build([1, 2], name: "next")
        #expect(scenario.network.drop(0, of: scenario.client))
        scenario.network.run(for: .seconds(1))
        #expect(scenario.client.circuitFailures.count == 1 && scenario.client.footprint.paths == 1)
        scenario.network.resume(scenario.relays[0])
        #expect(scenario.network.run(for: .seconds(15)) { scenario.isReady(number) }, "\(scenario.describe())")
        #expect(scenario.client.circuitFailures.count == 1)
    }

    @Test func aQuestionWaitsForItsTime() {
        let start = Instant.origin + .seconds(10)
        var vigil = CircuitVigil(now: start, jitter: 128)
        func step(_ milliseconds: Int) -> CircuitVigil.Step {
            let now = start + .milliseconds(milliseconds)
            return vigil.step(now: now, heard: .origin, used: now, roundTrip: .milliseconds(50), random: 128)
        }
        // Nothing was heard for ten seconds: it is not due, and nothing else holds it back.
        let steps = [299, 300, 301, 599, 600].map(step)
        #expect(steps == [.wait, .ask, .wait, .wait, .ask])
    }

    // MARK: - Paths beside others

    /// A relay that leaves takes the path over it along, and not the session, which others carry.
    @Test func aSessionOutlivesTheLinkThatItWasMadeOn() throws {
        let quilted = try PathScene(seed: 40, paths: 2)
        #expect(quilted.connect(), "\(quilted.describe())")
        let middle = try #require(quilted.circuit?.current.flatMap(quilted.path)?.hops[1])
        let guest = try #require(quilted.exit.guests.last)
        let link = try #require(quilted.exit.slot(of: middle))
        #expect(quilted.exit.machine.peers[guest]?.arrival?.outer == link)
        quilted.network.shutDown(try #require(quilted.relay(middle)))
        quilted.network.run(for: .seconds(2))
        #expect(quilted.exit.footprint.guests == 1 && quilted.exit.guests.count == 1, "\(quilted.describe())")
        #expect(quilted.client.circuitFailures.isEmpty)
        #expect(quilted.connect(), "\(quilted.describe())")
    }

    /// The last hop has another session while a further path is being built: no patch of it before it leads there.
    @Test func aPathThatIsNotThereYetIsNoPatch() throws {
        let quilted = try PathScene(seed: 41, paths: 2)
        let network = quilted.network
        #expect(network.run(for: .seconds(30)) { quilted.circuit?.sides.count == 1 }, "\(quilted.describe())")
        let side = try #require(quilted.circuit?.sides.first)
        let entry = try #require(quilted.path(side).flatMap { quilted.relay($0.hops[0]) })
        entry.deafTo = [.extend]
        #expect(network.replaceCircuit(quilted.number, at: quilted.client))
        #expect(network.run(for: .seconds(4)) { replaced(quilted.client) == 1 }, "\(quilted.describe())")
        let path = try #require(quilted.path(side))
        #expect(path.machine.isBuilding && path.places.count == 1)
        let destination = try #require(quilted.circuit?.destination)
        let joining = quilted.client.quilt(of: destination, now: network.now)?.joining
        #expect(joining == nil || joining == [])
        entry.deafTo = []
        #expect(quilted.connect(), "\(quilted.describe())")
    }

    /// One that leaves has its ten seconds, whatever comes after the path that took its place.
    @Test func aPathThatLeavesIsNotKept() throws {
        let quilted = try PathScene(seed: 42, paths: 3)
        #expect(quilted.connect(), "\(quilted.describe())")
        let sides = try #require(quilted.circuit?.sides)
        try #require(sides.count == 2)
        func replace(_ side: CircuitPath.Number) -> Bool {
            quilted.client.machine.circuits.paths[side]?.replaceAt = quilted.network.now
            return quilted.network.run(for: .seconds(6)) { quilted.path(side)?.machine.stage == .draining }
        }
        #expect(replace(sides[0]), "\(quilted.describe())")
        let end = quilted.network.now + Limits.circuitDrain
        quilted.network.run(for: .seconds(2))
        #expect(replace(sides[1]), "\(quilted.describe())")
        #expect(quilted.path(sides[0])?.number == sides[0])
        quilted.network.run(for: end.since(quilted.network.now))
        quilted.network.run(for: .milliseconds(100))
        #expect(quilted.path(sides[0])?.number == nil && quilted.path(sides[1])?.number == sides[1])
    }
}
