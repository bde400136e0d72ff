// SPDX-License-Identifier: Apache-2.0
// Callers that nobody knows: what a flood of them may hold, what a first contact leaves that is never heard again, and
// who comes by an invitation and is not let in.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct StrangerTests {
    /// Bob, who takes whoever comes, not yet on his network.
    private func firstUse(_ seed: UInt64, _ change: (inout NodeOptions) -> Void = { _ in }) -> Scenario {
        var options = Scenario.answering
        options.trust = TrustPolicy(trustsOnFirstUse: true, isStrict: false)
        (options.knowsPeer, options.namesPeer) = (false, false)
        change(&options)
        return Scenario(seed: seed, bob: options, starting: false)
    }

    private func caller(
        _ identity: any IdentitySigner, _ scenario: Scenario, at endpoint: Endpoint = Scenario.aliceEndpoint
    ) -> HandMadeCaller {
        HandMadeCaller(identity: identity, responder: scenario.bob, network: scenario.network, endpoint: endpoint)
    }

    private func silenceAlice(_ datagram: VirtualDatagram) -> VirtualNetwork.Intervention {
        datagram.source == Scenario.aliceEndpoint && datagram.type?.isData == true ? .drop : .pass
    }

    // MARK: - Floods

    /// Each with an identity and an address of its own; none says anything behind its S1.
    private func flood(_ count: Int, _ scenario: Scenario) throws {
        for number in 0..<count {
            let endpoint = Endpoint(v4: 0x0B00_0000 + UInt32(number), port: 7)
            let stranger = caller(RehearsalIdentity(seed: 0xF100_0000 + UInt64(number)), scenario, at: endpoint)
            stranger.say(try stranger.s1(under: stranger.cookie(), kind: .full))
            if number % 32 == 31 { scenario.network.run(for: .milliseconds(40)) }
        }
        scenario.network.run(for: .milliseconds(100))
    }

    @Test func aFloodOfStrangersPushesOutItself() throws {
        let scenario = firstUse(711)
        let bob = scenario.bob
        scenario.network.attach(bob)
        scenario.network.isCapturing = false
        let more = 60
        try flood(Limits.strangers + more, scenario)
        let came = bob.establishedSessions.map(\.peer)
        #expect(came.count == Limits.strangers + more, "\(scenario.describe())")
        #expect(bob.footprint.sessions == Limits.strangers && bob.footprint.peers == Limits.strangers)
        #expect(bob.machine.slotsByIdentity.count == Limits.strangers)
        // The oldest went, in the order of their coming.
        let gone = bob.events.compactMap { if case .sessionEnded(let old, _) = $0.event { old.peer } else { nil } }
        #expect(gone == Array(came.prefix(more)) && bob.sessionEnds.allSatisfy { $0 == .unconfirmed })
        #expect(bob.remembered.isEmpty)
    }

    /// A caller whose session carried something is no stranger any more, though its next one waits as theirs do.
    @Test func whoHasShownItselfIsNotPushedOut() throws {
        let scenario = firstUse(712)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        network.attach(bob)
        network.attach(alice)
        network.isCapturing = false
        #expect(scenario.connect())
        network.intervene = silenceAlice
        network.renew(0, at: alice)
        #expect(network.run(for: .seconds(2)) { alice.establishedSessions.count == 2 })
        try flood(Limits.strangers + 40, scenario)
        #expect(bob.sessionEnds.contains(.unconfirmed), "\(scenario.describe())")
        network.intervene = nil
        #expect(network.run(for: .seconds(3)) { bob.confirmedSessions.count == 2 }, "\(scenario.describe())")
        #expect(bob.confirmedSessions.allSatisfy { $0.peer == alice.identity.publicKeys.peerID })
    }

    // MARK: - First contacts

    /// Bob knows where Alice is, and not who she is: who came from there and is never heard again has no claim on it.
    @Test func aFirstContactThatIsNeverHeardAgainIsForgotten() throws {
        let scenario = firstUse(713) { $0.callsPeer = true }
        let (network, bob) = (scenario.network, scenario.bob)
        network.attach(bob, starting: false)
        let stranger = caller(RehearsalIdentity(seed: 7130), scenario)
        stranger.say(try stranger.s1(under: stranger.cookie(), kind: .full))
        network.run(for: .seconds(1))
        #expect(bob.machine.slotsByIdentity[stranger.peerID] == 0 && bob.machine.peers[0]?.unpinnedKeys != nil)
        network.run(for: .seconds(95))
        #expect(bob.sessionEnds == [.unconfirmed] && bob.machine.slotsByIdentity.isEmpty)
        #expect(bob.machine.peers[0]?.identity == nil && bob.machine.peers[0]?.unpinnedKeys == nil)
        network.attach(scenario.alice)
        #expect(scenario.connect(within: .seconds(10)), "\(scenario.describe())")
        #expect(bob.remembered.map(\.keys) == [scenario.alice.identity.publicKeys] && scenario.carriesTraffic())
    }

    /// One whose id is larger than Bob's, so that Bob's own call goes on beside what the stranger began.
    private func stranger(_ scenario: Scenario) throws -> HandMadeCaller {
        let own = scenario.bob.identity.publicKeys.peerID
        let all = (UInt64(7160)..<7200).map { RehearsalIdentity(seed: $0) }
        return caller(try #require(all.first { own < $0.publicKeys.peerID }), scenario)
    }

    /// However often Bob calls there meanwhile.
    @Test func aCallOfOnesOwnKeepsNoStrangerInItsEntry() throws {
        let scenario = firstUse(716) { $0.callsPeer = true }
        let (network, bob) = (scenario.network, scenario.bob)
        network.attach(bob)
        network.run(for: .seconds(20))
        let stranger = try stranger(scenario)
        stranger.say(try stranger.s1(under: stranger.cookie(), kind: .full))
        network.run(for: .seconds(1))
        #expect(bob.machine.slotsByIdentity[stranger.peerID] == 0 && bob.footprint.initiations == 1)
        network.run(for: .seconds(400))
        #expect(bob.machine.slotsByIdentity.isEmpty, "\(scenario.describe())")
        network.attach(scenario.alice)
        #expect(scenario.connect(within: .seconds(130)), "\(scenario.describe())")
        #expect(bob.remembered.map(\.keys) == [scenario.alice.identity.publicKeys])
    }

    /// §2: Alice answers Bob's call while a stranger's session waits in the same entry. Who is pinned is who was heard.
    @Test func whoIsPinnedIsWhoWasHeard() throws {
        let scenario = firstUse(717) { $0.callsPeer = true }
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        network.intervene = { $0.type == .s2 && $0.source == Scenario.aliceEndpoint ? .drop : .pass }
        network.attach(alice, starting: false)
        network.attach(bob)
        network.run(for: .seconds(2))
        let stranger = try stranger(scenario)
        stranger.say(try stranger.s1(under: stranger.cookie(), kind: .full))
        network.run(for: .milliseconds(500))
        #expect(bob.establishedSessions.map(\.peer) == [stranger.peerID] && bob.footprint.initiations == 1)
        network.intervene = nil
        #expect(network.run(for: .seconds(10)) { !bob.remembered.isEmpty }, "\(scenario.describe())")
        #expect(bob.remembered.map(\.keys) == [alice.identity.publicKeys])
    }

    /// One whom the operator named, there or in a pin that came meanwhile, is still who has the entry.
    @Test(arguments: [false, true]) func aFirstContactThatIsKnownOtherwiseKeepsItsEntry(isNamed: Bool) throws {
        let scenario = firstUse(714) { ($0.callsPeer, $0.namesPeer) = (true, isNamed) }
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        network.attach(bob, starting: false)
        let early = caller(alice.identity, scenario)
        early.say(try early.s1(under: early.cookie(), kind: .full))
        network.run(for: .seconds(1))
        #expect(bob.establishedSessions.count == 1)
        if !isNamed {
            let pin = PinnedPeer(keys: alice.identity.publicKeys, name: "somebody", origin: .operatorAdded)
            network.updatePins([pin], of: bob)
            #expect(bob.footprint.initiations == 0, "she has a session: \(scenario.describe())")
        }
        network.run(for: .seconds(95))
        #expect(bob.sessionEnds == [.unconfirmed] && bob.machine.peers[0]?.unpinnedKeys == nil)
        #expect(bob.machine.slotsByIdentity == [early.peerID: 0])
        // From elsewhere, where no endpoint tells whose entry it is.
        network.move(alice, to: Endpoint(v4: 0x0A00_0009, port: 9000))
        network.attach(alice)
        #expect(scenario.connect(within: .seconds(10)) && scenario.carriesTraffic(), "\(scenario.describe())")
    }

    /// Whoever comes by two entries in turn is known as the later one: the end of the other, or its new name, changes
    /// nothing about that.
    @Test(arguments: [false, true]) func anIdentityInTwoEntriesIsThatOfTheLater(byOperator: Bool) throws {
        let network = VirtualNetwork(seed: 715)
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: true), mtu: 1436,
            trust: TrustPolicy(trustsOnFirstUse: true, isStrict: false), descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 200, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600), unixSeconds: 1)
        let places = [Scenario.aliceEndpoint, Endpoint(v4: 0x0A00_0009, port: 9000)]
        let entries = zip(["one", "two"], places).map {
            PeerConfiguration(name: $0, peerID: nil, endpoint: $1, allowedIPs: [])
        }
        let bob = VirtualHost(
            name: "bob", endpoint: Scenario.bobEndpoint, identity: RehearsalIdentity(seed: 1),
            cryptography: RehearsalCryptography(seed: 2), parameters: parameters, peers: entries, now: network.now)
        network.attach(bob, starting: false)
        let identity = RehearsalIdentity(seed: 7150)
        for place in places {
            let stranger = HandMadeCaller(identity: identity, responder: bob, network: network, endpoint: place)
            stranger.say(try stranger.s1(under: stranger.cookie(), kind: .full))
            network.run(for: .seconds(30))
        }
        let id = identity.publicKeys.peerID
        #expect(bob.machine.slotsByIdentity == [id: 1] && bob.machine.peers[0]?.identity == id)
        if byOperator {
            let keys = RehearsalIdentity(seed: 7151).publicKeys
            network.updatePins([PinnedPeer(keys: keys, name: "one", origin: .operatorAdded)], of: bob)
        } else {
            network.run(for: .seconds(35))
        }
        #expect(bob.machine.peers[0]?.identity != id && bob.machine.peers[1]?.identity == id)
        #expect(bob.machine.slotsByIdentity[id] == 1)
    }

    // MARK: - Invitations

    private static let invitation: UInt32 = 77
    private static var key: PresharedKey {
        PresharedKey(invitation: Secret(copying: [UInt8](repeating: 9, count: 32)), name: invitation)
    }

    /// Alice has Bob's invitation, and he knows nobody.
    private func inviting(_ seed: UInt64) -> Scenario {
        var (guest, inviter) = (NodeOptions(), Scenario.answering)
        guest.presharedKey = Self.key
        (inviter.knowsPeer, inviter.namesPeer) = (false, false)
        let scenario = Scenario(seed: seed, alice: guest, bob: inviter, starting: false)
        let (expires, address) = (scenario.network.now + .seconds(3600), IPAddress(v4: 0x0A4D_0001))
        scenario.bob.updateInvitations([
            Invitation(name: Self.invitation, key: Self.key, expires: expires, usesLeft: 1)
        ])
        scenario.bob.redeem = { claim in
            .accepted(
                PeerConfiguration(
                    name: "guest", peerID: claim.keys.peerID, endpoint: nil,
                    allowedIPs: [IPPrefix(containing: address, length: 32)]),
                PinnedPeer(keys: claim.keys, name: "guest", origin: .operatorAdded),
                lease: [InterfaceAddress(address, length: 24)])
        }
        scenario.network.attach(scenario.bob)
        return scenario
    }

    private func invitationRefusals(_ host: VirtualHost) -> [InvitationRefusal] {
        host.events.compactMap { if case .invitationRefused(_, _, let why, _) = $0.event { why } else { nil } }
    }

    /// An invitation opens no address that the operator tied to somebody, and is of no use to him.
    @Test(arguments: [false, true]) func whereAPeerIsConfiguredNoGuestIsMet(isPeer: Bool) {
        let scenario = inviting(721)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        let keys = isPeer ? alice.identity.publicKeys : RehearsalIdentity(seed: 4242).publicKeys
        network.updatePeers(
            [PeerConfiguration(name: "carol", peerID: keys.peerID, endpoint: Scenario.aliceEndpoint, allowedIPs: [])],
            of: bob)
        network.attach(alice)
        network.run(for: .seconds(5))
        #expect(bob.trustRefusals == (isPeer ? [] : [.identityChanged]), "\(scenario.describe())")
        #expect(invitationRefusals(bob) == (isPeer ? [.alreadyPeer] : []))
        #expect(bob.establishedSessions.isEmpty && bob.claims.isEmpty)
        #expect(!network.capture.contains { $0.datagram.type == .s2 || $0.datagram.type == .needFull })
    }

    /// To ask for keys would tell that the invitation is good.
    @Test func aGuestThatShowsNoKeysIsNotAskedForThem() {
        let scenario = inviting(722)
        scenario.alice.alterJob = { job in
            guard case .composeS1(var work) = job.work else { return job }
            work.kind = .brief
            return CryptoJob(id: job.id, work: .composeS1(work))
        }
        scenario.network.attach(scenario.alice)
        scenario.network.run(for: .seconds(5))
        #expect(scenario.bob.trustRefusals == [.unknownPeer] && scenario.bob.jobsRun == 1, "\(scenario.describe())")
        #expect(!scenario.network.capture.contains { $0.datagram.type == .s2 || $0.datagram.type == .needFull })
    }

    /// §6: of two that call at once the smaller id stays initiator, also where the other one comes by an invitation.
    @Test func aGuestWaitsWhereTheSmallerIdHasCalled() throws {
        let seed = (730..<760 as Range<UInt64>).first { seed in
            let ids = Scenario.identities(seed, .rehearsal).map(\.publicKeys.peerID)
            return ids[1] < ids[0]
        }
        let scenario = inviting(try #require(seed))
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        network.attach(alice)
        #expect(scenario.connect())
        network.run(for: .seconds(12))
        let from = network.capture.count
        network.renew(0, at: bob)
        network.renew(0, at: alice)
        network.run(for: .milliseconds(1900))
        #expect(bob.controlDrops[.simultaneousOpen] > 0, "\(scenario.describe())")
        #expect(!network.capture[from...].contains { $0.datagram.type == .s2 })
        #expect(network.run(for: .seconds(10)) { bob.confirmedSessions.count == 2 }, "\(scenario.describe())")
    }

    /// A session that waits for its verdict minds neither that on an earlier claim, nor the data of an earlier session.
    @Test func onlyItsOwnFirstDataAndVerdictConcernAClaim() throws {
        let scenario = inviting(723)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        network.attach(alice)
        #expect(scenario.connect())
        network.intervene = silenceAlice
        network.renew(0, at: alice)
        #expect(network.run(for: .seconds(2)) { bob.establishedSessions.count == 2 })
        #expect(bob.claims.count == 1 && bob.machine.peers[0]?.ring.next?.claim != nil)
        bob.machine.settle(bob.claims[0], .refused(.used), now: network.now)
        let current = try #require(bob.sendingSession(of: 0))
        bob.machine.firstDataReceived(current, now: network.now)
        network.drain(bob)
        #expect(bob.claims.count == 1 && bob.footprint.sessions == 2, "\(scenario.describe())")
        #expect(invitationRefusals(bob).isEmpty)
        network.intervene = nil
        #expect(network.run(for: .seconds(3)) { bob.claims.count == 2 }, "\(scenario.describe())")
    }

    /// It holds the token, and may let go of it.
    @Test func aGuestMayLeaveBeforeItIsLetIn() {
        let scenario = inviting(724)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        network.intervene = silenceAlice
        network.attach(alice)
        #expect(network.run(for: .seconds(5)) { !alice.establishedSessions.isEmpty })
        network.intervene = nil
        network.say(.close, [], to: 0, from: alice)
        network.run(for: .milliseconds(50))
        #expect(bob.sessionEnds == [.closedByPeer] && bob.footprint.peers == 0, "\(scenario.describe())")
        #expect(!bob.events.contains { if case .invitationUsed = $0.event { true } else { false } })
    }

    /// Addresses come from an inviter that was called, once; one that calls its guest has no say in them.
    @Test(arguments: [false, true]) func addressesComeOnceAndFromWhoWasCalled(inviterCalls: Bool) {
        var (guest, inviter) = (NodeOptions(), NodeOptions())
        (guest.presharedKey, inviter.presharedKey) = (Self.key, Self.key)
        (guest.callsPeer, inviter.callsPeer) = (!inviterCalls, inviterCalls)
        let scenario = Scenario(seed: 725, alice: guest, bob: inviter)
        // Neither minds what it is asked for.
        for host in [scenario.alice, scenario.bob] { host.deafTo = [.configRequest] }
        #expect(scenario.connect(within: .seconds(5)), "\(scenario.describe())")
        let leases = ([9, 10] as [UInt32]).map { [InterfaceAddress(IPAddress(v4: 0x0A4D_0000 + $0), length: 24)] }
        for lease in leases {
            scenario.network.say(.config, LeaseMessage(lease).encoded, to: 0, from: scenario.bob)
        }
        scenario.network.run(for: .milliseconds(100))
        let taken = scenario.alice.events.compactMap {
            if case .leased(_, let addresses) = $0.event { addresses } else { nil }
        }
        #expect(taken == (inviterCalls ? [] : [leases[0]]))
        #expect(scenario.alice.sessionEnds == (inviterCalls ? [.protocolViolation] : []))
    }
}
