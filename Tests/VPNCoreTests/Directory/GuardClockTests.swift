// SPDX-License-Identifier: Apache-2.0
// What is told of guards when somebody sets the clock: they are kept outside of the core, and written down anew where
// that changes them, and only there.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct GuardClockTests {
    private func told(_ host: VirtualHost) -> [GuardList] {
        host.events.compactMap { if case .guardsChanged(let list) = $0.event { list } else { nil } }
    }

    @Test func aClockThatIsSetTellsOfGuardsThatItChanges() {
        let scenario = Scenario(seed: 820, starting: false)
        let (network, alice, unix) = (scenario.network, scenario.alice, DirectoryScene.unix)
        let id = DirectoryScene.id(1)
        network.attach(alice, starting: false)
        alice.restoreGuards(GuardList([GuardList.Guard(id: id, added: unix, expires: unix + 80 * GuardList.day)]))
        func tell(_ seconds: UInt64) -> [GuardList] {
            alice.setClock(unixSeconds: unix + seconds, now: network.now)
            network.drain(alice)
            return told(alice)
        }
        // Guards of an earlier run were chosen by another clock, and wait for nothing.
        #expect(tell(1000) == [] && tell(2000) == [])
        // The pause of one that failed stays as long as it is.
        alice.machine.guards.failed(id, unix: unix + 2000)
        let retry = alice.guardList.guards[0].retry
        #expect(tell(2001) == [], "no step: a clock that is read in whole seconds")
        let lists = tell(5000)
        #expect(lists.count == 1 && lists.first?.guards.first?.retry == retry + 3000)
        #expect(lists.first == alice.guardList)
    }
}
