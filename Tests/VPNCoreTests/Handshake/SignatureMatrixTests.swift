// SPDX-License-Identifier: Apache-2.0
// H2, H3: both signatures of both messages, over this transcript, by this identity, or nothing.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct SignatureMatrixTests {
    /// What each fault must be refused as; nil where the message does not even parse.
    private func expectation(_ fault: SpoiltSigner.Fault) -> Set<HandshakeFailure>? {
        switch fault {
        case .none: nil
        case .badEd25519, .both, .swappedHalves, .otherRole, .otherTranscript: [.ed25519Signature]
        case .badMLDSA: [.mldsaSignature]
        case .truncated, .extended, .missing: [.malformed, .signatureLength]
        }
    }

    @Test(arguments: Primitives.allCases, SpoiltSigner.Fault.allCases)
    func signaturesOfS1(_ primitives: Primitives, _ fault: SpoiltSigner.Fault) throws {
        // 10 faults with 5 seeds each make 50 runs of either kind of primitives.
        for seed in 1...5 as ClosedRange<UInt64> {
            let bench = Bench(primitives, seed: seed)
            for kind in [InitiatorKind.brief, .full] {
                let s1 = try bench.composeS1(kind: kind, signer: SpoiltSigner(base: bench.initiator, fault: fault))
                let opened = bench.openS1(s1.message)
                let answer = opened.flatMap {
                    bench.composeS2($0, pinned: kind == .brief ? bench.initiator.publicKeys : nil)
                }
                if let expected = expectation(fault) {
                    #expect(expected.contains(try #require(answer.failure)), "\(fault) \(kind)")
                } else {
                    #expect(answer.isSuccess)
                }
            }
        }
    }

    @Test(arguments: Primitives.allCases, SpoiltSigner.Fault.allCases)
    func signaturesOfS2(_ primitives: Primitives, _ fault: SpoiltSigner.Fault) throws {
        for seed in 1...5 as ClosedRange<UInt64> {
            let bench = Bench(primitives, seed: seed)
            let s1 = try bench.composeS1()
            let opened = try bench.openS1(s1.message).get()
            let s2 = try bench.composeS2(
                opened, pinned: bench.initiator.publicKeys, signer: SpoiltSigner(base: bench.responder, fault: fault)
            ).get()
            let result = bench.openS2(s2.message, s1)
            if let expected = expectation(fault) {
                #expect(expected.contains(try #require(result.failure)), "\(fault)")
            } else {
                let session = try result.get().secrets
                #expect(session.sessionID == s2.secrets.sessionID)
            }
        }
    }

    /// The 2 × 2 of good and bad halves on the virtual network: one combination of four gives a session.
    @Test(arguments: Primitives.allCases)
    func onlyTwoGoodHalvesGiveASession(_ primitives: Primitives) {
        for fault in [SpoiltSigner.Fault.none, .badEd25519, .badMLDSA, .both] {
            for spoilsInitiator in [true, false] {
                let network = VirtualNetwork(seed: 5)
                let identities = Scenario.identities(5, primitives)
                let alice: any IdentitySigner =
                    spoilsInitiator ? SpoiltSigner(base: identities[0], fault: fault) : identities[0]
                let bob: any IdentitySigner =
                    spoilsInitiator ? identities[1] : SpoiltSigner(base: identities[1], fault: fault)
                let hostB = Scenario.host(
                    "bob", Scenario.bobEndpoint, bob, peer: alice, peerEndpoint: Scenario.aliceEndpoint,
                    Scenario.answering, seed: 1, primitives, now: network.now)
                let hostA = Scenario.host(
                    "alice", Scenario.aliceEndpoint, alice, peer: bob, peerEndpoint: Scenario.bobEndpoint,
                    NodeOptions(),
                    seed: 2, primitives, now: network.now)
                network.attach(hostB)
                network.attach(hostA)
                network.run(for: .seconds(5))
                let works = !hostA.confirmedSessions.isEmpty && !hostB.confirmedSessions.isEmpty
                #expect(works == (fault == .none), "\(fault) of \(spoilsInitiator ? "S1" : "S2")")
                if fault != .none, spoilsInitiator {
                    #expect(hostB.footprint.sessions == 0 && hostB.establishedSessions.isEmpty)
                    #expect(!network.capture.contains { $0.datagram.type == .s2 }, "a bad S1 must get no answer")
                }
            }
        }
    }

    @Test(arguments: Primitives.allCases)
    func aSignatureOfAnotherSessionIsRefused(_ primitives: Primitives) throws {
        let bench = Bench(primitives)
        let recorder = RecordingSigner(base: bench.initiator)
        _ = try bench.composeS1(signer: recorder)
        // The same bytes again, over another transcript.
        let s1 = try bench.composeS1(signer: ReplayingSigner(base: bench.initiator, signatures: recorder.last))
        let opened = try bench.openS1(s1.message).get()
        #expect(bench.composeS2(opened, pinned: bench.initiator.publicKeys).failure == .ed25519Signature)
    }

    @Test(arguments: Primitives.allCases)
    func aFullS1WithForeignKeysIsRefused(_ primitives: Primitives) throws {
        // Misbinding: the id of one identity over the keys of another.
        let bench = Bench(primitives)
        let s1 = try bench.composeS1(kind: .full)
        let opened = try bench.openS1(s1.message).get()
        var payload = opened.payload
        payload.keys = bench.responder.publicKeys.encoded
        let swapped = OpenedS1(
            s1: opened.s1, payload: payload, signatures: opened.signatures, h4: opened.h4, h5: opened.h5,
            chainingKey: opened.chainingKey.copy())
        #expect(bench.composeS2(swapped, pinned: nil).failure == .publicKey)
        // And a known initiator whose pinned keys are others.
        #expect(bench.composeS2(opened, pinned: bench.responder.publicKeys).failure == .publicKey)
    }

    @Test(arguments: Primitives.allCases)
    func anS1RelayedToAThirdNodeDoesNotOpen(_ primitives: Primitives) throws {
        let bench = Bench(primitives)
        let s1 = try bench.composeS1()
        #expect(bench.openS1(s1.message, at: bench.initiator).failure == .seal)
        #expect(bench.openS1(s1.message, cookie: bench.cookie.flipping(20)).failure == .seal)
    }
}

/// Remembers the last signatures it made.
private final class RecordingSigner: IdentitySigner, @unchecked Sendable {
    let base: any IdentitySigner
    var last: [UInt8] = []

    init(base: any IdentitySigner) { self.base = base }

    var publicKeys: IdentityPublicKeys { base.publicKeys }

    func decapsulate(_ ciphertext: [UInt8]) throws -> Secret { try base.decapsulate(ciphertext) }

    func sign(_ hash: [UInt8], role: SignatureRole) throws -> [UInt8] {
        last = try base.sign(hash, role: role)
        return last
    }
}

private struct ReplayingSigner: IdentitySigner {
    let base: any IdentitySigner
    let signatures: [UInt8]

    var publicKeys: IdentityPublicKeys { base.publicKeys }

    func decapsulate(_ ciphertext: [UInt8]) throws -> Secret { try base.decapsulate(ciphertext) }

    func sign(_ hash: [UInt8], role: SignatureRole) throws -> [UInt8] { signatures }
}
