// SPDX-License-Identifier: Apache-2.0
// §2 as a table: pinned, first use, strict; in and out; known, unknown, changed. And INFO, NEED_FULL on the way.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct TrustTests {
    /// S0 without an answer makes a known peer be asked who it is: one that shows nothing is soon called as before.
    @Test func whoeverShowsNoDescriptorIsCalledAsExpected() {
        let scenario = Scenario(seed: 69, intervene: { $0.type == .s0 ? .drop : .pass })
        scenario.network.run(for: .seconds(21))
        scenario.network.intervene = { $0.type == .infoResponse ? .drop : .pass }
        #expect(scenario.connect(within: .seconds(12)), "\(scenario.describe())")
    }

    private let never = TrustPolicy(trustsOnFirstUse: false, isStrict: false)
    private let firstUse = TrustPolicy(trustsOnFirstUse: true, isStrict: false)
    private let strict = TrustPolicy(trustsOnFirstUse: true, isStrict: true)

    /// Alice calls; what she and Bob know and allow decides.
    private func connects(
        alice: TrustPolicy, bob: TrustPolicy, aliceKnows: Bool, bobKnows: Bool, aliceNames: Bool = true,
        _ primitives: Primitives = .rehearsal
    ) -> (connected: Bool, scenario: Scenario) {
        var caller = NodeOptions()
        caller.trust = alice
        caller.knowsPeer = aliceKnows
        caller.namesPeer = aliceNames
        var answering = Scenario.answering
        answering.trust = bob
        answering.knowsPeer = bobKnows
        let scenario = Scenario(seed: 51, primitives: primitives, alice: caller, bob: answering)
        return (scenario.connect(within: .seconds(30)), scenario)
    }

    @Test(arguments: Primitives.allCases)
    func firstContactTable(_ primitives: Primitives) {
        let policies = [("never", never), ("firstUse", firstUse), ("strict", strict)]
        for (aliceName, alice) in policies {
            for (bobName, bob) in policies {
                for aliceKnows in [true, false] {
                    for bobKnows in [true, false] {
                        // Outbound: known, or first use in either form, since the operator wrote the endpoint down.
                        // Inbound: known, or first use that is not strict.
                        let expected =
                            (aliceKnows || alice.trustsOnFirstUse)
                            && (bobKnows || (bob.trustsOnFirstUse && !bob.isStrict))
                        let (connected, scenario) = connects(
                            alice: alice, bob: bob, aliceKnows: aliceKnows, bobKnows: bobKnows, primitives)
                        #expect(
                            connected == expected,
                            "alice \(aliceName) knows \(aliceKnows), bob \(bobName) knows \(bobKnows): \(scenario.describe())"
                        )
                        #expect(scenario.alice.remembered.count == (connected && !aliceKnows ? 1 : 0))
                        #expect(scenario.bob.remembered.count == (connected && !bobKnows ? 1 : 0))
                        if connected, !bobKnows {
                            #expect(scenario.bob.remembered.first?.keys == scenario.alice.identity.publicKeys)
                        }
                    }
                }
            }
        }
    }

    @Test(arguments: Primitives.allCases)
    func aBootstrapPeerShowsItselfByInfo(_ primitives: Primitives) throws {
        let (connected, scenario) = connects(
            alice: firstUse, bob: firstUse, aliceKnows: false, bobKnows: false, aliceNames: false, primitives)
        #expect(connected, "\(scenario.describe())")
        let pin = try #require(scenario.alice.remembered.first)
        #expect(pin.keys == scenario.bob.identity.publicKeys && pin.origin == .firstUse && pin.name == "bob")
        #expect(scenario.network.capture.contains { $0.datagram.type == .infoResponse })
        #expect(scenario.carriesTraffic())
    }

    @Test func infoNeverAmplifiesAndNeedsACookie() {
        let (_, scenario) = connects(
            alice: firstUse, bob: firstUse, aliceKnows: false, bobKnows: false, aliceNames: false)
        for (_, datagram) in scenario.network.capture where datagram.type == .infoRequest {
            #expect(datagram.bytes.count == 1232)
        }
        for (_, datagram) in scenario.network.capture where datagram.type == .infoResponse {
            #expect(datagram.bytes.count <= 1232)
        }
        let before = scenario.bob.bytesSent
        for var datagram in scenario.network.capture.map(\.datagram) where datagram.type == .infoRequest {
            datagram.source.port = 77
            scenario.network.inject(datagram)
        }
        scenario.network.run(for: .milliseconds(200))
        #expect(scenario.bob.bytesSent == before)
    }

    @Test func infoSurvivesLossAndSpoiltFragments() {
        for seed in 1...50 as ClosedRange<UInt64> {
            var caller = NodeOptions()
            caller.trust = firstUse
            caller.knowsPeer = false
            caller.namesPeer = false
            var answering = Scenario.answering
            answering.trust = firstUse
            answering.knowsPeer = false
            var spoilt = 0
            let scenario = Scenario(
                seed: seed, conditions: LinkConditions(loss: 0.2), alice: caller, bob: answering
            ) { datagram in
                guard datagram.type == .infoResponse, spoilt < 3 else { return .pass }
                spoilt += 1
                return .replace(datagram.bytes.flipping(24 + Int(seed) * 13 % 1000))
            }
            #expect(scenario.connect(within: .seconds(90)), "\(scenario.describe())")
        }
    }

    @Test func aNamedPeerWithAnotherIdentityIsRefusedLoudly() {
        // Alice expects Bob's id; somebody else sits at his endpoint.
        for policy in [never, firstUse, strict] {
            var caller = NodeOptions()
            caller.trust = policy
            caller.knowsPeer = false
            let scenario = Scenario(seed: 52, alice: caller, starting: false)
            let impostor = RehearsalIdentity(seed: 4242)
            var answering = Scenario.answering
            answering.trust = firstUse
            let host = Scenario.host(
                "bob", Scenario.bobEndpoint, impostor, peer: scenario.alice.identity,
                peerEndpoint: Scenario.aliceEndpoint, answering, seed: 9, .rehearsal, now: scenario.network.now)
            scenario.network.attach(host)
            scenario.network.attach(scenario.alice)
            scenario.network.run(for: .seconds(100))
            #expect(scenario.alice.establishedSessions.isEmpty && host.establishedSessions.isEmpty)
            #expect(scenario.alice.remembered.isEmpty)
            // Where neither a pin nor first use lets Alice call, there is nothing to refuse.
            #expect(refusals(scenario.alice).contains(.identityChanged) == policy.trustsOnFirstUse)
        }
    }

    @Test func aChangedKeyBehindAPinnedNameIsRefusedLoudly() {
        // Pinned by first use as "bob" in an earlier run; now another identity answers there.
        let network = VirtualNetwork(seed: 53)
        let alice = RehearsalIdentity(seed: 1)
        let old = RehearsalIdentity(seed: 2)
        let new = RehearsalIdentity(seed: 3)
        var options = NodeOptions()
        options.trust = firstUse
        options.namesPeer = false
        let caller = Scenario.host(
            "alice", Scenario.aliceEndpoint, alice, peer: old, peerEndpoint: Scenario.bobEndpoint, options, seed: 1,
            .rehearsal, now: network.now)
        var answering = Scenario.answering
        answering.trust = firstUse
        let responder = Scenario.host(
            "bob", Scenario.bobEndpoint, new, peer: alice, peerEndpoint: Scenario.aliceEndpoint, answering, seed: 2,
            .rehearsal, now: network.now)
        network.attach(responder)
        network.attach(caller)
        network.run(for: .seconds(100))
        #expect(caller.establishedSessions.isEmpty && caller.remembered.isEmpty)
        #expect(refusals(caller).contains(.identityChanged))
        // The other way: a new identity calls from the endpoint that the operator configured for a pinned one.
        let second = VirtualNetwork(seed: 54)
        var hosting = NodeOptions()
        hosting.trust = firstUse
        let host = Scenario.host(
            "bob", Scenario.bobEndpoint, new, peer: old, peerEndpoint: Scenario.aliceEndpoint, hosting, seed: 3,
            .rehearsal,
            now: second.now)
        var calling = NodeOptions()
        calling.trust = firstUse
        let stranger = Scenario.host(
            "alice", Scenario.aliceEndpoint, alice, peer: new, peerEndpoint: Scenario.bobEndpoint, calling, seed: 4,
            .rehearsal, now: second.now)
        second.attach(host)
        second.attach(stranger)
        second.run(for: .seconds(60))
        #expect(host.confirmedSessions.isEmpty && stranger.confirmedSessions.isEmpty)
        #expect(refusals(host).contains(.identityChanged))
    }

    private func refusals(_ host: VirtualHost) -> [TrustRefusal] {
        host.events.compactMap { entry in
            if case .identityRefused(_, _, let refusal, _, _, _) = entry.event { refusal } else { nil }
        }
    }

    @Test(arguments: Primitives.allCases)
    func twoPeersThatBothChangedRefuseEachOtherLoudly(_ primitives: Primitives) {
        // Each calls the other by an id that nobody has any more, so that no S0 is answered.
        let identities = Scenario.identities(55, primitives)
        let old = [RehearsalIdentity(seed: 71), RehearsalIdentity(seed: 72)]
        for policy in [never, firstUse, strict] {
            let network = VirtualNetwork(seed: 55)
            var options = NodeOptions()
            options.trust = policy
            let alice = Scenario.host(
                "alice", Scenario.aliceEndpoint, identities[0], peer: old[1], peerEndpoint: Scenario.bobEndpoint,
                options, seed: 55, primitives, now: network.now)
            let bob = Scenario.host(
                "bob", Scenario.bobEndpoint, identities[1], peer: old[0], peerEndpoint: Scenario.aliceEndpoint,
                options, seed: 56, primitives, now: network.now)
            network.attach(alice)
            network.attach(bob)
            network.run(for: .seconds(45))
            for host in [alice, bob] {
                #expect(Set(refusals(host)) == [.identityChanged])
                #expect(host.establishedSessions.isEmpty && host.remembered.isEmpty)
            }
        }
    }

    @Test func aPeerThatWasAwayLongIsBelievedHoweverItIsAsked() {
        // Bob comes up while Alice, who had no answer, asks who is there.
        for seconds in [1, 19, 21, 30, 39, 41, 59] {
            let scenario = Scenario(seed: UInt64(seconds), starting: false)
            scenario.network.attach(scenario.alice)
            scenario.network.run(for: .seconds(seconds))
            scenario.network.attach(scenario.bob)
            #expect(scenario.connect(within: .seconds(30)), "after \(seconds) s: \(scenario.describe())")
            #expect(refusals(scenario.alice).isEmpty && refusals(scenario.bob).isEmpty)
            #expect(scenario.alice.remembered.isEmpty && scenario.bob.remembered.isEmpty)
        }
    }

    @Test func theOwnIdentityIsNoPeer() {
        let store = TrustStore(policy: firstUse, own: RehearsalIdentity(seed: 1).publicKeys.peerID, pins: [])
        let own = RehearsalIdentity(seed: 1).publicKeys
        #expect(store.judge(initiator: own.peerID, expectedHere: nil) == .refused(.ownIdentity))
        #expect(store.judge(responder: own, expected: nil) == .ownIdentity)
    }

    @Test func firstUsePinsAreBounded() {
        var store = TrustStore(policy: firstUse, own: .zero, pins: [])
        for seed in 0..<UInt64(Limits.firstUsePins) {
            let keys = RehearsalIdentity(seed: seed).publicKeys
            #expect(store.judge(initiator: keys.peerID, expectedHere: nil) == .firstUse)
            let isNew = store.pin(PinnedPeer(keys: keys, name: "", origin: .firstUse))
            #expect(isNew)
        }
        let next = RehearsalIdentity(seed: 999_999).publicKeys
        #expect(store.judge(initiator: next.peerID, expectedHere: nil) == .refused(.pinLimit))
        #expect(store.judge(responder: next, expected: nil) == .pinLimit)
        let first = RehearsalIdentity(seed: 0).publicKeys
        #expect(store.judge(initiator: first.peerID, expectedHere: nil) == .known(first))
    }

    @Test func anUnknownInitiatorIsDroppedBeforeAnySignatureCheck() {
        let (connected, scenario) = connects(alice: never, bob: never, aliceKnows: true, bobKnows: false)
        #expect(!connected)
        #expect(scenario.bob.controlDrops[.untrusted] > 0)
        // One job opened S1; none verified or answered.
        #expect(scenario.bob.jobsRun == Int(scenario.bob.controlDrops[.untrusted]))
        #expect(!scenario.network.capture.contains { $0.datagram.type == .s2 || $0.datagram.type == .needFull })
    }

    @Test(arguments: Primitives.allCases)
    func descriptorsAreExactAndSigned(_ primitives: Primitives) throws {
        let identity = Scenario.identities(1, primitives)[0]
        let cryptography = Scenario.cryptography(1, primitives)
        let made = try Descriptor.make(
            signer: identity, nickname: "Älice\u{7}", operatorName: "ops", addresses: ["198.51.100.7:9000"],
            notBefore: 5,
            notAfter: 9, serial: 3)
        let read = try Descriptor(decoding: made.encoded, using: cryptography)
        #expect(read == made && read.nickname == "Älice" && read.addresses == ["198.51.100.7:9000"] && read.serial == 3)
        for wrong in [[], Array(made.encoded.dropLast()), made.encoded + [0]] {
            #expect(throws: DescriptorError.self) { try Descriptor(decoding: wrong, using: cryptography) }
        }
        for offset in stride(from: 0, to: made.encoded.count, by: primitives == .real ? 61 : 7) {
            #expect(throws: DescriptorError.self, "byte \(offset)") {
                try Descriptor(decoding: made.encoded.flipping(offset), using: cryptography)
            }
        }
    }
}
