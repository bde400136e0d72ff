// SPDX-License-Identifier: Apache-2.0
// What stays when a peer's last session goes, and what is begun then (§2, §7): pauses, calls that are under way,
// entries and identities; and what an operator sees of it.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct LastSessionTests {
    /// Two ends that have nothing to say to each other for now.
    private func connected(_ seed: UInt64, bob: NodeOptions = Scenario.answering) -> Scenario {
        let scenario = Scenario(seed: seed, bob: bob)
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.run(for: .seconds(5))
        return scenario
    }

    private func look(_ scenario: Scenario, _ host: VirtualHost) -> PeerSnapshot {
        host.snapshot(now: scenario.network.now)[0]
    }

    /// A caller that knows of the other end no more than where it is, and believes whoever answers there.
    private var meeting: NodeOptions {
        var options = NodeOptions()
        options.trust = TrustPolicy(trustsOnFirstUse: true, isStrict: false)
        options.knowsPeer = false
        options.namesPeer = false
        return options
    }

    // MARK: - Calls

    @Test func whoHasNoSessionIsNotRenewed() {
        let scenario = Scenario(seed: 810, starting: false)
        let (network, alice) = (scenario.network, scenario.alice)
        network.attach(scenario.bob)
        network.attach(alice, starting: false)
        let isRenewed = alice.machine.renew(0, now: network.now)
        network.drain(alice)
        #expect(!isRenewed && alice.handshakesBegun.isEmpty)
        network.resolve("bob", to: [Scenario.bobEndpoint], at: alice)
        #expect(scenario.connect(within: .seconds(5)))
        let isRenewedNow = alice.machine.renew(0, now: network.now)
        network.drain(alice)
        #expect(isRenewedNow && alice.handshakesBegun.count == 2)
    }

    /// The pause behind attempts in vain is as long as it is, whoever says goodbye meanwhile.
    @Test func aGoodbyeShortensNoPause() {
        let scenario = connected(811)
        let (network, alice) = (scenario.network, scenario.alice)
        alice.machine.peers[0]?.retry = network.now + .seconds(100)
        #expect(network.drop(0, of: scenario.bob))
        network.run(for: .milliseconds(100))
        #expect(alice.sessionEnds == [.closedByPeer] && look(scenario, alice).state == .waiting)
        #expect((look(scenario, alice).retryIn ?? .zero) > .seconds(90))
        network.run(for: .seconds(60))
        #expect(alice.handshakesBegun.count == 1)
        #expect(network.run(for: .seconds(50)) { alice.handshakesBegun.count == 2 })
    }

    /// Who is being called already waits for nothing.
    @Test func aGoodbyeBringsNoPauseToACall() {
        let scenario = connected(812)
        let (network, alice) = (scenario.network, scenario.alice)
        network.intervene = { [.s0, .s1].contains($0.type) ? .drop : .pass }
        network.renew(0, at: alice)
        #expect(look(scenario, alice).state == .connected)
        #expect(network.drop(0, of: scenario.bob))
        network.run(for: .milliseconds(100))
        #expect(alice.sessionEnds == [.closedByPeer])
        #expect(look(scenario, alice).state == .connecting && look(scenario, alice).retryIn == nil)
        network.intervene = nil
        #expect(network.run(for: .seconds(4)) { alice.confirmedSessions.count == 2 }, "\(scenario.describe())")
    }

    /// A responder's session is shown before its first word has come.
    @Test func aSessionThatWaitsForItsFirstWordIsShown() {
        let scenario = Scenario(seed: 813) { datagram in
            datagram.source == Scenario.aliceEndpoint && datagram.type?.isData == true ? .drop : .pass
        }
        let (network, bob) = (scenario.network, scenario.bob)
        #expect(look(scenario, bob).state == .idle)
        #expect(network.run(for: .seconds(5)) { bob.establishedSessions.count == 1 })
        #expect(look(scenario, bob).state == .unconfirmed && look(scenario, bob).session?.isConfirmed == false)
        network.intervene = nil
        #expect(network.run(for: .seconds(3)) { look(scenario, bob).state == .connected })
    }

    // MARK: - Who is forgotten

    /// Who came by himself is not forgotten with his session while this end calls him.
    @Test func aCallerThatIsBeingCalledIsNotForgotten() throws {
        var answering = Scenario.answering
        answering.namesPeer = false
        let scenario = connected(814, bob: answering)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        let slot = try #require(bob.slot(of: alice.identity.publicKeys.peerID))
        network.intervene = { $0.type == .s0 ? .drop : .pass }
        network.renew(slot, at: bob)
        #expect(bob.footprint.initiations == 1 && !look(scenario, bob).isConfigured)
        #expect(network.drop(0, of: alice))
        network.run(for: .milliseconds(100))
        #expect(bob.sessionEnds == [.closedByPeer], "\(scenario.describe())")
        #expect(bob.footprint.peers == 1 && bob.footprint.initiations == 1)
        network.intervene = nil
        #expect(network.run(for: .seconds(4)) { alice.confirmedSessions.count == 2 }, "\(scenario.describe())")
        #expect(bob.establishedSessions.map(\.role) == [.responder, .initiator])
        // Nothing is under way any more when the next one ends.
        #expect(network.drop(0, of: alice))
        network.run(for: .milliseconds(100))
        #expect(bob.footprint.peers == 0 && bob.footprint.receiverIndices == 0, "\(scenario.describe())")
    }

    /// The peer behind a circuit's last hop waits for the next path; a guest has come by one, and goes with it.
    @Test func aHopStaysWithoutASessionAndAGuestDoesNot() throws {
        let scenario = CircuitScenario(seed: 815, relays: 2)
        _ = try scenario.connect([1, 2])
        let (client, exit) = (scenario.client, scenario.relays[1])
        let hop = try #require(client.circuits(now: scenario.network.now).first).destination
        let guest = try #require(exit.guests.last)
        for (host, slot, stays) in [(client, hop, true), (exit, guest, false)] {
            let sessions = host.machine.peers[slot]?.ring.all ?? []
            #expect(sessions.count == 1)
            host.machine.forgetIfIdle(slot)
            #expect(host.machine.peers[slot] != nil, "\(host.name) has a session with it")
            for held in sessions { host.machine.retire(held, of: slot, .closedHere) }
            host.machine.forgetIfIdle(slot)
            #expect((host.machine.peers[slot] != nil) == stays, "\(host.name)")
        }
    }

    // MARK: - First contacts

    /// An entry that names nobody is whose who answered there first, from then on.
    @Test func whoIsMetFirstHasTheEntry() {
        let scenario = Scenario(seed: 816, alice: meeting)
        #expect(scenario.connect(within: .seconds(10)), "\(scenario.describe())")
        let id = scenario.bob.identity.publicKeys.peerID
        let slot = scenario.alice.machine.slotsByIdentity[id]
        #expect(look(scenario, scenario.alice).identity == id && slot == 0)
        // He is known again when he calls.
        scenario.network.renew(0, at: scenario.bob)
        #expect(scenario.network.run(for: .seconds(3)) { scenario.alice.confirmedSessions.count == 2 })
        #expect(scenario.alice.footprint.peers == 1)
    }

    /// Until he has shown that he holds a session's keys it is his for as long as there is a session or a call.
    @Test func aFirstContactIsForgottenWithItsLastAttempt() {
        let scenario = Scenario(seed: 817, alice: meeting) { datagram in
            datagram.source == Scenario.bobEndpoint && datagram.type?.isData == true ? .drop : .pass
        }
        let (network, alice) = (scenario.network, scenario.alice)
        let id = scenario.bob.identity.publicKeys.peerID
        /// Whose the entry is once it was looked at whether it is anybody's.
        func owner() -> PeerID? {
            alice.machine.forgetFirstContact(0)
            return look(scenario, alice).identity
        }
        #expect(network.run(for: .seconds(10)) { !alice.establishedSessions.isEmpty }, "\(scenario.describe())")
        #expect(alice.remembered.isEmpty && owner() == id)
        #expect(network.drop(0, of: alice))
        #expect(network.run(for: .seconds(6)) { alice.footprint.initiations == 1 })
        #expect(alice.footprint.sessions == 0 && owner() == id)
        alice.machine.abandonInitiation(0)
        #expect(owner() == nil)
        let slot = alice.machine.slotsByIdentity[id]
        #expect(slot == nil)
    }
}
