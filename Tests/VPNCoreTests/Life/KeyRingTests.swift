// SPDX-License-Identifier: Apache-2.0
// The sessions with one peer (§6): which of them is sent on, how many receive, whose pin is whose, and what is left of
// them for the next.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct KeyRingTests {
    private static let ids = [RehearsalIdentity(seed: 1), RehearsalIdentity(seed: 2)].map(\.publicKeys.peerID).sorted()

    private func held(
        _ role: SessionRole, leaves: UInt32 = 1, mixed: UInt32 = 9, pin: PinnedPeer? = nil
    ) -> HeldSession {
        let (session, _) = Fixture.sessionPair()
        let summary = SessionSummary(
            handshake: HandshakeID(1), s1Bytes: 0, s2Bytes: 0, peerMTU: 1436, sessionID: session.id, peer: Self.ids[1],
            peerName: "", slot: 0, role: role, carrier: Fixture.carrierToB, cipher: .aes256GCM, duration: .zero,
            isChained: false, isDegraded: false, speaksDirectory: false)
        var held = HeldSession(
            session: session, summary: summary, installed: Fixture.now, renew: Fixture.now, expires: Fixture.now,
            leaves: leaves, mixed: mixed)
        held.pin = pin
        return held
    }

    /// Two ends that have nothing to say to each other for now.
    private func connected(_ seed: UInt64) -> Scenario {
        let scenario = Scenario(seed: seed)
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.run(for: .seconds(5))
        return scenario
    }

    /// Makes a new session, and lets both ends hear each other in it.
    private func renew(_ scenario: Scenario) {
        let count = scenario.alice.establishedSessions.count + 1
        scenario.network.renew(0, at: scenario.alice)
        let isRenewed = scenario.network.run(for: .milliseconds(500)) {
            scenario.alice.confirmedSessions.count == count && scenario.bob.confirmedSessions.count == count
        }
        #expect(isRenewed, "\(scenario.describe())")
    }

    private func passTick(_ network: VirtualNetwork) {
        network.run(for: TimeSpan(nanoseconds: 1_000_000_000 - network.now.nanoseconds % 1_000_000_000))
        network.run(for: .milliseconds(20))
    }

    // MARK: - Which one is sent on

    /// The other end may have no such session any more.
    @Test func aSessionThatWasNotHeardGivesWay() {
        func keeps(isHeard: Bool) -> Bool {
            var ring = KeyRing()
            ring.current = held(.initiator, leaves: 1)
            if isHeard { ring.current?.confirmed = Fixture.now }
            return ring.keepsCurrent(over: held(.responder, leaves: 2), ownID: Self.ids[0], now: Fixture.now)
        }
        #expect(keeps(isHeard: true) && !keeps(isHeard: false))
    }

    /// §6: where both ends began one, they send on that of the smaller id, whichever of them was heard last.
    @Test(arguments: 1...5 as ClosedRange<UInt64>) func bothEndsSendOnWhatTheSmallerBegan(seed: UInt64) {
        let scenario = Scenario(seed: 7800 + seed, alice: NodeOptions(), bob: NodeOptions())
        let network = scenario.network
        #expect(scenario.connect(within: .seconds(10)))
        network.run(for: .seconds(15))
        let isAlice = scenario.alice.identity.publicKeys.peerID < scenario.bob.identity.publicKeys.peerID
        let small = isAlice ? scenario.alice : scenario.bob
        let large = isAlice ? scenario.bob : scenario.alice
        let before = [small, large].map(\.establishedSessions.count)
        network.renew(0, at: small)
        #expect(network.run(for: .seconds(3)) { large.establishedSessions.count > before[1] })
        // It has answered, and begins one itself before it knows whether that answer came.
        network.renew(0, at: large)
        network.run(for: .seconds(4))
        #expect([small, large].map(\.establishedSessions.count) == before.map { $0 + 2 }, "\(scenario.describe())")
        let (one, other) = (small.sendingSession(of: 0), large.sendingSession(of: 0))
        #expect(one != nil && one?.id == other?.id && one?.role == .initiator, "\(scenario.describe())")
    }

    /// §6: one handshake is enough where both ends call at once.
    @Test(arguments: 1...4 as ClosedRange<UInt64>) func theLargerLetsItsOwnCallGoWhereItAnswers(seed: UInt64) {
        let scenario = Scenario(seed: 7810 + seed, alice: NodeOptions(), bob: NodeOptions())
        #expect(scenario.connect(within: .seconds(10)))
        scenario.network.run(for: .seconds(20))
        for host in [scenario.alice, scenario.bob] {
            #expect(host.handshakesBegun.count == 1 && host.footprint.initiations == 0)
            #expect(host.establishedSessions.count == 1 && host.footprint.sessions == 1, "\(scenario.describe())")
        }
    }

    /// A word in a session that its own maker has replaced since brings that session back to nobody.
    @Test func whatItsMakerReplacedStaysReplaced() throws {
        let scenario = connected(782)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        network.intervene = { $0.source == Scenario.bobEndpoint && $0.type?.isData == true ? .drop : .pass }
        func renew(_ count: Int) -> Session? {
            network.renew(0, at: alice)
            #expect(network.run(for: .seconds(1)) { bob.confirmedSessions.count == count })
            return bob.sendingSession(of: 0)
        }
        let former = try #require(renew(2))
        let newest = try #require(renew(3))
        passTick(network)
        network.intervene = nil
        #expect(alice.confirmedSessions.count == 1)
        let word = try #require(former.sealFrame(type: .pad, payload: [], now: network.now))
        network.inject(
            VirtualDatagram(bytes: word, source: Scenario.bobEndpoint, destination: Scenario.aliceEndpoint))
        network.run(for: .milliseconds(15))
        #expect(alice.confirmedSessions.map(\.sessionID).last == former.id, "\(scenario.describe())")
        #expect(alice.sendingSession(of: 0)?.id == newest.id, "\(scenario.describe())")
    }

    // MARK: - What receives

    @Test func fourFormerSessionsReceiveAndNoMore() {
        let scenario = connected(783)
        for _ in 0..<7 { renew(scenario) }
        for host in [scenario.alice, scenario.bob] {
            let census = host.machine.census
            #expect(census == SessionCensus(current: 1, next: 0, previous: 4, degraded: 0), "\(host.name)")
            #expect(host.sessionEnds == [.replaced, .replaced, .replaced], "\(host.name)")
        }
        scenario.network.run(for: .seconds(8))
        #expect(scenario.alice.footprint.sessions == 1 && scenario.bob.footprint.sessions == 1)
    }

    /// A responder's session that waits for its first word does so whatever becomes of the one before.
    @Test func aSessionThatWaitsOutlivesTheOneBefore() throws {
        let scenario = connected(784)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        let former = try #require(alice.sendingSession(of: 0))
        network.intervene = { $0.source == Scenario.aliceEndpoint && $0.type?.isData == true ? .drop : .pass }
        network.renew(0, at: alice)
        #expect(network.run(for: .seconds(1)) { bob.establishedSessions.count == 2 })
        passTick(network)
        network.intervene = nil
        let close = try #require(former.sealFrame(type: .close, payload: [], now: network.now))
        network.inject(
            VirtualDatagram(bytes: close, source: Scenario.aliceEndpoint, destination: Scenario.bobEndpoint))
        network.run(for: .milliseconds(15))
        let census = bob.machine.census
        #expect(bob.sessionEnds == [.closedByPeer])
        #expect(census == SessionCensus(current: 0, next: 1, previous: 0, degraded: 0), "\(census)")
        #expect(network.run(for: .seconds(2)) { bob.confirmedSessions.count == 2 }, "\(scenario.describe())")
    }

    // MARK: - What belongs to whom

    /// §2: a pin is written when the session that showed its keys was heard, and not when another one was.
    @Test func aPinIsThatOfTheSessionThatWasHeard() {
        func pin(_ seed: UInt64) -> PinnedPeer {
            PinnedPeer(keys: RehearsalIdentity(seed: seed).publicKeys, name: "", origin: .firstUse)
        }
        let (former, current) = (held(.initiator, pin: pin(1)), held(.initiator, pin: pin(2)))
        var ring = KeyRing()
        ring.previous = [former]
        ring.current = current
        let stranger = ring.takePin(of: held(.initiator).session)
        #expect(stranger == nil && ring.current?.pin == pin(2))
        let first = ring.takePin(of: former.session)
        let again = ring.takePin(of: former.session)
        #expect(first == pin(1) && again == nil && ring.current?.pin == pin(2))
        let second = ring.takePin(of: current.session)
        #expect(second == pin(2) && ring.current?.pin == nil)
    }

    /// §6: carrier cookies hang on the first handshake of an association, and outlive its sessions.
    @Test func anAssociationIsNamedByItsFirstHandshake() throws {
        let scenario = connected(785)
        let first = try #require(scenario.alice.establishedSessions.first).sessionID
        renew(scenario)
        renew(scenario)
        #expect(scenario.alice.establishedSessions.last?.sessionID != first)
        for host in [scenario.alice, scenario.bob] {
            let association = host.machine.peers[0]?.association
            #expect(association == first, "\(host.name)")
        }
    }

    /// Who is met by a circuit has throwaway keys: nothing stays for a next time, and nobody else is taken for him.
    @Test func nothingStaysOfWhoIsMetByACircuit() throws {
        let scenario = CircuitScenario(seed: 786, relays: 2)
        _ = try scenario.connect([1, 2])
        let (client, exit) = (scenario.client, scenario.relays[1])
        let hop = try #require(client.circuits(now: scenario.network.now).first).destination
        let entry = try #require(client.slot(of: scenario.id(1)))
        let guest = try #require(exit.guests.last)
        let chains = [(client, entry), (client, hop), (exit, guest)].map { $0.machine.peers[$1]?.chain.count }
        #expect(chains == [1, 0, 0])
        let slots = [1, 2].map { client.machine.slotsByIdentity[scenario.id($0)] }
        #expect(slots == [entry, nil])
    }

    // MARK: - Renewals

    /// A session that is not sent on any more is renewed by nobody: its second is free for others.
    @Test func whatIsReplacedLeavesTheCalendar() {
        let scenario = connected(787)
        for _ in 0..<4 { renew(scenario) }
        #expect(scenario.alice.establishedSessions.count == 5)
        #expect(scenario.alice.machine.renewals.count == 1)
        // Who answers plans nothing: the other end comes first.
        #expect(scenario.bob.machine.renewals.count == 0)
    }

    /// The end of a session that this end did not begin takes back no renewal that somebody else has planned.
    @Test func theEndOfAnAnsweredSessionLeavesTheCalendarAlone() throws {
        let scenario = connected(788)
        let bob = scenario.bob
        let renewal = bob.machine.peers[0]?.ring.current?.renew
        let due = try #require(renewal)
        let second = Instant(nanoseconds: due.nanoseconds / 1_000_000_000 * 1_000_000_000)
        let planned = bob.machine.renewals.plan(from: second, to: second, random: 0, now: scenario.network.now)
        #expect(planned == second && bob.machine.renewals.count == 1)
        #expect(scenario.network.drop(0, of: bob))
        #expect(bob.sessionEnds == [.closedHere] && bob.machine.renewals.count == 1)
    }

    /// §7: a peer that does not follow into a new key phase gets a new session long before its key is spent.
    @Test func tooManyFramesOfOnePhaseBringANewSession() throws {
        let scenario = connected(789)
        let (network, alice) = (scenario.network, scenario.alice)
        let session = try #require(alice.sendingSession(of: 0))
        session.skipCounters(Limits.framesBeforePhase)
        network.run(for: .seconds(3))
        #expect(alice.establishedSessions.count == 1 && session.phase.sending == 1)
        session.skipCounters(Limits.framesBeforeRenewal)
        network.run(for: .seconds(3))
        #expect(alice.establishedSessions.count == 2, "\(scenario.describe())")
        #expect(alice.handshakesBegun.count == 2 && alice.sendingSession(of: 0) !== session)
    }
}
