// SPDX-License-Identifier: Apache-2.0
// What a session and those who keep it refuse: frames that are another's or come too late, calls that nobody waits for,
// and addresses that were believed too soon.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

extension VirtualHost {
    var handshakeFailures: [HandshakeFailure] {
        events.compactMap { if case .handshakeRefused(_, _, let failure, _) = $0.event { failure } else { nil } }
    }

    var trustRefusals: [TrustRefusal] {
        events.compactMap { if case .identityRefused(_, _, let why, _, _, _) = $0.event { why } else { nil } }
    }

    var sessionEnds: [SessionEnd] {
        events.compactMap { if case .sessionEnded(_, let end) = $0.event { end } else { nil } }
    }

    /// Where its handshakes went, one for each attempt.
    var handshakesBegun: [Endpoint] {
        events.compactMap { if case .handshakeStarted(_, _, _, let place, _) = $0.event { place } else { nil } }
    }
}

extension VirtualNetwork {
    /// Lets a host do what was put into its control side by hand.
    func drain(_ host: VirtualHost) { resolve("nobody", to: [], at: host) }
}

@Suite struct SessionRefusalTests {
    /// Two ends that have nothing to say to each other for now.
    private func connected(_ seed: UInt64, _ change: (inout NodeOptions) -> Void = { _ in }) -> Scenario {
        var options = NodeOptions()
        change(&options)
        let scenario = Scenario(seed: seed, alice: options)
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.run(for: .seconds(5))
        return scenario
    }

    private func isAliceSilenced(_ datagram: VirtualDatagram) -> VirtualNetwork.Intervention {
        datagram.source == Scenario.aliceEndpoint && datagram.type?.isData == true ? .drop : .pass
    }

    // MARK: - Frames

    /// §7: who can put a keepalive of another session into this one, or of another peer, is not answered.
    @Test func aKeepaliveNamesItsSessionAndItsSender() throws {
        let scenario = connected(741)
        let (network, bob) = (scenario.network, scenario.bob)
        let session = try #require(scenario.alice.sendingSession(of: 0)).id.hex
        let (alice, other) = (scenario.alice.identity.publicKeys.peerID.hex, bob.identity.publicKeys.peerID.hex)
        let nobody = String(repeating: "0", count: 32)
        for (sessionID, peerID, isHeard) in [(session, other, false), (nobody, alice, false), (session, alice, true)] {
            let (from, drops) = (network.capture.count, bob.controlDrops[.keepaliveMalformed])
            let message = KeepaliveMessage(
                kind: .request, sessionID: sessionID, timestamp: 5, peerID: peerID, uptime: 1)
            network.say(.keepalive, message.encoded, to: 0, from: scenario.alice)
            network.run(for: .milliseconds(50))
            let isAnswered = network.capture[from...].contains { $0.datagram.source == Scenario.bobEndpoint }
            #expect(isAnswered == isHeard, "\(sessionID) \(peerID)")
            #expect(bob.controlDrops[.keepaliveMalformed] == drops + (isHeard ? 0 : 1))
        }
        #expect(bob.footprint.sessions == 1)
    }

    /// There is no lease for one that came by no invitation.
    @Test func whoHasNoLeaseMayNotAskForIt() {
        let scenario = connected(742)
        scenario.network.say(.configRequest, LeaseMessage.request, to: 0, from: scenario.alice)
        scenario.network.run(for: .seconds(1))
        #expect(scenario.bob.sessionEnds == [.protocolViolation], "\(scenario.describe())")
    }

    /// A CLOSE that was under way when the next session came is no reason to call anybody.
    @Test func theEndOfAnEarlierSessionIsNoEndOfTheNext() throws {
        let scenario = connected(743)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        let earlier = try #require(bob.sendingSession(of: 0))
        network.renew(0, at: alice)
        #expect(network.run(for: .seconds(3)) { bob.confirmedSessions.count == 2 })
        let close = try #require(earlier.sealFrame(type: .close, payload: [], now: network.now))
        network.inject(
            VirtualDatagram(bytes: close, source: Scenario.bobEndpoint, destination: Scenario.aliceEndpoint))
        network.run(for: .seconds(20))
        #expect(alice.sessionEnds == [.closedByPeer] && alice.handshakesBegun.count == 2, "\(scenario.describe())")
        #expect(scenario.carriesTraffic())
    }

    /// §2: what is pinned already when the first packet comes is not pinned again by first use.
    @Test func aPinThatTheOperatorWroteMeanwhileStays() {
        var answering = Scenario.answering
        answering.trust = TrustPolicy(trustsOnFirstUse: true, isStrict: false)
        answering.knowsPeer = false
        let scenario = Scenario(seed: 744, bob: answering, intervene: isAliceSilenced)
        let (network, bob) = (scenario.network, scenario.bob)
        #expect(network.run(for: .seconds(5)) { bob.establishedSessions.count == 1 })
        let keys = scenario.alice.identity.publicKeys
        network.updatePins([PinnedPeer(keys: keys, name: "alice", origin: .operatorAdded)], of: bob)
        network.intervene = nil
        #expect(scenario.connect(within: .seconds(5)), "\(scenario.describe())")
        #expect(bob.remembered.isEmpty)
        #expect(!bob.events.contains { if case .identityPinned = $0.event { true } else { false } })
    }

    // MARK: - Carriers

    /// A thief on the path is quicker than Alice at her old address: his is proven first, and loses all the same.
    @Test func aMoveThatWasBelievedIsTakenBackWhereTheOldAddressAnswers() {
        let scenario = connected(745)
        let (network, bob) = (scenario.network, scenario.bob)
        let thief = Endpoint(v4: 0x0A00_0097, port: 6666)
        var copies: [VirtualDatagram] = []
        var (isFirst, holdsBack) = (true, true)
        network.intervene = { datagram in
            let isBobs = datagram.source == Scenario.bobEndpoint
            if datagram.destination == thief || (isFirst && datagram.source == Scenario.aliceEndpoint) {
                isFirst = false
                let target = isBobs ? Scenario.aliceEndpoint : Scenario.bobEndpoint
                copies.append(VirtualDatagram(bytes: datagram.bytes, source: thief, destination: target))
                return .drop
            }
            return isBobs && holdsBack ? .drop : .pass
        }
        func run(_ milliseconds: Int, until isDone: () -> Bool = { false }) {
            for _ in 0..<milliseconds where !isDone() {
                let batch = copies
                copies = []
                for datagram in batch { network.inject(datagram) }
                network.run(for: .milliseconds(1))
            }
        }
        network.sendInner(Scenario.packet(from: 1, to: 2, tag: 9), from: scenario.alice)
        run(280) { bob.carrier(of: 0) == .udp(thief) }
        #expect(bob.carrier(of: 0) == .udp(thief), "the question there was answered: \(scenario.describe())")
        holdsBack = false
        run(3000)
        #expect(bob.carrier(of: 0) == .udp(Scenario.aliceEndpoint), "\(scenario.describe())")
        #expect(scenario.alice.carrier(of: 0) == .udp(Scenario.bobEndpoint), "\(scenario.describe())")
        #expect(bob.events.contains { if case .pathKept = $0.event { true } else { false } })
        network.intervene = nil
        #expect(scenario.carriesTraffic(3))
    }

    @Test func routesChooseForTheCarrierThatIsMeant() {
        let scenario = connected(746)
        let bob = scenario.bob
        let (free, elsewhere) = (Carrier.udp(Scenario.aliceEndpoint), Carrier.udp(Endpoint(v4: 0x0A00_0051, port: 9)))
        #expect(bob.machine.peers[0]?.carrier == free)
        // It is bound to no address: there is nothing to let go of.
        bob.machine.letRoutesChoose(0, over: free)
        let action = bob.machine.nextAction()
        #expect(action == nil)
        // What was measured over another carrier is still known of that one alone.
        var endpoint = Scenario.aliceEndpoint
        endpoint.source = 1
        bob.machine.peers[0]?.carrier = .udp(endpoint)
        bob.machine.peers[0]?.path?.carrier = elsewhere
        bob.machine.letRoutesChoose(0, over: .udp(endpoint))
        #expect(bob.machine.peers[0]?.carrier == free && bob.machine.peers[0]?.path?.carrier == elsewhere)
    }

    // MARK: - Views

    /// An answer to a question that was asked, and not the one that waits for it.
    @Test func aViewIsThatOfItsQuestion() {
        let scenario = connected(747)
        let (network, alice) = (scenario.network, scenario.alice)
        let drops = alice.controlDrops[.probeUnknown]
        let isAsked = alice.machine.askView(0, now: network.now)
        let forged = ViewMessage(nonce: 1, seen: Endpoint(v4: 0xCB00_7109, port: 1), unixSeconds: 1)
        network.say(.probeReport, forged.encoded, to: 0, from: scenario.bob)
        network.drain(alice)
        network.run(for: .seconds(1))
        let views = alice.events.compactMap { entry -> Endpoint? in
            if case .viewed(_, _, let seen, _) = entry.event { seen } else { nil }
        }
        #expect(isAsked && views == [Scenario.aliceEndpoint], "\(views)")
        #expect(alice.controlDrops[.probeUnknown] == drops + 1)
    }

    /// Who speaks on a circuit asks nobody where he is seen, and is told by nobody.
    @Test func onCircuitsNobodyIsSeen() throws {
        let scenario = CircuitScenario(seed: 748, relays: 2)
        let number = try scenario.connect([1, 2])
        try #require(scenario.isReady(number), "\(scenario.describe())")
        let (network, client, exit) = (scenario.network, scenario.client, scenario.relays[1])
        let hop = try #require(client.circuits(now: network.now).first).destination
        let isAsked = client.machine.askView(hop, now: network.now)
        let action = client.machine.nextAction()
        #expect(!isAsked && action == nil)
        let drops = exit.controlDrops[.probeMalformed]
        network.say(.probe, ViewMessage(nonce: 7).encoded, to: hop, from: client)
        network.run(for: .seconds(1))
        #expect(exit.controlDrops[.probeMalformed] == drops + 1, "\(scenario.describe())")
    }

    // MARK: - Calls

    /// The packet workers' wish may come when there is a session already.
    @Test func whoHasASessionIsNotCalledForPackets() {
        let scenario = connected(749)
        scenario.alice.machine.sessionWanted(0, now: scenario.network.now)
        scenario.network.drain(scenario.alice)
        #expect(scenario.alice.footprint.initiations == 0 && scenario.alice.handshakesBegun.count == 1)
    }

    /// After an attempt to renew that came to nothing its pause counts, whatever becomes of the session meanwhile.
    @Test func aSilentPeerIsNotCalledBeforeItsPauseIsOver() throws {
        let scenario = connected(750) { $0.rekeyThreshold = .seconds(100) }
        let (network, alice) = (scenario.network, scenario.alice)
        network.intervene = { [.s0, .s1].contains($0.type) ? .drop : .pass }
        // The pauses double; until one is so long that silence is noticed in it.
        var pause = TimeSpan.zero
        for tag in 0..<400 where pause < .seconds(30) {
            #expect(scenario.carriesTraffic(UInt8(tag % 200)))
            network.run(for: .seconds(3))
            pause = alice.snapshot(now: network.now)[0].retryIn ?? .zero
        }
        try #require(pause >= .seconds(30), "\(scenario.describe())")
        let begun = alice.handshakesBegun.count
        network.suspend(scenario.bob)
        network.sendInner(Scenario.packet(from: 1, to: 2, tag: 255), from: alice)
        network.run(for: .seconds(22))
        #expect(alice.events.contains { if case .peerSilent = $0.event { true } else { false } })
        #expect(alice.handshakesBegun.count == begun, "\(scenario.describe())")
        network.run(for: pause)
        #expect(alice.handshakesBegun.count == begun + 1, "\(scenario.describe())")
    }

    /// What never left is no question: its sender would wait for an answer.
    @Test func aKeepaliveThatCannotBeSealedIsNoQuestion() throws {
        let scenario = connected(751)
        let alice = scenario.alice
        let asked = alice.machine.peers[0]?.keepaliveSent
        try #require(alice.sendingSession(of: 0)).skipCounters(Limits.framesPerPhase)
        let isTaken = scenario.network.ask(0, of: alice)
        #expect(isTaken && asked != nil && alice.machine.peers[0]?.keepaliveSent == asked)
    }

    /// Pins of others are no reason to end a pause, and the one that was missing is.
    @Test func aPinOfSomebodyElseEndsNoPause() {
        var caller = NodeOptions()
        caller.trust = TrustPolicy(trustsOnFirstUse: true, isStrict: false)
        caller.knowsPeer = false
        let scenario = Scenario(seed: 754, alice: caller, starting: false)
        let (network, alice) = (scenario.network, scenario.alice)
        network.attach(alice)
        #expect(network.run(for: .seconds(120)) { alice.footprint.initiations == 0 })
        let carol = PinnedPeer(keys: RehearsalIdentity(seed: 7540).publicKeys, name: "carol", origin: .operatorAdded)
        network.updatePins([carol], of: alice)
        #expect(alice.handshakesBegun.count == 1 && alice.snapshot(now: network.now)[0].state == .waiting)
        let bob = PinnedPeer(keys: scenario.bob.identity.publicKeys, name: "bob", origin: .operatorAdded)
        network.updatePins([carol, bob], of: alice)
        #expect(alice.handshakesBegun.count == 2)
    }

    // MARK: - Keys and sizes

    /// §7: a phase ends by its frames, however young it is.
    @Test func aPhaseOfTooManyFramesEnds() throws {
        let scenario = connected(752)
        let session = try #require(scenario.alice.sendingSession(of: 0))
        session.skipCounters(Limits.framesBeforePhase)
        scenario.network.run(for: .seconds(2))
        #expect(session.phase.sending == 1 && scenario.bob.sendingSession(of: 0)?.phase.sending == 1)
        #expect(scenario.carriesTraffic() && scenario.alice.establishedSessions.count == 1)
    }

    /// A peer that says it takes less than any IPv4 host must is believed in nothing about sizes.
    @Test func aSizeOfNoUseIsNotLookedFor() {
        let scenario = Scenario(seed: 753)
        scenario.bob.composing { $0.mtu = UInt16(Limits.smallestInnerMTU - 1) }
        #expect(scenario.connect(within: .seconds(5)))
        let packet = Scenario.packet(from: 1, to: 2, tag: 4, count: 1000)
        scenario.network.sendInner(packet, from: scenario.alice)
        scenario.network.run(for: .seconds(1))
        #expect(scenario.bob.delivered == [packet] && scenario.alice.exceeded.isEmpty, "\(scenario.describe())")
        #expect(scenario.alice.snapshot(now: scenario.network.now)[0].pathMTU == nil)
    }
}
