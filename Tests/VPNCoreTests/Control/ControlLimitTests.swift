// SPDX-License-Identifier: Apache-2.0
// The control side at its bounds: tables that are full, pins and names that change or do not, peers that are moved, and
// what comes to it that no worker would hand on.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct ControlLimitTests {
    // MARK: - Tables

    /// Links that brought nothing for a minute are forgotten where the table is full.
    @Test func ratesOfQuietLinksAreForgotten() {
        var rate = HandshakeRate(limit: 0)
        var admitted = 0
        for link in 0..<Limits.ratedPrefixes
        where rate.admit(.circuit(CircuitPlace(outer: link, id: 1)), now: .origin) { admitted += 1 }
        #expect(admitted == Limits.ratedPrefixes && rate.count == Limits.ratedPrefixes)
        let isAdmitted = rate.admit(
            .circuit(CircuitPlace(outer: Limits.ratedPrefixes, id: 1)), now: .origin + .seconds(61))
        #expect(isAdmitted && rate.count == 1)
    }

    /// Who is known costs nobody his place, and a newcomer only those whose minute is over, if there are any.
    @Test func aFullTableOfRatesForgetsNoMoreThanItMust() {
        var rate = HandshakeRate(limit: 0)
        func admit(_ number: UInt32, at seconds: Int) {
            _ = rate.admit(.udp(Endpoint(v4: number, port: 1)), now: .origin + .seconds(seconds))
        }
        for number in 0..<UInt32(Limits.ratedPrefixes) { admit(number, at: number.isMultiple(of: 2) ? 0 : 30) }
        admit(0, at: 30)
        #expect(rate.count == Limits.ratedPrefixes)
        admit(0xFFFF_0000, at: 70)
        // Half of them, the one that was heard again, and the newcomer.
        #expect(rate.count == Limits.ratedPrefixes / 2 + 2)
    }

    @Test func theOldestOfTooManyAnswersGoes() throws {
        var table = InboundHandshakes()
        let bytes = S1Fragment.datagrams(
            of: [UInt8](repeating: 0, count: S1Message.briefSize),
            shape: FragmentShape(total: S1Message.briefSize, count: 7), senderIndex: 1,
            cookie: [UInt8](repeating: 1, count: 32), puzzleSolution: [UInt8](repeating: 0, count: 8),
            macKey: .unknownResponder)[0]
        let fragment = try #require(S1Fragment(bytes))
        var keys: [InboundKey] = []
        for number in 0..<Limits.answersKept + 10 {
            let carrier = Carrier.udp(Endpoint(v4: 0x0A00_0000 + UInt32(number), port: 5))
            _ = table.add(fragment, size: 1232, issued: 0, from: carrier, now: .origin + .milliseconds(number))
            keys.append(
                InboundKey(carrier: carrier, senderIndex: fragment.senderIndex, message: fragment.messageHash))
            table.setStage(.answered([]), of: keys[number], until: .origin + .seconds(100))
        }
        let kept = keys.filter { table[$0] != nil }
        #expect(table.count == Limits.answersKept && kept == Array(keys.suffix(Limits.answersKept)))
    }

    @Test func aHistoryForgetsInOrderAndDoesNotGrow() {
        func hash(_ number: Int) -> [UInt8] { [UInt8(number)] + [UInt8](repeating: 0xA5, count: 63) }
        var history = InitiationHistory(capacity: 4)
        var fresh = 0
        for number in 0..<100 where history.admit(hash(number), issued: UInt32(number)) == .fresh { fresh += 1 }
        #expect(fresh == 100 && history.verdict(hash(96), issued: 96) == .replayed)
        #expect(history.verdict(hash(95), issued: 95) == .forgotten)
        // What it keeps beside its set: those that are known, and at most as many that are not any more.
        let order = Mirror(reflecting: history).children.first { $0.label == "order" }?.value as? any Collection
        #expect((order?.count ?? .max) <= 2 * 4 + 2)
        // One that is as old as what had to go for it is refused, and not remembered.
        var full = InitiationHistory(capacity: 2)
        let first = [full.admit(hash(1), issued: 10), full.admit(hash(2), issued: 11)]
        let late = full.admit(hash(3), issued: 10)
        #expect(first == [.fresh, .fresh] && late == .forgotten)
        #expect(full.verdict(hash(3), issued: 11) == .fresh)
    }

    @Test func aSearchAsksNothingBeforeItsTime() {
        var search = PathMTUSearch(ceiling: 1436, isV4: true, now: Fixture.now)
        func advance(_ milliseconds: Int) -> Int {
            search.advance(now: Fixture.now + .milliseconds(milliseconds), isBusy: { _ in true }, nonce: { 1 }).count
        }
        let asked = [advance(0), advance(299), advance(300)]
        #expect(asked[0] > 5 && asked[1] == 0 && asked[2] == asked[0])
    }

    /// Sessions of which one mixed what the other left came one after the other, whichever of them it was.
    @Test func sessionsOfOneChainDidNotCross() {
        func held(_ role: SessionRole, leaves: UInt32, mixed: UInt32) -> HeldSession {
            let (session, _) = Fixture.sessionPair()
            let summary = SessionSummary(
                handshake: HandshakeID(1), s1Bytes: 0, s2Bytes: 0, peerMTU: 1436, sessionID: session.id, peer: .zero,
                peerName: "", slot: 0, role: role, carrier: Fixture.carrierToB, cipher: .aes256GCM, duration: .zero,
                isChained: mixed != 0, isDegraded: false, speaksDirectory: false)
            return HeldSession(
                session: session, summary: summary, installed: Fixture.now, renew: Fixture.now, expires: Fixture.now,
                leaves: leaves, mixed: mixed)
        }
        func isCrossed(currentMixed: UInt32, heldMixed: UInt32) -> Bool {
            var ring = KeyRing()
            ring.current = held(.responder, leaves: 1, mixed: currentMixed)
            return ring.isCrossed(by: held(.initiator, leaves: 2, mixed: heldMixed), now: Fixture.now)
        }
        #expect(isCrossed(currentMixed: 9, heldMixed: 9))
        #expect(!isCrossed(currentMixed: 9, heldMixed: 1) && !isCrossed(currentMixed: 2, heldMixed: 9))
    }

    // MARK: - At the door

    @Test func whatIsNoHandshakeDatagramIsDroppedAtTheDoor() {
        let scenario = Scenario(seed: 761, starting: false)
        var long = OuterHeader.bytes(.s1, bodyLength: Limits.handshakeDatagram - 15, receiverIndex: 0, word: 0)
        long.append(zeros: Limits.handshakeDatagram + 1 - long.count)
        for bytes in [[], [1], [1, 3], [UInt8](repeating: 1, count: 15), long] as [[UInt8]] {
            scenario.bob.machine.receive(bytes, on: .udp(Scenario.aliceEndpoint), now: scenario.network.now)
        }
        let drops = scenario.bob.controlDrops
        #expect(drops[.tooShort] == 5 && drops.total == 5, "\(scenario.describe())")
    }

    @Test func whatNoRelayFrameHoldsIsDropped() {
        let scenario = Scenario(seed: 762)
        #expect(scenario.connect())
        let alice = scenario.alice
        for count in [Limits.largestPayload - Limits.circuitID, Limits.largestPayload - Limits.circuitID + 1] {
            let drops = alice.controlDrops[.circuitBroken]
            let datagram = [UInt8](repeating: 0, count: count)
            alice.machine.transmit(
                datagram, over: .circuit(CircuitPlace(outer: 0, id: 5)), now: scenario.network.now)
            let fits = count + Limits.circuitID == Limits.largestPayload
            if case .transmit(let outer, _)? = alice.machine.nextAction() {
                #expect(fits && outer.count == Limits.largestDatagram)
            } else {
                #expect(!fits && alice.controlDrops[.circuitBroken] == drops + 1)
            }
        }
    }

    // MARK: - Pins

    private func pin(_ identity: any IdentitySigner, _ name: String, allowsPartial: Bool = false) -> PinnedPeer {
        PinnedPeer(keys: identity.publicKeys, name: name, origin: .operatorAdded, allowsPartial: allowsPartial)
    }

    /// Sessions by their place, and pins that say of a degraded one what they said before.
    @Test func theCensusTellsSessionsByTheirPlace() {
        let (network, identities) = (VirtualNetwork(seed: 763), Scenario.identities(763, .rehearsal))
        var judging = Scenario.answering
        (judging.trust.requiresBothSignatures, judging.allowsPartial) = (false, true)
        let alice = Scenario.host(
            "alice", Scenario.aliceEndpoint, SpoiltSigner(base: identities[0], fault: .badEd25519),
            peer: identities[1], peerEndpoint: Scenario.bobEndpoint, NodeOptions(), seed: 2, .rehearsal,
            now: network.now)
        let bob = Scenario.host(
            "bob", Scenario.bobEndpoint, identities[1], peer: identities[0], peerEndpoint: Scenario.aliceEndpoint,
            judging, seed: 1, .rehearsal, now: network.now)
        network.attach(bob)
        network.attach(alice)
        #expect(network.run(for: .seconds(5)) { !bob.confirmedSessions.isEmpty })
        network.updatePins([pin(identities[0], "alice", allowsPartial: true)], of: bob)
        #expect(bob.machine.census == SessionCensus(current: 1, next: 0, previous: 0, degraded: 1))
        network.intervene = { $0.source == Scenario.aliceEndpoint && $0.type?.isData == true ? .drop : .pass }
        network.renew(0, at: alice)
        #expect(network.run(for: .seconds(2)) { bob.establishedSessions.count == 2 })
        #expect(bob.machine.census == SessionCensus(current: 1, next: 1, previous: 0, degraded: 1))
        network.intervene = nil
        #expect(network.run(for: .seconds(3)) { bob.confirmedSessions.count == 2 })
        #expect(bob.machine.census == SessionCensus(current: 1, next: 0, previous: 1, degraded: 1))
        #expect(alice.machine.census.degraded == 0, "Bob's signatures are good")
    }

    /// Said again, it ends nothing again, and nobody who is barred is called.
    @Test func whatIsRevokedIsRevokedOnce() {
        let scenario = Scenario(seed: 762)
        #expect(scenario.connect())
        let (alice, id) = (scenario.alice, scenario.bob.identity.publicKeys.peerID)
        for _ in 0..<3 { scenario.network.updateRevoked([id], of: alice) }
        #expect(alice.events.count { if case .identityRevoked = $0.event { true } else { false } } == 1)
        scenario.network.run(for: .seconds(20))
        #expect(alice.controlDrops[.untrusted] == 0 && alice.handshakesBegun.count == 1, "\(scenario.describe())")
    }

    // MARK: - Names and places

    /// A name that leads where its peer is called disturbs nothing, and of a peer that is reached it is for later.
    @Test func aNameThatResolvesAnewDisturbsNothing() {
        let scenario = Scenario(seed: 764, starting: false)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        func retry() -> TimeSpan? { alice.snapshot(now: network.now)[0].retryIn }
        network.attach(alice, starting: false)
        // Called where nobody has called, not called again while that goes on, nor in the pause behind it.
        for _ in 0..<2 { network.resolve("bob", to: [Scenario.bobEndpoint], at: alice) }
        #expect(alice.handshakesBegun == [Scenario.bobEndpoint])
        #expect(network.run(for: .seconds(120)) { retry() != nil })
        network.resolve("bob", to: [Scenario.bobEndpoint], at: alice)
        #expect(retry() != nil && alice.handshakesBegun.count == 1)
        network.attach(bob)
        #expect(scenario.connect(within: .seconds(60)))
        let elsewhere = Endpoint(v4: 0x0A00_0071, port: 9000)
        for (name, host) in [("bob", alice), ("alice", bob)] { network.resolve(name, to: [elsewhere], at: host) }
        #expect(alice.snapshot(now: network.now)[0].endpoint == Scenario.bobEndpoint)
        #expect(bob.snapshot(now: network.now)[0].endpoint == elsewhere, "he had none for her")
        #expect(bob.carrier(of: 0) == .udp(Scenario.aliceEndpoint) && scenario.carriesTraffic())
    }

    private func entry(_ scenario: Scenario, at endpoint: Endpoint?) -> PeerConfiguration {
        PeerConfiguration(
            name: "bob", peerID: scenario.bob.identity.publicKeys.peerID, endpoint: endpoint,
            allowedIPs: [IPPrefix(containing: IPAddress(v4: 0x0A4D_0002), length: 32)])
    }

    /// To where it is called already: that goes on. Elsewhere: it is called there. To nowhere: it is called no more.
    @Test func aPeerWithoutASessionGoesWhereItIsMoved() {
        let scenario = Scenario(seed: 765, starting: false)
        let (network, alice) = (scenario.network, scenario.alice)
        network.attach(alice)
        let (here, elsewhere) = (Scenario.bobEndpoint, Endpoint(v4: 0x0A00_0071, port: 9000))
        for (place, begun) in [(here, [here]), (elsewhere, [here, elsewhere]), (nil, [here, elsewhere])]
            as [(Endpoint?, [Endpoint])]
        {
            network.updatePeers([entry(scenario, at: place)], moved: ["bob"], of: alice)
            #expect(alice.handshakesBegun == begun)
            // Its packets have nowhere to go before there is a session.
            #expect(alice.carrier(of: 0) == nil)
        }
        #expect(alice.footprint.initiations == 0)
        network.run(for: .seconds(200))
        #expect(alice.handshakesBegun.count == 2)
    }

    /// One that is to call from now on keeps the session that it has, where it is.
    @Test func aPeerThatLosesItsEndpointKeepsItsSession() {
        let scenario = Scenario(seed: 766)
        #expect(scenario.connect())
        let alice = scenario.alice
        scenario.network.updatePeers([entry(scenario, at: nil)], moved: ["bob"], of: alice)
        #expect(alice.snapshot(now: scenario.network.now)[0].carrier == .udp(Scenario.bobEndpoint))
        #expect(alice.sessionEnds.isEmpty && scenario.carriesTraffic())
    }

    // MARK: - Bootstrap

    private var parameters: NodeParameters {
        NodeParameters(
            offers: Offers(hasAESHardware: true), mtu: 1436,
            trust: TrustPolicy(trustsOnFirstUse: true, isStrict: false), descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 10, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600), unixSeconds: 1)
    }

    /// Alice, who pinned Bob, with these entries; Bob, who knows her, is at his endpoint.
    private func meeting(
        _ seed: UInt64, starting: Bool = true, _ entries: (PeerID) -> [PeerConfiguration]
    ) -> (network: VirtualNetwork, alice: VirtualHost) {
        let (network, identities) = (VirtualNetwork(seed: seed), Scenario.identities(seed, .rehearsal))
        let alice = VirtualHost(
            name: "alice", endpoint: Scenario.aliceEndpoint, identity: identities[0],
            cryptography: RehearsalCryptography(seed: seed), parameters: parameters,
            pins: [pin(identities[1], "bob")], peers: entries(identities[1].publicKeys.peerID), now: network.now)
        let bob = Scenario.host(
            "bob", Scenario.bobEndpoint, identities[1], peer: identities[0], peerEndpoint: Scenario.aliceEndpoint,
            Scenario.answering, seed: 1, .rehearsal, now: network.now)
        network.attach(bob)
        network.attach(alice, starting: starting)
        return (network, alice)
    }

    private let anybody = PeerConfiguration(
        name: "anybody", peerID: nil, endpoint: Scenario.bobEndpoint, allowedIPs: [], isBootstrap: true)

    private func bob(_ id: PeerID, at endpoint: Endpoint?) -> PeerConfiguration {
        PeerConfiguration(name: "bob", peerID: id, endpoint: endpoint, allowedIPs: [])
    }

    /// Two entries of the operator's are two peers: whoever has one of them is not believed to be the other.
    @Test func whoHasAnEntryIsNoOtherPeer() {
        let dave = PeerConfiguration(name: "dave", peerID: nil, endpoint: Scenario.bobEndpoint, allowedIPs: [])
        let (network, alice) = meeting(767) { [bob($0, at: nil), dave] }
        network.run(for: .seconds(4))
        #expect(alice.trustRefusals == [.identityChanged] && alice.establishedSessions.isEmpty)
        #expect(!network.capture.contains { $0.datagram.type == .s1 })
    }

    /// Bootstrap finds nothing new where the peer's own entry has a session, and is no part of the list of peers.
    @Test func bootstrapChangesNothingForAPeerThatIsReached() {
        let (network, alice) = meeting(768) { [bob($0, at: Scenario.bobEndpoint), anybody] }
        alice.jobDurations[.readDescriptor] = .seconds(3)
        network.run(for: .seconds(30))
        #expect(alice.establishedSessions.map(\.peerName) == ["bob"] && alice.footprint.initiations == 0)
        network.updatePeers([], of: alice)
        #expect(alice.footprint.peers == 1 && alice.sessionEnds == [.peerRemoved])
    }

    /// Where the operator says that a peer is goes before where it was found.
    @Test func aPeerThatWasFoundIsCalledWhereItIsConfigured() {
        let nowhere = Endpoint(v4: 0x0A00_0071, port: 9000)
        let (network, alice) = meeting(769, starting: false) { [bob($0, at: nowhere), anybody] }
        network.resolve("anybody", to: [Scenario.bobEndpoint], at: alice)
        network.run(for: .seconds(5))
        #expect(alice.handshakesBegun == [Scenario.bobEndpoint, nowhere] && alice.establishedSessions.isEmpty)
    }
}
