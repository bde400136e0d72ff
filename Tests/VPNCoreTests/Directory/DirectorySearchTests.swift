// SPDX-License-Identifier: Apache-2.0
// Whom a node calls that has nobody to ask about relays (§7): neither one that hangs up each time, nor one that never
// speaks of any, keeps it from the others.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct DirectorySearchTests {
    private static let one = DirectoryScene.id(1)

    /// A relay that hangs up on the question, within the second in which it was asked, has stopped answering as much
    /// as one that does so later: it is left for ten minutes.
    @Test func whoHangsUpAtOnceIsLeftAsWell() throws {
        let scene = try GossipScenario.asking(151)
        let (network, host) = (scene.network, scene.hosts[0])
        #expect(network.drop(try #require(host.slot(of: Self.one)), of: host))
        network.run(for: .seconds(2))
        #expect(Set(host.machine.directoryTraffic.exchanges.keys) == [Self.one] && !host.isAsking)
        #expect(!network.run(for: .seconds(590)) { host.isAsking })
        #expect(network.run(for: .seconds(180)) { host.isAsking })
    }

    /// The first guard has a session and speaks of no relays: it is for others to be asked.
    @Test func aSilentGuardIsNotInTheWayOfOthers() throws {
        let scene = try GossipScenario(seed: 152, hosts: 3, knows: [0: [1, 2], 1: [0], 2: [0]], silent: [1])
        let (network, host) = (scene.network, scene.hosts[0])
        let unix = DirectoryScene.unix
        host.restoreGuards(GuardList([GuardList.Guard(id: Self.one, added: unix - 10, expires: unix + 80 * 86_400)]))
        // It is node 0 that calls.
        scene.hosts[2].machine.directoryTraffic.nextSearch = network.now + .seconds(100_000)
        network.run(for: .seconds(30))
        try #require(host.slot(of: Self.one) != nil && !host.isAsking)
        #expect(network.run(for: .seconds(300)) { host.isAsking }, "\(scene.drops(0)) \(scene.called(by: 0).count)")
        #expect(host.slot(of: DirectoryScene.id(2)) != nil)
    }
}
