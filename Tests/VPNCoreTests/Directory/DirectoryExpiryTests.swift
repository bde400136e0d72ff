// SPDX-License-Identifier: Apache-2.0
// Relays that leave the directory (§7), by time or by their operator's hand: what is believed of them goes as well.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct DirectoryExpiryTests {
    private func expired(_ host: VirtualHost) -> [[PeerID]] {
        host.events.compactMap { if case .relaysExpired(let ids) = $0.event { ids } else { nil } }
    }

    /// Keys are believed as long as their descriptor is good, and people hear of it once, when one is not.
    @Test func keysGoWithTheirDescriptor() throws {
        let scene = try GossipScenario(seed: 141, hosts: 1, knows: [0: [1]])
        let host = scene.hosts[0]
        let short = try DirectoryScene.descriptor(2, until: DirectoryScene.unix + 500)
        let refused = host.addRelays([(short, .imported)], now: scene.network.now)
        #expect(refused.isEmpty && Set(host.machine.trust.relays.keys) == scene.ids([1, 2]))
        scene.network.run(for: .seconds(400))
        #expect(expired(host).isEmpty && Set(host.machine.trust.relays.keys) == scene.ids([1, 2]))
        scene.network.run(for: .seconds(400))
        #expect(expired(host) == [[DirectoryScene.id(2)]] && scene.known(to: 0) == scene.ids([1]))
        #expect(Set(host.machine.trust.relays.keys) == scene.ids([1]))
        #expect(host.machine.trust.relayKeys(of: DirectoryScene.id(2)) == nil)
    }

    @Test func aRelayIsTakenOutOnce() throws {
        let scene = try GossipScenario(seed: 142, hosts: 1, knows: [0: [1, 2]])
        let (host, now) = (scene.hosts[0], scene.network.now)
        let first = host.machine.removeRelay(DirectoryScene.id(1), now: now)
        let again = host.machine.removeRelay(DirectoryScene.id(1), now: now)
        let stranger = host.machine.removeRelay(DirectoryScene.id(9), now: now)
        #expect(first && !again && !stranger)
        #expect(scene.known(to: 0) == scene.ids([2]) && Set(host.machine.trust.relays.keys) == scene.ids([2]))
    }
}
