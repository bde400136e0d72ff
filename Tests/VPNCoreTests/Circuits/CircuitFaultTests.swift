// SPDX-License-Identifier: Apache-2.0
// What circuits got wrong once (§8, §9): a path that nobody came back to, a list that was told of without a change, and
// a wish for other hops than were named.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct CircuitFaultTests {
    /// The first path of two is lost since its entry was taken out of the configuration. When that is there again, so
    /// is the path.
    @Test func aLostPathIsBuiltWhenItsEntryIsBack() throws {
        let scenario = CircuitScenario(seed: 541, relays: 3)
        let (network, client) = (scenario.network, scenario.client)
        func peer(_ relay: Int) -> PeerConfiguration {
            PeerConfiguration(
                name: "r\(relay)", peerID: scenario.id(relay), endpoint: CircuitScenario.endpoint(relay),
                allowedIPs: [])
        }
        let pins = [client, scenario.relays[0], scenario.relays[2]].map {
            PinnedPeer(keys: $0.identity.publicKeys, name: $0.name, origin: .operatorAdded)
        }
        network.updatePins(pins, of: scenario.relays[1])
        network.updatePeers([peer(1), peer(2)], of: client)
        network.run(for: .seconds(3))
        let request = CircuitRequest(
            name: "home", hops: [1, 3].map(scenario.id), allowedIPs: [CircuitScenario.behind],
            quilt: CircuitQuilt(paths: 2, named: [[2, 3].map(scenario.id)]))
        let number = try network.build(request, at: client)
        func circuit() -> CircuitSnapshot? { client.circuits(now: network.now).first { $0.number == number } }
        func patches() -> Int {
            let quilt = circuit().flatMap { client.quilt(of: $0.destination, now: network.now) }
            return quilt?.patches.count { $0.state == .up } ?? 0
        }
        try #require(network.run(for: .seconds(60)) { patches() == 2 }, "\(scenario.describe())")
        network.updatePeers([peer(2)], of: client)
        network.run(for: .seconds(5))
        #expect(circuit()?.paths == [[2, 3].map(scenario.id)] && patches() == 1, "\(scenario.describe())")
        network.updatePeers([peer(1), peer(2)], of: client)
        #expect(network.run(for: .seconds(300)) { patches() == 2 }, "\(scenario.describe())")
        #expect(client.circuitFailures.isEmpty)
    }

    /// A guard that could not be reached is a guard as before: nothing is to be written down, and nobody told that
    /// others are.
    @Test func aGuardThatRestsIsNoChangeOfTheList() throws {
        let scene = try ChoiceScenario(seed: 542)
        let (number, path) = try scene.build(PathWish(hops: 3))
        try #require(scene.network.run(for: .seconds(30)) { scene.isReady(number) }, "\(scene.client.circuitEvents)")
        func changes() -> Int {
            scene.client.events.count { if case .guardsChanged = $0.event { true } else { false } }
        }
        #expect(changes() == 1)
        scene.detach(path[0])
        scene.network.run(for: .seconds(20)) { !scene.client.circuitFailures.isEmpty }
        #expect(scene.client.guardList.guards.contains { $0.id == path[0] && $0.failures == 1 })
        #expect(changes() == 1)
    }

    /// Paths that replace the first one, and those beside it, are drawn by the wish: one for fewer hops would lead past
    /// relays that were asked for, one for a single hop to the exit directly, and one for more hops than there are ends
    /// the process.
    @Test func aWishIsForAsManyHopsAsAreNamed() throws {
        let scene = try ChoiceScenario(seed: 543)
        let path = try scene.client.choosePath(PathWish(hops: 3), now: scene.network.now)
        for hops in [-1, 0, 1, 2, 4, Limits.circuitHops + 1] {
            let request = CircuitRequest(
                name: "c\(hops)", hops: path, allowedIPs: [], wish: PathWish(hops: hops), quilt: CircuitQuilt(paths: 2))
            #expect(throws: CircuitRefusal.length, "\(hops)") {
                _ = try scene.network.build(request, at: scene.client)
            }
        }
        #expect(scene.client.footprint.circuits == 0)
        let request = CircuitRequest(name: "home", hops: path, allowedIPs: [], wish: PathWish(hops: 3))
        _ = try scene.network.build(request, at: scene.client)
        #expect(scene.client.footprint.circuits == 1)
    }
}
