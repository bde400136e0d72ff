// SPDX-License-Identifier: Apache-2.0
// What a running node shows of itself, and what can be asked of it.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

struct SnapshotTests {
    private func look(_ scenario: Scenario, _ host: VirtualHost) -> PeerSnapshot {
        host.snapshot(now: scenario.network.now)[0]
    }

    @Test func statesFollowThePeersLife() {
        let scenario = Scenario(seed: 81)
        #expect(look(scenario, scenario.bob).state == .idle)
        let slot = look(scenario, scenario.alice).slot
        #expect(scenario.connect())
        let alice = look(scenario, scenario.alice)
        let bob = look(scenario, scenario.bob)
        #expect(alice.state == .connected && bob.state == .connected)
        #expect(alice.session?.summary.sessionID == bob.session?.summary.sessionID && alice.session != nil)
        #expect(alice.identity == scenario.bob.identity.publicKeys.peerID)
        // Asked, it answers, and how long that took is known.
        #expect(scenario.network.ask(slot, of: scenario.alice))
        scenario.network.run(for: .seconds(1))
        #expect((look(scenario, scenario.alice).roundTrip ?? .zero) > .zero)
        // Ended here, it ends there at once, and comes back by itself.
        let before = alice.session?.summary.sessionID
        #expect(scenario.network.drop(slot, of: scenario.alice))
        #expect(!scenario.network.drop(slot, of: scenario.alice) && !scenario.network.ask(slot, of: scenario.alice))
        #expect(look(scenario, scenario.alice).state == .waiting && look(scenario, scenario.alice).retryIn != nil)
        scenario.network.run(for: .seconds(1))
        #expect(scenario.bob.footprint.sessions == 0)
        #expect(scenario.network.run(for: .seconds(60)) { look(scenario, scenario.alice).state == .connected })
        #expect(look(scenario, scenario.alice).session?.summary.sessionID != before)
        // Nobody there: silent, then calling.
        scenario.network.detach(scenario.bob)
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 1), from: scenario.alice)
        #expect(scenario.network.run(for: .seconds(60)) { look(scenario, scenario.alice).state == .silent })
        #expect(
            scenario.network.run(for: .seconds(300)) {
                [.waiting, .connecting].contains(look(scenario, scenario.alice).state)
                    && look(scenario, scenario.alice).failures > 0
            })
    }

    @Test func nobodyIsAskedWhoDoesNotExist() {
        let scenario = Scenario(seed: 82)
        #expect(scenario.connect())
        #expect(!scenario.network.ask(99, of: scenario.alice) && !scenario.network.drop(99, of: scenario.alice))
        #expect(scenario.alice.footprint.sessions == 1)
    }
}
