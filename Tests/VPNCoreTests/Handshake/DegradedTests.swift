// SPDX-License-Identifier: Apache-2.0
// §2, `strict_sig_verify: false`: which signatures may fail, of whom, and what such a session is worth.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct DegradedTests {
    private typealias Fault = SpoiltSigner.Fault

    /// Alice calls Bob; one of the two signs badly, the other one judges by these options.
    private func meet(
        _ fault: SpoiltSigner.Fault, ofInitiator: Bool, strict: Bool, allowsPartial: Bool,
        _ primitives: Primitives = .rehearsal, seed: UInt64 = 5, configure: (inout NodeOptions) -> Void = { _ in }
    ) -> (network: VirtualNetwork, bad: VirtualHost, judge: VirtualHost) {
        let network = VirtualNetwork(seed: seed)
        let identities = Scenario.identities(seed, primitives)
        let bad = SpoiltSigner(base: identities[ofInitiator ? 0 : 1], fault: fault)
        var judging = ofInitiator ? Scenario.answering : NodeOptions()
        judging.trust.requiresBothSignatures = strict
        judging.allowsPartial = allowsPartial
        configure(&judging)
        let alice = Scenario.host(
            "alice", Scenario.aliceEndpoint, ofInitiator ? bad : identities[0], peer: identities[1],
            peerEndpoint: Scenario.bobEndpoint, ofInitiator ? NodeOptions() : judging, seed: 2, primitives,
            now: network.now)
        let bob = Scenario.host(
            "bob", Scenario.bobEndpoint, ofInitiator ? identities[1] : bad, peer: identities[0],
            peerEndpoint: Scenario.aliceEndpoint, ofInitiator ? judging : Scenario.answering, seed: 1, primitives,
            now: network.now)
        network.attach(bob)
        network.attach(alice)
        return ofInitiator ? (network, alice, bob) : (network, bob, alice)
    }

    private func warnings(_ host: VirtualHost) -> [SessionSummary] {
        host.events.compactMap { if case .sessionDegraded(let summary) = $0.event { summary } else { nil } }
    }

    /// Both messages × good and bad halves × both settings × both pins: 32 rows, of which 10 give a session.
    @Test(arguments: Primitives.allCases)
    func theTable(_ primitives: Primitives) {
        for ofInitiator in [true, false] {
            for fault in [Fault.none, .badEd25519, .badMLDSA, .both] {
                for strict in [true, false] {
                    for allowsPartial in [true, false] {
                        let (network, bad, judge) = meet(
                            fault, ofInitiator: ofInitiator, strict: strict, allowsPartial: allowsPartial, primitives)
                        network.run(for: .seconds(5))
                        let isDegraded = fault == .badEd25519 && !strict && allowsPartial
                        let row =
                            "\(ofInitiator ? "S1" : "S2") \(fault) strict \(strict) allow_partial \(allowsPartial)"
                        let works = !bad.confirmedSessions.isEmpty && !judge.confirmedSessions.isEmpty
                        #expect(works == (fault == .none || isDegraded), "\(row)")
                        #expect(
                            judge.isDegraded == isDegraded && warnings(judge).count == (isDegraded ? 1 : 0), "\(row)")
                        #expect(judge.degradedSessions == (isDegraded ? 1 : 0), "\(row)")
                        // The other end sees good signatures.
                        #expect(!bad.isDegraded && bad.degradedSessions == 0, "\(row)")
                        if !works, ofInitiator {
                            #expect(!network.capture.contains { $0.datagram.type == .s2 }, "\(row)")
                        }
                    }
                }
            }
        }
    }

    /// Whatever else is wrong with a signature stays fatal.
    @Test(arguments: Primitives.allCases, [true, false])
    func nothingElseIsForgiven(_ primitives: Primitives, _ ofInitiator: Bool) {
        for fault in [Fault.swappedHalves, .otherRole, .otherTranscript, .truncated, .extended, .missing] {
            let (network, bad, judge) = meet(
                fault, ofInitiator: ofInitiator, strict: false, allowsPartial: true, primitives)
            network.run(for: .seconds(5))
            #expect(bad.confirmedSessions.isEmpty && judge.confirmedSessions.isEmpty, "\(fault)")
        }
    }

    @Test func whoIsNotPinnedIsNeverMetByHalf() {
        for ofInitiator in [true, false] {
            let (network, bad, judge) = meet(.badEd25519, ofInitiator: ofInitiator, strict: false, allowsPartial: true)
            {
                $0.trust.trustsOnFirstUse = true
                $0.knowsPeer = false
            }
            network.run(for: .seconds(60))
            #expect(judge.confirmedSessions.isEmpty && judge.remembered.isEmpty && bad.confirmedSessions.isEmpty)
        }
    }

    /// Jobs alone: a full S1 whose keys came along gets no leniency even if somebody asked for it.
    @Test(arguments: Primitives.allCases)
    func keysThatCameAlongGetNoLeniency(_ primitives: Primitives) throws {
        let bench = Bench(primitives)
        let signer = SpoiltSigner(base: bench.initiator, fault: .badEd25519)
        for (kind, pinned) in [(InitiatorKind.full, nil), (.brief, bench.initiator.publicKeys)] {
            let opened = try bench.openS1(bench.composeS1(kind: kind, signer: signer).message).get()
            var work = S2Composition(
                signer: bench.responder, opened: opened, pinnedKeys: pinned, senderIndex: 7, offers: bench.offers,
                token: [UInt8](repeating: 7, count: 32), mtu: 1436, keepaliveSeconds: 0, lifetimeSeconds: 3600)
            #expect(work.perform(bench.cryptography).failure == .ed25519Signature)
            work.acceptsPartial = true
            let answer = work.perform(bench.cryptography)
            #expect(answer.isSuccess == (pinned != nil))
        }
    }

    @Test func aDegradedSessionIsRenewedWithin120Seconds() throws {
        for ofInitiator in [true, false] {
            for seed in 1...20 as ClosedRange<UInt64> {
                let (network, _, judge) = meet(
                    .badEd25519, ofInitiator: ofInitiator, strict: false, allowsPartial: true, seed: seed)
                #expect(network.run(for: .seconds(5)) { judge.degradedSessions == 1 })
                let first = try #require(judge.establishedSessions.first)
                #expect(network.run(for: .seconds(120)) { judge.establishedSessions.count == 2 }, "seed \(seed)")
                #expect(judge.establishedSessions.last?.sessionID != first.sessionID)
            }
        }
    }

    /// The handshake that is owed never comes: the session does not live on.
    @Test func aDegradedSessionDiesWithoutItsRenewal() {
        let (network, bad, judge) = meet(.badEd25519, ofInitiator: true, strict: false, allowsPartial: true)
        #expect(network.run(for: .seconds(5)) { judge.degradedSessions == 1 })
        network.detach(bad)
        network.run(for: .seconds(215))
        #expect(judge.footprint.sessions == 0 && !judge.isDegraded, "\(judge.footprint)")
    }

    @Test func aGoodSignatureEndsTheDegradedState() throws {
        let (network, bad, judge) = meet(.badEd25519, ofInitiator: true, strict: false, allowsPartial: true)
        #expect(network.run(for: .seconds(5)) { judge.isDegraded })
        network.shutDown(bad)
        let healed = Scenario.host(
            "alice", Scenario.aliceEndpoint, Scenario.identities(5, .rehearsal)[0], peer: judge.identity,
            peerEndpoint: Scenario.bobEndpoint, NodeOptions(), seed: 77, .rehearsal, now: network.now)
        network.attach(healed)
        #expect(network.run(for: .seconds(30)) { !healed.confirmedSessions.isEmpty && !judge.isDegraded })
        #expect(judge.degradedSessions == 1)
    }

    @Test func theOperatorTakesLeniencyBack() {
        let (network, bad, judge) = meet(.badEd25519, ofInitiator: true, strict: false, allowsPartial: true)
        #expect(network.run(for: .seconds(5)) { judge.isDegraded })
        network.updatePins(
            [PinnedPeer(keys: bad.identity.publicKeys, name: "alice", origin: .operatorAdded)], of: judge)
        #expect(!judge.isDegraded && judge.footprint.sessions == 0)
        // It calls again once what it says stays without an answer.
        for _ in 0..<2 {
            network.run(for: .seconds(1))
            network.sendInner(Scenario.packet(from: 1, to: 2, tag: 9), from: bad)
        }
        network.run(for: .seconds(150))
        #expect(judge.footprint.sessions == 0 && judge.controlDrops[.handshakeRefused] > 0)
    }
}
