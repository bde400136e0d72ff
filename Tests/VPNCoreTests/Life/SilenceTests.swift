// SPDX-License-Identifier: Apache-2.0
// What is said while nothing is (§7): first words that are lost, answers to traffic one way, questions about a silence,
// and what all of them tell.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct SilenceTests {
    /// Two ends that have nothing to say to each other for now.
    private func connected(_ seed: UInt64) -> Scenario {
        let scenario = Scenario(seed: seed)
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.run(for: .seconds(5))
        return scenario
    }

    /// When a host said keepalives or their answers from then on: nothing else that is DATA is as long here.
    private func keepalives(_ scenario: Scenario, from source: Endpoint, since start: Instant) -> [Instant] {
        scenario.network.capture.filter {
            $0.at >= start && $0.datagram.source == source && $0.datagram.type?.isData == true
                && (200..<300).contains($0.datagram.bytes.count)
        }.map(\.at)
    }

    /// How often a host told that its peer is silent, and that it is back.
    private func told(_ host: VirtualHost) -> (silent: Int, back: Int) {
        host.events.reduce(into: (0, 0)) { count, entry in
            switch entry.event {
            case .peerSilent: count.0 += 1
            case .peerBack: count.1 += 1
            default: break
            }
        }
    }

    private func answered(_ host: VirtualHost) -> Int {
        host.events.count { if case .keepaliveAnswered = $0.event { true } else { false } }
    }

    /// Runs until a little after the next look at all sessions, which comes with every second.
    private func passTick(_ network: VirtualNetwork) {
        network.run(for: TimeSpan(nanoseconds: 1_000_000_000 - network.now.nanoseconds % 1_000_000_000))
        network.run(for: .milliseconds(20))
    }

    // MARK: - Who speaks

    /// The responder may not send before it has heard the initiator.
    @Test func aFirstWordThatIsLostIsSaidAgainEachSecond() {
        var isLost = true
        let scenario = Scenario(seed: 770) { datagram in
            isLost && datagram.source == Scenario.aliceEndpoint && datagram.type?.isData == true ? .drop : .pass
        }
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        #expect(network.run(for: .seconds(5)) { !alice.establishedSessions.isEmpty })
        let start = network.now
        network.run(for: .milliseconds(3500))
        let words = keepalives(scenario, from: Scenario.aliceEndpoint, since: start)
        #expect((4...5).contains(words.count), "\(words)")
        isLost = false
        #expect(network.run(for: .milliseconds(1100)) { !bob.confirmedSessions.isEmpty }, "\(scenario.describe())")
        // Once it is heard there is nothing to repeat.
        network.run(for: .seconds(1))
        let heard = network.now
        network.run(for: .seconds(10))
        #expect(keepalives(scenario, from: Scenario.aliceEndpoint, since: heard).isEmpty)
    }

    @Test func whoHasNothingToSaySaysNothing() {
        let scenario = connected(771)
        #expect(scenario.carriesTraffic())
        scenario.network.run(for: .seconds(30))
        let count = scenario.network.capture.count
        scenario.network.run(for: .seconds(60))
        #expect(scenario.network.capture.count == count, "\(scenario.describe())")
    }

    /// So that the sender knows that it arrives, whatever becomes of its questions.
    @Test func trafficOneWayIsAnsweredEveryTenSeconds() {
        let scenario = connected(772)
        let (network, alice) = (scenario.network, scenario.alice)
        // Of all that Alice says only her packets arrive.
        network.intervene = { $0.source == Scenario.aliceEndpoint && $0.bytes.count != 100 ? .drop : .pass }
        let start = network.now
        for tag in 0..<35 as Range<UInt8> {
            network.sendInner(Scenario.packet(from: 1, to: 2, tag: tag), from: alice)
            network.run(for: .seconds(1))
        }
        let times = keepalives(scenario, from: Scenario.bobEndpoint, since: start)
        let pauses = zip(times, times.dropFirst()).map { $1.since($0) }
        #expect((3...4).contains(times.count), "\(times)")
        #expect(pauses.allSatisfy { $0 >= .seconds(10) && $0 <= .seconds(11) }, "\(pauses)")
        #expect(told(alice) == (0, 0) && scenario.bob.delivered.count == 35)
    }

    // MARK: - Silence

    /// What was asked in vain counts no more once the peer has spoken, even where it is spoken to again at once.
    @Test(arguments: [false, true]) func eachSilenceIsAskedAboutFromTheBeginning(isBusy: Bool) {
        let scenario = connected(isBusy ? 773 : 774)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        passTick(network)
        network.suspend(bob)
        network.sendInner(Scenario.packet(from: 1, to: 2, tag: 1), from: alice)
        network.run(for: .seconds(12))
        network.resume(bob)
        network.run(for: isBusy ? .milliseconds(100) : .seconds(2))
        #expect(scenario.bob.delivered.count == 1 && told(alice) == (0, 0))
        network.suspend(bob)
        let start = network.now
        network.sendInner(Scenario.packet(from: 1, to: 2, tag: 2), from: alice)
        network.run(for: .seconds(14))
        let questions = keepalives(scenario, from: Scenario.aliceEndpoint, since: start)
        #expect(questions.count == 2 && told(alice) == (0, 0), "\(questions)")
        network.run(for: .seconds(5))
        #expect(told(alice) == (1, 0))
    }

    @Test func aSilenceIsToldOnceAndSoIsItsEnd() {
        let scenario = connected(775)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        #expect(scenario.carriesTraffic())
        #expect(told(alice) == (0, 0) && told(bob) == (0, 0))
        // The session that there is goes on, since no other one can be made.
        network.intervene = { [.s0, .s1].contains($0.type) ? .drop : .pass }
        network.suspend(bob)
        network.sendInner(Scenario.packet(from: 1, to: 2, tag: 2), from: alice)
        network.run(for: .seconds(40))
        #expect(told(alice) == (1, 0), "\(scenario.describe())")
        network.resume(bob)
        network.run(for: .seconds(10))
        #expect(told(alice) == (1, 1) && alice.establishedSessions.count == 1, "\(scenario.describe())")
    }

    /// Nothing is called anew inside a circuit: a guest that does not answer is let go, as soon as that is known.
    @Test func aGuestThatIsSilentIsLetGo() throws {
        let scenario = CircuitScenario(seed: 776, relays: 2)
        _ = try scenario.connect([1, 2])
        let exit = scenario.relays[1]
        #expect(scenario.carriesTraffic(to: 2), "\(scenario.describe())")
        #expect(exit.footprint.guests == 1 && !exit.sessionEnds.contains(.silent))
        scenario.network.suspend(scenario.client)
        scenario.network.sendInner(
            CircuitScenario.packet(from: 0x0A63_0009, to: 0x0A4D_0001, tag: 9), from: exit)
        scenario.network.run(for: .seconds(25))
        #expect(exit.sessionEnds.contains(.silent) && exit.footprint.guests == 0, "\(scenario.describe())")
        #expect(told(exit) == (0, 0))
    }

    // MARK: - What is said

    /// §7: neither the clock of whoever is behind a circuit nor how long it has been running.
    @Test func onCircuitsTimeCountsFromTheSessionsStart() throws {
        let scenario = CircuitScenario(seed: 777, relays: 2)
        _ = try scenario.connect([1, 2])
        let (network, client, exit) = (scenario.network, scenario.client, scenario.relays[1])
        let hop = try #require(client.circuits(now: network.now).first).destination
        let entry = try #require(client.slot(of: scenario.id(1)))
        let guest = try #require(exit.guests.last)
        for (host, slot, isAnonymous) in [(client, hop, true), (exit, guest, true), (client, entry, false)] {
            let isAsked = network.ask(slot, of: host)
            let timestamp = host.machine.peers[slot]?.keepaliveTimestamp ?? 0
            #expect(isAsked && (timestamp < 1000) == isAnonymous, "\(host.name): \(timestamp)")
            #expect(isAnonymous || timestamp >= 1_800_000_000)
        }
    }

    /// An answer says the question's time again; one with another time answers nothing.
    @Test func anAnswerToAnotherQuestionIsNone() throws {
        let scenario = connected(778)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        let session = try #require(bob.sendingSession(of: 0)).id.hex
        let asked = alice.machine.peers[0]?.keepaliveTimestamp ?? 0
        #expect(asked >= 1_800_000_000)
        for (timestamp, counts) in [(asked + 1, 0), (asked, 1)] {
            let before = answered(alice)
            let message = KeepaliveMessage(
                kind: .answer, sessionID: session, timestamp: timestamp, peerID: bob.identity.publicKeys.peerID.hex,
                uptime: 1)
            network.say(.keepalive, message.encoded, to: 0, from: bob)
            network.run(for: .milliseconds(50))
            #expect(answered(alice) == before + counts, "\(timestamp)")
        }
    }

    /// §6: until its invitation is used up on disk, a session carries nothing but its end.
    @Test func aSessionThatWaitsForItsInvitationHearsItsEndAlone() {
        let scenario = connected(779)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        func ask() -> Int {
            let before = answered(alice)
            let isAsked = network.ask(0, of: alice)
            network.run(for: .milliseconds(100))
            #expect(isAsked)
            return answered(alice) - before
        }
        #expect(ask() == 1)
        bob.machine.peers[0]?.ring.current?.claim = InvitationClaim(
            invitation: 1, keys: alice.identity.publicKeys, index: 1)
        #expect(ask() == 0)
        #expect(network.drop(0, of: alice))
        network.run(for: .milliseconds(100))
        #expect(bob.sessionEnds == [.closedByPeer], "\(scenario.describe())")
    }
}
