// SPDX-License-Identifier: Apache-2.0
// Answers that overlap the work on earlier ones: a handshake goes on whatever comes of that (§6).
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct OverlapTests {
    private struct Missing: Error {}

    /// An initiator is asked for its keys while it opens an answer to the S1 before: where that answer turns out bad,
    /// the new S1 is said again as any other.
    @Test func anS1IsRepeatedWhateverBecomesOfTheAnswerToTheOneBefore() throws {
        let (bench, now) = (Bench(.rehearsal), Instant.origin + .seconds(10))
        var machine = InitiatorStateMachine(
            signer: bench.initiator, cryptography: RehearsalCryptography(seed: 5), offers: bench.offers, mtu: 1436,
            keepaliveSeconds: 0, expected: nil, responder: bench.responder.publicKeys, acceptsPartial: false, index: 7,
            now: now)
        guard case .transmit(let s0)? = machine.begin(token: nil, index: 7, now: now).first else { throw Missing() }
        let retry = RetryMessage.encoded(
            offers: bench.offers, cookie: bench.cookie, salt: [UInt8](repeating: 3, count: 16), answering: s0,
            senderIndex: 7, sealingID: bench.responder.publicKeys.peerID.bytes)
        var effects = machine.receive(retry: retry, now: now)
        guard case .run(.composeS1(let brief))? = effects.first else { throw Missing() }
        let s1 = try brief.perform(bench.cryptography).get()
        _ = machine.jobFinished(.composedS1(.success(s1)), work: .composeS1(brief), now: now)
        let opened = try bench.openS1(s1.message, cookie: brief.cookie).get()
        let s2 = try bench.composeS2(opened, pinned: bench.initiator.publicKeys).get()
        effects = []
        for datagram in S2Fragment.datagrams(
            of: s2.message, shape: FragmentShape(total: s2.message.count, count: 7), receiverIndex: 7,
            senderIndex: 0x0A0B_0C0D, key: s2.fragmentKey)
        {
            effects += machine.receive(s2: datagram, now: now)
        }
        guard case .run(.openS2(let opening))? = effects.first else { throw Missing() }
        effects = machine.receive(needFull: opened.needFullDatagram(), now: now)
        guard case .run(.composeS1(let full))? = effects.first else { throw Missing() }
        let whole = try full.perform(bench.cryptography).get()
        let sent = machine.jobFinished(.composedS1(.success(whole)), work: .composeS1(full), now: now).count
        _ = machine.jobFinished(.openedS2(.failure(.seal)), work: .openS2(opening), now: now)
        let due = machine.deadline
        let repeated = machine.timeout(now: due).count
        #expect(sent == 11 && repeated == sent)
    }
}
