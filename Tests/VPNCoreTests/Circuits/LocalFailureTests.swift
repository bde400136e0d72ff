// SPDX-License-Identifier: Apache-2.0
// Paths that cannot be built since this node itself has no room (§8, §9): no relay is left alone for that.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct LocalFailureTests {
    private func avoided(_ scene: ChoiceScenario) -> Set<PeerID> { Set(scene.client.machine.circuits.avoided.keys) }

    /// Asks for a path that there was before, so that the session with its guard is there; why that came to nothing.
    private func rebuild(_ scene: ChoiceScenario, after prepare: ([PeerID]) -> Void) throws -> [CircuitFailure] {
        let (number, path) = try scene.build(PathWish(hops: 3))
        try #require(scene.network.run(for: .seconds(30)) { scene.isReady(number) }, "\(scene.client.circuitEvents)")
        #expect(scene.network.closeCircuit(number, at: scene.client))
        prepare(path)
        let request = CircuitRequest(
            name: "next", hops: path, allowedIPs: [ChoiceScenario.behind], wish: PathWish(hops: 3))
        _ = try scene.network.build(request, at: scene.client)
        scene.network.run(for: .seconds(30)) { !scene.client.circuitFailures.isEmpty }
        return scene.client.circuitFailures.map(\.failure)
    }

    /// A full job pool of one's own: there are no keys for the second hop. Where that hop is gone it is another thing.
    @Test func aFirstPathWithoutKeysBlamesNobody() throws {
        let scene = try ChoiceScenario(seed: 61)
        let failures = try rebuild(scene) { _ in scene.client.refusesJobs = true }
        #expect(failures == [.local] && avoided(scene).isEmpty, "\(scene.client.circuitEvents)")

        let other = try ChoiceScenario(seed: 61)
        var gone: PeerID?
        let others = try rebuild(other) { path in
            gone = path[1]
            other.detach(path[1])
        }
        let dead = try #require(gone)
        #expect(others.count == 1 && others != [.local] && avoided(other).contains(dead), "\(others)")
    }

    /// The same of a path beside the first one: it comes when there is room again, by whomever.
    @Test func aFurtherPathWithoutKeysBlamesNobody() throws {
        let scene = try ChoiceScenario(seed: 62, count: 9, exits: [5])
        let (network, client) = (scene.network, scene.client)
        let wish = PathWish(hops: 3, exit: scene.relays[4].identity.publicKeys.peerID)
        let request = CircuitRequest(
            name: "home", hops: [], allowedIPs: [ChoiceScenario.behind], wish: wish, quilt: CircuitQuilt(paths: 2))
        let number = try network.build(request, at: client)
        func isExtending() -> Bool {
            client.machine.circuits.paths.values.contains { path in
                if path.isSide, case .extending = path.machine.stage { true } else { false }
            }
        }
        func losses() -> [CircuitFailure] {
            client.circuitEvents.compactMap { event in
                if case .pathLost(_, _, _, let failure, _) = event { failure } else { nil }
            }
        }
        try #require(network.run(for: .seconds(60)) { isExtending() }, "\(client.circuitEvents)")
        client.refusesJobs = true
        #expect(network.run(for: .seconds(5)) { !losses().isEmpty }, "\(client.circuitEvents)")
        client.refusesJobs = false
        #expect(losses() == [.local] && avoided(scene).isEmpty && scene.isReady(number))
        let isWhole = network.run(for: .seconds(60)) {
            client.circuits(now: network.now).first { $0.number == number }?.paths.count == 2
        }
        #expect(isWhole && avoided(scene).isEmpty, "\(client.circuitEvents)")
    }
}
