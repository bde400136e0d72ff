// SPDX-License-Identifier: Apache-2.0
// Numbers and names that a node gives its peers: slots that are not used again too soon, indices of one thread, and the
// identities of hops, which are no peers by that.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct SlotTests {
    /// What a worker tells of a peer may be under way still when that has gone: its slot is nobody's before many are
    /// free, and then it is the one that has been free for longest.
    @Test func theSlotOfWhoHasGoneIsLeftAlone() {
        let host = Scenario(seed: 821, starting: false).bob
        let nobody = PeerConfiguration(name: "nobody", peerID: nil, endpoint: nil, allowedIPs: [])
        var slots: [PeerSlot] = []
        for _ in 0...Limits.slotsKeptFree + 1 {
            let slot = host.machine.addPeer(nobody, isConfigured: false, identity: nil)
            host.machine.erase(slot)
            slots.append(slot)
        }
        #expect(Set(slots.dropLast()).count == Limits.slotsKeptFree + 1 && slots.last == slots.first)
    }

    /// §9: datagrams of a patch come to the thread that has its session.
    @Test func anIndexComesToTheThreadOfItsSibling() {
        let host = Scenario(seed: 822, starting: false).bob
        host.machine.parameters.workers = 5
        var pairs: [(sibling: UInt32, index: UInt32)] = []
        for sibling in 1...40 as ClosedRange<UInt32> {
            pairs.append((sibling, host.machine.freshIndex(for: .reserved, with: sibling)))
        }
        #expect(pairs.allSatisfy { $0.sibling % 5 == $0.index % 5 })
        #expect(Set(pairs.map(\.index)).count == 40)
    }

    /// Whoever is a hop may be known directly as well, and is somebody else then: the last hop here is the first one,
    /// which the client has a session with.
    @Test func aHopIsNoPeerByItsIdentity() throws {
        let scenario = CircuitScenario(seed: 823, relays: 3)
        let (network, client) = (scenario.network, scenario.client)
        network.run(for: .seconds(3))
        let known = [scenario.id(1): 0]
        #expect(client.machine.slotsByIdentity == known)
        let number = try scenario.build([1, 2, 3, 1])
        let isReady = network.run(for: .seconds(30)) { scenario.isReady(number) }
        #expect(isReady && client.machine.slotsByIdentity == known, "\(scenario.describe())")
        network.closeCircuit(number, at: client)
        network.run(for: .seconds(1))
        #expect(client.machine.slotsByIdentity == known && client.footprint.peers == 1, "\(scenario.describe())")
        // It is still met as who it is.
        network.renew(0, at: client)
        #expect(network.run(for: .seconds(5)) { client.establishedSessions.filter { $0.slot == 0 }.count == 2 })
    }
}
