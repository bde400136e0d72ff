// SPDX-License-Identifier: Apache-2.0
// `security.allowlist` and revocation: who is barred whatever its pin says, in both directions, and what that costs.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct AllowlistTests {
    private func scenario(
        aliceAllows: Set<PeerID> = [], bobAllows: Set<PeerID> = [], firstUse: Bool = false, knows: Bool = true,
        _ primitives: Primitives = .rehearsal
    ) -> Scenario {
        var caller = NodeOptions()
        caller.trust = TrustPolicy(trustsOnFirstUse: firstUse, isStrict: false, allowlist: aliceAllows)
        caller.knowsPeer = knows
        caller.namesPeer = knows
        var answering = Scenario.answering
        answering.trust = TrustPolicy(trustsOnFirstUse: firstUse, isStrict: false, allowlist: bobAllows)
        answering.knowsPeer = knows
        return Scenario(seed: 61, primitives: primitives, alice: caller, bob: answering)
    }

    private func refusals(_ host: VirtualHost) -> Set<TrustRefusal> {
        Set(
            host.events.compactMap { entry in
                if case .identityRefused(_, _, let refusal, _, _, _) = entry.event { refusal } else { nil }
            })
    }

    @Test(arguments: Primitives.allCases)
    func onlyListedPeersMeet(_ primitives: Primitives) {
        let ids = Scenario.identities(61, primitives).map(\.publicKeys.peerID)
        let stranger = RehearsalIdentity(seed: 99).publicKeys.peerID
        let lists: [(Set<PeerID>, Bool, Bool)] = [
            ([], true, true), ([ids[0]], false, true), ([ids[1]], true, false), ([stranger], false, false),
            ([ids[0], ids[1], stranger], true, true),
        ]
        for (aliceList, aliceAdmits, _) in lists {
            for (bobList, _, bobAdmits) in lists {
                for (firstUse, knows) in [(false, true), (true, true), (true, false)] {
                    let run = scenario(
                        aliceAllows: aliceList, bobAllows: bobList, firstUse: firstUse, knows: knows, primitives)
                    let connected = run.connect(within: .seconds(3))
                    #expect(connected == (aliceAdmits && bobAdmits), "\(run.describe())")
                    // Neither signature work nor a session for one who is not listed.
                    if !bobAdmits {
                        #expect(run.bob.establishedSessions.isEmpty && run.bob.remembered.isEmpty)
                        #expect(
                            !run.network.capture.contains { $0.datagram.type == .s2 || $0.datagram.type == .needFull })
                        #expect(run.bob.jobsRun == Int(run.bob.controlDrops[.untrusted]))
                    }
                    if !aliceAdmits {
                        #expect(run.alice.establishedSessions.isEmpty && run.alice.controlDrops[.untrusted] > 0)
                        #expect(!run.network.capture.contains { $0.datagram.type == .s1 })
                        // A known one is not even called.
                        if knows { #expect(run.network.capture.isEmpty) }
                    }
                    if aliceAdmits, !bobAdmits { #expect(refusals(run.bob) == [.notListed]) }
                    if !aliceAdmits, !knows { #expect(refusals(run.alice) == [.notListed]) }
                }
            }
        }
    }

    /// The allowlist makes nobody known.
    @Test func aListedStrangerIsStillAStranger() {
        let ids = Scenario.identities(61, .rehearsal).map(\.publicKeys.peerID)
        var answering = Scenario.answering
        answering.trust.allowlist = [ids[0]]
        answering.knowsPeer = false
        answering.namesPeer = false
        let run = Scenario(seed: 61, bob: answering)
        #expect(!run.connect(within: .seconds(5)))
        #expect(refusals(run.bob) == [.unknownPeer])
    }

    @Test(arguments: [true, false])
    func aRevokedPeerLosesItsSessionAndGetsNoOther(_ revokesCaller: Bool) {
        let run = Scenario(seed: 62)
        #expect(run.connect())
        let (judge, gone) = revokesCaller ? (run.bob, run.alice) : (run.alice, run.bob)
        run.network.updateRevoked([gone.identity.publicKeys.peerID], of: judge)
        #expect(judge.footprint.sessions == 0)
        #expect(
            judge.events.contains {
                if case .sessionEnded(_, .revoked) = $0.event { true } else { false }
            })
        #expect(
            judge.events.contains {
                if case .identityRevoked(gone.identity.publicKeys.peerID, _) = $0.event { true } else { false }
            })
        #expect(!run.carriesTraffic())
        let established = judge.establishedSessions.count
        run.network.run(for: .seconds(300))
        #expect(judge.establishedSessions.count == established && judge.footprint.sessions == 0)
        // Taken back, it is as it was.
        run.network.updateRevoked([], of: judge)
        #expect(run.network.run(for: .seconds(200)) { judge.confirmedSessions.count > established })
        #expect(run.carriesTraffic())
    }

    /// Revoked between the opening of its S1 and the end of the work on the answer, or while it is being called.
    @Test func revocationReachesHandshakesOnTheirWay() {
        for milliseconds in stride(from: 0, through: 120, by: 5) {
            for revokesCaller in [true, false] {
                let run = Scenario(seed: 63)
                run.network.run(for: .milliseconds(milliseconds))
                let (judge, gone) = revokesCaller ? (run.bob, run.alice) : (run.alice, run.bob)
                run.network.updateRevoked([gone.identity.publicKeys.peerID], of: judge)
                run.network.run(for: .seconds(30))
                #expect(judge.footprint.sessions == 0, "after \(milliseconds) ms: \(run.describe())")
                #expect(judge.footprint.initiations == 0 && judge.footprint.jobs == 0)
            }
        }
    }
}
