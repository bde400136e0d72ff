// SPDX-License-Identifier: Apache-2.0
// Circuits whose paths the node chooses itself, over relays that know each other by descriptors alone.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

struct PathChoiceTests {
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func threeHopsByDescriptorsAlone(_ seed: UInt64) throws {
        let scene = try ChoiceScenario(seed: seed)
        let (number, path) = try scene.build(PathWish(hops: 3))
        #expect(path.count == 3 && [5, 6].map(DirectoryScene.id).contains(path[2]))
        #expect(scene.network.run(for: .seconds(30)) { scene.isReady(number) }, "\(scene.client.circuitEvents)")
        #expect(scene.client.guardList.guards.count == 3)
        #expect(scene.client.guardList.contains(path[0]))
        // A descriptor makes nobody a configured peer, nor gives it addresses.
        #expect(scene.client.snapshot(now: scene.network.now).allSatisfy { !$0.isConfigured })
        #expect(scene.relays.allSatisfy { $0.snapshot(now: scene.network.now).allSatisfy { !$0.isConfigured } })
    }

    @Test func replacementsKeepGuardAndExit() throws {
        let scene = try ChoiceScenario(seed: 5)
        let (number, path) = try scene.build(PathWish(hops: 4))
        #expect(scene.network.run(for: .seconds(60)) { scene.isReady(number) })
        var seen: Set<[PeerID]> = [path]
        for _ in 0..<12 {
            #expect(scene.network.replaceCircuit(number, at: scene.client))
            #expect(scene.network.run(for: .seconds(60)) { scene.isReady(number) })
            let next = try #require(scene.path(number))
            #expect(next.first == path.first && next.last == path.last && Set(next).count == 4)
            seen.insert(next)
            scene.network.run(for: .seconds(15))
        }
        #expect(seen.count > 2)
    }

    /// A relay that is gone: another path, without it, and the guards stay.
    @Test func aFailedPathIsNotTakenAgain() throws {
        let scene = try ChoiceScenario(seed: 6)
        let (_, path) = try scene.build(PathWish(hops: 3))
        scene.detach(path[1])
        #expect(scene.network.run(for: .seconds(60)) { !scene.client.circuitFailures.isEmpty })
        let guards = scene.client.guardList.guards.map(\.id)
        for _ in 0..<20 {
            let next = try scene.client.choosePath(PathWish(hops: 3), now: scene.network.now)
            #expect(next[1] != path[1])
        }
        #expect(scene.client.guardList.guards.map(\.id) == guards)
        let (number, _) = try scene.build(PathWish(hops: 3), name: "again")
        #expect(scene.network.run(for: .seconds(30)) { scene.isReady(number) })
        // After ten minutes it is one of the others again.
        scene.network.run(for: .seconds(601))
        let later = try (0..<60).map { _ in try scene.client.choosePath(PathWish(hops: 3), now: scene.network.now)[1] }
        #expect(later.contains(path[1]))
    }

    @Test func anUnreachableGuardGivesWayToTheNext() throws {
        let scene = try ChoiceScenario(seed: 7)
        let (_, path) = try scene.build(PathWish(hops: 3))
        scene.detach(path[0])
        #expect(scene.network.run(for: .seconds(60)) { !scene.client.circuitFailures.isEmpty })
        let next = try scene.client.choosePath(PathWish(hops: 3), now: scene.network.now)
        #expect(next[0] != path[0])
        #expect(scene.client.guardList.guards.contains { $0.id == path[0] && $0.failures == 1 })
        #expect(scene.client.guardList.guards.count == 3)
    }

    /// Attack test 55: who is gone, or makes the guards so, gets six of them in a day and then waits.
    @Test func guardsAreNotTurnedOver() throws {
        let scene = try ChoiceScenario(seed: 8, count: 12, exits: [12])
        for number in 1...12 { scene.detach(DirectoryScene.id(number)) }
        var round = 0
        while round < 60 {
            round += 1
            let failures = scene.client.circuitFailures.count
            guard (try? scene.build(PathWish(hops: 3), name: "c\(round)")) != nil else {
                scene.network.run(for: .seconds(600))
                continue
            }
            scene.network.run(for: .seconds(40)) { scene.client.circuitFailures.count > failures }
        }
        #expect(scene.client.guardList.guards.count <= GuardList.additionsPerDay)
        #expect(scene.client.guardList.guards.count > 3)
    }

    /// A guard that ends each path as soon as it is there, but never refuses: it comes after the others, and stays in the list.
    @Test(arguments: 12...14 as ClosedRange<UInt64>) func aGuardThatBreaksPathsComesLast(seed: UInt64) throws {
        let scene = try ChoiceScenario(seed: seed)
        let bad = try scene.client.choosePath(PathWish(hops: 3), now: scene.network.now)[0]
        var ended = 0
        for round in 0..<80 where ended < 20 {
            let (number, path) = try scene.build(PathWish(hops: 3), name: "c\(round)")
            #expect(scene.network.run(for: .seconds(30)) { scene.isReady(number) }, "\(scene.client.circuitEvents)")
            let own = scene.client.machine.circuits.paths.values.first { $0.circuit == number }
            if path[0] == bad, let own {
                scene.endByGuard(own)
                #expect(scene.network.run(for: .seconds(5)) { scene.path(number) == nil })
                ended += 1
            } else {
                #expect(scene.network.closeCircuit(number, at: scene.client))
            }
            scene.network.run(for: .seconds(3))
        }
        #expect(ended == 20)
        for _ in 0..<20 {
            let path = try scene.client.choosePath(PathWish(hops: 3), now: scene.network.now)
            #expect(path[0] != bad)
        }
        #expect(scene.client.guardList.contains(bad) && scene.client.guardList.guards.count == 3)
    }

    /// Paths that lasted outweigh those that did not, and old ones count less.
    @Test func guardsAreJudgedByWhatLasts() {
        var record = GuardRecord()
        for number in 0..<19 {
            record.add(lasted: false)
            #expect(!record.isDoubted, "\(number)")
        }
        record.add(lasted: false)
        #expect(record.isDoubted)
        for _ in 0..<20 { record.add(lasted: true) }
        #expect(!record.isDoubted)
        for _ in 0..<200 { record.add(lasted: true) }
        #expect(record.ended < 64)
        for _ in 0..<64 { record.add(lasted: false) }
        #expect(record.isDoubted)
    }

    @Test func whatRelaxedDiversityLetsThroughIsToldOfTheCircuit() throws {
        let scene = try ChoiceScenario(seed: 11)
        let (first, _) = try scene.build(PathWish(hops: 3))
        #expect(scene.client.circuits(now: scene.network.now).first { $0.number == first }?.shared == [])
        #expect(scene.network.closeCircuit(first, at: scene.client))
        // All of them belong to one operator by now, whose name has two spellings.
        for number in 1...7 {
            let newer = try DirectoryScene.descriptor(
                number, roles: number > 4 ? [.relay, .exit] : [.relay], operatorName: number % 2 == 0 ? "One" : "ONE",
                serial: 2)
            #expect(scene.client.addRelays([(newer, .imported)], now: scene.network.now).isEmpty)
        }
        #expect(throws: SelectionFailure.self) {
            try scene.client.choosePath(PathWish(hops: 3), now: scene.network.now)
        }
        let (number, _) = try scene.build(PathWish(hops: 3, relaxesDiversity: true), name: "relaxed")
        #expect(scene.network.run(for: .seconds(30)) { scene.isReady(number) })
        #expect(scene.client.circuits(now: scene.network.now).first { $0.number == number }?.shared == [.operatorName])
    }

    @Test func aCallerIsNoLinkWhereNothingIsRelayed() throws {
        let scene = try ChoiceScenario(seed: 9)
        // The client knows relay 1 by its descriptor, and is called by it.
        let relay = scene.relays[0]
        scene.network.updatePeers(
            [
                PeerConfiguration(
                    name: "victim", peerID: DirectoryScene.id(100), endpoint: scene.client.endpoint, allowedIPs: [])
            ], of: relay)
        scene.network.run(for: .seconds(20))
        #expect(scene.client.establishedSessions.isEmpty)
        #expect(
            scene.client.events.contains {
                if case .identityRefused(_, DirectoryScene.id(1), .unknownPeer, _, _, _) = $0.event {
                    true
                } else {
                    false
                }
            })
    }

    @Test func whatIsRevokedIsNoHop() throws {
        let scene = try ChoiceScenario(seed: 10, count: 4, exits: [4])
        scene.network.updateRevoked([DirectoryScene.id(4)], of: scene.client)
        #expect(scene.client.relays.count == 3)
        #expect(throws: SelectionFailure(position: .exit, rule: .none, relays: 3)) {
            try scene.client.choosePath(PathWish(hops: 3), now: scene.network.now)
        }
        #expect(
            scene.client.addRelays([(try DirectoryScene.descriptor(4, serial: 2), .imported)], now: scene.network.now)
                .map(\.1) == [.barred])
    }
}
