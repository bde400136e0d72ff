// SPDX-License-Identifier: Apache-2.0
// Links that nobody configured (§8): made for circuits, closed when nothing was carried for 90 s, and not before
// whoever uses them is done.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct PassingLinkTests {
    /// A circuit that has carried nothing yet has 90 s of its own, and its link with it.
    @Test func aLinkStaysAsLongAsACircuitGoesByIt() throws {
        let scenario = CircuitScenario(seed: 511, relays: 2)
        let (client, relay) = (scenario.client, scenario.relays[0])
        scenario.network.run(for: .seconds(5))
        func extend(_ number: UInt32) throws {
            let id = CircuitID.make(number, by: client.identity.publicKeys.peerID, for: scenario.id(1))
            let message = ExtendMessage(id: try #require(id), target: scenario.id(2).bytes)
            scenario.network.say(.extend, message.encoded, to: 0, from: client)
        }
        try extend(7)
        scenario.network.run(for: .seconds(60))
        #expect(relay.footprint.relayed == 1)
        try extend(8)
        // A hundred seconds after the link was made: one circuit is over, the other one is not.
        scenario.network.run(for: .seconds(40))
        #expect(relay.footprint.relayed == 1 && relay.slot(of: scenario.id(2)) != nil, "\(scenario.describe())")
        scenario.network.run(for: .seconds(60))
        #expect(relay.footprint.relayed == 0 && relay.slot(of: scenario.id(2)) == nil, "\(scenario.describe())")
    }

    /// A circuit of one hop is the link itself, and carries nothing while nobody has anything to say.
    @Test func aLinkStaysAsLongAsACircuitBeginsWithIt() throws {
        let scene = try ChoiceScenario(seed: 512)
        let exit = DirectoryScene.id(5)
        let (number, _) = try scene.build(PathWish(hops: 1, exit: exit))
        #expect(scene.network.run(for: .seconds(10)) { scene.isReady(number) }, "\(scene.client.circuitEvents)")
        scene.network.run(for: .seconds(200))
        #expect(scene.isReady(number) && scene.client.circuitFailures.isEmpty, "\(scene.client.circuitEvents)")
        #expect(scene.client.establishedSessions.count == 1)
        #expect(scene.network.closeCircuit(number, at: scene.client))
        scene.network.run(for: .seconds(3))
        #expect(scene.client.slot(of: exit) == nil && scene.client.footprint.sessions == 0)
    }

    /// Questions about relays are no payload, and their answers may come late: the link is not closed in the middle of
    /// them.
    @Test func aLinkStaysAsLongAsItIsAskedForRelays() throws {
        let scene = try GossipScenario(seed: 513, hosts: 2, knows: [0: [1], 1: [0]])
        let (host, other, one) = (scene.hosts[0], scene.hosts[1], DirectoryScene.id(1))
        // It hears no question, and would not close the link by itself.
        other.isMute = true
        scene.network.run(for: .seconds(20))
        let there = try #require(other.slot(of: DirectoryScene.id(0)))
        other.machine.peers[there]?.isConfigured = true
        let slot = try #require(host.slot(of: one))
        let installed = try #require(host.machine.peers[slot]?.ring.current).installed
        func run(to milliseconds: Int) {
            scene.network.run(for: (installed + .milliseconds(milliseconds)).since(scene.network.now))
        }
        run(to: 85_000)
        var exchange = DirectoryExchange(beginning: scene.network.now)
        _ = exchange.begin(now: scene.network.now)
        host.machine.directoryTraffic.exchanges[one] = exchange
        scene.network.drain(host)
        // Asked again after one and three seconds, and given up after seven.
        run(to: 91_500)
        #expect(host.isAsking && host.slot(of: one) != nil, "\(scene.drops(0))")
        run(to: 94_000)
        #expect(!host.isAsking && host.slot(of: one) == nil, "\(scene.drops(0))")
    }
}
